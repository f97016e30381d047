package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"golang.org/x/net/netutil"

	"github.com/x2broker/x2broker/broker/config"
	"github.com/x2broker/x2broker/broker/farm"
	"github.com/x2broker/x2broker/broker/identity"
	"github.com/x2broker/x2broker/broker/session"
	"github.com/x2broker/x2broker/broker/snapshot"
	"github.com/x2broker/x2broker/broker/source"
	"github.com/x2broker/x2broker/broker/source/verify"
)

// Limits on what clients may hold open.
const (
	maxConnections = 8192
	maxHeader      = 16 << 10
	readTimeout    = 30 * time.Second
	writeTimeout   = 90 * time.Second // a request may wait 30 s for the first snapshot
	idleTimeout    = 2 * time.Minute
	shutdownTime   = 10 * time.Second
)

type serveCmd struct {
	Config     string `type:"path" placeholder:"FILE" help:"Settings of the broker, broker.cue."`
	Site       string `placeholder:"DIR|URL" help:"Site to serve, instead of site.url in broker.cue."`
	Ref        string `placeholder:"BRANCH" help:"Branch of the site's Git repository. Default: main."`
	ListenHTTP string `name:"listen-http" placeholder:"ADDR" help:"host:port to answer HTTP on. Default: 127.0.0.1:8080."`
	StateDir   string `placeholder:"DIR" help:"Where the broker keeps what must survive a restart. Default: /var/lib/x2broker."`
	Verbose    bool   `short:"v" help:"Log more."`
}

// Run serves until the context ends.
func (c *serveCmd) Run(ctx context.Context, io stdio) error {
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
	unlock, err := openStateDir(cfg.StateDir)
	if err != nil {
		return err
	}
	defer unlock()
	entry, err := newEntry(cfg, log)
	if err != nil {
		return usageError(err)
	}
	src, err := openSite(cfg, demo, log)
	if err != nil {
		return usageError(err)
	}
	listeners, err := listen(cfg, handed)
	if err != nil {
		return err
	}
	compiler := newCompiler(log)
	defer compiler.Close()
	ops, err := newOperators(cfg, compiler, log)
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
	ops.broker.Keeper = keeper
	ops.broker.Entry = entry.gate.Status
	ops.broker.Listeners = append(named(cfg, listeners), ops.broker.Listeners...)
	server := &http.Server{
		Handler:           routes(cfg, keeper, service, ops.metrics, log),
		ReadHeaderTimeout: readTimeout / 3,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	log.Info("starting", "version", version(), "site", src.String(), "listen", addresses(listeners), "state", cfg.StateDir)
	if demo != nil {
		demo.print(io.out, os.Args[0], listeners[0].Addr().String(), cfg.Listen.BasePath)
	}
	return serve(ctx, server, listeners, log, keeper.Run, ops.answer, ops.measure, ops.notify, ops.audience.Run, entry.tickets.Run, entry.throttle.Run)
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
		{c.StateDir, &cfg.StateDir},
	} {
		if o.flag != "" {
			*o.field = o.flag
		}
	}
	return cfg, nil
}

