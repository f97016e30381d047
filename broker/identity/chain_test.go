package identity

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNewChain(t *testing.T) {
	none, err := NewNone(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		members []Authenticator
		want    string
	}{
		"nobody":           {nil, "none configured"},
		"none with others": {[]Authenticator{&fakeAuth{name: "a"}, none}, "must be the only one"},
		"two of one name":  {[]Authenticator{&fakeAuth{name: "a"}, &fakeAuth{name: "a"}}, `two are named "a"`},
		"without a name":   {[]Authenticator{&fakeAuth{}}, `name ""`},
		"name too long":    {[]Authenticator{&fakeAuth{name: strings.Repeat("a", 65)}}, "1 to 64 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := NewChain(tc.members...); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
		})
	}
}

func TestTheFirstThatKnowsTheNameDecides(t *testing.T) {
	broken := errors.New("directory on fire")
	for name, tc := range map[string]struct {
		first, second *fakeAuth
		want          Identity
		wantErr       error
		secondAsked   int
	}{
		"known to the first": {
			first:  &fakeAuth{user: "alice", password: "pw"},
			second: &fakeAuth{user: "alice", password: "pw"},
			want:   Identity{Name: "alice", Groups: []string{"a", "z"}, Authenticator: "first"},
		},
		"known to the second only": {
			first:       &fakeAuth{user: "bob", password: "pw"},
			second:      &fakeAuth{user: "alice", password: "pw"},
			want:        Identity{Name: "alice", Groups: []string{"a", "z"}, Authenticator: "second"},
			secondAsked: 1,
		},
		"a wrong password ends the search": {
			first:   &fakeAuth{user: "alice", password: "other"},
			second:  &fakeAuth{user: "alice", password: "pw"},
			wantErr: ErrWrongPassword,
		},
		"an error ends the search": {
			first:   &fakeAuth{err: broken},
			second:  &fakeAuth{user: "alice", password: "pw"},
			wantErr: broken,
		},
		"unknown to both": {
			first:       &fakeAuth{user: "bob"},
			second:      &fakeAuth{user: "carol"},
			wantErr:     ErrUnknownUser,
			secondAsked: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			tc.first.name, tc.second.name = "first", "second"
			c := newChain(t, tc.first, tc.second)
			got, err := c.Authenticate(t.Context(), Credentials{Name: "alice", Password: "pw", Ticket: "x"})
			if !errors.Is(err, tc.wantErr) {
				t.Fatalf("error %v, want %v", err, tc.wantErr)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("identity (-want +got):\n%s", diff)
			}
			if tc.second.asked != tc.secondAsked {
				t.Errorf("the second was asked %d times, want %d", tc.second.asked, tc.secondAsked)
			}
			if tc.first.sawTicket || tc.second.sawTicket {
				t.Error("an authenticator saw the ticket")
			}
		})
	}
}

func TestNoAuthenticatorSeesAnEmptyPassword(t *testing.T) {
	ldap := &fakeAuth{name: "ldap", user: "alice", password: ""} // an anonymous bind succeeds
	_, err := newChain(t, ldap).Authenticate(t.Context(), Credentials{Name: "alice"})
	if !errors.Is(err, ErrNoPassword) || ldap.asked != 0 {
		t.Errorf("error %v after %d questions, want ErrNoPassword after none", err, ldap.asked)
	}
}

type namelessAuth struct{ fakeAuth }

func (*namelessAuth) Authenticate(context.Context, Credentials) (Identity, error) {
	return Identity{}, nil
}

func TestAnIdentityWithoutANameIsADenial(t *testing.T) {
	c := newChain(t, &namelessAuth{fakeAuth{name: "odd"}})
	if id, err := c.Authenticate(t.Context(), Credentials{Name: "alice", Password: "pw"}); err == nil {
		t.Errorf("let in as %v", id)
	}
}

