package legacy

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/x2broker/x2broker/schema"
)

// allows decides by access as docs/site.md has it.
func allows(a schema.Access, user string, groups []string, address netip.Addr) bool {
	in := func(names []string) bool {
		return slices.ContainsFunc(groups, func(g string) bool { return slices.Contains(names, g) })
	}
	at := func(cidrs []string) bool {
		return slices.ContainsFunc(cidrs, func(c string) bool { return netip.MustParsePrefix(c).Contains(address) })
	}
	return (a.Everyone || slices.Contains(a.Users, user) || in(a.Groups)) && (len(a.From) == 0 || at(a.From)) &&
		!slices.Contains(a.Deny.Users, user) && !in(a.Deny.Groups) && !at(a.Deny.From)
}

// legacyAllows decides by legacyACL: its lists are those of an ACL.
func legacyAllows(l *schema.LegacyACL, user string, groups []string, address netip.Addr) bool {
	rule := func(r schema.LegacyRule) Rule { return Rule{r.Allow, r.Deny, r.AllowFirst} }
	a := ACL{Users: rule(l.Users), Groups: rule(l.Groups), Clients: rule(l.Clients)}
	a.allow, a.deny = readNetworks(l.Clients.Allow), readNetworks(l.Clients.Deny)
	return a.Decide(user, groups, address)
}

// The names and places of random ACLs, and who asks: somebody in each list, and
// somebody in none.
var (
	someUsers   = []string{"alice", "bob", "carol", ""}
	someGroups  = []string{"staff", "labs", "interns"}
	someClients = []string{"10.0.0.0/8", "10.0.0.0/16", "10.1.2.3", "10.1/16", "2001:db8::/32", "0.0.0.0/0", "::/0", "::ffff:10.1.2.3"}
	someAddress = []string{"10.0.0.1", "10.1.2.3", "10.9.0.1", "192.0.2.1", "2001:db8::1", "fd00::1"}
)

func randomOptions(t *rapid.T) map[string]string {
	options := map[string]string{}
	for _, kind := range []string{"users", "groups", "clients"} {
		entries := map[string][]string{
			"users": append(someUsers, all), "groups": append(someGroups, all, ""), "clients": append(someClients, all, "pc1.example.org"),
		}[kind]
		for _, list := range []string{"allow", "deny"} {
			drawn := rapid.SliceOfN(rapid.SampledFrom(entries), 0, 3).Draw(t, kind+" "+list)
			options["acl-"+kind+"-"+list] = strings.Join(drawn, ",")
		}
		options["acl-"+kind+"-order"] = rapid.SampledFrom([]string{"", "allow-deny", "deny-allow", "bogus"}).Draw(t, kind+" order")
	}
	return options
}

// Every combination of users, sets of groups and addresses is asked: what a site
// gets means the same, in one form or the other.
func TestASiteMeansWhatTheACLMeans(t *testing.T) {
	access := 0
	rapid.Check(t, func(t *rapid.T) {
		a, _ := ParseACL(randomOptions(t))
		if rapid.Bool().Draw(t, "safe") {
			a = a.Safe()
		}
		asAccess, ok := a.Access()
		legacy := a.LegacyACL()
		if ok {
			access++
		}
		for _, user := range append(someUsers, "dave ", "nobody") {
			for set := range 1 << len(someGroups) {
				var groups []string
				for i, g := range someGroups {
					if set>>i&1 == 1 {
						groups = append(groups, g)
					}
				}
				for _, text := range someAddress {
					address := netip.MustParseAddr(text)
					want := a.Decide(user, groups, address)
					if got := legacyAllows(legacy, user, groups, address); got != want {
						t.Fatalf("%q in %q at %s: legacyACL %+v says %v, the ACL %v", user, groups, address, legacy, got, want)
					}
					if got := allows(asAccess, user, groups, address); ok && got != want {
						t.Fatalf("%q in %q at %s: access %+v says %v, the ACL %v", user, groups, address, asAccess, got, want)
					}
				}
			}
		}
	})
	if access == 0 {
		t.Error("no ACL became access")
	}
}

// What a site gets of an ACL with entries that are no addresses never shows more
// than the old broker did, and differs only where such an entry is to deny.
func TestSafeShowsNoMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, problems := ParseACL(randomOptions(t))
		safe := a.Safe()
		deniesUnread := slices.ContainsFunc(problems, func(p Problem) bool { return p.Option == "acl-clients-deny" })
		for _, text := range someAddress {
			address := netip.MustParseAddr(text)
			for _, user := range someUsers {
				was, is := a.Decide(user, nil, address), safe.Decide(user, nil, address)
				if is && !was || is != was && !deniesUnread {
					t.Fatalf("%q at %s: %v before, %v now; problems %v", user, address, was, is, problems)
				}
			}
		}
	})
}

func TestAccessOfUsualACLs(t *testing.T) {
	for _, tt := range []struct {
		name    string
		options map[string]string
		want    schema.Access
		ok      bool
	}{
		{"none", nil, schema.Access{Everyone: true}, true},
		{"groups", map[string]string{"acl-groups-allow": "staff,labs"}, schema.Access{Groups: []string{"staff", "labs"}}, true},
		{"everybody but one", map[string]string{"acl-users-allow": "ALL", "acl-users-deny": "bob"}, schema.Access{Everyone: true, Deny: schema.Deny{Users: []string{"bob"}}}, true},
		{"one alone", map[string]string{"acl-users-allow": "bob", "acl-users-deny": "ALL", "acl-users-order": "allow-deny"}, schema.Access{Users: []string{"bob"}}, true},
		{
			"places",
			map[string]string{"acl-clients-allow": "10/8,ALL", "acl-clients-deny": "10.1.0.0/255.255.0.0"},
			schema.Access{Everyone: true, Deny: schema.Deny{From: []string{"10.1.0.0/16"}}},
			true,
		},
		{"only a deny list", map[string]string{"acl-users-deny": "bob"}, schema.Access{}, false},
		{"an allowed user in a denied group", map[string]string{"acl-users-allow": "bob", "acl-groups-allow": "staff", "acl-groups-deny": "interns"}, schema.Access{}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, problems := ParseACL(tt.options)
			got, ok := a.Access()
			if diff := cmp.Diff(tt.want, got, cmpopts.EquateEmpty()); diff != "" || ok != tt.ok || len(problems) > 0 {
				t.Errorf("ok %v, problems %v (-want +got):\n%s", ok, problems, diff)
			}
		})
	}
}
