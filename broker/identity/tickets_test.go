package identity

import (
	"context"
	"errors"
	"io"
	"math"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
)

var alice = Identity{Name: "alice", Groups: []string{"staff"}, Authenticator: "static"}

const home = "192.0.2.7"

// vouch is a LookupFunc that knows everybody.
func vouch(_ context.Context, authenticator, name string) (Identity, error) {
	return Identity{Name: name, Groups: []string{"now"}, Authenticator: authenticator}, nil
}

// use checks and turns a ticket of alice at home.
func use(t *testing.T, ts *Tickets, text string) (string, error) {
	t.Helper()
	u, err := ts.Check(t.Context(), Credentials{Ticket: text, Name: "alice", Address: addr(home)}, vouch)
	if err != nil {
		return "", err
	}
	return u.Turn(), nil
}

func mustUse(t *testing.T, ts *Tickets, text string) string {
	t.Helper()
	next, err := use(t, ts, text)
	if err != nil || next == "" {
		t.Fatalf("ticket not good: %v, successor %q", err, next)
	}
	return next
}

func TestATicketIsAlphabetAndLength(t *testing.T) {
	ts := newTickets(t, newClock(), nil)
	text := ts.Issue(alice, Credentials{Name: "Alice", Address: addr(home)})
	if len(text) > 1024 || !regexp.MustCompile(`^[A-Za-z0-9_-]+$`).MatchString(text) {
		t.Errorf("ticket %q", text)
	}
}

func TestTheIdentityIsTheOneOfNow(t *testing.T) {
	ts := newTickets(t, newClock(), nil)
	text := ts.Issue(alice, Credentials{Name: "alice", Address: addr(home)})
	u, err := ts.Check(t.Context(), Credentials{Ticket: text, Name: "alice", Address: addr(home)}, vouch)
	if err != nil {
		t.Fatal(err)
	}
	want := Identity{Name: "alice", Groups: []string{"now"}, Authenticator: "static"}
	if diff := cmp.Diff(want, u.Identity); diff != "" {
		t.Errorf("identity (-want +got):\n%s", diff)
	}
}

func TestATicketThatIsNotGoodChangesNothing(t *testing.T) {
	clock := newClock()
	ts := newTickets(t, clock, nil)
	elsewhere := newTickets(t, clock, func(c *TicketConfig) { c.Rand = &countingRand{n: 1 << 32} })
	text := ts.Issue(alice, Credentials{Name: "Alice", Address: addr(home)})
	forged := elsewhere.Issue(alice, Credentials{Name: "Alice", Address: addr(home)})
	down := errors.New("directory down")

	for name, tc := range map[string]struct {
		text, user, addr string
		lookup           LookupFunc
		want             error
	}{
		"another user":                {text, "bob", home, vouch, ErrTicketUser},
		"no user":                     {text, "", home, vouch, ErrTicketUser},
		"a third spelling":            {text, "ALICE", home, vouch, ErrTicketUser},
		"another address":             {text, "alice", "192.0.2.8", vouch, ErrTicketAddress},
		"an IPv6 address":             {text, "alice", "2001:db8::1", vouch, ErrTicketAddress},
		"another broker's":            {forged, "alice", home, vouch, ErrTicketForged},
		"the last letter changed":     {text[:len(text)-1] + "A", "alice", home, vouch, ErrTicketForged},
		"padded":                      {text + "=", "alice", home, vouch, ErrTicketForm},
		"empty":                       {"", "alice", home, vouch, ErrTicketForm},
		"the authenticator is gone":   {text, "alice", home, refuse(ErrUnknownUser), ErrTicketLookup},
		"the authenticator is broken": {text, "alice", home, refuse(down), ErrTicketLookup},
		"the name was given to another": {text, "alice", home, func(context.Context, string, string) (Identity, error) {
			return Identity{Name: "alice2", Authenticator: "static"}, nil
		}, ErrTicketLookup},
		"another authenticator answers": {text, "alice", home, func(context.Context, string, string) (Identity, error) {
			return Identity{Name: "alice", Authenticator: "ldap"}, nil
		}, ErrTicketLookup},
	} {
		t.Run(name, func(t *testing.T) {
			u, err := ts.Check(t.Context(), Credentials{Ticket: tc.text, Name: tc.user, Address: addr(tc.addr)}, tc.lookup)
			if !errors.Is(err, tc.want) || u != nil {
				t.Errorf("got %v, %v, want %v", u, err, tc.want)
			}
		})
	}
	if _, err := ts.Check(t.Context(), Credentials{Ticket: text, Name: "alice", Address: netip.Addr{}}, vouch); !errors.Is(err, ErrTicketAddress) {
		t.Errorf("no address: %v", err)
	}
	mustUse(t, ts, text)
}

