package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/x2broker/x2broker/broker/config"
	"github.com/x2broker/x2broker/broker/farm"
	"github.com/x2broker/x2broker/broker/identity"
	"github.com/x2broker/x2broker/broker/listen"
	"github.com/x2broker/x2broker/broker/session"
	"github.com/x2broker/x2broker/broker/snapshot"
	"github.com/x2broker/x2broker/broker/source"
)

// Limits on what clients may hold open.
const (
	maxHeader    = 16 << 10
	readTimeout  = 30 * time.Second
	writeTimeout = 90 * time.Second // a request may wait 30 s for the first snapshot
	idleTimeout  = 2 * time.Minute
	shutdownTime = 10 * time.Second
)

type serveCmd struct {
	Config     string `type:"path" placeholder:"FILE" help:"Settings of the broker, broker.cue."`
	Site       string `placeholder:"DIR|URL" help:"Site to serve, instead of site.url in broker.cue."`
	Ref        string `placeholder:"BRANCH" help:"Branch of the site's Git repository. Default: main."`
	ListenHTTP string `name:"listen-http" placeholder:"ADDR" help:"host:port to answer HTTP on. Default: 127.0.0.1:8080."`
	ListenSSH  string `name:"listen-ssh" placeholder:"ADDR" help:"host:port of the built-in SSH server. Default: off."`
	StateDir   string `placeholder:"DIR" help:"Where the broker keeps what must survive a restart. Default: /var/lib/x2broker."`
	Verbose    bool   `short:"v" help:"Log more."`
}

