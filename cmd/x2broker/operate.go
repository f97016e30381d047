package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/coreos/go-systemd/v22/activation"

	"github.com/x2broker/x2broker/broker/admin"
	"github.com/x2broker/x2broker/broker/audience"
	"github.com/x2broker/x2broker/broker/config"
	"github.com/x2broker/x2broker/broker/listen"
	"github.com/x2broker/x2broker/broker/session"
	"github.com/x2broker/x2broker/broker/snapshot"
	"github.com/x2broker/x2broker/broker/worker"
)

// maxScrapers is how many connections the listener for metrics bears.
const maxScrapers = 64

// activated gives the socket that systemd opened for HTTP, nil for none, and
// makes the settings say where that is.
func activated(cfg *config.Config) (net.Listener, error) {
	all, err := activation.Listeners()
	if err != nil {
		return nil, fmt.Errorf("take the socket of systemd: %w", err)
	}
	switch {
	case len(all) == 0:
		return nil, nil
	case len(all) > 1, all[0] == nil:
		return nil, fmt.Errorf("systemd handed over %d sockets: the broker takes one stream socket, for HTTP", len(all))
	}
	if address := all[0].Addr(); address.Network() == "unix" {
		cfg.Listen.HTTP, cfg.Listen.Unix = "", config.Unix{Path: address.String()}
	} else {
		cfg.Listen.HTTP = address.String()
	}
	return all[0], nil
}

// An operators' side is what operators and their tools see of the broker.
type operators struct {
	broker   *admin.Broker
	metrics  *admin.Metrics
	audience *audience.Record
	state    *stateDir
	control  net.Listener // nil while the socket cannot be made
	scrapes  net.Listener // nil for none
	log      *slog.Logger
}

// newOperators opens the control socket and the listener for metrics.
func newOperators(cfg *config.Config, state *stateDir, compiler *worker.Compiler, log *slog.Logger) (*operators, error) {
	o := &operators{log: log, state: state, audience: audience.Open(cfg.StateDir, time.Now, log), broker: &admin.Broker{
		Version: version(), Started: time.Now(), Now: time.Now,
		Worker: func() (string, int) {
			if c := compiler.Confinement(); c != nil {
				return c.String(), compiler.Starts()
			}
			return "", 0
		},
	}}
	o.metrics = admin.NewMetrics(o.broker)
	var err error
	if cfg.Listen.Metrics != "" {
		opened, err := listen.TCP(cfg.Listen.Metrics)
		if err != nil {
			return nil, fmt.Errorf("%w (choose another address for listen.metrics)", err)
		}
		o.scrapes = listen.NewGate(listen.Options{Limits: listen.Limits{Connections: maxScrapers, PerAddress: maxScrapers}, Log: log}).Listener(opened)
		o.broker.Listeners = append(o.broker.Listeners, "metrics "+o.scrapes.Addr().String())
	}
	if o.control, err = admin.ListenControl(cfg.StateDir, log); mayPass(err) {
		log.Error("control socket cannot be made: x2broker status does not work before that, /readyz says the state", "err", err)
	} else if err != nil {
		if o.scrapes != nil {
			o.scrapes.Close()
		}
		return nil, fmt.Errorf("%w (choose another state directory with --state-dir)", err)
	}
	return o, nil
}

// show tells operators of the doors.
func (o *operators) show(d *doors, s *sshDoor) {
	o.broker.Doors = func() admin.Doors {
		state := d.state()
		state.SSH = s.state()
		return state
	}
	o.broker.Listeners = append(d.names, o.broker.Listeners...)
}

// request notes what became of a request.
func (o *operators) request(d session.Done) {
	o.metrics.Request(d)
	if d.Err == nil && (d.Task == "list" || d.Task == "select") {
		o.audience.Saw(d.Grant.User, d.Grant.Groups, d.Address)
	}
}

// people gives whom a commit must not lock out.
func (o *operators) people() []snapshot.Person {
	users := o.audience.Recent()
	out := make([]snapshot.Person, len(users))
	for i, u := range users {
		out[i] = snapshot.Person{Name: u.Name, Groups: u.Groups, Address: u.Address, Time: u.Last}
	}
	return out
}

// controlAgain is the time between two tries to make the control socket.
const controlAgain = 2 * time.Second

// answer answers operators until the context ends.
func (o *operators) answer(ctx context.Context) {
	for said := ""; o.control == nil; {
		select {
		case <-time.After(controlAgain):
		case <-ctx.Done():
			return
		}
		err := o.state.take()
		if err == nil {
			o.control, err = admin.ListenControl(o.state.path, o.log)
		}
		if err == nil {
			o.log.Info("state directory can be written, x2broker status works")
		} else if !mayPass(err) && err.Error() != said {
			said = err.Error()
			o.log.Error("state directory cannot be used", "dir", o.state.path, "err", err)
		}
	}
	if err := admin.NewControl(o.broker, o.log).Serve(ctx, o.control); err != nil {
		o.log.Error("control socket failed: x2broker status will not work until a restart", "err", err)
	}
}

// notify keeps systemd informed until the context ends.
func (o *operators) notify(ctx context.Context) { admin.Notify(ctx, o.broker.Keeper, o.log) }

// measure answers scrapes until the context ends.
func (o *operators) measure(ctx context.Context) {
	if o.scrapes == nil {
		return
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", o.metrics.Handler())
	server := &http.Server{
		Handler: mux, ReadTimeout: readTimeout, WriteTimeout: readTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(o.log.Handler(), slog.LevelDebug),
	}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(o.scrapes); err != nil && ctx.Err() == nil {
		o.log.Error("listener for metrics failed", "err", err)
	}
}