func refuse(err error) LookupFunc {
	return func(context.Context, string, string) (Identity, error) { return Identity{}, err }
}

func TestOnlyTicketsThatMightBeGoodAreLookedUp(t *testing.T) {
	clock := newClock()
	ts := newTickets(t, clock, nil)
	text := ts.Issue(alice, Credentials{Name: "alice", Address: addr(home)})
	never := func(context.Context, string, string) (Identity, error) {
		t.Error("looked up")
		return Identity{}, ErrUnknownUser
	}
	for _, tc := range []struct{ text, user, addr string }{
		{text[:len(text)-1] + "A", "alice", home},
		{text, "bob", home},
		{text, "alice", "192.0.2.8"},
	} {
		_, _ = ts.Check(t.Context(), Credentials{Ticket: tc.text, Name: tc.user, Address: addr(tc.addr)}, never)
	}
	clock.Advance(10 * time.Hour)
	_, _ = ts.Check(t.Context(), Credentials{Ticket: text, Name: "alice", Address: addr(home)}, never)
}

func TestTheRequestMayUseEitherName(t *testing.T) {
	ts := newTickets(t, newClock(), nil)
	text := ts.Issue(alice, Credentials{Name: "Alice@EXAMPLE", Address: addr(home)})
	for _, name := range []string{"alice", "Alice@EXAMPLE"} {
		u, err := ts.Check(t.Context(), Credentials{Ticket: text, Name: name, Address: addr(home)}, vouch)
		if err != nil || u.Identity.Name != "alice" {
			t.Errorf("%s: %v, %v", name, u, err)
		}
	}
}

