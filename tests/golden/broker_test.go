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

// serve starts a broker for the case and gives its address. Where servers are
// equally good, draw(n) decides.
func serve(tb testing.TB, t *transcript, files map[string][]byte, draw func(n int) int) string {
	tb.Helper()
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
	service := session.New(fixedSnapshot{compile(tb, files)}, gate, farm.New(time.Now, draw), time.Now, log)

	r := chi.NewRouter()
	r.Use(frontend.ClientAddress([]netip.Prefix{netip.PrefixFrom(proxy, 32)}))
	r.Handle("/plain/*", http.StripPrefix("/plain/", plain.New(service, http.StatusOK, log)))
	server := httptest.NewServer(r)
	tb.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// act does what was done between two requests of a case.
func (t *transcript) act(action string) error { return nil }

func start(tb testing.TB, c *transcript, choose func(int) int) string {
	if c.Config.Profiles == nil || c.Config.Broker == nil {
		tb.Skip()
	}
	files, says, err := scratchImport(*c.Config.Broker, *c.Config.Profiles)
	if err != nil {
		tb.Fatal("import: ", err)
	}
	for _, s := range says {
		tb.Error("import: ", s)
	}
	return serve(tb, c, files, choose)
}
