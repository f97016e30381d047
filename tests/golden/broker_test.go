package golden_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/x2broker/x2broker/broker/config"
	"github.com/x2broker/x2broker/broker/farm"
	"github.com/x2broker/x2broker/broker/frontend"
	"github.com/x2broker/x2broker/broker/frontend/json"
	"github.com/x2broker/x2broker/broker/frontend/plain"
	"github.com/x2broker/x2broker/broker/frontend/ssh"
	"github.com/x2broker/x2broker/broker/frontend/uccs"
	"github.com/x2broker/x2broker/broker/identity"
	"github.com/x2broker/x2broker/broker/session"
	"github.com/x2broker/x2broker/broker/snapshot"
	"github.com/x2broker/x2broker/broker/source"
	"github.com/x2broker/x2broker/schema"
)

// A fixedSnapshot serves for ever.
type fixedSnapshot struct{ *snapshot.Snapshot }

func (s fixedSnapshot) Current() *snapshot.Snapshot { return s.Snapshot }

func (s fixedSnapshot) Wait(context.Context) (*snapshot.Snapshot, error) { return s.Snapshot, nil }

// sites are compiled once for all cases that import the same.
type sites struct {
	mu       sync.Mutex
	compiled map[string]*snapshot.Snapshot // by the text of all files
}

// compile builds what a broker serves from.
func (s *sites) compile(tb testing.TB, files map[string][]byte) *snapshot.Snapshot {
	tb.Helper()
	var key strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(&key, "-- %s --\n%s", name, files[name])
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if snap := s.compiled[key.String()]; snap != nil {
		return snap
	}
	tree, err := source.FromFiles(files)
	if err != nil {
		tb.Fatal(err)
	}
	snap, diags := snapshot.Build(tb.Context(), schema.NewCompiler(), source.Revision{ID: "golden"}, tree)
	if snap == nil {
		tb.Fatalf("the imported site does not compile: %v\n%s", diags, key.String())
	}
	s.compiled[key.String()] = snap
	return snap
}

// A broker serves a case.
type broker struct {
	address string   // "" if the import refuses the files
	said    []string // by the import
	service *session.Service
	door    *ssh.Door
}

// start imports the files and serves what comes of it. Where servers are equally
// good, choose decides.
func (s *sites) start(tb testing.TB, t *transcript, old *oldFiles, choose func(n int) int) *broker {
	tb.Helper()
	made := old.importFiles(tb)
	if made.files == nil {
		return &broker{said: made.said}
	}
	cfg := made.settings
	now := *t
	now.Config.Broker, now.Config.Profiles = old.broker, old.profiles
	log := slog.New(slog.DiscardHandler)
	chain, err := identity.NewChain(now.authenticator(tb))
	if err != nil {
		tb.Fatal(err)
	}
	tickets, err := identity.NewTickets(identity.TicketConfig{
		Lifetime: cfg.Ticket.Lifetime, Rotate: cfg.Ticket.Rotate, VerifyAddress: cfg.Ticket.VerifyAddress, Clock: time.Now, Rand: rand.Reader, Logger: log,
	})
	if err != nil {
		tb.Fatal(err)
	}
	throttle, err := identity.NewThrottle(identity.ThrottleConfig{Clock: time.Now, Rand: rand.Reader, Logger: log})
	if err != nil {
		tb.Fatal(err)
	}
	gate := identity.NewGate(identity.GateConfig{Chain: chain, Tickets: tickets, Throttle: throttle, Logger: log})
	service := session.New(fixedSnapshot{s.compile(tb, made.files)}, gate, farm.New(time.Now, choose), time.Now, log)

	if zeroconf := cfg.Frontends.Zeroconf; zeroconf.Enabled {
		if err := service.Zeroconf(zeroconf.Command); err != nil {
			tb.Fatal(err)
		}
	}
	server := httptest.NewServer(routes(service, cfg.Frontends, t.open(), log))
	tb.Cleanup(server.Close)
	return &broker{strings.TrimPrefix(server.URL, "http://"), made.said, service, ssh.NewDoor(service, cfg.Frontends.Zeroconf.Enabled, log)}
}

// routes are those of x2broker serve that the old broker has as well.
func routes(service *session.Service, doors config.Frontends, anonymous bool, log *slog.Logger) http.Handler {
	r := chi.NewRouter()
	r.Use(frontend.ClientAddress([]netip.Prefix{netip.PrefixFrom(proxy, proxy.BitLen())}))
	r.NotFound(frontend.NotFound)
	options := frontend.Options{Service: service, Zeroconf: doors.Zeroconf.Enabled, Log: log}
	door := func(path string, enabled bool, h http.Handler) {
		if enabled {
			r.Handle(path+"*", http.StripPrefix(path, h))
		}
	}
	door("/plain/", doors.Plain.Enabled, plain.New(options, doors.Plain.DeniedStatus))
	door("/json/", doors.JSON.Enabled, json.New(options))
	door("/uccs/", doors.UCCS.Enabled, uccs.New(uccs.Options{
		Options: options, URL: doors.UCCS.URL, Anonymous: anonymous, Now: time.Now,
	}))
	r.HandleFunc("/", frontend.Index)
	r.HandleFunc("/pubkeys", frontend.PublicKeys)
	r.HandleFunc("/pubkeys/*", frontend.PublicKeys)
	return r
}
