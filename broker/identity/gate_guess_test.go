package identity

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

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