func TestChainTakesTheSameRoundsWhoeverKnowsTheName(t *testing.T) {
	one, rounds1 := newStatic(t, StaticConfig{Name: "one", Users: map[string]StaticUser{
		"weak":   {Hash: hashOf(t, "right", 4)},
		"strong": {Hash: hashOf(t, "right", 6)},
	}})
	two, rounds2 := newStatic(t, StaticConfig{Name: "two", Users: map[string]StaticUser{
		"other": {Hash: hashOf(t, "right", 5)},
	}})
	c := newChain(t, one, two)
	for _, name := range []string{"weak", "strong", "other", "unknown"} {
		rounds1.Store(0)
		rounds2.Store(0)
		if _, err := c.Authenticate(t.Context(), Credentials{Name: name, Password: "wrong"}); err == nil {
			t.Fatalf("%s: let in", name)
		}
		if got1, got2 := rounds1.Load(), rounds2.Load(); got1 != 1<<6 || got2 != 1<<5 {
			t.Errorf("%s: %d and %d rounds, want 64 and 32", name, got1, got2)
		}
	}
}

func TestLookupAsksTheOneAuthenticator(t *testing.T) {
	can := &lookAuth{fakeAuth: fakeAuth{name: "can"}, canonical: "alice", groups: []string{"b", "a", "b"}}
	c := newChain(t, &fakeAuth{name: "cannot", user: "alice"}, can)

	got, err := c.Lookup(t.Context(), "can", "alice")
	want := Identity{Name: "alice", Groups: []string{"a", "b"}, Authenticator: "can"}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("error %v, identity (-want +got):\n%s", err, diff)
	}
	for _, q := range [][2]string{{"can", "bob"}, {"cannot", "alice"}, {"gone", "alice"}, {"", ""}} {
		if id, err := c.Lookup(t.Context(), q[0], q[1]); !errors.Is(err, ErrUnknownUser) {
			t.Errorf("Lookup(%q) = %v, %v", q, id, err)
		}
	}
	if !c.CanLookup("can") || c.CanLookup("cannot") || c.CanLookup("gone") {
		t.Error("CanLookup is wrong")
	}
}

func TestNone(t *testing.T) {
	for name, tc := range map[string]struct {
		from []string
		addr netip.Addr
		ok   bool
	}{
		"by default loopback":                     {nil, addr("127.0.0.5"), true},
		"by default IPv6 loopback":                {nil, addr("::1"), true},
		"by default IPv4 loopback in IPv6":        {nil, addr("::ffff:127.0.0.1"), true},
		"by default nobody else":                  {nil, addr("192.0.2.1"), false},
		"by default no IPv6 neighbour":            {nil, addr("::2"), false},
		"listed":                                  {[]string{"192.0.2.0/24"}, addr("192.0.2.1"), true},
		"listed, written as IPv6":                 {[]string{"192.0.2.0/24"}, addr("::ffff:192.0.2.1"), true},
		"not listed":                              {[]string{"192.0.2.0/24"}, addr("198.51.100.1"), false},
		"a list leaves loopback out":              {[]string{"192.0.2.0/24"}, addr("127.0.0.1"), false},
		"an IPv4 client is not in all of IPv6":    {[]string{"::/0"}, addr("192.0.2.1"), false},
		"link-local with a zone":                  {[]string{"fe80::/10"}, addr("fe80::1%eth0"), true},
		"a client without an address is nowhere":  {[]string{"0.0.0.0/0", "::/0"}, netip.Addr{}, false},
		"a client without an address, by default": {nil, netip.Addr{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			var from []netip.Prefix
			for _, f := range tc.from {
				from = append(from, netip.MustParsePrefix(f))
			}
			n, err := NewNone(from, []string{"guests"})
			if err != nil {
				t.Fatal(err)
			}
			for _, user := range []string{"alice", ""} {
				got, err := newChain(t, n).Authenticate(t.Context(), Credentials{Name: user, Address: tc.addr})
				if !tc.ok {
					if !errors.Is(err, ErrAddress) {
						t.Errorf("got %v, %v, want ErrAddress", got, err)
					}
					continue
				}
				want := Identity{Name: user, Groups: []string{"guests"}, Authenticator: "none"}
				if diff := cmp.Diff(want, got); err != nil || diff != "" {
					t.Errorf("error %v, identity (-want +got):\n%s", err, diff)
				}
			}
		})
	}
}

func TestNoneRefusesPrefixesThatMatchNobody(t *testing.T) {
	for _, p := range []netip.Prefix{{}, netip.MustParsePrefix("::ffff:192.0.2.0/120")} {
		if _, err := NewNone([]netip.Prefix{p}, nil); err == nil {
			t.Errorf("%v was taken", p)
		}
	}
}
