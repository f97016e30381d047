package policy

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/x2broker/x2broker/schema"
)

func TestAccess(t *testing.T) {
	type deny = schema.Deny
	for _, tt := range []struct {
		name   string
		access schema.Access
		ask    []func(*Request)
		want   bool
	}{
		{name: "nobody is granted nothing", access: schema.Access{}},
		{name: "everyone", access: schema.Access{Everyone: true}, want: true},
		{name: "a user", access: schema.Access{Users: []string{"bob", "alice"}}, want: true},
		{name: "another user", access: schema.Access{Users: []string{"bob", "alic", "alicea"}}},
		{name: "names differ by case", access: schema.Access{Users: []string{"Alice"}}},
		{name: "a group", access: schema.Access{Groups: []string{"admins", "staff"}}, want: true},
		{name: "another group", access: schema.Access{Groups: []string{"admins"}}},
		{name: "a user's name is no group", access: schema.Access{Groups: []string{"alice"}}},
		{name: "a group's name is no user", access: schema.Access{Users: []string{"staff"}}},

		{name: "a network alone grants nobody", access: schema.Access{From: []string{"campus"}}},
		{name: "a cidr alone grants nobody", access: schema.Access{From: []string{"0.0.0.0/0"}}},
		{name: "from a network", access: schema.Access{Everyone: true, From: []string{"campus"}}, want: true},
		{name: "from another network", access: schema.Access{Everyone: true, From: []string{"exam"}}},
		{name: "from one of two", access: schema.Access{Everyone: true, From: []string{"exam", "campus"}}, want: true},
		{name: "from a cidr", access: schema.Access{Everyone: true, From: []string{"10.1.2.0/24"}}, want: true},
		{name: "from another cidr", access: schema.Access{Everyone: true, From: []string{"10.1.3.0/24"}}},
		{name: "from one address", access: schema.Access{Everyone: true, From: []string{"10.1.2.3/32"}}, want: true},
		{
			name: "from an IPv6 network", access: schema.Access{Everyone: true, From: []string{"campus"}},
			ask: []func(*Request){from("2001:db8:1::5")}, want: true,
		},
		{
			name: "from an IPv6 cidr", access: schema.Access{Everyone: true, From: []string{"2001:db8:1::/48"}},
			ask: []func(*Request){from("2001:db8:1::5")}, want: true,
		},
		{
			name: "from another IPv6 cidr", access: schema.Access{Everyone: true, From: []string{"2001:db8:2::/48"}},
			ask: []func(*Request){from("2001:db8:1::5")},
		},
		{
			name: "a mapped IPv4 address is that IPv4 address", access: schema.Access{Everyone: true, From: []string{"10.1.0.0/16"}},
			ask: []func(*Request){from("::ffff:10.1.2.3")}, want: true,
		},
		{
			name: "a mapped IPv4 address is in its network", access: schema.Access{Everyone: true, From: []string{"exam"}},
			ask: []func(*Request){from("::ffff:10.9.2.3")}, want: true,
		},
		{
			name: "all of IPv6 holds no IPv4", access: schema.Access{Everyone: true, From: []string{"::/0"}},
		},
		{
			name: "all of IPv4 holds no IPv6", access: schema.Access{Everyone: true, From: []string{"0.0.0.0/0"}},
			ask: []func(*Request){from("2001:db8::1")},
		},
		{
			name: "a zone does not keep an address out", access: schema.Access{Everyone: true, From: []string{"fe80::/10"}},
			ask: []func(*Request){from("fe80::1%eth0")}, want: true,
		},

		{name: "a denied user", access: schema.Access{Everyone: true, Deny: deny{Users: []string{"alice"}}}},
		{name: "a denied group", access: schema.Access{Everyone: true, Deny: deny{Groups: []string{"all"}}}},
		{name: "a denied network", access: schema.Access{Everyone: true, Deny: deny{From: []string{"campus"}}}},
		{name: "a denied cidr", access: schema.Access{Everyone: true, Deny: deny{From: []string{"10.1.0.0/16"}}}},
		{
			name: "a denied mapped address", access: schema.Access{Everyone: true, Deny: deny{From: []string{"10.1.0.0/16"}}},
			ask: []func(*Request){from("::ffff:10.1.2.3")},
		},
		{name: "deny wins over a name", access: schema.Access{Users: []string{"alice"}, Deny: deny{Groups: []string{"staff"}}}},
		{
			name:   "others denied",
			access: schema.Access{Everyone: true, Deny: deny{Users: []string{"bob"}, Groups: []string{"interns"}, From: []string{"exam"}}},
			want:   true,
		},
		{name: "deny alone grants nobody", access: schema.Access{Deny: deny{Users: []string{"bob"}}}},
		{
			name: "no groups at all", access: schema.Access{Groups: []string{"staff"}},
			ask: []func(*Request){func(r *Request) { r.Groups = nil }},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := engine(t, site(t, map[string]schema.Access{"office": tt.access}), nil)
			sees, err := seen(e.Sees(t.Context(), alice(tt.ask...), "office"))
			if err != nil || sees != tt.want {
				t.Errorf("Sees = %v, %v; want %v", sees, err, tt.want)
			}
			var want []string
			if tt.want {
				want = []string{"office"}
			}
			ids, failed := shown(e.Visible(t.Context(), alice(tt.ask...)))
			if len(failed) > 0 || !slices.Equal(ids, want) {
				t.Errorf("Visible = %v, %v; want %v", ids, failed, want)
			}
		})
	}
}

