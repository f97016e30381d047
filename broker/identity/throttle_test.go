package identity

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// try makes one attempt that fails, or returns how long to wait.
func try(th *Throttle, name, from string) time.Duration {
	a, wait, ok := begin(th, name, addr(from))
	if !ok {
		return wait
	}
	a.Done(false)
	return 0
}

// exhaust fails until a pair is blocked.
func exhaust(t *testing.T, th *Throttle, name, from string) {
	t.Helper()
	for range 100 {
		if try(th, name, from) > 0 {
			return
		}
	}
	t.Fatal("never blocked")
}

func TestFiveFailuresAreFreeThenEachBlocksTwiceAsLong(t *testing.T) {
	clock := newClock()
	th := newThrottle(clock)
	var blocks []time.Duration
	for range 17 {
		if wait := try(th, "alice", home); wait != 0 {
			t.Fatalf("blocked for %v after the block", wait)
		}
		a, wait, ok := begin(th, "alice", addr(home))
		if ok {
			a.Cancel()
		}
		blocks = append(blocks, wait)
		clock.Advance(wait)
	}
	s := time.Second
	want := []time.Duration{0, 0, 0, 0, 0, 1 * s, 2 * s, 4 * s, 8 * s, 16 * s, 32 * s, 64 * s, 128 * s, 256 * s, 300 * s, 300 * s, 300 * s}
	if diff := cmp.Diff(want, blocks); diff != "" {
		t.Errorf("blocks (-want +got):\n%s", diff)
	}
}

func TestTheSixthAttemptIsFreeAndTheSeventhWaits(t *testing.T) {
	th := newThrottle(newClock())
	for i := range 6 {
		if wait := try(th, "alice", home); wait != 0 {
			t.Fatalf("attempt %d waits %v", i+1, wait)
		}
	}
	if wait := try(th, "alice", home); wait != time.Second {
		t.Errorf("attempt 7 waits %v, want 1s", wait)
	}
}

func TestARefusedAttemptDoesNotExtendTheBlock(t *testing.T) {
	clock := newClock()
	th := newThrottle(clock)
	exhaust(t, th, "alice", home)
	for range 9 {
		clock.Advance(100 * time.Millisecond)
		if try(th, "alice", home) == 0 {
			t.Fatal("let in too early")
		}
	}
	clock.Advance(100 * time.Millisecond)
	if wait := try(th, "alice", home); wait != 0 {
		t.Errorf("still blocked for %v", wait)
	}
}

func TestASuccessClears(t *testing.T) {
	clock := newClock()
	th := newThrottle(clock)
	exhaust(t, th, "alice", home)
	clock.Advance(time.Second)
	a, _, ok := begin(th, "alice", addr(home))
	if !ok {
		t.Fatal("blocked")
	}
	a.Done(true)
	if len(th.pairs) != 0 || th.order.Len() != 0 {
		t.Errorf("%d pairs remembered", len(th.pairs))
	}
	for range 6 {
		if wait := try(th, "alice", home); wait != 0 {
			t.Fatalf("not cleared: %v", wait)
		}
	}
}

func TestAnAttemptThatWasNotTriedDoesNotCount(t *testing.T) {
	th := newThrottle(newClock())
	for range 100 {
		a, wait, ok := begin(th, "alice", addr(home))
		if !ok {
			t.Fatalf("blocked for %v", wait)
		}
		a.Cancel()
		a.Done(false) // the deferred one
	}
	if len(th.pairs) != 0 {
		t.Errorf("%d pairs remembered", len(th.pairs))
	}
}

func TestAPairIsANameAndAClient(t *testing.T) {
	for name, tc := range map[string]struct {
		user, from string
		same       bool
	}{
		"the same":                 {"alice", "2001:db8:1:2::1", true},
		"another in the /64":       {"alice", "2001:db8:1:2:9::9", true},
		"another /64":              {"alice", "2001:db8:1:3::1", false},
		"another name":             {"bob", "2001:db8:1:2::1", false},
		"another spelling":         {"Alice", "2001:db8:1:2::1", true},
		"IPv4":                     {"alice", home, false},
		"a name that looks joined": {"/64\x00alice", "2001:db8:1:2::1", false},
	} {
		t.Run(name, func(t *testing.T) {
			th := newThrottle(newClock())
			exhaust(t, th, "alice", "2001:db8:1:2::1")
			if blocked := try(th, tc.user, tc.from) > 0; blocked != tc.same {
				t.Errorf("blocked %v, want %v", blocked, tc.same)
			}
		})
	}
	th := newThrottle(newClock())
	exhaust(t, th, "alice", home)
	if try(th, "alice", "::ffff:"+home) == 0 {
		t.Error("IPv4 written as IPv6 is another client")
	}
}

