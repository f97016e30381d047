package session

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/x2broker/x2broker/broker/identity"
	"github.com/x2broker/x2broker/broker/snapshot"
)

// noSite is a broker whose first snapshot never comes.
type noSite struct{}

func (noSite) Current() *snapshot.Snapshot { return nil }

func (noSite) Wait(ctx context.Context) (*snapshot.Snapshot, error) {
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

// noGate fails the test when a password reaches it.
type noGate struct {
	Gate // nil: the rest is not called
	t    *testing.T
}

func (g noGate) Login(context.Context, identity.Credentials) (*identity.Login, error) {
	g.t.Error("a password was looked at without a site")
	return nil, &identity.DeniedError{}
}

func (noGate) CanChangePassword() bool { return true }

func (g noGate) ChangePassword(context.Context, identity.Credentials, string, func(identity.Identity) error) error {
	g.t.Error("a password was looked at without a site")
	return &identity.DeniedError{}
}

func (g noGate) Event(context.Context, identity.Credentials) (identity.Identity, bool, error) {
	g.t.Error("a ticket was looked at without a site")
	return identity.Identity{}, false, &identity.DeniedError{}
}

func TestWithoutASiteRequestsEndAfterAWhile(t *testing.T) {
	s := New(noSite{}, noGate{t: t}, nil, time.Now, slog.New(slog.DiscardHandler))
	s.maxWait = time.Millisecond
	if _, err := s.List(t.Context(), Request{}); !errors.Is(err, ErrNotReady) {
		t.Errorf("got %v, want ErrNotReady", err)
	}
}

func TestOnlySoManyRequestsWaitForTheFirstSite(t *testing.T) {
	s := New(noSite{}, noGate{t: t}, nil, time.Now, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, maxWaiting)
	for range maxWaiting {
		go func() {
			_, err := s.Login(ctx, Request{})
			ended <- err
		}()
	}
	for len(s.waiting) < maxWaiting {
		time.Sleep(time.Millisecond) // until all are waiting
	}
	if _, err := s.Login(ctx, Request{}); !errors.Is(err, ErrNotReady) {
		t.Errorf("one more: got %v, want ErrNotReady at once", err)
	}
	cancel()
	for range maxWaiting {
		if err := <-ended; !errors.Is(err, ErrNotReady) {
			t.Errorf("got %v, want ErrNotReady", err)
		}
	}
}
