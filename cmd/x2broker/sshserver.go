package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/x2broker/x2broker/broker/config"
	"github.com/x2broker/x2broker/broker/frontend/ssh"
	"github.com/x2broker/x2broker/broker/session"
)

// sshServer gives what answers SSH clients until the context ends, if any do.
func sshServer(cfg *config.Config, d *doors, service *session.Service, log *slog.Logger) func(context.Context) {
	if d.ssh == nil {
		return func(context.Context) {}
	}
	server := ssh.New(ssh.Options{
		Service:   service,
		Door:      ssh.NewDoor(service, cfg.Frontends.Zeroconf.Enabled, log),
		HostKeys:  d.hostKeys,
		LoginTime: 2 * time.Minute,
		Lifetime:  cfg.Ticket.Lifetime,
		Grace:     shutdownTime,
		Log:       log,
	})
	return func(ctx context.Context) { server.Serve(ctx, d.ssh) }
}