// To a directory they are one user, and each spelling was to have its own guesses.
func TestSpellingANameOtherwiseGivesNoMoreGuesses(t *testing.T) {
	th := newThrottle(newClock())
	exhaust(t, th, "alice  smith", home)
	for _, name := range []string{"alice smith", "ALICE Smith", " Alice\u00a0smith "} {
		if try(th, name, home) == 0 {
			t.Errorf("%q is not blocked", name)
		}
	}
}

func TestManyAtOnceGetNoMoreThanOneAfterTheOther(t *testing.T) {
	clock := newClock()
	th := newThrottle(clock)
	begin := func() (begun []*Attempt) {
		for range 1000 {
			if a, wait, ok := begin(th, "alice", addr(home)); ok {
				begun = append(begun, a)
			} else if wait < time.Second {
				t.Fatalf("refused, try again in %v", wait)
			}
		}
		return begun
	}
	first := begin()
	if len(first) != 6 {
		t.Errorf("%d at once, want 6", len(first))
	}
	for _, a := range first {
		a.Done(false)
	}
	if n := len(begin()); n != 0 {
		t.Errorf("%d while blocked", n)
	}
	clock.Advance(time.Second)
	if n := len(begin()); n != 1 {
		t.Errorf("%d at once after the first block, want 1", n)
	}
}

func TestAForgottenAttemptFailsInTheEnd(t *testing.T) {
	clock := newClock()
	th := newThrottle(clock)
	var forgotten []*Attempt
	for range 6 {
		a, _, _ := begin(th, "alice", addr(home))
		forgotten = append(forgotten, a)
	}
	clock.Advance(attemptExpiry - 1)
	if try(th, "alice", home) == 0 {
		t.Fatal("a seventh while six are in flight")
	}
	clock.Advance(1)
	if wait := try(th, "alice", home); wait != time.Second {
		t.Fatalf("six have failed just now: wait %v, want 1s", wait)
	}
	clock.Advance(time.Second)
	for _, a := range forgotten {
		a.Done(false) // late, and counted already
	}
	if wait := try(th, "alice", home); wait != 0 {
		t.Errorf("blocked for %v by attempts that were counted twice", wait)
	}
	if wait := try(th, "alice", home); wait != 2*time.Second {
		t.Errorf("the seventh failure blocks for %v, want 2s", wait)
	}
	forgotten[0].Done(true) // ended before: says nothing any more
	if try(th, "alice", home) == 0 {
		t.Error("an attempt ended twice")
	}
}

func TestALateSuccessIsASuccess(t *testing.T) {
	clock := newClock()
	th := newThrottle(clock)
	slow, _, _ := begin(th, "alice", addr(home))
	exhaust(t, th, "alice", home)
	clock.Advance(attemptExpiry)
	exhaust(t, th, "alice", home)
	slow.Done(true)
	if wait := try(th, "alice", home); wait != 0 {
		t.Errorf("blocked for %v", wait)
	}
}

func TestAnHourWithoutAFailureForgets(t *testing.T) {
	clock := newClock()
	th := newThrottle(clock)
	exhaust(t, th, "alice", home)
	clock.Advance(forgetAfter - 1)
	try(th, "bob", home)
	if len(th.pairs) != 2 {
		t.Errorf("%d pairs before the hour", len(th.pairs))
	}
	clock.Advance(1)
	for range 5 {
		if wait := try(th, "alice", home); wait != 0 {
			t.Fatalf("blocked for %v", wait)
		}
	}
	clock.Advance(forgetAfter)
	try(th, "carol", home)
	if len(th.pairs) != 1 || th.order.Len() != 1 {
		t.Errorf("%d pairs, %d in order, want carol's only", len(th.pairs), th.order.Len())
	}
}

