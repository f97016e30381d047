package legacy

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/x2broker/x2broker/policy"
	"github.com/x2broker/x2broker/schema"
)

func verify(t failer, i *Import, catalog *schema.Catalog) Verification {
	t.Helper()
	engine, diags := policy.Compile(context.Background(), catalog, nil)
	if engine == nil {
		t.Fatalf("%v", diags)
	}
	v, err := Verify(context.Background(), "profiles.conf", i.Profiles, catalog, engine)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return v
}

const oldProfiles = `[DEFAULT]
host=ts01

[staff]
name=Staff
acl-users-allow=root
acl-groups-allow=staff, labs
acl-groups-deny=interns

[campus]
name=Campus
acl-clients-allow=10/8, 2001:db8::/32
acl-clients-deny=10.9.0.0/255.255.0.0

[all]
name=All

[hidden]
name=Hidden
acl-users-deny=bob
`

func TestAnImportIsVerified(t *testing.T) {
	i := importTexts(t, "", oldProfiles)
	v := verify(t, i, compile(t, i))
	if len(v.Differences) > 0 || v.Profiles != 4 || v.Questions < 4 {
		t.Errorf("%+v", v)
	}
}

// What somebody changes in a site by hand is found, in whichever list it is.
func TestVerifyFindsEachBrokenRule(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(map[string]*schema.Profile)
		want   string
	}{
		"an allowed user is gone": {
			func(p map[string]*schema.Profile) { p["staff"].LegacyACL.Users.Allow = nil },
			`profiles.conf:4: staff: user "root", in no group that a list names, at 0.0.0.0: the old broker shows it, the site hides it`,
		},
		"a denied group more": {
			func(p map[string]*schema.Profile) {
				p["staff"].LegacyACL.Groups.Deny = append(p["staff"].LegacyACL.Groups.Deny, "labs")
			},
			`profiles.conf:4: staff: any other user, in labs, at 0.0.0.0: the old broker shows it, the site hides it`,
		},
		"the other order": {
			func(p map[string]*schema.Profile) { p["staff"].LegacyACL.Groups.AllowFirst = true },
			`profiles.conf:4: staff: any other user, in interns, labs, at 0.0.0.0: the old broker hides it, the site shows it`,
		},
		"a smaller network": {
			func(p map[string]*schema.Profile) { p["campus"].Access.From[0] = "10.0.0.0/9" },
			`profiles.conf:10: campus: any other user, in no group that a list names, at 10.128.0.0: the old broker shows it, the site hides it`,
		},
		"a denied network is gone": {
			func(p map[string]*schema.Profile) { p["campus"].Access.Deny.From = nil },
			`profiles.conf:10: campus: any other user, in no group that a list names, at 10.9.0.0: the old broker hides it, the site shows it`,
		},
		"one user denied": {
			func(p map[string]*schema.Profile) { p["all"].Access.Deny.Users = []string{"bob"} },
			`profiles.conf:15: all: user "bob", in no group that a list names, at 0.0.0.0: the old broker shows it, the site hides it`,
		},
		"a profile is gone": {
			func(p map[string]*schema.Profile) { delete(p, "all") },
			`profiles.conf:15: all: the site has no such profile`,
		},
		"a profile more": {
			func(p map[string]*schema.Profile) {
				p["new"] = &schema.Profile{ID: "new", Pos: schema.Position{File: "new.cue", Line: 3, Column: 1}}
			},
			`new.cue:3:1: new: the old file has no such profile`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			i := importTexts(t, "", oldProfiles)
			catalog := compile(t, i)
			tt.change(catalog.Profiles)
			var got []string
			for _, d := range verify(t, i, catalog).Differences {
				got = append(got, d.String())
			}
			if !strings.Contains(strings.Join(got, "\n")+"\n", tt.want+"\n") {
				t.Errorf("want\n%s\ngot\n%s", tt.want, strings.Join(got, "\n"))
			}
		})
	}
}

