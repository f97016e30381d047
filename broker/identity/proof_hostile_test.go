package identity

import (
	"context"
	"testing"
	"time"
)

// An aliased also finds its user by another name.
type aliased struct {
	lookAuth
	alias string
}

func (a *aliased) Lookup(ctx context.Context, name string) (Identity, error) {
	if name == a.alias {
		name = a.canonical
	}
	return a.lookAuth.Lookup(ctx, name)
}

// Two authenticators know an alice. One finds his by another name, too: the key of
// the other one must not log in under it.
func TestTheOtherNameOfANamesakeIsNobodysKey(t *testing.T) {
	first := &lookAuth{fakeAuth: fakeAuth{name: "first"}, canonical: "alice", groups: []string{"students"}}
	second := &aliased{lookAuth{fakeAuth: fakeAuth{name: "second"}, canonical: "alice", groups: []string{"staff"}}, "alice@corp"}
	as := Credentials{Name: "alice@corp", Address: addr(home)}
	if p, err := newDoorTo(t, nil, nil, first, second).ConnectAs(t.Context(), as); err == nil {
		t.Errorf("connects as %+v", p.id)
	}
	p, err := newDoorTo(t, nil, nil, second).ConnectAs(t.Context(), as)
	if err != nil {
		t.Fatal(err)
	}
	if p.User() != "alice" {
		t.Errorf("the only alice connects as %s", p.User())
	}
}

// A coded asks for a code after the right password.
type coded struct{ lookAuth }

func (a *coded) Converse(ctx context.Context, c Credentials, ask Ask) (Identity, error) {
	id, err := a.Authenticate(ctx, c)
	if err == nil {
		_, err = ask(ctx, Prompt{Text: "Code: "})
	}
	return id, err
}

// A thief logs in with the old password, and is slow to type his code: meanwhile
// the password is changed.
func TestAPasswordThatIsChangedDuringTheLoginProvesNothing(t *testing.T) {
	d := newDoorTo(t, nil, nil, &coded{lookAuth{fakeAuth: fakeAuth{name: "pam", user: "alice", password: "old"}, canonical: "alice"}})
	var change bool
	connect := func() *Proof {
		p, err := d.Connect(t.Context(), fromHome("", ""), func(_ context.Context, p Prompt) (string, error) {
			d.clock.Advance(time.Second)
			if change == (p.Text == "Code: ") {
				d.PasswordChanged(Identity{Name: "alice", Authenticator: "pam"})
			}
			d.clock.Advance(time.Second)
			return "old", nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	d.enter(over(connect(), "alice", "")) // changed before he types it
	change = true
	d.wantDenied(ReasonProofEnded, over(connect(), "alice", ""))
}

// The broker runs in a container, where the kernel has one number for all users of
// the machine outside.
func TestWhomTheKernelCannotNameIsNobody(t *testing.T) {
	u := &uidAuth{lookAuth{fakeAuth: fakeAuth{name: "pam"}, canonical: "nobody"}, 65534}
	if p, err := newDoorTo(t, nil, nil, u).ConnectUID(t.Context(), 65534, "nobody", addr(home)); err == nil {
		t.Errorf("connects as %s", p.User())
	}
}
