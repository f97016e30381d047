package identity

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
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

func TestLoginByPasswordThenByTicket(t *testing.T) {
	d := newDoor(t)
	first := d.enter(fromHome("alice-pw", ""))
	want := Identity{Name: "alice", Groups: []string{"staff"}, Authenticator: "static"}
	if diff := cmp.Diff(want, first.Identity); diff != "" || first.ByTicket {
		t.Errorf("by ticket %v, identity (-want +got):\n%s", first.ByTicket, diff)
	}
	rounds := d.rounds.Load()
	ticket := first.Renew()
	for range 3 { // pyhoca: the ticket alone, each time the newest
		next := d.enter(fromHome("", ticket))
		if diff := cmp.Diff(want, next.Identity); diff != "" || !next.ByTicket {
			t.Errorf("by ticket %v, identity (-want +got):\n%s", next.ByTicket, diff)
		}
		if ticket == next.Renew() {
			t.Error("the ticket did not turn")
		}
		ticket = next.Renew()
	}
	d.enter(fromHome("alice-pw", ticket)) // X2Go Client: both
	if got := d.rounds.Load(); got != rounds {
		t.Errorf("%d rounds of hashing for good tickets", got-rounds)
	}
}

// X2Go Client started with --broker-logoutbt keeps the authid when it goes back
// to the login form: whoever sits down next must not get in as the last user
// with any password.
func TestAWrongPasswordStaysWrongBesideAGoodTicket(t *testing.T) {
	d := newDoor(t)
	ticket := d.enter(fromHome("alice-pw", "")).Renew()
	if got := d.denied(fromHome("guess", ticket)).Reason; got != ReasonWrongPassword {
		t.Errorf("reason %s", got)
	}
	// The owner keeps his own.
	if !d.enter(fromHome("", ticket)).ByTicket || !d.enter(fromHome("alice-pw", ticket)).ByTicket {
		t.Error("the ticket is not good any more")
	}
}

func TestTwoRequestsWithOneTicketAreBothAnswered(t *testing.T) {
	d := newDoor(t)
	ticket := d.enter(fromHome("alice-pw", "")).Renew()
	one, two := d.enter(fromHome("", ticket)), d.enter(fromHome("", ticket))
	if a, b := one.Renew(), two.Renew(); a != b || a == "" {
		t.Error("their successors differ")
	}
}

func TestNothingIsRecordedBeforeRenew(t *testing.T) {
	d := newDoor(t)
	d.enter(fromHome("alice-pw", ""))
	if n := len(d.tickets.chains); n != 0 {
		t.Errorf("%d chains for a login that was not renewed", n)
	}
	ticket := d.enter(fromHome("alice-pw", "")).Renew()
	for range 3 {
		d.enter(fromHome("", ticket))
		d.clock.Advance(ticketGrace + 1)
	}
	d.enter(fromHome("", ticket))
}

func TestRenewIsDoneOnce(t *testing.T) {
	d := newDoor(t)
	login := d.enter(fromHome("alice-pw", ""))
	first, second := login.Renew(), login.Renew()
	if first != second || len(d.tickets.chains) != 1 {
		t.Errorf("%q, then %q; %d chains", first, second, len(d.tickets.chains))
	}
}

// The next tests are about stolen and stale tickets: an authid used with
// another user, from another address, twice, after its time, counts as absent;
// the password decides, and the owner keeps his own.

func TestTicketOfAnotherUserCountsAsAbsent(t *testing.T) {
	d := newDoor(t)
	ticket := d.enter(fromHome("alice-pw", "")).Renew()
	bob := Credentials{Name: "bob", Ticket: ticket, Address: addr(home)}
	if got := d.denied(bob).Reason; got != ReasonNoPassword {
		t.Errorf("without a password: %s", got)
	}
	bob.Password = "alice-pw"
	if got := d.denied(bob).Reason; got != ReasonWrongPassword {
		t.Errorf("with a wrong password: %s", got)
	}
	// X2Go Client started with --broker-logoutbt sends the last user's authid
	// along with the next one's password.
	bob.Password = "bob-pw"
	if login := d.enter(bob); login.ByTicket || login.Identity.Name != "bob" {
		t.Errorf("with his password: %+v", login)
	}
	d.enter(fromHome("", ticket))
}

