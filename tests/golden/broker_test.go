package golden_test

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/x2broker/x2broker/broker/farm"
	"github.com/x2broker/x2broker/broker/frontend"
	"github.com/x2broker/x2broker/broker/frontend/plain"
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

// compile builds what a broker serves from.
func compile(tb testing.TB, files map[string][]byte) *snapshot.Snapshot {
	tb.Helper()
	tree, err := source.FromFiles(files)
	if err != nil {
		tb.Fatal(err)
	}
	snap, diags := snapshot.Build(tb.Context(), schema.NewCompiler(), source.Revision{ID: "golden"}, tree)
	if snap == nil {
		for _, d := range diags {
			tb.Error(d)
		}
		for name, text := range files {
			tb.Logf("%s:\n%s", name, text)
		}
		tb.Fatal("the imported site does not compile")
	}
	return snap
}

// A broker serves a case.
type broker struct {
	address string   // "" if the import refuses the files
	said    []string // by the import
}

// start imports the files and serves what comes of it. Where servers are equally
// good, choose decides.
func start(tb testing.TB, t *transcript, old *oldFiles, choose func(n int) int) *broker {
	tb.Helper()
	made := old.importFiles(tb)
	if made.files == nil {
		return &broker{said: made.said}
	}
	log := slog.New(slog.DiscardHandler)
	chain, err := identity.NewChain(t.authenticator(tb))
	if err != nil {
		tb.Fatal(err)
	}
	tickets, err := identity.NewTickets(identity.TicketConfig{
		Lifetime: 10 * time.Hour, Rotate: true, VerifyAddress: true, Clock: time.Now, Rand: rand.Reader, Logger: log,
	})
	if err != nil {
		tb.Fatal(err)
	}
	gate := identity.NewGate(identity.GateConfig{
		Chain: chain, Tickets: tickets, Throttle: identity.NewThrottle(time.Now), Logger: log,
	})
	service := session.New(fixedSnapshot{compile(tb, made.files)}, gate, farm.New(time.Now, choose), time.Now, log)

	r := chi.NewRouter()
	r.Use(frontend.ClientAddress([]netip.Prefix{netip.PrefixFrom(proxy, 32)}))
	r.Handle("/plain/*", http.StripPrefix("/plain/", plain.New(service, http.StatusOK, log)))
	server := httptest.NewServer(r)
	tb.Cleanup(server.Close)
	return &broker{strings.TrimPrefix(server.URL, "http://"), made.said}
}
