package identity

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// changingAuth is a lookAuth whose password can be changed, and which can be due
// for a change or ask for a code.
type changingAuth struct {
	lookAuth
	due  bool
	code string
}

var (
	_ PasswordChanger = (*changingAuth)(nil)
	_ Converser       = (*changingAuth)(nil)
)

func (a *changingAuth) Authenticate(ctx context.Context, c Credentials) (Identity, error) {
	id, err := a.lookAuth.Authenticate(ctx, c)
	if err == nil && a.due {
		return Identity{}, ErrMustChange
	}
	return id, err
}

func (a *changingAuth) ChangePassword(ctx context.Context, c Credentials, next string, allow func(Identity) error) (Identity, error) {
	id, err := a.lookAuth.Authenticate(ctx, c)
	if err != nil {
		return Identity{}, err
	}
	if err := allow(id); err != nil {
		return Identity{}, err
	}
	if next == "short" {
		return Identity{}, &NotChangedError{Text: "it is too short"}
	}
	a.password, a.due = next, false
	return id, nil
}

func (a *changingAuth) Converse(ctx context.Context, c Credentials, ask Ask) (Identity, error) {
	id, err := a.Authenticate(ctx, c)
	if err != nil {
		return Identity{}, err
	}
	if code, err := ask(ctx, Prompt{Text: "Code: "}); err != nil || code != a.code {
		return Identity{}, errors.Join(ErrWrongPassword, err)
	}
	return id, nil
}

func newChangingDoor(t *testing.T) (*door, *changingAuth) {
	t.Helper()
	a := &changingAuth{code: "123456", lookAuth: lookAuth{
		fakeAuth: fakeAuth{name: "pam", user: "ALICE", password: "alice-pw"}, canonical: "alice",
	}}
	s, rounds := newStatic(t, StaticConfig{Users: map[string]StaticUser{"bob": {Hash: hashOf(t, "bob-pw", 4)}}})
	return newDoorTo(t, s, rounds, a, s), a
}

func everybody(Identity) error { return nil }

func as(name, password, ticket string) Credentials {
	return Credentials{Name: name, Password: password, Ticket: ticket, Address: addr(home)}
}

