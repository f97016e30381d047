package identity

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const sharedSecret = "3f0c6a2e-7c53-4d4b-9f31-0a8c5f1c2d3e"

func newSharedDoor(t *testing.T, change func(*SharedConfig)) (*door, string) {
	t.Helper()
	d := newDoor(t)
	file := filepath.Join(t.TempDir(), "authid")
	if err := os.WriteFile(file, []byte("# of the thin clients\n\n"+sharedSecret+" and more\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	c := SharedConfig{File: file, Logger: d.log.Logger()}
	if change != nil {
		change(&c)
	}
	var err error
	if d.shared, err = NewShared(c); err != nil {
		t.Fatal(err)
	}
	return d, file
}

func TestPasswordsAreLookedAtFromClientsWithTheSharedAuthidOnly(t *testing.T) {
	d, file := newSharedDoor(t, nil)
	for name, ticket := range map[string]string{"none": "", "another": strings.Repeat("a", 36), "a part": sharedSecret[:20], "longer": sharedSecret + "a"} {
		for range 8 {
			if got := d.denied(fromHome("alice-pw", ticket)).Reason; got != ReasonNoTicket {
				t.Errorf("%s: %s", name, got)
			}
		}
	}
	if d.rounds.Load() != 0 || len(d.throttle.pairs) != 0 {
		t.Error("a password was looked at")
	}
	if got := d.denied(fromHome("guess", sharedSecret)).Reason; got != ReasonWrongPassword {
		t.Errorf("it stands for a password: %s", got)
	}
	if got := d.denied(fromHome("", sharedSecret)).Reason; got != ReasonNoPassword {
		t.Errorf("it stands for a password: %s", got)
	}
	ticket := d.enter(fromHome("alice-pw", sharedSecret)).Renew()
	if ticket == "" || ticket == sharedSecret {
		t.Fatalf("ticket %q", ticket)
	}
	// The client sends its newest authid from now on, whoever sits down.
	d.enter(fromHome("", ticket))
	d.enter(Credentials{Name: "bob", Password: "bob-pw", Ticket: ticket})
	d.clock.Advance(24 * time.Hour)
	d.enter(fromHome("alice-pw", ticket))
	if got := d.denied(Credentials{Name: "alice", Password: "alice-pw", Ticket: ticket, Address: addr("192.0.2.8")}).Reason; got != ReasonNoTicket {
		t.Errorf("an old ticket from elsewhere: %s", got)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if got := d.denied(fromHome("alice-pw", sharedSecret)).Reason; got != ReasonNoTicket {
		t.Errorf("without its file: %s", got)
	}
	if strings.Contains(d.log.String(), sharedSecret) {
		t.Errorf("the secret is in the log:\n%s", d.log)
	}
}

func TestASharedAuthidWithoutPassword(t *testing.T) {
	d, _ := newSharedDoor(t, func(c *SharedConfig) {
		c.WithoutPassword, c.From = true, []netip.Prefix{netip.MustParsePrefix("192.0.2.0/25")}
	})
	for _, name := range []string{"alice", "bob"} {
		login := d.enter(Credentials{Name: name, Ticket: sharedSecret, Address: addr("::ffff:192.0.2.7")})
		if login.Identity.Name != name || login.Identity.Authenticator != "static" || login.Renew() != sharedSecret {
			t.Errorf("%s is %+v", name, login.Identity)
		}
	}
	if id, live, err := d.Event(t.Context(), fromHome("", sharedSecret)); err != nil || !live || id.Name != "alice" {
		t.Errorf("an event: %v, %v, %v", id, live, err)
	}
	for name, c := range map[string]Credentials{
		"a name that nobody has": {Name: "nobody", Ticket: sharedSecret, Address: addr(home)},
		"no name":                {Ticket: sharedSecret, Address: addr(home)},
		"another secret":         {Name: "alice", Ticket: sharedSecret[:35] + "f", Address: addr(home)},
		"from elsewhere":         {Name: "alice", Ticket: sharedSecret, Address: addr("192.0.2.129")},
		"with a wrong password":  {Name: "alice", Password: "guess", Ticket: sharedSecret, Address: addr(home)},
	} {
		if _, err := d.Login(t.Context(), c); err == nil {
			t.Errorf("%s: let in", name)
		}
	}
	d.enter(fromHome("alice-pw", "")) // others have their passwords
}

func TestSharedAuthidsThatAreRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		mode os.FileMode
	}{
		"nothing":             {"", 0o600},
		"comments":            {"# " + sharedSecret + "\n", 0o600},
		"short":               {"secret\n", 0o600},
		"the placeholder":     {"xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx\n", 0o600},
		"other letters":       {"a+b=c a+b=c a+b=c a+b=c\n", 0o600},
		"others may read it":  {sharedSecret, 0o644},
		"others may write it": {sharedSecret, 0o660},
		"far too long":        {sharedSecret + strings.Repeat("\n", maxSharedFile), 0o600},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "authid")
			if err := os.WriteFile(file, []byte(tc.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(file, tc.mode); err != nil {
				t.Fatal(err)
			}
			_, err := NewShared(SharedConfig{File: file, Logger: quiet()})
			if err == nil || strings.Contains(err.Error(), sharedSecret) {
				t.Errorf("error %v", err)
			}
		})
	}
	if _, err := NewShared(SharedConfig{File: "/nowhere", WithoutPassword: true, Logger: quiet()}); err == nil || !strings.Contains(err.Error(), "networks") {
		t.Errorf("from anywhere: %v", err)
	}
}

// Over SSH a client has no authid before it has logged in.
func TestASharedAuthidClosesTheDoorToConnectionsByPassword(t *testing.T) {
	d, _ := newSharedDoor(t, nil)
	for _, ticket := range []string{"", sharedSecret} {
		if _, err := d.Connect(t.Context(), fromHome("alice-pw", ticket), nil); err == nil {
			t.Errorf("authid %q: a password connects", ticket)
		}
	}
	if _, err := d.ConnectAs(t.Context(), as("alice", "", "")); err != nil {
		t.Errorf("a key does not: %v", err)
	}
}
