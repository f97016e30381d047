package identity

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func TestTheKeyStaysUnlessOthersMayKnowIt(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "ticket.key")
	random := &countingRand{}
	start := func() string {
		newTickets(t, newClock(), func(c *TicketConfig) { c.StateDir, c.Rand = dir, random })
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(file)
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		return string(b)
	}
	first := start()
	if !regexp.MustCompile(`^2 2026-01-05T12:00:00Z [0-9a-f]{16} [0-9a-f]{64}\n$`).MatchString(first) {
		t.Errorf("form of the file: %d bytes", len(first))
	}
	// A crash left half-written files.
	for _, name := range []string{keyFile + ".new", marksFileTemp} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("half"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if start() != first {
		t.Error("another key after a restart")
	}
	for name, spoil := range map[string]func() error{
		"others can read it": func() error { return os.Chmod(file, 0o604) },
		"half of it":         func() error { return os.Truncate(file, 60) },
		"nothing in it":      func() error { return os.Truncate(file, 0) },
		"not there":          func() error { return os.Remove(file) },
		"of another version": func() error { return os.WriteFile(file, []byte("1"+first[1:]), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			before := start()
			if err := spoil(); err != nil {
				t.Fatal(err)
			}
			if after := start(); after == before {
				t.Error("the same key")
			}
		})
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("left in the directory: %v, %v", entries, err)
	}
}

func TestTheNewestKeySignsAndOlderOnesVerify(t *testing.T) {
	clock := newClock()
	ts := newTickets(t, clock, func(c *TicketConfig) {
		c.StateDir, c.KeyRotation, c.Lifetime = t.TempDir(), 24*time.Hour, 10*time.Hour
	})
	first := signingKey(ts).id
	clock.Advance(24*time.Hour - time.Minute)
	old := ts.Issue(alice, Credentials{Name: "alice", Address: addr(home)})
	ts.tend()
	if signingKey(ts).id != first {
		t.Error("rotated too early")
	}
	clock.Advance(time.Minute)
	ts.tend()
	if signingKey(ts).id == first {
		t.Error("not rotated")
	}
	turned := mustUse(t, ts, old)
	if k, err := decodeTicket(turned); err != nil || k.key == first {
		t.Errorf("the successor is signed with the old key, %v", err)
	}
	clock.Advance(24 * time.Hour)
	ts.tend()
	keys, err := readKeys(filepath.Join(ts.stateDir, keyFile), 0o077)
	if err != nil {
		t.Fatal(err)
	}
	if _, there := keys.find(first); there || len(keys) != 2 || len(*ts.keys.Load()) != 2 {
		t.Errorf("%d keys, the first among them: %v", len(keys), there)
	}
}

