package identity

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"testing/iotest"
	"time"
)

func TestEveryStartWritesANewKeyForItsOwnerOnly(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "ticket.key")
	random := &countingRand{}
	start := func() string {
		newTickets(t, newClock(), func(c *TicketConfig) { c.StateDir, c.Rand = dir, random })
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	first := start()
	if !regexp.MustCompile(`^1 [0-9a-f]{16} [0-9a-f]{64}\n$`).MatchString(first) {
		t.Errorf("form of the file: %d bytes", len(first))
	}
	// A crash left a half-written file, and somebody opened up the old one.
	if err := os.WriteFile(filepath.Join(dir, keyFileTemp), []byte("half"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o666); err != nil {
		t.Fatal(err)
	}
	if start() == first {
		t.Error("the key is the same after a restart")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("left in the directory: %v, %v", entries, err)
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
}

func TestTheKeyIsNotWrittenThroughALink(t *testing.T) {
	dir := t.TempDir()
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{keyFile, keyFileTemp} {
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