// openStateDir makes the directory private and takes it for this process; the
// lock ends with the process, however it ends.
func openStateDir(dir string) (unlock func(), err error) {
	wrap := func(err error) error {
		return fmt.Errorf("cannot use the state directory %s: %w (choose another with --state-dir)", dir, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, wrap(err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, wrap(err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, wrap(err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, wrap(errors.New("another x2broker uses it"))
	}
	return func() { f.Close() }, nil
}

// entry is what lets users in, and what of it must be kept.
type entry struct {
	gate     *identity.Gate
	tickets  *identity.Tickets
	throttle *identity.Throttle
}

func newEntry(cfg *config.Config, log *slog.Logger) (*entry, error) {
	var members []identity.Authenticator
	for _, a := range cfg.Authenticators {
		if a.Static == nil {
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
	gate := identity.NewGate(identity.GateConfig{Chain: chain, Tickets: tickets, Shared: shared, Throttle: throttle, Logger: log})
	return &entry{gate, tickets, throttle}, nil
}

func openSite(cfg *config.Config, demo *demoSite, log *slog.Logger) (source.Source, error) {
	if demo != nil {
		return demo.source, nil
	}
	src := source.Config{
		URL: cfg.Site.URL, Ref: cfg.Site.Ref, StoreDir: filepath.Join(cfg.StateDir, "git"),
		Timeout: cfg.Site.Timeout, Auth: source.Auth(cfg.Site.Auth), Log: log,
	}
	var err error
	if src.Verify, err = verification(cfg.Verify, log); err != nil {
		return nil, err
	}
	opened, err := source.Open(src)
	if _, directory := opened.(*source.Directory); directory && src.Verify != nil {
		return nil, fmt.Errorf("site %q is a directory, which has no signed commits: give its repository, or verify: mode: \"off\"", cfg.Site.URL)
	}
	return opened, err
}

// verified is what the status says of commits in this mode of verify.
func verified(mode string) *string {
	said := ""
	switch mode {
	case config.VerifyEnforce:
	case config.VerifyWarn:
		said = "mode warn: the log says what enforce would refuse"
	default:
		return nil
	}
	return &said
}

// verification is what a Git source asks about each new commit, nil for mode off.
func verification(cfg config.Verify, log *slog.Logger) (func(context.Context, *source.Objects, plumbing.Hash, plumbing.Hash) error, error) {
	if cfg.Mode == "" || cfg.Mode == config.VerifyOff {
		return nil, nil
	}
	verifier, err := verify.New(cfg.Rules)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, objects *source.Objects, accepted, tip plumbing.Hash) error {
		report, err := verifier.Verify(ctx, objects, accepted, tip, time.Now())
		for _, c := range report.Commits {
			for _, w := range c.Warnings {
				log.WarnContext(ctx, "commit verified with a warning", "commit", c.Hash, "signer", c.Signer, "warning", w)
			}
		}
		if err == nil {
			err = report.Err()
		}
		if cfg.Mode == config.VerifyEnforce {
			return err
		}
		if err != nil {
			log.WarnContext(ctx, "mode enforce would refuse the newest commit", "commit", tip.String(), "reason", err)
		}
		return source.ErrTolerated
	}, nil
}

// listen opens all listeners or none; handed is open already, nil for none.
func listen(cfg *config.Config, handed net.Listener) (all []net.Listener, err error) {
	defer func() {
		if err != nil {
			for _, l := range all {
				l.Close()
			}
		}
	}()
	for _, address := range []string{cfg.Listen.HTTP, cfg.Listen.HTTPS} {
		if address == "" {
			continue
		}
		l := handed
		if l == nil || address == cfg.Listen.HTTPS {
			if l, err = net.Listen("tcp", address); err != nil {
				return all, fmt.Errorf("%w (choose another address with --listen-http or in broker.cue)", err)
			}
		}
		l = netutil.LimitListener(l, maxConnections)
		if address == cfg.Listen.HTTPS {
			l = tls.NewListener(l, &tls.Config{
				Certificates: []tls.Certificate{*cfg.Listen.Certificate},
				MinVersion:   tls.VersionTLS12,
				NextProtos:   []string{"http/1.1"},
			})
		}
		all = append(all, l)
	}
	return all, nil
}

func addresses(listeners []net.Listener) []string {
	var out []string
	for _, l := range listeners {
		out = append(out, l.Addr().String())
	}
	return out
}

// named puts http or https before the addresses.
func named(cfg *config.Config, listeners []net.Listener) []string {
	out, names := addresses(listeners), []string{"http", "https"}
	if cfg.Listen.HTTP == "" {
		names = names[1:]
	}
	for i := range out {
		out[i] = names[i] + " " + out[i]
	}
	return out
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
