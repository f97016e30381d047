package identity

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// succeed logs in with the right password.
func succeed(t *testing.T, th *Throttle, name, from string) {
	t.Helper()
	a, wait, ok := begin(th, name, addr(from))
	if !ok {
		t.Fatalf("%s at %s: refused for %v", name, from, wait)
	}
	a.Done(true)
}

// guess fails n times, each time in a way that make says, and returns how many
// were looked at.
func guess(th *Throttle, n int, make func(i int) (name, from string)) (looked int) {
	for i := range n {
		name, from := make(i)
		if try(th, name, from) == 0 {
			looked++
		}
	}
	return looked
}

func TestOneNameFromManyAddresses(t *testing.T) {
	clock := newClock()
	th := newThrottle(clock)
	succeed(t, th, "alice", home)
	looked := guess(th, 1000, func(i int) (string, string) { return "alice", fmt.Sprintf("198.51.%d.%d", 100+i/200, i%200) })
	if looked != userBurst {
		t.Errorf("%d guesses, want %d", looked, userBurst)
	}
	if wait := try(th, "alice", "203.0.113.1"); wait != userEvery {
		t.Errorf("wait %v, want %v", wait, userEvery)
	}
	succeed(t, th, "alice", home) // where she always is
	succeed(t, th, "bob", "198.51.100.7")
	clock.Advance(userEvery)
	if wait := try(th, "alice", "203.0.113.1"); wait != 0 {
		t.Errorf("one more after a time: wait %v", wait)
	}
	if _, _, ok := th.Begin(t.Context(), "alice", addr("203.0.113.2")); ok {
		t.Error("one more")
	}
	if s := th.Status(); s.Refused["user"] != 1 {
		t.Errorf("%+v", s.Refused)
	}
}

func TestManyNamesFromOneAddress(t *testing.T) {
	clock := newClock()
	th := newThrottle(clock)
	const office = "2001:db8:1:2::"
	succeed(t, th, "alice", office+"1")
	looked := guess(th, 100, func(i int) (string, string) { return fmt.Sprint("name", i), fmt.Sprintf("%s%x", office, i+1) })
	if looked != addressNames {
		t.Errorf("%d names, want %d", looked, addressNames)
	}
	if wait := try(th, "name1", office+"9"); wait != 0 {
		t.Errorf("a name that was counted: wait %v", wait)
	}
	if wait := try(th, "carol", office+"9"); wait != longestBlock {
		t.Errorf("another name: wait %v", wait)
	}
	succeed(t, th, "alice", office+"2")
	succeed(t, th, "carol", "2001:db8:1:3::1")
	clock.Advance(addressWindow)
	if wait := try(th, "dave", office+"9"); wait != 0 {
		t.Errorf("after the time: wait %v", wait)
	}
}

// The same name again and again is the matter of its pair, so that one user who
// has forgotten his password does not lock out those who share his address.
func TestAnAddressCountsDistinctNames(t *testing.T) {
	clock := newClock()
	th := newThrottle(clock)
	for range 12 {
		_, wait, _ := begin(th, "forgetful", addr(home))
		clock.Advance(wait)
		try(th, "forgetful", home)
	}
	succeed(t, th, "alice", home)
}

func TestAllTogether(t *testing.T) {
	clock := newClock()
	th := newThrottle(clock)
	succeed(t, th, "alice", home)
	anybody := func(i int) (string, string) { return fmt.Sprint("name", i), fmt.Sprintf("10.0.%d.%d", i/256, i%256) }
	if looked := guess(th, 2*overallBurst, anybody); looked != overallBurst {
		t.Errorf("%d guesses, want %d", looked, overallBurst)
	}
	succeed(t, th, "alice", home)
	clock.Advance(time.Minute)
	looked := guess(th, overallBurst, func(i int) (string, string) { return anybody(5000 + i) })
	if want := int(time.Minute / overallEvery); looked != want {
		t.Errorf("%d guesses a minute later, want %d", looked, want)
	}
}

func TestASuccessIsNoGuess(t *testing.T) {
	th := newThrottle(newClock())
	for i := range 2 * overallBurst {
		succeed(t, th, fmt.Sprint("name", i), home)
	}
	for i := range 2 * userBurst {
		succeed(t, th, "shared", fmt.Sprint("192.0.2.", i))
	}
	for i := range 2 * overallBurst {
		a, _, ok := begin(th, fmt.Sprint("not tried", i), addr("192.0.2.200"))
		if !ok {
			t.Fatal("refused")
		}
		a.Cancel()
	}
}