// The questions are enough: whenever one random ACL differs from what a site makes
// of another for anybody at all, they find it.
func TestVerifyMissesNothing(t *testing.T) {
	same, different := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		was, _ := ParseACL(randomOptions(t))
		now := was
		if rapid.IntRange(0, 3).Draw(t, "changed") > 0 {
			now, _ = ParseACL(randomOptions(t))
			switch rapid.IntRange(0, 2).Draw(t, "part") { // most of two random ACLs differ everywhere
			case 0:
				now.Users, now.Groups = was.Users, was.Groups
			case 1:
				now.Groups, now.Clients, now.allow, now.deny = was.Groups, was.Clients, was.allow, was.deny
			case 2:
				now.Users, now.Clients, now.allow, now.deny = was.Users, was.Clients, was.allow, was.deny
			}
		}
		profile := &schema.Profile{ID: "p", Name: "P"}
		if access, ok := now.Access(); ok && rapid.Bool().Draw(t, "access") {
			profile.Access = access
		} else {
			profile.LegacyACL = now.LegacyACL()
		}
		catalog := &schema.Catalog{
			Site: schema.Site{Name: "S", Timezone: "UTC", Location: time.UTC}, Profiles: map[string]*schema.Profile{"p": profile},
		}
		equal := true
		for _, user := range append(someUsers, "dave ", "nobody") {
			for set := range 1 << len(someGroups) {
				var groups []string
				for i, g := range someGroups {
					if set>>i&1 == 1 {
						groups = append(groups, g)
					}
				}
				for _, address := range someAddress {
					a := netip.MustParseAddr(address)
					equal = equal && was.Decide(user, groups, a) == now.Decide(user, groups, a)
				}
			}
		}
		v := verify(t, &Import{Profiles: []*Profile{{ID: "p", Line: 1, ACL: was}}}, catalog)
		if found := len(v.Differences) > 0; !equal && !found {
			t.Fatalf("%+v and %+v differ; %d questions find nothing", was, profile, v.Questions)
		}
		if equal {
			same++
		} else {
			different++
		}
		for _, d := range v.Differences {
			if was.Decide(d.User, d.Groups, d.Address) != d.Old || now.Decide(d.User, d.Groups, d.Address) != d.New || d.Old == d.New {
				t.Fatalf("%s: the old ACL says %v, the new one %v", d, was.Decide(d.User, d.Groups, d.Address), now.Decide(d.User, d.Groups, d.Address))
			}
		}
	})
	if same == 0 || different == 0 {
		t.Errorf("%d pairs are the same, %d differ", same, different)
	}
}

// An accepted loss is told as one.
func TestVerifyKnowsAcceptedLosses(t *testing.T) {
	i := importTexts(t, "", "[p]\nname=P\nhost=ts01\nacl-clients-allow=ALL\nacl-clients-deny=10.9.0.0/16,pc1.example.org\n")
	v := verify(t, i, compile(t, i))
	if len(v.Differences) != 1 || !v.Differences[0].Loss {
		t.Fatalf("%+v", v)
	}
	want := `profiles.conf:1: p: any other user, in no group that a list names, at 10.9.0.0: the old broker shows it, the site hides it: ` +
		"the old broker ignored the whole list of denied clients, because an entry is no address"
	if diff := cmp.Diff(want, v.Differences[0].String()); diff != "" {
		t.Error(diff)
	}
}

// BenchmarkVerify is of a file with a thousand profiles.
func BenchmarkVerify(b *testing.B) {
	var text strings.Builder
	text.WriteString("[DEFAULT]\nhost=ts01\n")
	for n := range 1000 {
		fmt.Fprintf(&text, "[p%d]\nname=P\nacl-users-allow=u%d,root\nacl-groups-allow=g%d,staff\nacl-groups-deny=interns\nacl-clients-allow=10.%d.0.0/16,2001:db8::/32\n", n, n, n, n%200)
	}
	i := importTexts(b, "", text.String())
	catalog := compile(b, i)
	engine, diags := policy.Compile(b.Context(), catalog, nil)
	if engine == nil {
		b.Fatal(diags)
	}
	for b.Loop() {
		v, err := Verify(b.Context(), "profiles.conf", i.Profiles, catalog, engine)
		if err != nil || len(v.Differences) > 0 {
			b.Fatal(v, err)
		}
		b.ReportMetric(float64(v.Questions), "questions")
	}
}