func TestAddressOfATicket(t *testing.T) {
	for name, tc := range map[string]struct {
		login, request string
		verify, good   bool
	}{
		"the same":                       {home, home, true, true},
		"IPv4 written as IPv6":           {home, "::ffff:" + home, true, true},
		"another in the /24":             {home, "192.0.2.8", true, false},
		"another in the /64":             {"2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true, true},
		"another /64":                    {"2001:db8:1:2::1", "2001:db8:1:3::1", true, false},
		"not verified":                   {home, "198.51.100.1", false, true},
		"not verified, another protocol": {home, "2001:db8::1", false, true},
	} {
		t.Run(name, func(t *testing.T) {
			ts := newTickets(t, newClock(), func(c *TicketConfig) { c.VerifyAddress = tc.verify })
			text := ts.Issue(alice, Credentials{Name: "alice", Address: addr(tc.login)})
			_, err := ts.Check(t.Context(), Credentials{Ticket: text, Name: "alice", Address: addr(tc.request)}, vouch)
			if (err == nil) != tc.good {
				t.Errorf("error %v, want good %v", err, tc.good)
			}
		})
	}
}

func TestTheLifetimeCountsFromThePasswordAndIsNeverExtended(t *testing.T) {
	for _, rotate := range []bool{true, false} {
		clock := newClock()
		ts := newTickets(t, clock, func(c *TicketConfig) { c.Rotate = rotate })
		text := ts.Issue(alice, Credentials{Name: "alice", Address: addr(home)})
		for range 19 {
			clock.Advance(30 * time.Minute)
			text = mustUse(t, ts, text)
		}
		clock.Advance(30*time.Minute - time.Second)
		text = mustUse(t, ts, text)
		clock.Advance(time.Second)
		if _, err := use(t, ts, text); !errors.Is(err, ErrTicketExpired) {
			t.Errorf("rotate %v, after ten hours: %v", rotate, err)
		}
	}
}

func TestATicketIsNotFromTheFuture(t *testing.T) {
	clock := newClock()
	ts := newTickets(t, clock, nil)
	text := ts.Issue(alice, Credentials{Name: "alice", Address: addr(home)})
	clock.Advance(-30 * time.Second) // set right by NTP
	text = mustUse(t, ts, text)
	clock.Advance(-time.Hour)
	if _, err := use(t, ts, text); !errors.Is(err, ErrTicketExpired) {
		t.Errorf("from the future: %v", err)
	}
}

func TestRotation(t *testing.T) {
	clock := newClock()
	ts := newTickets(t, clock, nil)
	first := ts.Issue(alice, Credentials{Name: "alice", Address: addr(home)})
	second := mustUse(t, ts, first)
	if second == first {
		t.Fatal("the ticket did not turn")
	}
	if again := mustUse(t, ts, first); again != second {
		t.Error("two requests with one ticket got different successors")
	}
	clock.Advance(ticketGrace)
	if again := mustUse(t, ts, first); again != second {
		t.Error("a lost reply was not repeated within the grace")
	}
	clock.Advance(time.Second)
	third := mustUse(t, ts, second)
	if again := mustUse(t, ts, second); again != third {
		t.Error("the grace did not start anew with the new ticket")
	}
	if _, err := use(t, ts, first); !errors.Is(err, ErrTicketReplay) {
		t.Errorf("a ticket two behind: %v", err)
	}
	for _, text := range []string{first, second, third} {
		if _, err := use(t, ts, text); !errors.Is(err, ErrTicketUnknown) {
			t.Errorf("of a revoked chain: %v", err)
		}
	}
	mustUse(t, ts, ts.Issue(alice, Credentials{Name: "alice", Address: addr(home)}))
}

func TestTheTicketBeforeTheNewestIsAReplayAfterTheGrace(t *testing.T) {
	clock := newClock()
	log := &logBuffer{}
	ts := newTickets(t, clock, func(c *TicketConfig) { c.Logger = log.Logger() })
	stolen := ts.Issue(alice, Credentials{Name: "alice", Address: addr(home)})
	thief := mustUse(t, ts, stolen)
	clock.Advance(ticketGrace + 1)
	if _, err := use(t, ts, stolen); !errors.Is(err, ErrTicketReplay) { // the owner comes
		t.Errorf("after the grace: %v", err)
	}
	if _, err := use(t, ts, thief); !errors.Is(err, ErrTicketUnknown) {
		t.Errorf("the thief goes on: %v", err)
	}
	if !strings.Contains(log.String(), "user=alice") || strings.Contains(log.String(), stolen) || strings.Contains(log.String(), thief) {
		t.Errorf("log:\n%s", log)
	}
}

func TestAReplayRevokesOnlyWhenAllElseIsRight(t *testing.T) {
	clock := newClock()
	ts := newTickets(t, clock, nil)
	old := ts.Issue(alice, Credentials{Name: "alice", Address: addr(home)})
	newest := mustUse(t, ts, mustUse(t, ts, old))
	for name, check := range map[string]func() error{
		"another user": func() error {
			_, err := ts.Check(t.Context(), Credentials{Ticket: old, Name: "bob", Address: addr(home)}, vouch)
			return err
		},
		"another address": func() error {
			_, err := ts.Check(t.Context(), Credentials{Ticket: old, Name: "alice", Address: addr("192.0.2.8")}, vouch)
			return err
		},
		"not vouched for": func() error {
			_, err := ts.Check(t.Context(), Credentials{Ticket: old, Name: "alice", Address: addr(home)}, refuse(ErrUnknownUser))
			return err
		},
	} {
		if err := check(); err == nil || errors.Is(err, ErrTicketReplay) {
			t.Errorf("%s: %v", name, err)
		}
	}
	mustUse(t, ts, newest)
}

func TestCheckingDoesNotTurn(t *testing.T) {
	clock := newClock()
	ts := newTickets(t, clock, nil)
	text := ts.Issue(alice, Credentials{Name: "alice", Address: addr(home)})
	for range 5 {
		clock.Advance(ticketGrace + 1)
		if _, err := ts.Check(t.Context(), Credentials{Ticket: text, Name: "alice", Address: addr(home)}, vouch); err != nil {
			t.Fatal(err)
		}
	}
	mustUse(t, ts, text)
}

func TestAStaticTicketStaysTheSame(t *testing.T) {
	clock := newClock()
	ts := newTickets(t, clock, func(c *TicketConfig) { c.Rotate = false })
	text := ts.Issue(alice, Credentials{Name: "alice", Address: addr(home)})
	for range 5 {
		clock.Advance(ticketGrace + 1)
		if next := mustUse(t, ts, text); next != text {
			t.Fatal("it turned")
		}
	}
	if _, err := ts.Check(t.Context(), Credentials{Ticket: text, Name: "alice", Address: addr("192.0.2.8")}, vouch); !errors.Is(err, ErrTicketAddress) {
		t.Errorf("another address: %v", err)
	}
	if _, err := ts.Check(t.Context(), Credentials{Ticket: text, Name: "bob", Address: addr(home)}, vouch); !errors.Is(err, ErrTicketUser) {
		t.Errorf("another user: %v", err)
	}
	k, err := decodeTicket(text)
	if err != nil {
		t.Fatal(err)
	}
	k.generation = 1
	k.sign(signingKey(ts))
	if _, err := use(t, ts, k.encode()); !errors.Is(err, ErrTicketForm) {
		t.Errorf("another generation: %v", err)
	}
}

func TestASlowRequestDoesNotTakeTheClientBack(t *testing.T) {
	ts := newTickets(t, newClock(), nil)
	first := ts.Issue(alice, Credentials{Name: "alice", Address: addr(home)})
	slow, err := ts.Check(t.Context(), Credentials{Ticket: first, Name: "alice", Address: addr(home)}, vouch)
	if err != nil {
		t.Fatal(err)
	}
	newest := mustUse(t, ts, mustUse(t, ts, first))
	if got := slow.Turn(); got != "" {
		t.Error("the slow request got a ticket that is already superseded")
	}
	mustUse(t, ts, newest)
}

func TestAChainRevokedDuringARequestStaysRevoked(t *testing.T) {
	ts := newTickets(t, newClock(), nil)
	first := ts.Issue(alice, Credentials{Name: "alice", Address: addr(home)})
	newest := mustUse(t, ts, mustUse(t, ts, first))
	u, err := ts.Check(t.Context(), Credentials{Ticket: newest, Name: "alice", Address: addr(home)}, vouch)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := use(t, ts, first); !errors.Is(err, ErrTicketReplay) {
		t.Fatal(err)
	}
	if got := u.Turn(); got != "" {
		t.Error("the revoked chain went on")
	}
}

func TestAGenerationFromElsewhereIsTakenOver(t *testing.T) {
	clock := newClock()
	ts := newTickets(t, clock, nil)
	k, err := decodeTicket(ts.Issue(alice, Credentials{Name: "alice", Address: addr(home)}))
	if err != nil {
		t.Fatal(err)
	}
	at := func(generation uint32) string {
		next := k
		next.generation = generation
		next.sign(signingKey(ts))
		return next.encode()
	}
	if next := mustUse(t, ts, at(7)); next != at(8) {
		t.Error("not the successor")
	}
	if _, err := use(t, ts, at(math.MaxUint32)); !errors.Is(err, ErrTicketForm) {
		t.Errorf("a generation without successor: %v", err)
	}
	if _, err := use(t, ts, at(0)); !errors.Is(err, ErrTicketReplay) {
		t.Errorf("an old one: %v", err)
	}
}

func TestTheOldestChainOfAUserGoes(t *testing.T) {
	clock := newClock()
	ts := newTickets(t, clock, nil)
	bobs := ts.Issue(Identity{Name: "bob", Authenticator: "static"}, Credentials{Name: "bob", Address: addr(home)})
	ldap := ts.Issue(Identity{Name: "alice", Authenticator: "ldap"}, Credentials{Name: "alice", Address: addr(home)})
	var texts []string
	for range MaxChainsPerUser + 1 {
		clock.Advance(time.Second)
		texts = append(texts, ts.Issue(alice, Credentials{Name: "alice", Address: addr(home)}))
	}
	if _, err := use(t, ts, texts[0]); !errors.Is(err, ErrTicketUnknown) {
		t.Errorf("the oldest: %v", err)
	}
	for _, text := range texts[1:] {
		mustUse(t, ts, text)
	}
	mustUse(t, ts, ldap)
	if _, err := ts.Check(t.Context(), Credentials{Ticket: bobs, Name: "bob", Address: addr(home)}, vouch); err != nil {
		t.Errorf("another user's: %v", err)
	}
}

func TestTablesOfChainsAreBoundedAndForgetful(t *testing.T) {
	clock := newClock()
	ts := newTickets(t, clock, nil)
	ts.maxTotal = 100
	for i := range 1000 {
		ts.Issue(Identity{Name: strings.Repeat("u", 1+i%50), Authenticator: "static"}, Credentials{Name: "u", Address: addr(home)})
	}
	if len(ts.chains) != 100 || ts.byAge.Len() != 100 || len(ts.users) != 50 {
		t.Errorf("%d chains, %d by age, %d users", len(ts.chains), ts.byAge.Len(), len(ts.users))
	}
	clock.Advance(10 * time.Hour)
	ts.Issue(alice, Credentials{Name: "alice", Address: addr(home)})
	if len(ts.chains) != 1 || ts.byAge.Len() != 1 || len(ts.users) != 1 {
		t.Errorf("after all expired: %d chains, %d by age, %d users", len(ts.chains), ts.byAge.Len(), len(ts.users))
	}
}

func TestNoTicketRatherThanABadOne(t *testing.T) {
	long := strings.Repeat("a", MaxName+1)
	for name, tc := range map[string]struct {
		id     Identity
		typed  string
		addr   netip.Addr
		random io.Reader
	}{
		"no name":              {Identity{Authenticator: "static"}, "alice", addr(home), nil},
		"no authenticator":     {Identity{Name: "alice"}, "alice", addr(home), nil},
		"nothing typed":        {alice, "", addr(home), nil},
		"long name":            {Identity{Name: long, Authenticator: "static"}, "alice", addr(home), nil},
		"long name typed":      {alice, long, addr(home), nil},
		"no address":           {alice, "alice", netip.Addr{}, nil},
		"no randomness":        {alice, "alice", addr(home), iotest.ErrReader(io.ErrUnexpectedEOF)},
		"repeating randomness": {alice, "alice", addr(home), zeros{}},
	} {
		t.Run(name, func(t *testing.T) {
			ts := newTickets(t, newClock(), nil)
			if tc.random != nil {
				ts.rand = zeros{}
				first := ts.Issue(alice, Credentials{Name: "alice", Address: addr(home)})
				ts.rand = tc.random
				defer mustUse(t, ts, first)
			}
			if got := ts.Issue(tc.id, Credentials{Name: tc.typed, Address: tc.addr}); got != "" {
				t.Errorf("ticket %q", got)
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestARestartEndsAllTickets(t *testing.T) {
	random := &countingRand{}
	before := newTickets(t, newClock(), func(c *TicketConfig) { c.Rand = random })
	after := newTickets(t, newClock(), func(c *TicketConfig) { c.Rand = random })
	if _, err := use(t, after, before.Issue(alice, Credentials{Name: "alice", Address: addr(home)})); !errors.Is(err, ErrTicketForged) {
		t.Errorf("after a restart: %v", err)
	}
}

func TestManyRequestsWithOneTicketGetOneSuccessor(t *testing.T) {
	ts := newTickets(t, newClock(), nil)
	text := ts.Issue(alice, Credentials{Name: "alice", Address: addr(home)})
	var wg sync.WaitGroup
	got := make([]string, 100)
	for i := range got {
		wg.Go(func() {
			if u, err := ts.Check(t.Context(), Credentials{Ticket: text, Name: "alice", Address: addr(home)}, vouch); err == nil {
				got[i] = u.Turn()
			}
			ts.Issue(Identity{Name: "bob", Authenticator: "static"}, Credentials{Name: "bob", Address: addr(home)})
		})
	}
	wg.Wait()
	for _, next := range got {
		if next == "" || next != got[0] {
			t.Fatalf("successors differ: %q", got)
		}
	}
	mustUse(t, ts, got[0])
}
