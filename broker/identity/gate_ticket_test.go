package identity

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

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