func TestAChangedPasswordEndsTheTickets(t *testing.T) {
	d, _ := newChangingDoor(t)
	ticket := d.enter(as("ALICE", "alice-pw", "")).Renew()
	var asked []string
	if err := d.ChangePassword(t.Context(), as("ALICE", "alice-pw", ""), "another", func(id Identity) error {
		asked = append(asked, id.Authenticator+" "+id.Name)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"pam alice"}, asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	if got := d.denied(as("alice", "", ticket)).Reason; got != ReasonNoPassword {
		t.Errorf("with the old ticket: %s", got)
	}
	if got := d.denied(as("ALICE", "alice-pw", "")).Reason; got != ReasonWrongPassword {
		t.Errorf("with the old password: %s", got)
	}
	d.enter(as("ALICE", "another", ticket))
}

func TestATicketDoesNotChangeAPassword(t *testing.T) {
	d, a := newChangingDoor(t)
	ticket := d.enter(as("ALICE", "alice-pw", "")).Renew()
	for password, want := range map[string]Reason{"": ReasonNoPassword, "guess": ReasonWrongPassword} {
		var denied *DeniedError
		if err := d.ChangePassword(t.Context(), as("ALICE", password, ticket), "another", everybody); !errors.As(err, &denied) || denied.Reason != want {
			t.Errorf("password %q: %v", password, err)
		}
	}
	if a.password != "alice-pw" {
		t.Errorf("the password is %q now", a.password)
	}
}

// Guessing the old password is guessing.
func TestPasswordChangesAreThrottledAsLoginsAre(t *testing.T) {
	d, _ := newChangingDoor(t)
	for range freeFailures + 1 {
		_ = d.ChangePassword(t.Context(), as("ALICE", "guess", ""), "another", everybody)
	}
	var denied *DeniedError
	if err := d.ChangePassword(t.Context(), as("ALICE", "alice-pw", ""), "another", everybody); !errors.As(err, &denied) || denied.Reason != ReasonThrottled {
		t.Errorf("got %v", err)
	}
	if got := d.denied(as("ALICE", "alice-pw", "")).Reason; got != ReasonThrottled {
		t.Errorf("a login: %s", got)
	}
}

func TestWhyAPasswordIsNotChanged(t *testing.T) {
	d, a := newChangingDoor(t)
	no := errors.New("no")
	for name, tt := range map[string]struct {
		c     Credentials
		next  string
		allow func(Identity) error
		want  string
	}{
		"not good enough":         {as("ALICE", "alice-pw", ""), "short", everybody, "it is too short"},
		"empty":                   {as("ALICE", "alice-pw", ""), "", everybody, "the new password is empty"},
		"a line break":            {as("ALICE", "alice-pw", ""), "a\nb", everybody, "the new password is too long, or has control characters in it"},
		"too long":                {as("ALICE", "alice-pw", ""), strings.Repeat("x", maxPassword+1), everybody, "the new password is too long, or has control characters in it"},
		"not allowed":             {as("ALICE", "alice-pw", ""), "another", func(Identity) error { return no }, "no"},
		"kept in the table":       {as("bob", "bob-pw", ""), "another", everybody, "passwords cannot be changed here"},
		"bob, wrong password":     {as("bob", "x", ""), "another", everybody, "access denied"},
		"unknown":                 {as("eve", "x", ""), "another", everybody, "access denied"},
		"an address is not there": {Credentials{Name: "ALICE", Password: "alice-pw"}, "another", everybody, "access denied"},
	} {
		if err := d.ChangePassword(t.Context(), tt.c, tt.next, tt.allow); err == nil || err.Error() != tt.want {
			t.Errorf("%s: %v, want %s", name, err, tt.want)
		}
	}
	if a.password != "alice-pw" {
		t.Errorf("the password is %q now", a.password)
	}
}

func TestWhoMustChangeHisPasswordHearsItAndIsNotThrottled(t *testing.T) {
	d, a := newChangingDoor(t)
	a.due = true
	for range 2 * freeFailures {
		denied := d.denied(as("ALICE", "alice-pw", ""))
		if denied.Reason != ReasonMustChange || denied.Advice() == "" {
			t.Fatalf("%s, %q", denied.Reason, denied.Advice())
		}
	}
	// A wrong password does not say whose is due.
	if denied := d.denied(as("ALICE", "guess", "")); denied.Advice() != "" {
		t.Errorf("a guess hears %q", denied.Advice())
	}
	if err := d.ChangePassword(t.Context(), as("ALICE", "alice-pw", ""), "another", everybody); err != nil {
		t.Error(err)
	}
	d.enter(as("ALICE", "another", ""))
}

func TestAConversationAsksForPasswordAndCode(t *testing.T) {
	d, _ := newChangingDoor(t)
	answers := map[string]string{"Password: ": "alice-pw", "Code: ": "123456"}
	ask := func(_ context.Context, p Prompt) (string, error) { return answers[p.Text], nil }
	login, err := d.Converse(t.Context(), as("ALICE", "", ""), ask)
	if err != nil || login.Identity.Name != "alice" {
		t.Fatalf("got %v, %v", login, err)
	}
	// Its ticket is one of this password, as any other.
	d.enter(as("ALICE", "alice-pw", login.Renew()))

	answers["Code: "] = "guess"
	if _, err := d.Converse(t.Context(), as("ALICE", "", ""), ask); err == nil {
		t.Error("a wrong code opens the door")
	}
	// Who is known to a table is asked for his password and nothing else.
	answers = map[string]string{"Password: ": "bob-pw"}
	if login, err := d.Converse(t.Context(), as("bob", "", ""), ask); err != nil || login.Identity.Authenticator != "static" {
		t.Errorf("got %v, %v", login, err)
	}
	gone := func(context.Context, Prompt) (string, error) { return "", errors.New("gone") }
	var denied *DeniedError
	if _, err := d.Converse(t.Context(), as("bob", "", ""), gone); !errors.As(err, &denied) {
		t.Errorf("who hangs up: %v", err)
	}
}