// model decides as design and docs put it, in Go.
func model(cat *schema.Catalog, a schema.Access, r Request) bool {
	address := r.Address.Unmap()
	user := func(name string) bool { return name == r.User }
	group := func(name string) bool { return slices.Contains(r.Groups, name) }
	place := func(name string) bool {
		if strings.Contains(name, "/") {
			return netip.MustParsePrefix(name).Contains(address)
		}
		for _, p := range cat.Networks[name].Prefixes {
			if p.Contains(address) {
				return true
			}
		}
		return false
	}
	granted := a.Everyone || slices.ContainsFunc(a.Users, user) || slices.ContainsFunc(a.Groups, group)
	here := len(a.From) == 0 || slices.ContainsFunc(a.From, place)
	denied := slices.ContainsFunc(a.Deny.Users, user) || slices.ContainsFunc(a.Deny.Groups, group) || slices.ContainsFunc(a.Deny.From, place)
	return granted && here && !denied
}

func TestAccessIsWhatTheModelSays(t *testing.T) {
	names := rapid.SliceOfN(rapid.SampledFrom([]string{"alice", "bob", "carol"}), 0, 2)
	groups := rapid.SliceOfN(rapid.SampledFrom([]string{"staff", "students", "interns"}), 0, 2)
	places := rapid.SliceOfN(rapid.SampledFrom([]string{"campus", "exam", "10.1.0.0/16", "2001:db8:1::/48", "0.0.0.0/0", "::/0"}), 0, 2)
	addresses := []string{"10.1.2.3", "10.9.0.1", "192.0.2.1", "::ffff:10.1.2.3", "2001:db8:1::1", "2001:db9::1"}

	rapid.Check(t, func(rt *rapid.T) {
		profiles := map[string]schema.Access{}
		for _, id := range []string{"a", "b", "c", "d"} {
			profiles[id] = schema.Access{
				Everyone: rapid.Bool().Draw(rt, "everyone"),
				Users:    names.Draw(rt, "users"), Groups: groups.Draw(rt, "groups"), From: places.Draw(rt, "from"),
				Deny: schema.Deny{Users: names.Draw(rt, "no users"), Groups: groups.Draw(rt, "no groups"), From: places.Draw(rt, "not from")},
			}
		}
		cat := site(t, profiles)
		e := engine(t, cat, nil)
		r := alice(from(rapid.SampledFrom(addresses).Draw(rt, "address")))
		r.Groups = groups.Draw(rt, "of groups")

		want := []string{}
		for _, id := range slices.Sorted(maps.Keys(profiles)) {
			sees, err := seen(e.Sees(t.Context(), r, id))
			if err != nil {
				rt.Fatal(err)
			}
			if sees != model(cat, profiles[id], r) {
				rt.Errorf("Sees(%s) = %v for %+v", id, sees, profiles[id])
			}
			if sees {
				want = append(want, id)
			}
		}
		ids, failed := shown(e.Visible(t.Context(), r))
		if len(failed) > 0 || !slices.Equal(ids, want) {
			rt.Errorf("Visible = %v, %v; Sees says %v", ids, failed, want)
		}
	})
}

func TestPoliciesSeeTheRequestInTheSitesTime(t *testing.T) {
	for _, tt := range []struct {
		name string
		ask  []func(*Request)
		want string
	}{
		{
			name: "winter",
			want: `{"account": "alice", "client": {"address": "10.1.2.3", "frontend": "plain", "networks": ["campus"]}, ` +
				`"task": "list", "time": {"date": "2026-03-02", "hour": 9, "minute": 30, "unix": 1772440200, "weekday": "mon"}, ` +
				`"user": {"groups": ["all", "staff"], "name": "alice"}}`,
		},
		{
			name: "summer, after midnight, two networks, groups twice",
			ask: []func(*Request){from("::ffff:10.9.0.1"), func(r *Request) {
				r.Time = time.Date(2026, 7, 4, 22, 5, 59, 0, time.UTC)
				r.Groups = []string{"b", "a", "b"}
			}},
			want: `{"account": "alice", "client": {"address": "10.9.0.1", "frontend": "plain", "networks": ["campus", "exam"]}, ` +
				`"task": "list", "time": {"date": "2026-07-05", "hour": 0, "minute": 5, "unix": 1783202700, "weekday": "sun"}, ` +
				`"user": {"groups": ["a", "b"], "name": "alice"}}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := engine(t, site(t, nil), nil)
			input, err := e.input(alice(tt.ask...))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, input.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}