// Without a known success, attempts in flight count as guesses: as many at once
// as one after the other.
func TestManyAtOnceFromManyAddressesAreFewGuesses(t *testing.T) {
	th := newThrottle(newClock())
	var begun []*Attempt
	for i := range 1000 {
		if a, _, ok := begin(th, "alice", addr(fmt.Sprintf("10.0.%d.%d", i/256, i%256))); ok {
			begun = append(begun, a)
		}
	}
	if len(begun) != userBurst {
		t.Errorf("%d at once, want %d", len(begun), userBurst)
	}
	begun[0].Done(true)
	begun[1].Cancel()
	if n := guess(th, 10, func(i int) (string, string) { return "alice", fmt.Sprint("192.0.2.", i) }); n != 2 {
		t.Errorf("%d more after two that were no guesses, want 2", n)
	}
}

func TestNoMoreAtOnceThanCanBeHashed(t *testing.T) {
	th := newThrottle(newClock())
	for i := range maxInFlight + 1 {
		succeed(t, th, fmt.Sprint("name", i), home)
	}
	for i := range maxInFlight + 1 {
		if _, wait, ok := begin(th, fmt.Sprint("name", i), addr(home)); ok != (i < maxInFlight) {
			t.Fatalf("attempt %d: begun %v, wait %v", i+1, ok, wait)
		}
	}
}

func TestWhoSucceededIsKnownAcrossRestarts(t *testing.T) {
	dir := t.TempDir()
	clock := newClock()
	log := &logBuffer{}
	seed := uint64(0)
	start := func() *Throttle {
		seed += 1000
		th, err := NewThrottle(ThrottleConfig{StateDir: dir, Clock: clock.Now, Rand: &countingRand{n: seed}, Logger: log.Logger()})
		if err != nil {
			t.Fatal(err)
		}
		return th
	}
	free := func(th *Throttle) bool {
		guess(th, userBurst, func(i int) (string, string) { return "alice", fmt.Sprint("10.0.0.", i) })
		a, _, ok := begin(th, "alice", addr(home))
		if ok {
			a.Cancel()
		}
		return ok
	}
	th := start()
	if free(th) {
		t.Error("known before the first success")
	}
	clock.Advance(time.Hour)
	succeed(t, th, "alice", home)
	th.save()
	file := filepath.Join(dir, knownFile)
	b, err := os.ReadFile(file)
	if err != nil || strings.Contains(string(b), "alice") || strings.Contains(string(b), home) {
		t.Errorf("the file names the pair, %v", err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if !free(start()) {
		t.Error("forgotten at the restart")
	}
	clock.Advance(knownFor - time.Second)
	if !free(start()) {
		t.Error("forgotten too early")
	}
	clock.Advance(time.Second)
	if free(start()) {
		t.Error("known for ever")
	}
	if log.String() != "" {
		t.Errorf("log:\n%s", log)
	}
	b[len(b)-9] ^= 1
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if free(start()) || !strings.Contains(log.String(), "forgot who has logged in") {
		t.Errorf("a damaged file; log:\n%s", log)
	}
}

func TestTablesOfTheWiderLimitsAreBounded(t *testing.T) {
	table := newLatest[bucket](10)
	first := table.get(pairKey{})
	for i := range 9 {
		table.get(pairKey{1, byte(i)})
	}
	if table.get(pairKey{}) != first {
		t.Error("forgotten though there was room")
	}
	for i := range 9 {
		table.get(pairKey{2, byte(i)})
	}
	if table.get(pairKey{}) != first || len(table.byKey) != 10 || table.order.Len() != 10 {
		t.Errorf("%d remembered, %d in order", len(table.byKey), table.order.Len())
	}
}

func FuzzParseKnown(f *testing.F) {
	clock := newClock()
	k, err := newKnownLogins(&countingRand{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(k.text())
	k.succeeded(k.id("alice", addr(home)), clock.Now())
	k.succeeded(k.id("bob", addr(home)), clock.Now())
	f.Add(k.text())
	f.Add([]byte(knownHeader))
	f.Fuzz(func(t *testing.T, data []byte) {
		if k, err := parseKnown(data); err == nil && string(k.text()) != string(data) {
			t.Error("it is not what was read")
		}
	})
}
