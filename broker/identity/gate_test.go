package identity

import (
	"errors"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// door is a Gate with all that it is made of within reach.
type door struct {
	*Gate
	t      *testing.T
	clock  *fakeClock
	static *Static
	rounds *atomic.Int64
	log    *logBuffer
}

func newDoor(t *testing.T) *door {
	t.Helper()
	s, rounds := newStatic(t, StaticConfig{Users: map[string]StaticUser{
		"alice": {Hash: hashOf(t, "alice-pw", 4), Groups: []string{"staff"}},
		"bob":   {Hash: hashOf(t, "bob-pw", 4)},
	}})
	return newDoorTo(t, s, rounds, s)
}

func newDoorTo(t *testing.T, s *Static, rounds *atomic.Int64, members ...Authenticator) *door {
	clock, log := newClock(), &logBuffer{}
	return &door{
		Gate: NewGate(GateConfig{
			Chain:    newChain(t, members...),
			Tickets:  newTickets(t, clock, func(c *TicketConfig) { c.Logger = log.Logger() }),
			Throttle: newThrottle(clock),
			Clock:    clock.Now,
			Logger:   log.Logger(),
		}),
		t: t, clock: clock, static: s, rounds: rounds, log: log,
	}
}

func (d *door) enter(c Credentials) *Login {
	d.t.Helper()
	if !c.Address.IsValid() {
		c.Address = addr(home)
	}
	login, err := d.Login(d.t.Context(), c)
	if err != nil {
		d.t.Fatalf("%q denied: %v", c.Name, err.(*DeniedError).Reason)
	}
	return login
}

func (d *door) denied(c Credentials) *DeniedError {
	d.t.Helper()
	login, err := d.Login(d.t.Context(), c)
	var denied *DeniedError
	if !errors.As(err, &denied) || login != nil {
		d.t.Fatalf("%q from %v: got %v, %v, want a denial", c.Name, c.Address, login, err)
	}
	return denied
}

// fromHome are alice's credentials with a password and a ticket.
func fromHome(password, ticket string) Credentials {
	return Credentials{Name: "alice", Password: password, Ticket: ticket, Address: addr(home)}
}

func TestAGateWithoutTickets(t *testing.T) {
	d := newDoor(t)
	d.tickets = nil
	if got := d.enter(fromHome("alice-pw", "something")).Renew(); got != "" {
		t.Errorf("ticket %q", got)
	}
}

func TestNoneLetsInWithoutPasswordTicketOrThrottle(t *testing.T) {
	none, err := NewNone([]netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	d := newDoorTo(t, nil, nil, none)
	away := Credentials{Name: "x", Password: "y", Address: addr("198.51.100.1")}
	for range 20 {
		if got := d.denied(away).Reason; got != ReasonAddress {
			t.Fatalf("from elsewhere: %s", got)
		}
	}
	for _, c := range []Credentials{{}, {Name: "x"}, {Name: "x", Password: "y", Ticket: "z"}} {
		login := d.enter(c)
		if login.ByTicket || login.Identity.Name != c.Name || login.Renew() != "" {
			t.Errorf("%q: %+v", c.Name, login)
		}
	}
}

// The next tests are about guessing: it is limited
// and tells nothing about names.

func TestUnknownNamesAreLikeKnownOnes(t *testing.T) {
	type answer struct {
		text       string
		retryAfter time.Duration
		rounds     int64
	}
	ask := func(name string) (answers []answer) {
		d := newDoor(t)
		for _, password := range []string{"", "1", "2", "3", "4", "5", strings.Repeat("x", 73), "7", "8", ""} {
			before := d.rounds.Load()
			got := d.denied(Credentials{Name: name, Password: password, Ticket: "x", Address: addr(home)})
			answers = append(answers, answer{got.Error(), got.RetryAfter, d.rounds.Load() - before})
		}
		return answers
	}
	known, unknown := ask("alice"), ask("mallory")
	if diff := cmp.Diff(known, unknown, cmp.AllowUnexported(answer{})); diff != "" {
		t.Errorf("a client can tell them apart (-known +unknown):\n%s", diff)
	}
	for i, want := range []int64{0, 16, 16, 16, 16, 16, 16, 0, 0, 0} {
		if known[i].rounds != want {
			t.Errorf("attempt %d: %d rounds, want %d", i, known[i].rounds, want)
		}
	}
}

func TestANameMayHaveADomainWhereTheClientSaysSo(t *testing.T) {
	d := newDoor(t)
	c := Credentials{Name: "alice@example.org", Password: "alice-pw", Address: addr(home)}
	d.denied(c)
	c.Domain = true
	for range 10 { // none of which is a failure of anybody
		if got := d.enter(c).Identity.Name; got != "alice" {
			t.Errorf("got %s", got)
		}
	}
	for _, name := range []string{"mallory@example.org", "@example.org", "example.org@alice"} {
		d.denied(Credentials{Name: name, Password: "alice-pw", Address: addr(home), Domain: true})
	}
}

func TestARightPasswordUnderOneNameIsNoFailureOfTheOther(t *testing.T) {
	s, rounds := newStatic(t, StaticConfig{Users: map[string]StaticUser{"known@example.org": {Hash: hashOf(t, "known-pw", 4)}}})
	d := newDoorTo(t, s, rounds, s)
	right := Credentials{Name: "known@example.org", Password: "known-pw", Address: addr(home), Domain: true}
	for range 10 {
		d.enter(right)
	}
	// The name before the @ is blocked for 16 s. Who asks again and again meanwhile
	// is not blocked any longer.
	for failures := 0; failures < 10; {
		got := d.denied(Credentials{Name: "known@a", Password: "guess", Address: addr(home), Domain: true})
		if got.RetryAfter == 0 {
			failures++
		}
		d.clock.Advance(got.RetryAfter)
	}
	for range 10 {
		d.denied(right)
	}
	for range 16 {
		if got := d.denied(right); got.Reason != ReasonThrottled {
			t.Errorf("got %+v", got)
		}
		d.clock.Advance(time.Second)
	}
	d.enter(right)
}

// Neither by its domain nor by whether it is known with one can a name be guessed
// at more often, or be told from others.
func TestDomainsAreNoWayAroundTheThrottle(t *testing.T) {
	type answer struct {
		reason Reason
		rounds int64
	}
	ask := func(names ...string) (answers []answer) {
		s, rounds := newStatic(t, StaticConfig{Users: map[string]StaticUser{
			"alice":             {Hash: hashOf(t, "alice-pw", 4)},
			"known@example.org": {Hash: hashOf(t, "known-pw", 4)},
		}})
		d := newDoorTo(t, s, rounds, s)
		for i := range 8 {
			before := rounds.Load()
			got := d.denied(Credentials{Name: names[i%len(names)], Password: "guess", Address: addr(home), Domain: true})
			if got.Reason == ReasonUnknownUser {
				got.Reason = ReasonWrongPassword // clients are told the same
			}
			answers = append(answers, answer{got.Reason, rounds.Load() - before})
		}
		return answers
	}
	throttled := answer{ReasonThrottled, 0}
	guess := answer{ReasonWrongPassword, 32}
	want := []answer{guess, guess, guess, guess, guess, guess, throttled, throttled}
	for _, names := range [][]string{
		{"alice@a", "alice@b", "alice@c"},
		{"nobody@example.org"},
		{"known@example.org"},
		{"nobody@example.org", "nobody@a"},
		{"known@example.org", "known@a"},
	} {
		if diff := cmp.Diff(want, ask(names...), cmp.AllowUnexported(answer{})); diff != "" {
			t.Errorf("%v (-want +got):\n%s", names, diff)
		}
	}
}

// People type their password where a domain would be, too.
func TestOnlyAKnownNameIsLogged(t *testing.T) {
	d := newDoor(t)
	d.denied(Credentials{Name: "alice@SECRET", Password: "guess", Address: addr(home), Domain: true})
	if log := d.log.String(); strings.Contains(log, "SECRET") || !strings.Contains(log, "user=alice") {
		t.Errorf("logged %s", log)
	}
}

func TestSecretsStayOutOfTheLog(t *testing.T) {
	d := newDoor(t)
	const inWrongField = "typed-into-the-name-field"
	ticket := d.enter(fromHome("alice-pw", "")).Renew()
	newest := d.enter(fromHome("", d.enter(fromHome("", ticket)).Renew())).Renew()
	d.clock.Advance(ticketGrace + 1)
	d.denied(fromHome("", ticket))                                                                 // a replay
	d.denied(fromHome("guess-pw", ticket))                                                         // wrong twice over
	d.denied(Credentials{Name: "bob", Ticket: newest, Address: addr(home)})                        // another user's
	d.denied(Credentials{Name: inWrongField, Password: "guess-pw", Address: addr(home)})           // unknown
	d.denied(Credentials{Name: inWrongField + "\nlevel=INFO", Password: "x", Address: addr(home)}) // malformed
	for range 10 {
		d.denied(fromHome("guess-pw", newest+"x"))
	}
	log := d.log.String()
	for _, secret := range []string{"alice-pw", "guess-pw", ticket, newest, string(d.static.users["alice"].hash), inWrongField} {
		if strings.Contains(log, secret) {
			t.Errorf("%q is in the log:\n%s", secret, log)
		}
	}
	for _, want := range []string{`reason="wrong password" address=192.0.2.7 user=alice`, `reason="unknown user" address=192.0.2.7`, "reason=throttled", "revoked"} {
		if !strings.Contains(log, want) {
			t.Errorf("%q is not in the log:\n%s", want, log)
		}
	}
}

func TestAnEventNeedsATicketAndNoPassword(t *testing.T) {
	d := newDoor(t)
	ticket := d.enter(fromHome("alice-pw", "")).Renew()
	hashed := d.rounds.Load()
	event := func(c Credentials) (string, bool, Reason) {
		t.Helper()
		id, live, err := d.Event(t.Context(), c)
		if err != nil {
			return id.Name, live, err.(*DeniedError).Reason
		}
		return id.Name, live, ""
	}
	for range 3 { // it is not turned, so that it can come again and again
		d.clock.Advance(ticketGrace + 1)
		if name, live, reason := event(fromHome("", ticket)); name != "alice" || !live || reason != "" {
			t.Errorf("a good ticket: %q, live %v, %s", name, live, reason)
		}
	}
	if name, live, reason := event(fromHome("something else", ticket)); name != "alice" || !live || reason != "" {
		t.Errorf("beside a wrong password: %q, live %v, %s", name, live, reason)
	}
	for name, tc := range map[string]struct {
		c    Credentials
		want Reason
	}{
		"the right password":      {fromHome("alice-pw", ""), ReasonNoTicket},
		"a forged ticket":         {fromHome("alice-pw", ticket[:len(ticket)-1]+"A"), ReasonNoTicket},
		"another user's":          {Credentials{Name: "bob", Ticket: ticket, Address: addr(home)}, ReasonNoTicket},
		"from another address":    {Credentials{Name: "alice", Ticket: ticket, Address: addr("192.0.2.8")}, ReasonNoTicket},
		"from an unknown address": {Credentials{Name: "alice", Ticket: ticket}, ReasonNoAddress},
		"under no name":           {Credentials{Ticket: ticket, Address: addr(home)}, ReasonMalformed},
		"with a line in its name": {Credentials{Name: "alice\n", Ticket: ticket, Address: addr(home)}, ReasonMalformed},
	} {
		if got, live, reason := event(tc.c); got != "" || live || reason != tc.want {
			t.Errorf("%s: %q, live %v, %q, want %q", name, got, live, reason, tc.want)
		}
	}
	d.clock.Advance(10 * time.Hour)
	if name, live, reason := event(fromHome("", ticket)); name != "" || live || reason != "" {
		t.Errorf("an expired one: %q, live %v, %q, want granted without effect", name, live, reason)
	}
	if _, live, reason := event(Credentials{Name: "bob", Ticket: ticket, Address: addr(home)}); live || reason != ReasonNoTicket {
		t.Errorf("an expired one of another user: live %v, %q", live, reason)
	}
	if d.rounds.Load() != hashed || len(d.throttle.pairs) != 0 {
		t.Error("a password was looked at")
	}
}
