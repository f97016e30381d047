package session

import (
	"errors"
	"log/slog"
	"net/netip"
	"testing"
	"time"
)

func TestEveryRequestIsObserved(t *testing.T) {
	s := New(noSite{}, noGate{t: t}, nil, time.Now, slog.New(slog.DiscardHandler))
	s.maxWait = time.Millisecond
	var done []Done
	s.Observe(func(d Done) { done = append(done, d) })
	req := Request{Credentials: Credentials{Address: netip.MustParseAddr("192.0.2.1")}, Frontend: "json"}
	_, _ = s.Login(t.Context(), req)
	_, _ = s.Verify(t.Context(), req)
	_, _ = s.List(t.Context(), req)
	_, _ = s.Select(t.Context(), req, "office")
	_, _ = s.SetPassword(t.Context(), req, "new")
	_, _ = s.Event(t.Context(), req)
	if len(done) != 6 {
		t.Fatalf("observed %d requests of 6", len(done))
	}
	for i, task := range []string{"login", "verify", "list", "select", "setpass", "event"} {
		d := done[i]
		if d.Task != task || d.Frontend != "json" || !errors.Is(d.Err, ErrNotReady) || d.Address != req.Address || d.Took <= 0 || d.Grant.User != "" {
			t.Errorf("%+v", d)
		}
	}
}