func TestTicketFromAnotherAddressCountsAsAbsent(t *testing.T) {
	d := newDoor(t)
	ticket := d.enter(fromHome("alice-pw", "")).Renew()
	away := fromHome("", ticket)
	away.Address = addr("198.51.100.9")
	if got := d.denied(away).Reason; got != ReasonNoPassword {
		t.Errorf("without a password: %s", got)
	}
	away.Password = "guess"
	if got := d.denied(away).Reason; got != ReasonWrongPassword {
		t.Errorf("with a wrong password: %s", got)
	}
	away.Password = "alice-pw"
	login := d.enter(away)
	if login.ByTicket || login.Renew() == "" {
		t.Errorf("with the password: %+v", login)
	}
	d.enter(fromHome("", ticket))
}

func TestTicketUsedTwiceCountsAsAbsent(t *testing.T) {
	d := newDoor(t)
	first := d.enter(fromHome("alice-pw", "")).Renew()
	newest := d.enter(fromHome("", first)).Renew()
	d.clock.Advance(ticketGrace + 1)

	// From elsewhere it is just absent; the owner keeps his.
	away := fromHome("", first)
	away.Address = addr("198.51.100.9")
	d.denied(away)
	newest = d.enter(fromHome("", newest)).Renew()

	// From the owner's own address nobody can tell who is who.
	if got := d.denied(fromHome("", first)).Reason; got != ReasonNoPassword {
		t.Errorf("without a password: %s", got)
	}
	if got := d.denied(fromHome("", newest)).Reason; got != ReasonNoPassword {
		t.Errorf("the chain goes on: %s", got)
	}
	// The owner's client sends the password along and notices nothing.
	login := d.enter(fromHome("alice-pw", newest))
	if login.ByTicket {
		t.Error("by a revoked ticket")
	}
	d.enter(fromHome("", login.Renew()))
}

func TestTicketAfterItsTimeCountsAsAbsent(t *testing.T) {
	d := newDoor(t)
	ticket := d.enter(fromHome("alice-pw", "")).Renew()
	d.clock.Advance(10 * time.Hour)
	if got := d.denied(fromHome("", ticket)).Reason; got != ReasonNoPassword {
		t.Errorf("without a password: %s", got)
	}
	login := d.enter(fromHome("alice-pw", ticket))
	if login.ByTicket {
		t.Error("by an expired ticket")
	}
	d.enter(fromHome("", login.Renew()))
}

func TestGarbageForATicketCountsAsAbsent(t *testing.T) {
	d := newDoor(t)
	for _, garbage := range []string{" ", "x", "../../etc/passwd", "a\r\nb", "\x00", strings.Repeat("A", 1<<20), "\xff"} {
		if got := d.denied(fromHome("", garbage)).Reason; got != ReasonNoPassword {
			t.Errorf("%.20q without a password: %s", garbage, got)
		}
		if d.enter(fromHome("alice-pw", garbage)).ByTicket {
			t.Errorf("%.20q was good", garbage)
		}
	}
}

func TestATicketOfAUserWhoIsGoneCountsAsAbsent(t *testing.T) {
	ldap := &lookAuth{
		fakeAuth:  fakeAuth{name: "ldap", user: "Alice@EXAMPLE", password: "alice-pw"},
		canonical: "alice", groups: []string{"staff"},
	}
	d := newDoorTo(t, nil, nil, ldap)
	cred := Credentials{Name: "Alice@EXAMPLE", Password: "alice-pw", Address: addr(home)}
	ticket := d.enter(cred).Renew()
	if ldap.lookups != 0 {
		t.Errorf("%d lookups for a password", ldap.lookups)
	}

	cred.Password, cred.Ticket = "", ticket
	ldap.groups = []string{"students"}
	if got := d.enter(cred).Identity; got.Name != "alice" || got.Groups[0] != "students" {
		t.Errorf("groups are not read anew: %v", got)
	}
	cred.Name = "alice"
	d.enter(cred)
	for _, err := range []error{ErrUnknownUser, errors.New("directory down")} {
		ldap.lookupErr = err
		if got := d.denied(cred).Reason; got != ReasonNoPassword {
			t.Errorf("%v: %s", err, got)
		}
	}
	ldap.lookupErr = nil
	d.enter(cred)
}

