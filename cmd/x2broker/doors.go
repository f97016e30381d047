package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/x2broker/x2broker/broker/admin"
	"github.com/x2broker/x2broker/broker/config"
	"github.com/x2broker/x2broker/broker/frontend/ssh"
	"github.com/x2broker/x2broker/broker/listen"
)

// doors are the listeners that clients come through.
type doors struct {
	gate         *listen.Gate
	certificates *listen.Certificates // nil without https
	all          []net.Listener       // for HTTP
	ssh          net.Listener         // nil for none
	hostKeys     *ssh.HostKeys        // with ssh
	openssh      net.Listener         // nil for none
	names        []string             // of all, ssh and openssh: "http 127.0.0.1:8080"
	log          *slog.Logger
}

// openDoors opens all listeners or none; handed is open already, nil for none.
func openDoors(cfg *config.Config, handed net.Listener, log *slog.Logger) (*doors, error) {
	l := cfg.Listen
	d := &doors{log: log, gate: listen.NewGate(listen.Options{
		Limits:  listen.Limits{Connections: l.Connections, PerAddress: l.PerAddress},
		Trusted: l.TrustedProxies, ProxyProtocol: l.ProxyProtocol, HeaderTimeout: readTimeout / 3, Log: log,
	})}
	var err error
	if l.HTTPS != "" {
		if d.certificates, err = listen.LoadCertificates(listen.Files(l.TLS), time.Now, log); err != nil {
			return nil, usageError(fmt.Errorf("listen.tls: %w", err))
		}
	}
	if l.SSH != "" {
		if d.hostKeys, err = ssh.LoadHostKeys(cfg.SSH.HostKeys, cfg.StateDir, log); err != nil {
			if len(cfg.SSH.HostKeys) > 0 {
				err = fmt.Errorf("ssh.hostKeys: %w", err)
			}
			return nil, usageError(err)
		}
	}
	fail := func(err error) (*doors, error) {
		for _, opened := range append(d.all, d.ssh) {
			if opened != nil {
				err = errors.Join(err, opened.Close())
			}
		}
		return nil, err
	}
	add := func(name string, opened net.Listener) {
		d.all = append(d.all, opened)
		d.names = append(d.names, name+" "+opened.Addr().String())
	}
	if l.HTTP != "" {
		opened := handed
		if opened == nil {
			if opened, err = listen.TCP(l.HTTP); err != nil {
				return fail(elsewhere(err))
			}
		}
		add("http", d.gate.Listener(opened))
	}
	if l.HTTPS != "" {
		opened, err := listen.TCP(l.HTTPS)
		if err != nil {
			return fail(elsewhere(err))
		}
		add("https", d.certificates.Listener(d.gate, opened))
	}
	if l.Unix.Path != "" {
		opened := handed
		if opened == nil || l.HTTP != "" {
			if opened, err = listen.Unix(listen.Socket(l.Unix)); err != nil {
				return fail(fmt.Errorf("listen.unix: %w", err))
			}
		}
		add("unix", d.gate.Listener(opened))
	}
	if l.SSH != "" {
		opened, err := listen.TCP(l.SSH)
		if err != nil {
			return fail(fmt.Errorf("%w (choose another address with --listen-ssh or in broker.cue)", err))
		}
		d.ssh = d.gate.Listener(opened)
		d.names = append(d.names, "ssh "+opened.Addr().String())
	}
	if l.OpenSSH.Path != "" {
		if d.openssh, err = listen.Unix(listen.Socket(l.OpenSSH.Unix)); err != nil {
			return fail(fmt.Errorf("listen.openssh: %w", err))
		}
		d.names = append(d.names, "openssh "+d.openssh.Addr().String())
	}
	return d, nil
}

func elsewhere(err error) error {
	return fmt.Errorf("%w (choose another address with --listen-http or in broker.cue)", err)
}

func (d *doors) addresses() []string {
	var out []string
	for _, l := range d.all {
		out = append(out, l.Addr().String())
	}
	if d.ssh != nil {
		out = append(out, "ssh "+d.ssh.Addr().String())
	}
	if d.openssh != nil {
		out = append(out, "openssh "+d.openssh.Addr().String())
	}
	return out
}

// watch follows the files of the certificate and of the host keys, and SIGHUP,
// until the context ends.
func (d *doors) watch(ctx context.Context) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	var followers []listen.Follower
	if d.certificates != nil {
		followers = append(followers, d.certificates)
	}
	if d.hostKeys != nil {
		followers = append(followers, d.hostKeys)
	}
	if len(followers) > 0 {
		listen.Follow(ctx, hangup, followers...)
		return
	}
	for {
		select {
		case <-hangup:
			d.log.Info("SIGHUP: there is no certificate to load; broker.cue is read at the start only")
		case <-ctx.Done():
			return
		}
	}
}

// state is for reports.
func (d *doors) state() admin.Doors {
	c := d.gate.Counts()
	s := admin.Doors{Open: c.Open, Most: c.Most, Refused: c.Refused}
	if d.certificates != nil {
		state := d.certificates.State()
		s.Certificate = &admin.Certificate{Until: state.Until, Failed: state.Failed}
	}
	return s
}
