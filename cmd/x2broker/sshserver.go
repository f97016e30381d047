package main

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/x2broker/x2broker/broker/admin"
	"github.com/x2broker/x2broker/broker/config"
	"github.com/x2broker/x2broker/broker/frontend/ssh"
	"github.com/x2broker/x2broker/broker/frontend/ssh/keys"
	"github.com/x2broker/x2broker/broker/frontend/ssh/local"
	"github.com/x2broker/x2broker/broker/session"
)

// An sshDoor is the built-in SSH server, or none.
type sshDoor struct {
	server   *ssh.Server // nil for none
	listener net.Listener
}

func newSSHDoor(cfg *config.Config, d *doors, service *session.Service, e *entry, log *slog.Logger) (*sshDoor, error) {
	if d.ssh == nil {
		return &sshDoor{}, nil
	}
	checked, err := newKeys(cfg, e, log)
	if err != nil {
		return nil, err
	}
	return &sshDoor{listener: d.ssh, server: ssh.New(ssh.Options{
		Service:        service,
		Door:           ssh.NewDoor(service, cfg.Frontends.Zeroconf.Enabled, log),
		HostKeys:       d.hostKeys,
		Keys:           checked,
		KeyAndPassword: cfg.SSH.KeyAndPassword,
		Conversation:   slices.ContainsFunc(cfg.Authenticators, func(a config.Authenticator) bool { return a.PAM != nil }),
		Banner:         cfg.SSH.Banner,
		LoginTime:      cfg.SSH.LoginTime,
		Lifetime:       cfg.Ticket.Lifetime,
		Grace:          shutdownTime,
		Log:            log,
	})}, nil
}

// newKeys gives what says whose keys count, nil if there are none.
func newKeys(cfg *config.Config, e *entry, log *slog.Logger) (ssh.Keys, error) {
	o := keys.Options{
		Files: cfg.SSH.AuthorizedKeys, UserCAs: cfg.SSH.UserCAs, Revoked: cfg.SSH.RevokedKeys, Log: log, Now: time.Now,
	}
	if cfg.KeysInDirectories() {
		o.Sources = append(o.Sources, e.chain)
	}
	checker, warnings, err := keys.New(o)
	if err != nil {
		return nil, err
	}
	for _, w := range warnings {
		log.Warn(w)
	}
	if !checker.Any() {
		return nil, nil
	}
	return checker, nil
}

// serve answers until the context ends.
func (d *sshDoor) serve(ctx context.Context) {
	if d.server != nil {
		d.server.Serve(ctx, d.listener)
	}
}

// state is for reports, nil without a server.
func (d *sshDoor) state() *admin.SSH {
	if d.server == nil {
		return nil
	}
	s := d.server.State()
	out := &admin.SSH{
		Open: s.Open, Waiting: s.Waiting, Turned: s.Turned,
		Logins: []admin.SSHLogins{}, HostKeys: s.HostKeys.Fingerprints, Failed: s.HostKeys.Failed,
	}
	for o, n := range s.Logins {
		out.Logins = append(out.Logins, admin.SSHLogins{Method: o.Method, Outcome: o.Result, Count: n})
	}
	slices.SortFunc(out.Logins, func(a, b admin.SSHLogins) int {
		return cmp.Or(cmp.Compare(a.Method, b.Method), cmp.Compare(a.Outcome, b.Outcome))
	})
	return out
}

// serveOpenSSH gives what answers `x2broker ssh` until its context ends.
func serveOpenSSH(cfg *config.Config, d *doors, service *session.Service, log *slog.Logger) func(context.Context) {
	if d.openssh == nil {
		return func(context.Context) {}
	}
	s := local.NewServer(local.Options{
		Service:      service,
		Door:         ssh.NewDoor(service, cfg.Frontends.Zeroconf.Enabled, log),
		TrustAddress: cfg.Listen.OpenSSH.TrustAddress,
		Log:          log,
	})
	return func(ctx context.Context) {
		if err := s.Serve(ctx, d.openssh); err != nil {
			log.ErrorContext(ctx, "the socket of x2broker ssh failed: it will not work until a restart", "socket", d.openssh.Addr().String(), "err", err)
		}
	}
}