func TestAFullTableForgetsTheOldestAndLocksNobodyOut(t *testing.T) {
	clock := newClock()
	th := newThrottle(clock)
	th.maxSize = 10
	try(th, "alice", home)
	exhaust(t, th, "oldest", home)
	exhaust(t, th, "alice", home)
	for i := range 9 {
		clock.Advance(time.Millisecond)
		if wait := try(th, fmt.Sprint("noise", i), home); wait != 0 {
			t.Fatalf("somebody new was refused for %v", wait)
		}
	}
	if len(th.pairs) != 10 || th.order.Len() != 10 {
		t.Errorf("%d pairs, %d in order", len(th.pairs), th.order.Len())
	}
	if try(th, "alice", home) == 0 {
		t.Error("a block was forgotten though an older one was there")
	}
	if wait := try(th, "oldest", home); wait != 0 {
		t.Errorf("the oldest is still blocked for %v", wait)
	}
}

func TestAFailureCountsAlsoWhenItsPairWasDisplaced(t *testing.T) {
	th := newThrottle(newClock())
	th.maxSize = 2
	a, _, _ := begin(th, "alice", addr(home))
	b, _, _ := begin(th, "alice", addr(home))
	c, _, _ := begin(th, "alice", addr(home))
	try(th, "x", home)
	try(th, "y", home)
	a.Done(false)
	b.Done(true)
	c.Cancel()
	c.Cancel()
	if len(th.pairs) != th.order.Len() || len(th.pairs) > 2 {
		t.Errorf("%d pairs, %d in order", len(th.pairs), th.order.Len())
	}
}

func TestLongNamesCostNoMemory(t *testing.T) {
	th := newThrottle(newClock())
	long := strings.Repeat("a", 1<<20)
	exhaust(t, th, long, home)
	if wait := try(th, long+"b", home); wait != 0 {
		t.Error("names are cut")
	}
	if try(th, "alice", home) != 0 {
		t.Error("another name is blocked")
	}
	if _, _, ok := begin(th, "alice", netip.Addr{}); !ok {
		t.Error("no address is a client like others")
	}
}

// However attempts overlap, end, or are forgotten: within a time there are no
// more guesses than the blocks leave room for.
func TestNoScheduleGetsMoreGuesses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		clock := newClock()
		start := clock.Now()
		th := newThrottle(clock)
		var inFlight []*Attempt
		guesses := 0
		t.Repeat(map[string]func(*rapid.T){
			"guess": func(t *rapid.T) {
				if a, _, ok := begin(th, "alice", addr(home)); ok {
					inFlight = append(inFlight, a)
					guesses++
				}
			},
			"guess a lot": func(t *rapid.T) {
				for range 20 {
					if a, _, ok := begin(th, "alice", addr(home)); ok {
						inFlight = append(inFlight, a)
						guesses++
					}
				}
			},
			"fail": func(t *rapid.T) {
				if len(inFlight) == 0 {
					t.Skip("none in flight")
				}
				i := rapid.IntRange(0, len(inFlight)-1).Draw(t, "attempt")
				inFlight[i].Done(false) // perhaps not for the first time
			},
			"wait": func(t *rapid.T) {
				clock.Advance(time.Duration(rapid.IntRange(0, 3000).Draw(t, "ms")) * time.Millisecond)
			},
			"wait long": func(t *rapid.T) {
				if clock.Now().Sub(start) > 50*time.Minute {
					t.Skip("it would be forgotten")
				}
				clock.Advance(time.Duration(rapid.IntRange(0, 300).Draw(t, "s")) * time.Second)
			},
			"": func(t *rapid.T) {
				allowed, block := 6, time.Second
				for left := clock.Now().Sub(start) - block; left >= 0; left -= block {
					allowed++
					block = min(2*block, 5*time.Minute)
				}
				if guesses > allowed {
					t.Fatalf("%d guesses in %v, want at most %d", guesses, clock.Now().Sub(start), allowed)
				}
			},
		})
	})
}

func TestThrottleBearsManyAtOnce(t *testing.T) {
	th := newThrottle(newClock())
	th.maxSize = 8
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			a, _, ok := begin(th, fmt.Sprint(i%16), addr(home))
			if !ok {
				return
			}
			switch i % 3 {
			case 0:
				a.Done(true)
			case 1:
				a.Done(false)
			default:
				a.Cancel()
			}
		})
	}
	wg.Wait()
	if len(th.pairs) > 8 || len(th.pairs) != th.order.Len() {
		t.Errorf("%d pairs, %d in order", len(th.pairs), th.order.Len())
	}
}