func TestNoTicketWithoutLookup(t *testing.T) {
	d := newDoorTo(t, nil, nil, &fakeAuth{name: "pam", user: "alice", password: "alice-pw"})
	if got := d.enter(fromHome("alice-pw", "")).Renew(); got != "" {
		t.Errorf("ticket %q", got)
	}
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

func TestGuessingIsLimitedPerUserAndAddress(t *testing.T) {
	d := newDoor(t)
	ticket := d.enter(fromHome("alice-pw", "")).Renew()
	for range 6 {
		if got := d.denied(fromHome("guess", "")).Reason; got != ReasonWrongPassword {
			t.Fatalf("reason %s", got)
		}
	}
	rounds := d.rounds.Load()
	d.clock.Advance(300 * time.Millisecond)
	got := d.denied(fromHome("alice-pw", ""))
	if diff := cmp.Diff(&DeniedError{Reason: ReasonThrottled, RetryAfter: time.Second}, got); diff != "" {
		t.Errorf("the right password while blocked (-want +got):\n%s", diff)
	}
	if d.rounds.Load() != rounds {
		t.Error("hashed while blocked")
	}
	// Others are not concerned, and neither is her ticket or another address.
	d.enter(Credentials{Name: "bob", Password: "bob-pw"})
	d.enter(Credentials{Name: "alice", Password: "alice-pw", Address: addr("192.0.2.8")})
	d.enter(fromHome("alice-pw", ticket))
	d.clock.Advance(time.Second)
	d.enter(fromHome("alice-pw", ""))
}

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

// One door's failures show at the other, which takes no domain off.
func TestGuessesWithDomainsDoNotTellKnownNamesAtOtherDoors(t *testing.T) {
	s, rounds := newStatic(t, StaticConfig{Users: map[string]StaticUser{"known@example.org": {Hash: hashOf(t, "known-pw", 4)}}})
	for _, name := range []string{"known@example.org", "nobody@example.org"} {
		d := newDoorTo(t, s, rounds, s)
		c := Credentials{Name: name, Password: "guess", Address: addr(home)}
		for i := range 7 {
			c.Domain = i < 6
			if got := d.denied(c); (got.RetryAfter > 0) != (i == 6) {
				t.Errorf("%s, guess %d: %+v", name, i+1, got)
			}
		}
	}
}

func TestAThousandGuessesAtOnceAreFewGuesses(t *testing.T) {
	for _, name := range []string{"alice", "mallory"} {
		synctest.Test(t, func(t *testing.T) {
			d := newDoor(t)
			var hashed, throttled, wrong atomic.Int64
			finish := make(chan struct{})
			d.static.slots = make(chan struct{}, 1000)
			d.static.compare = func([]byte, []byte) error {
				hashed.Add(1)
				<-finish
				return errors.New("wrong")
			}
			var all sync.WaitGroup
			for range 1000 {
				all.Go(func() {
					_, err := d.Login(t.Context(), Credentials{Name: name, Password: "guess", Address: addr(home)})
					if err.(*DeniedError).Reason == ReasonThrottled {
						throttled.Add(1)
						return
					}
					wrong.Add(1)
				})
			}
			synctest.Wait() // the others wait for the six that are being hashed
			if hashed.Load() != 6 || throttled.Load() != 0 {
				t.Errorf("%s: at once %d hashed, %d throttled", name, hashed.Load(), throttled.Load())
			}
			close(finish)
			all.Wait()
			if hashed.Load() != 6 || wrong.Load() != 6 || throttled.Load() != 994 {
				t.Errorf("%s: %d hashed, %d wrong, %d throttled", name, hashed.Load(), wrong.Load(), throttled.Load())
			}
		})
	}
}

// A computer room logs in with its shared account when the lesson begins.
func TestManyRightPasswordsAtOnceAreNotPunished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t)
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if _, err := d.Login(t.Context(), fromHome("alice-pw", "")); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if s := d.throttle.Status(); s.Pairs != 0 || s.InFlight != 0 || s.Waiting != 0 || s.Known != 1 {
			t.Errorf("left behind: %+v", s)
		}
	})
}

func TestAWrongPasswordAmongManyRightOnesBlocksNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t)
		var all sync.WaitGroup
		for i := range 60 {
			password := "alice-pw"
			if i%20 == 7 {
				password = "typo"
			}
			all.Go(func() {
				if _, err := d.Login(t.Context(), fromHome(password, "")); (err == nil) != (password == "alice-pw") {
					t.Error(err)
				}
			})
		}
		all.Wait()
	})
}

