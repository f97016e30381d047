package identity

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// fakeClock stands still until it is moved.
type fakeClock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *fakeClock {
	return &fakeClock{now: time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)}
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// countingRand is a random source that is the same in every run.
type countingRand struct{ n uint64 }

func (r *countingRand) Read(p []byte) (int, error) {
	for i := range p {
		sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, r.n))
		r.n++
		p[i] = sum[0]
	}
	return len(p), nil
}

// logBuffer is a log that tests can read.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *logBuffer) Logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func hashOf(t testing.TB, password string, cost int) string {
	t.Helper()
	h, err := HashPassword(password, cost)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// newStatic returns a Static that counts the rounds of bcrypt it computes.
func newStatic(t testing.TB, c StaticConfig) (*Static, *atomic.Int64) {
	t.Helper()
	s, _, err := NewStatic(c)
	if err != nil {
		t.Fatal(err)
	}
	rounds := new(atomic.Int64)
	s.compare = func(hash, password []byte) error {
		cost, err := bcrypt.Cost(hash)
		if err != nil {
			t.Errorf("compare with a hash that is none: %v", err)
		}
		rounds.Add(1 << cost)
		return bcrypt.CompareHashAndPassword(hash, password)
	}
	return s, rounds
}

func newChain(t testing.TB, members ...Authenticator) *Chain {
	t.Helper()
	c, err := NewChain(members...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newTickets(t testing.TB, clock *fakeClock, change func(*TicketConfig)) *Tickets {
	t.Helper()
	c := TicketConfig{
		Lifetime:      10 * time.Hour,
		Rotate:        true,
		VerifyAddress: true,
		Clock:         clock.Now,
		Rand:          &countingRand{},
		Logger:        quiet(),
	}
	if change != nil {
		change(&c)
	}
	ts, err := NewTickets(c)
	if err != nil {
		t.Fatal(err)
	}
	return ts
}

// fakeAuth knows one user. It answers with err if that is set.
type fakeAuth struct {
	name, user, password string
	err                  error
	asked                int
	sawTicket            bool
}

func (f *fakeAuth) Name() string { return f.name }

func (f *fakeAuth) Authenticate(_ context.Context, c Credentials) (Identity, error) {
	f.asked++
	f.sawTicket = f.sawTicket || c.Ticket != ""
	switch {
	case f.err != nil:
		return Identity{}, f.err
	case c.Name != f.user:
		return Identity{}, ErrUnknownUser
	case c.Password != f.password:
		return Identity{}, ErrWrongPassword
	}
	return Identity{Name: f.user, Groups: []string{"z", "a", "z"}, Authenticator: "somebody else"}, nil
}

// lookAuth is a fakeAuth that can look up and spells the name its own way.
type lookAuth struct {
	fakeAuth
	canonical string
	groups    []string
	lookupErr error
	lookups   int
}

func (l *lookAuth) Authenticate(ctx context.Context, c Credentials) (Identity, error) {
	id, err := l.fakeAuth.Authenticate(ctx, c)
	if err != nil {
		return Identity{}, err
	}
	id.Name, id.Groups = l.canonical, l.groups
	return id, nil
}

func (l *lookAuth) Lookup(_ context.Context, name string) (Identity, error) {
	l.lookups++
	switch {
	case l.lookupErr != nil:
		return Identity{}, l.lookupErr
	case name != l.canonical:
		return Identity{}, ErrUnknownUser
	}
	return Identity{Name: l.canonical, Groups: l.groups}, nil
}

var (
	_ Lookuper  = (*lookAuth)(nil)
	_ io.Reader = (*countingRand)(nil)
)

func signingKey(ts *Tickets) ticketKey { return ts.keys.Load().signing(ts.clock()) }

func newThrottle(clock *fakeClock) *Throttle {
	th, err := NewThrottle(ThrottleConfig{Clock: clock.Now, Rand: &countingRand{}, Logger: quiet()})
	if err != nil {
		panic(err)
	}
	return th
}

// begin is Begin for tests that have no time to wait for other attempts.
func begin(th *Throttle, name string, addr netip.Addr) (a *Attempt, retryAfter time.Duration, ok bool) {
	th.mu.Lock()
	defer th.mu.Unlock()
	a, retryAfter, _, _ = th.begin(name, addr)
	return a, retryAfter, a != nil
}

// encode returns the text of a ticket that fits, with the MAC it has.
func (t *ticket) encode() string {
	return ticketText.EncodeToString(append(t.signed(nil), t.mac[:]...))
}

// sign puts in the MAC.
func (t *ticket) sign(k ticketKey) {
	t.key = k.id
	t.mac = k.sum(macLabel, t.signed(nil))
}
