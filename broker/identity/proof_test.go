package identity

import (
	"context"
	"errors"
	"fmt"
	"os/user"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// connect gives alice's proof.
func (d *door) connect(password string) *Proof {
	d.t.Helper()
	p, err := d.Connect(d.t.Context(), fromHome(password, ""), nil)
	if err != nil {
		d.t.Fatalf("denied: %v", err.(*DeniedError).Reason)
	}
	return p
}

func (d *door) wantDenied(want Reason, c Credentials) {
	d.t.Helper()
	if got := d.denied(c).Reason; got != want {
		d.t.Errorf("denied for %q, want %q", got, want)
	}
}

// over are the credentials of a request on the connection.
func over(p *Proof, name, ticket string) Credentials {
	return Credentials{Name: name, Ticket: ticket, Address: p.Address(), Proof: p}
}

func TestAProofStandsForThePassword(t *testing.T) {
	d := newDoor(t)
	p := d.connect("alice-pw")
	hashed := d.rounds.Load()
	for _, name := range []string{"", "alice"} {
		want := Identity{Name: "alice", Groups: []string{"staff"}, Authenticator: "static"}
		if diff := cmp.Diff(want, d.enter(over(p, name, "")).Identity); diff != "" {
			t.Errorf("name %q (-want +got):\n%s", name, diff)
		}
	}
	if d.rounds.Load() != hashed {
		t.Error("a password was hashed again")
	}
	if _, err := d.Connect(t.Context(), fromHome("wrong", ""), nil); err == nil {
		t.Error("a wrong password connects")
	}
	ticket := d.enter(fromHome("alice-pw", "")).Renew()
	if _, err := d.Connect(t.Context(), fromHome("", ticket), nil); err == nil {
		t.Error("a ticket connects")
	}
}

// Who is connected as himself asks for what is another one's.
func TestAProofIsOfNobodyElse(t *testing.T) {
	d := newDoor(t)
	p := d.connect("alice-pw")
	d.wantDenied(ReasonOtherUser, over(p, "bob", ""))
	withPassword := over(p, "bob", "")
	withPassword.Password = "bob-pw"
	d.wantDenied(ReasonOtherUser, withPassword)

	bob := d.enter(Credentials{Name: "bob", Password: "bob-pw"}).Renew()
	d.wantDenied(ReasonOtherUser, over(p, "bob", bob))
	if got := d.enter(over(p, "", bob)).Identity.Name; got != "alice" {
		t.Errorf("another one's ticket makes %s of alice", got)
	}
	elsewhere := over(p, "alice", "")
	elsewhere.Address = addr("203.0.113.9")
	d.wantDenied(ReasonOtherUser, elsewhere)
}

func TestAProofEnds(t *testing.T) {
	for name, end := range map[string]func(*door){
		"with its time": func(d *door) { d.clock.Advance(10*time.Hour + time.Second) },
		"with the password": func(d *door) {
			d.PasswordChanged(Identity{Name: "alice", Authenticator: "static"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDoor(t)
			p := d.connect("alice-pw")
			d.clock.Advance(time.Minute)
			d.enter(over(p, "alice", ""))
			end(d)
			d.wantDenied(ReasonProofEnded, over(p, "alice", ""))
			d.clock.Advance(time.Second)
			d.enter(over(d.connect("alice-pw"), "alice", ""))
		})
	}
}

func TestAProofKnowsWhatTheAuthenticatorSaysNow(t *testing.T) {
	a := &lookAuth{fakeAuth: fakeAuth{name: "dir", user: "Alice", password: "x"}, canonical: "alice", groups: []string{"staff"}}
	d := newDoorTo(t, nil, nil, a)
	p, err := d.Connect(t.Context(), Credentials{Name: "Alice", Password: "x", Address: addr(home)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	d.enter(over(p, "Alice", ""))
	a.groups = []string{"guests"}
	if diff := cmp.Diff([]string{"guests"}, d.enter(over(p, "alice", "")).Identity.Groups); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
	a.lookupErr = ErrUnknownUser
	d.wantDenied(ReasonProofEnded, over(p, "", ""))
	a.lookupErr = errors.New("the directory is away")
	d.wantDenied(ReasonProofEnded, over(p, "", ""))
}

func TestAProofOfWhomNobodyCanLookUpIsShort(t *testing.T) {
	d := newDoorTo(t, nil, nil, &fakeAuth{name: "https", user: "alice", password: "x"})
	p := d.connect("x")
	d.clock.Advance(askedOnceTime)
	d.enter(over(p, "alice", ""))
	d.clock.Advance(time.Second)
	d.wantDenied(ReasonProofEnded, over(p, "alice", ""))
}

// A ticket goes on over the connection, and decides nothing there.
func TestTicketsTurnBesideAProof(t *testing.T) {
	d := newDoor(t)
	p := d.connect("alice-pw")
	first := d.enter(over(p, "", "")).Renew()
	second := d.enter(over(p, "", first)).Renew()
	if first == "" || second == "" || first == second {
		t.Fatalf("tickets %q, %q", first, second)
	}
	if !d.enter(fromHome("", second)).ByTicket {
		t.Error("a ticket that was given over the connection is not good elsewhere")
	}
	for _, bad := range []string{first, "nonsense"} { // first is two generations old now, or nearly
		if d.enter(over(p, "", bad)).Renew() == "" {
			t.Errorf("%.8s: a bad ticket costs the new one", bad)
		}
	}
	if _, live, err := d.Event(t.Context(), over(p, "alice", "")); err != nil || !live {
		t.Errorf("an event over the connection: %v, %v", live, err)
	}
	if _, _, err := d.Event(t.Context(), over(p, "bob", "")); err == nil {
		t.Error("an event of somebody else")
	}
}

func TestConnectAsNeedsNoPasswordButAUser(t *testing.T) {
	d := newDoor(t)
	p, err := d.ConnectAs(t.Context(), Credentials{Name: "bob", Password: "ignored", Address: addr(home)})
	if err != nil {
		t.Fatal(err)
	}
	d.enter(over(p, "bob", ""))
	for name, c := range map[string]Credentials{
		"unknown":    {Name: "nemo", Address: addr(home)},
		"nobody":     {Address: addr(home)},
		"no address": {Name: "bob"},
		"not a name": {Name: "bob\n", Address: addr(home)},
	} {
		var denied *DeniedError
		if _, err := d.ConnectAs(t.Context(), c); !errors.As(err, &denied) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A namesake further down is somebody else.
func TestAKeyOpensNoDoorThatThePasswordWouldNot(t *testing.T) {
	static, rounds := newStatic(t, StaticConfig{Users: map[string]StaticUser{"bob": {Hash: hashOf(t, "bob-pw", 4)}}})
	locked := &lookAuth{fakeAuth: fakeAuth{name: "dir", user: "bob"}, canonical: "bob"}
	locked.lookupErr = fmt.Errorf("%w: %w", ErrUnknownUser, ErrExpired)
	for name, first := range map[string]Authenticator{
		"locked":            locked,
		"cannot look up":    &fakeAuth{name: "https", user: "bob", password: "x"},
		"cannot be reached": &lookAuth{fakeAuth: fakeAuth{name: "dir"}, lookupErr: errors.New("away")},
	} {
		d := newDoorTo(t, static, rounds, first, static)
		var denied *DeniedError
		if p, err := d.ConnectAs(t.Context(), as("bob", "", "")); !errors.As(err, &denied) || denied.Advice() != "" {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
	d := newDoorTo(t, static, rounds, &lookAuth{fakeAuth: fakeAuth{name: "dir"}}, static)
	if _, err := d.ConnectAs(t.Context(), as("bob", "", "")); err != nil {
		t.Errorf("unknown to the first: %v", err)
	}
}

// uidAuth knows the numbers of its users.
type uidAuth struct {
	lookAuth
	uid uint32
}

func (u *uidAuth) LookupUID(ctx context.Context, name string, uid uint32) (Identity, error) {
	if uid != u.uid {
		return Identity{}, ErrUnknownUser
	}
	return u.Lookup(ctx, name)
}

func TestTheKernelSaysWhoAUserIs(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	uid, err := strconv.ParseUint(me.Uid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	static, rounds := newStatic(t, StaticConfig{Users: map[string]StaticUser{
		me.Username: {Hash: hashOf(t, "x", 4)}, "bob": {Hash: hashOf(t, "x", 4)},
	}})
	known := &uidAuth{lookAuth{fakeAuth: fakeAuth{name: "pam", user: "alice"}, canonical: "alice"}, 70001}
	d := newDoorTo(t, static, rounds, known, static)
	for _, c := range []struct {
		uid           uint64
		claimed, want string
	}{
		{70001, "alice", "alice"},
		{70001, "bob", ""},
		{70001, "", ""},
		{uid, me.Username, me.Username},
		{uid, "bob", me.Username},
		{uid, "alice", me.Username},
		{uid, "", me.Username},
		{uid, "\x00", me.Username},
		{4_000_000_000, "bob", ""},
	} {
		p, err := d.ConnectUID(t.Context(), uint32(c.uid), c.claimed, addr(home))
		got := ""
		if err == nil {
			got = p.User()
		}
		if got != c.want {
			t.Errorf("uid %d who says he is %q: got %q, want %q", c.uid, c.claimed, got, c.want)
		}
	}
}

// His name at the machine may be another than at the broker: nothing else tells the
// operator why he is denied.
func TestWhomNobodyKnowsOfTheMachineIsInTheLog(t *testing.T) {
	d := newDoor(t)
	if _, err := d.ConnectUID(t.Context(), 4_000_000_000, "typed", addr(home)); err == nil {
		t.Error("is let in")
	}
	if log := d.log.String(); !strings.Contains(log, "level=INFO") || !strings.Contains(log, "uid=4000000000") || strings.Contains(log, "typed") {
		t.Errorf("logged %s", log)
	}
}

// A user of this machine sets LOGNAME to another name, and then asks as that.
func TestANameThatIsNotHisIsNotOfTheProof(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	uid, err := strconv.ParseUint(me.Uid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	static, rounds := newStatic(t, StaticConfig{Users: map[string]StaticUser{
		me.Username: {Hash: hashOf(t, "x", 4)}, "bob": {Hash: hashOf(t, "x", 4)},
	}})
	d := newDoorTo(t, static, rounds, static)
	p, err := d.ConnectUID(t.Context(), uint32(uid), "bob", addr(home))
	if err != nil {
		t.Fatal(err)
	}
	d.wantDenied(ReasonOtherUser, over(p, "bob", ""))
	if got := d.enter(over(p, me.Username, "")).Identity.Name; got != me.Username {
		t.Errorf("he is %q", got)
	}
}

func TestAPasswordIsChangedOverAConnection(t *testing.T) {
	d, a := newChangingDoor(t)
	byKey, err := d.ConnectAs(t.Context(), as("alice", "", ""))
	if err != nil {
		t.Fatal(err)
	}
	var why *NotChangedError
	if err := d.ChangePassword(t.Context(), over(byKey, "", ""), "another", everybody); !errors.As(err, &why) {
		t.Errorf("without the password: %v", err)
	}
	p, err := d.Connect(t.Context(), as("ALICE", "alice-pw", ""), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.ChangePassword(t.Context(), over(p, "bob", ""), "another", everybody); err == nil {
		t.Error("changed for somebody else")
	}
	if err := d.ChangePassword(t.Context(), over(p, "alice", ""), "another", everybody); err != nil {
		t.Fatal(err)
	}
	if a.password != "another" {
		t.Error("not changed")
	}
	for _, ended := range []*Proof{p, byKey} {
		d.wantDenied(ReasonProofEnded, over(ended, "", ""))
	}
	d.clock.Advance(time.Second)
	p, err = d.Connect(t.Context(), as("ALICE", "another", ""), nil)
	if err != nil {
		t.Fatal(err)
	}
	p.End()
	if err := d.ChangePassword(t.Context(), over(p, "", ""), "third", everybody); !errors.As(err, &why) {
		t.Errorf("after the connection has ended: %v", err)
	}
}

// The first secret of a conversation is the password, and is known as such.
func TestAConversationIsAProof(t *testing.T) {
	d, a := newChangingDoor(t)
	answers := []string{"alice-pw", "123456"}
	ask := func(context.Context, Prompt) (string, error) {
		answer := answers[0]
		answers = answers[1:]
		return answer, nil
	}
	p, err := d.Connect(t.Context(), as("ALICE", "", ""), ask)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.ChangePassword(t.Context(), over(p, "", ""), "another", everybody); err != nil || a.password != "another" {
		t.Errorf("%v, password %q", err, a.password)
	}
	answers = []string{"another", "000000"}
	if _, err := d.Connect(t.Context(), as("ALICE", "", ""), ask); err == nil {
		t.Error("half a proof is enough")
	}
}