// Whoever waits for others ends with his request, and after a time in any case.
func TestWaitingForOtherAttemptsEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := newThrottle(newClock())
		for range 6 {
			if _, _, ok := begin(th, "alice", addr(home)); !ok {
				t.Fatal("refused")
			}
		}
		began := time.Now()
		if _, wait, ok := th.Begin(t.Context(), "alice", addr(home)); ok || wait != time.Second || time.Since(began) != attemptPatience {
			t.Errorf("begun %v, wait %v, after %v", ok, wait, time.Since(began))
		}
		ctx, cancel := context.WithCancel(t.Context())
		go cancel()
		if _, _, ok := th.Begin(ctx, "alice", addr(home)); ok {
			t.Error("begun after the request ended")
		}
		if s := th.Status(); s.Waiting != 0 || s.Refused["pair"] != 2 {
			t.Errorf("%+v", s)
		}
		var all sync.WaitGroup
		for range 2 * maxWaitingAttempts {
			all.Go(func() { th.Begin(t.Context(), "alice", addr(home)) })
		}
		synctest.Wait()
		if s := th.Status(); s.Waiting != maxWaitingAttempts {
			t.Errorf("%d wait, want at most %d", s.Waiting, maxWaitingAttempts)
		}
		all.Wait()
	})
}

func TestWhatIsNoGuessDoesNotCount(t *testing.T) {
	d := newDoor(t)
	for name, tc := range map[string]struct {
		c    Credentials
		want Reason
	}{
		"empty password":       {fromHome("", ""), ReasonNoPassword},
		"empty name":           {Credentials{Password: "guess", Address: addr(home)}, ReasonMalformed},
		"line end in the name": {Credentials{Name: "alice\n", Password: "guess", Address: addr(home)}, ReasonMalformed},
		"NUL in the password":  {fromHome("alice-pw\x00", ""), ReasonMalformed},
		"name not UTF-8":       {Credentials{Name: "al\xffice", Password: "guess", Address: addr(home)}, ReasonMalformed},
		"name of 256 bytes":    {Credentials{Name: strings.Repeat("a", 256), Password: "guess", Address: addr(home)}, ReasonMalformed},
		"endless password":     {fromHome(strings.Repeat("a", 1<<20), ""), ReasonMalformed},
		"no address":           {Credentials{Name: "alice", Password: "alice-pw"}, ReasonNoAddress},
	} {
		for range 20 {
			if got := d.denied(tc.c).Reason; got != tc.want {
				t.Errorf("%s: %s, want %s", name, got, tc.want)
			}
		}
	}
	if d.rounds.Load() != 0 || len(d.throttle.pairs) != 0 {
		t.Errorf("%d rounds of hashing, %d pairs remembered", d.rounds.Load(), len(d.throttle.pairs))
	}
	d.enter(fromHome("alice-pw", ""))
}

func TestAnErrorDeniesAndCountsUnlessThePasswordWasNotTried(t *testing.T) {
	for name, tc := range map[string]struct {
		err       error
		want      Reason
		throttled bool
	}{
		"broken":    {errors.New("directory said something odd"), ReasonError, true},
		"cancelled": {context.Canceled, ReasonError, true}, // a guesser hangs up when the answer is late
		"not tried": {errors.Join(ErrNotTried, context.Canceled), ReasonNotTried, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDoorTo(t, nil, nil, &fakeAuth{name: "ldap", err: tc.err})
			for range 6 {
				if got := d.denied(fromHome("alice-pw", "")).Reason; got != tc.want {
					t.Fatalf("reason %s, want %s", got, tc.want)
				}
			}
			if got := d.denied(fromHome("alice-pw", "")).Reason == ReasonThrottled; got != tc.throttled {
				t.Errorf("throttled %v, want %v", got, tc.throttled)
			}
		})
	}
}

type panickyAuth struct{ fakeAuth }

func (*panickyAuth) Authenticate(context.Context, Credentials) (Identity, error) { panic("oops") }

func TestAPanicIsAFailureAndBlocksNobodyForEver(t *testing.T) {
	d := newDoorTo(t, nil, nil, &panickyAuth{fakeAuth{name: "odd"}})
	for range 6 {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			_, _ = d.Login(t.Context(), fromHome("guess", ""))
		}()
	}
	if got := d.denied(fromHome("guess", "")).RetryAfter; got != time.Second {
		t.Errorf("after six panics: retry after %v", got)
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