// Run serves until the context ends.
func (c *serveCmd) Run(ctx context.Context, io stdio) error {
	if err := keepMemory(); err != nil {
		return err
	}
	cfg, err := c.settings()
	if err != nil {
		return usageError(err)
	}
	log, flush := newLogger(io.err, c.Verbose)
	defer flush()
	var demo *demoSite
	if cfg.Site.URL == "" {
		if demo, err = newDemo(cfg, c.StateDir); err != nil {
			return err
		}
		defer demo.close()
	}
	handed, err := activated(cfg)
	if err != nil {
		return err
	}
	if err := cfg.Validate(); err != nil {
		if c.Config == "" {
			err = fmt.Errorf("%w (give --config broker.cue)", err)
		}
		return usageError(err)
	}
	for _, w := range cfg.Warnings {
		log.Warn(w)
	}
	state, err := openStateDir(cfg.StateDir, log)
	if err != nil {
		return err
	}
	defer state.release()
	entry, err := newEntry(cfg, log)
	if err != nil {
		return usageError(err)
	}
	src, err := openSite(cfg, demo, log)
	if err != nil {
		return usageError(err)
	}
	doors, err := openDoors(cfg, handed, log)
	if err != nil {
		return err
	}
	compiler := newCompiler(log)
	defer compiler.Close()
	ops, err := newOperators(cfg, state, compiler, log)
	if err != nil {
		return err
	}
	keeper := snapshot.New(snapshot.Options{
		Source: src, Compiler: compiler, StateDir: cfg.StateDir, Poll: cfg.Site.Poll,
		Log: log, Now: time.Now, Rand: mathrand.Float64, Audience: ops.people, Verified: verified(cfg.Verify.Mode),
	})
	service := session.New(keeper, entry.gate, farm.New(time.Now, mathrand.IntN), time.Now, log)
	service.Observe(ops.request)
	if zeroconf := cfg.Frontends.Zeroconf; zeroconf.Enabled {
		if err := service.Zeroconf(zeroconf.Command); err != nil {
			return usageError(fmt.Errorf("frontends.zeroconf: %w", err))
		}
	}
	sshDoor, err := newSSHDoor(cfg, doors, service, entry, log)
	if err != nil {
		return usageError(err)
	}
	ops.broker.Keeper = keeper
	ops.show(doors, sshDoor)
	ops.broker.Entry = entry.gate.Status
	server := &http.Server{
		Handler:           routes(cfg, keeper, service, ops, log),
		ReadHeaderTimeout: readTimeout / 3,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ConnState:         doors.gate.Track,
		ConnContext:       listen.Connection,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	log.Info("starting", "version", version(), "site", src.String(), "listen", doors.addresses(), "state", cfg.StateDir)
	if demo != nil && len(doors.all) > 0 {
		ssh := ""
		if doors.ssh != nil {
			ssh = doors.ssh.Addr().String()
		}
		demo.print(io.out, os.Args[0], doors.all[0].Addr().String(), cfg.Listen.BasePath, ssh)
	}
	return serve(ctx, server, doors.all, log, sshDoor.serve, serveOpenSSH(cfg, doors, service, log), keeper.Run, doors.watch, ops.answer, ops.measure, ops.notify, ops.audience.Run, entry.tickets.Run, entry.throttle.Run)
}

// settings reads broker.cue and puts the flags above it.
func (c *serveCmd) settings() (*config.Config, error) {
	cfg := config.Default()
	if c.Config != "" {
		var err error
		if cfg, err = config.Load(c.Config); err != nil {
			return nil, err
		}
	}
	for _, o := range []struct {
		flag  string
		field *string
	}{
		{c.Site, &cfg.Site.URL},
		{c.Ref, &cfg.Site.Ref},
		{c.ListenHTTP, &cfg.Listen.HTTP},
		{c.ListenSSH, &cfg.Listen.SSH},
		{c.StateDir, &cfg.StateDir},
	} {
		if o.flag != "" {
			*o.field = o.flag
		}
	}
	return cfg, nil
}

// entry is what lets users in, and what of it must be kept.
type entry struct {
	chain    *identity.Chain
	gate     *identity.Gate
	tickets  *identity.Tickets
	throttle *identity.Throttle
}

func newEntry(cfg *config.Config, log *slog.Logger) (*entry, error) {
	var members []identity.Authenticator
	for _, a := range cfg.Authenticators {
		if remote, err := openRemote(a, log); err != nil {
			return nil, err
		} else if remote != nil {
			members = append(members, remote)
			continue
		}
		if a.None() {
			none, err := identity.NewNone(a.From, a.Groups)
			if err != nil {
				return nil, err
			}
			members = append(members, none)
			continue
		}
		users := make(map[string]identity.StaticUser, len(a.Static))
		for name, u := range a.Static {
			users[name] = identity.StaticUser{Hash: u.Password, Groups: u.Groups}
		}
		static, warnings, err := identity.NewStatic(identity.StaticConfig{Users: users})
		if err != nil {
			return nil, err
		}
		for _, w := range warnings {
			log.Warn(w)
		}
		members = append(members, static)
	}
	chain, err := identity.NewChain(members...)
	if err != nil {
		return nil, err
	}
	if err := keepAnswers(chain, members, cfg, log); err != nil {
		return nil, err
	}
	tickets, err := identity.NewTickets(identity.TicketConfig{
		StateDir: cfg.StateDir, KeyFile: cfg.Ticket.KeyFile, KeyRotation: cfg.Ticket.KeyRotation,
		Lifetime: cfg.Ticket.Lifetime, Rotate: cfg.Ticket.Rotate, VerifyAddress: cfg.Ticket.VerifyAddress,
		Clock: time.Now, Rand: rand.Reader, Logger: log,
	})
	if err != nil {
		return nil, err
	}
	throttle, err := identity.NewThrottle(identity.ThrottleConfig{StateDir: cfg.StateDir, Clock: time.Now, Rand: rand.Reader, Logger: log})
	if err != nil {
		return nil, err
	}
	var shared *identity.Shared
	if s := cfg.Ticket.Shared; s.File != "" {
		shared, err = identity.NewShared(identity.SharedConfig{File: s.File, WithoutPassword: s.WithoutPassword, From: s.From, Logger: log})
		if err != nil {
			return nil, err
		}
	}
	gate := identity.NewGate(identity.GateConfig{Chain: chain, Tickets: tickets, Shared: shared, Throttle: throttle, ProofTime: cfg.Ticket.Lifetime, Logger: log})
	return &entry{chain, gate, tickets, throttle}, nil
}

func openSite(cfg *config.Config, demo *demoSite, log *slog.Logger) (source.Source, error) {
	if demo != nil {
		return demo.source, nil
	}
	src := source.Config{
		URL: cfg.Site.URL, Ref: cfg.Site.Ref, StoreDir: filepath.Join(cfg.StateDir, "git"),
		Timeout: cfg.Site.Timeout, Auth: source.Auth(cfg.Site.Auth), Log: log,
	}
	if err := verification(&src, cfg.Verify, log); err != nil {
		return nil, err
	}
	opened, err := source.Open(src)
	if _, directory := opened.(*source.Directory); directory && src.Verify != nil {
		return nil, fmt.Errorf("site %q is a directory, which has no signed commits: give its repository, or verify: mode: \"off\"", cfg.Site.URL)
	}
	return opened, err
}

// serve answers on all listeners until the context ends or a listener fails,
// and then lets running requests finish. What runs beside it has the same
// context, and is waited for.
func serve(ctx context.Context, server *http.Server, listeners []net.Listener, log *slog.Logger, beside ...func(context.Context)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var others sync.WaitGroup
	for _, run := range beside {
		others.Go(func() { run(ctx) })
	}
	failed := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() { failed <- server.Serve(l) }()
	}
	var err error
	ended := 0
	select {
	case <-ctx.Done():
		log.Info("stopping")
	case err = <-failed:
		ended++
	}
	shutdown, stop := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer stop()
	if e := server.Shutdown(shutdown); e != nil {
		server.Close()
	}
	cancel()
	for ; ended < len(listeners); ended++ {
		<-failed
	}
	others.Wait()
	return err
}