func TestSharedKeysTakeEffectOnAllBrokersAtTheirTime(t *testing.T) {
	clock := newClock()
	file := filepath.Join(t.TempDir(), "keys")
	line := func(from time.Time, seed uint64) string {
		s, err := KeyLine(&countingRand{n: seed}, from)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	write := func(s string) {
		if err := os.WriteFile(file, []byte(s), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	write("# ours\n\n" + line(clock.Now().Add(-time.Hour), 0))
	broker := func(seed uint64) *Tickets {
		return newTickets(t, clock, func(c *TicketConfig) {
			c.StateDir, c.KeyFile, c.Rand = t.TempDir(), file, &countingRand{n: 1000 * seed}
		})
	}
	a, b := broker(1), broker(2)
	clock.Advance(time.Second)
	text := a.Issue(alice, Credentials{Name: "alice", Address: addr(home)})
	for range 3 { // as behind a load balancer
		text = mustUse(t, b, text)
		text = mustUse(t, a, text)
	}
	before := signingKey(a).id
	write(line(clock.Now().Add(-time.Hour), 0) + line(clock.Now().Add(time.Minute), 5))
	a.tend() // and b has not looked yet
	text = mustUse(t, b, mustUse(t, a, text))
	clock.Advance(2 * time.Minute)
	if signingKey(a).id == before || signingKey(b).id != before {
		t.Error("the new key signs where it is known, and only there")
	}
	b.tend()
	mustUse(t, b, mustUse(t, a, text))

	write("2 nonsense\n")
	a.tend()
	mustUse(t, a, a.Issue(alice, Credentials{Name: "alice", Address: addr(home)}))
}

func TestKeysOfABrokerOfItsOwnAreUnknownElsewhere(t *testing.T) {
	clock := newClock()
	file := filepath.Join(t.TempDir(), "keys")
	s, err := KeyLine(&countingRand{}, clock.Now())
	if err == nil {
		err = os.WriteFile(file, []byte(s), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	shared := func(dir string) *Tickets {
		return newTickets(t, clock, func(c *TicketConfig) {
			c.StateDir, c.KeyFile, c.Rand = dir, file, &countingRand{n: uint64(clock.Now().Unix())}
		})
	}
	a := shared(t.TempDir())
	clock.Advance(time.Second)
	text := a.Issue(alice, Credentials{Name: "alice", Address: addr(home)})

	// A broker that starts without marks cannot tell what was used before.
	late := shared(t.TempDir())
	if _, err := use(t, late, text); !errors.Is(err, ErrTicketUnknown) {
		t.Errorf("from before its start: %v", err)
	}
	// Used up at a, revoked there, and so not good any more.
	used := text
	text = mustUse(t, a, mustUse(t, a, text))
	if _, err := use(t, a, used); !errors.Is(err, ErrTicketReplay) {
		t.Fatal(err)
	}
	if _, err := use(t, a, text); !errors.Is(err, ErrTicketUnknown) {
		t.Errorf("of a revoked chain: %v", err)
	}
}

func TestKeyFilesThatAreRefused(t *testing.T) {
	good, err := KeyLine(&countingRand{}, newClock().Now())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"empty":              "",
		"comments only":      "# nothing\n",
		"twice the same":     good + good,
		"a field more":       good[:len(good)-1] + " x\n",
		"no time":            "2 now" + good[22:],
		"a short secret":     good[:len(good)-3] + "\n",
		"not hexadecimal":    good[:len(good)-3] + "zz\n",
		"too many":           strings.Repeat(good, maxKeys+1),
		"version 1, no date": "1 1011121314151617 00\n",
	} {
		t.Run(name, func(t *testing.T) {
			keys, err := parseKeys([]byte(text))
			if !errors.Is(err, errNoKeys) {
				t.Errorf("%d keys, %v", len(keys), err)
			}
			if err != nil && strings.Contains(err.Error(), good[40:60]) {
				t.Error("the error has a secret in it")
			}
		})
	}
	file := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(file, []byte(good), 0o644); err != nil {
		t.Fatal(err)
	}
	c := TicketConfig{KeyFile: file, Lifetime: time.Hour, Clock: newClock().Now, Rand: &countingRand{}, Logger: quiet()}
	if _, err := NewTickets(c); err == nil || !strings.Contains(err.Error(), "mode") {
		t.Errorf("a shared file that everybody can read: %v", err)
	}
}

func TestTheKeyIsNotWrittenThroughALink(t *testing.T) {
	dir := t.TempDir()
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{keyFile, keyFile + ".new", marksFile, marksFileTemp} {
		if err := os.Symlink(victim, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	newTickets(t, newClock(), func(c *TicketConfig) { c.StateDir = dir })
	if b, err := os.ReadFile(victim); err != nil || string(b) != "mine" {
		t.Errorf("the file behind the link: %q, %v", b, err)
	}
}

func TestNewTicketsFails(t *testing.T) {
	broken := errors.New("no entropy")
	for name, tc := range map[string]func(*TicketConfig){
		"without a directory": func(c *TicketConfig) { c.StateDir = filepath.Join(t.TempDir(), "missing") },
		"without randomness":  func(c *TicketConfig) { c.Rand = iotest.ErrReader(broken) },
		"without a lifetime":  func(c *TicketConfig) { c.Lifetime = 0 },
		"with a negative one": func(c *TicketConfig) { c.Lifetime = -time.Hour },
	} {
		t.Run(name, func(t *testing.T) {
			c := TicketConfig{Lifetime: time.Hour, Clock: newClock().Now, Rand: &countingRand{}, Logger: quiet()}
			tc(&c)
			if _, err := NewTickets(c); err == nil {
				t.Error("no error")
			}
		})
	}
}
