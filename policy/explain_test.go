package policy

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/x2broker/x2broker/schema"
)

func TestExplain(t *testing.T) {
	cat := site(t, map[string]schema.Access{
		"everyone": {Everyone: true},
		"mine":     {Users: []string{"bob", "alice"}},
		"staff":    {Groups: []string{"staff", "admins"}, From: []string{"exam", "10.1.0.0/16"}},
		"students": {Users: []string{"sam"}, Groups: []string{"students"}},
		"exam":     {Everyone: true, From: []string{"exam"}},
		"denied":   {Everyone: true, Deny: schema.Deny{Groups: []string{"interns", "staff"}, From: []string{"10.0.0.0/8"}}},
		"nobody":   {From: []string{"campus"}},
	})
	cat.Profiles["staff"].Access.Pos = map[string]schema.Position{"groups": {File: "staff.cue", Line: 3}}
	for id, l := range map[string]*schema.LegacyACL{
		"old-user":         {Users: schema.LegacyRule{Allow: []string{"alice"}, Deny: []string{"ALL"}, AllowFirst: true}, Groups: schema.LegacyRule{Deny: []string{"staff"}}},
		"old-everyone":     {Users: schema.LegacyRule{Allow: []string{"ALL"}}, Clients: schema.LegacyRule{Allow: []string{"10.0.0.0/8"}}},
		"old-denied":       {Users: schema.LegacyRule{Deny: []string{"alice"}}, Groups: schema.LegacyRule{Allow: []string{"staff"}}},
		"old-others":       {Users: schema.LegacyRule{Allow: []string{"bob"}, Deny: []string{"carol"}}, Groups: schema.LegacyRule{Allow: []string{"staff"}, Deny: []string{"all"}}},
		"old-place":        {Clients: schema.LegacyRule{Allow: []string{"192.0.2.0/24"}}},
		"old-denied-place": {Clients: schema.LegacyRule{Allow: []string{"ALL"}, Deny: []string{"10.1.2.3/32"}}},
		"old-nobody":       {Users: schema.LegacyRule{Deny: []string{"bob"}}},
		"old-nowhere":      {Clients: schema.LegacyRule{Deny: []string{"192.0.2.0/24"}}},
	} {
		l.Pos = map[string]schema.Position{"users.allow": {File: "old.cue", Line: 2}, "users.deny": {File: "old.cue", Line: 3}}
		cat.Profiles[id] = &schema.Profile{ID: id, Name: id, LegacyACL: l}
	}
	cat.Profiles["everyone"].Labels = map[string]string{"room": "lab"}
	cat.Params = map[string]any{"closes": 9}
	for _, tt := range []struct{ name, policy, want string }{
		{"built in", "", `
denied hidden [x2go.lib.access.visible]
	access.deny.groups has "staff"
	access.deny.from has "10.0.0.0/8"
everyone granted [x2go.lib.access.visible]
	access.everyone is true
exam hidden [x2go.lib.access.visible]
	access.from is ["exam"]; 10.1.2.3 is in "campus"
mine granted [x2go.lib.access.visible]
	access.users has "alice"
nobody hidden [x2go.lib.access.visible]
	access grants nobody
staff granted [x2go.lib.access.visible]
	staff.cue:3: access.groups has "staff"
	access.from has "10.1.0.0/16"
old-denied hidden [x2go.lib.access.visible]
	old.cue:3: legacyACL.users.deny has "alice"
old-denied-place hidden [x2go.lib.access.visible]
	legacyACL.clients.deny has "10.1.2.3/32"
old-everyone granted [x2go.lib.access.visible]
	old.cue:2: legacyACL.users.allow has "ALL"
	legacyACL.clients.allow has "10.0.0.0/8"
old-nobody hidden [x2go.lib.access.visible]
	legacyACL allows nobody
old-nowhere hidden [x2go.lib.access.visible]
	legacyACL allows nobody
old-others hidden [x2go.lib.access.visible]
	old.cue:2: legacyACL.users.allow is ["bob"]; the user is "alice"
	legacyACL.groups.deny has "all"
old-place hidden [x2go.lib.access.visible]
	legacyACL.clients.allow is ["192.0.2.0/24"]; the client is at 10.1.2.3
old-user granted [x2go.lib.access.visible]
	old.cue:2: legacyACL.users.allow has "alice"
students hidden [x2go.lib.access.visible]
	access.users is ["sam"]; the user is "alice"
	access.groups is ["students"]; alice is in "all", "staff"
`},
		{"a condition more", `package x2go.access

import data.x2go.lib

visible contains id if {
	lib.access.visible[id]
	not _closed(data.site.profiles[id])
}

_closed(profile) if {
	profile.labels.room == "lab"
	not _open
}

_open if input.time.hour < data.site.params.closes

_open if "admins" in input.user.groups
`, `
everyone hidden [policy/access.rego:5]
	policy/access.rego:11:2: x2go.access._closed: ` + "`profile.labels.room == \"lab\"`" + ` is true
	policy/access.rego:15:10: x2go.access._open: ` + "`input.time.hour < data.site.params.closes`" + ` is false: input.time.hour is 9, data.site.params.closes is 9
	policy/access.rego:17:10: x2go.access._open: ` + "`\"admins\" in input.user.groups`" + ` is false: input.user.groups is ["all", "staff"]
mine granted [policy/access.rego:5]
	access.users has "alice"
`},
		{"two rules", `package x2go.access

visible contains id if {
	some id in ["mine", "staff"]
	input.time.weekday == "sun"
}

visible contains "staff" if every group in input.user.groups { group != "staff" }

visible contains "exam" if count([n | some n in input.client.networks; n == "exam"]) > 0

visible contains id if {
	data.site.profiles[id].access.everyone
	id != "exam"
}
`, `
exam hidden [policy/access.rego:3 policy/access.rego:8 policy/access.rego:10 policy/access.rego:12]
	policy/access.rego:4:2: x2go.access.visible: ` + "`some id in [\"mine\", \"staff\"]`" + ` finds nothing: id is "exam"
	policy/access.rego:10:28: x2go.access.visible: ` + "`count([n | some n in input.client.networks; n == \"exam\"]) > 0`" + ` is false: [n | some n in input.client.networks; n == "exam"] is empty, count([n | some n in input.client.networks; n == "exam"]) is 0
	policy/access.rego:14:2: x2go.access.visible: ` + "`id != \"exam\"`" + ` is false: id is "exam"
`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files := map[string][]byte{}
			if tt.policy != "" {
				files = modules("access.rego", tt.policy)
			}
			e := engine(t, cat, files)
			for _, part := range strings.Split(tt.want, "\n") {
				id, _, _ := strings.Cut(part, " ")
				if cat.Profiles[id] == nil {
					continue
				}
				x, err := e.Explain(t.Context(), alice(), id)
				if err != nil {
					t.Fatal(err)
				}
				got := explained(x)
				if !strings.Contains(tt.want, "\n"+got) {
					t.Errorf("%s (-want +got):\n%s", id, cmp.Diff(tt.want, got))
				}
			}
		})
	}
}

func explained(x Explanation) string {
	var b strings.Builder
	verdict := "hidden"
	if x.Visible {
		verdict = "granted"
	}
	var rules []string
	for _, d := range x.Rules {
		if at := fmt.Sprintf("%s:%d", d.Pos.File, d.Pos.Line); !strings.HasPrefix(at, libraryDir) {
			rules = append(rules, at)
		} else {
			rules = append(rules, d.Rule)
		}
	}
	fmt.Fprintf(&b, "%s %s %s\n", x.Profile, verdict, rules)
	for _, c := range x.Because {
		if !x.Visible {
			fmt.Fprintf(&b, "\t%s: %s: %s\n", c.Pos, c.Rule, c)
		}
	}
	for _, g := range x.Access {
		if g.Pos.IsValid() {
			fmt.Fprintf(&b, "\t%s: %s\n", g.Pos, g.Text)
		} else {
			fmt.Fprintf(&b, "\t%s\n", g.Text)
		}
	}
	return b.String()
}

func TestExplainUnknownProfilesAndAddresses(t *testing.T) {
	e := engine(t, site(t, map[string]schema.Access{"a": {}}), nil)
	if _, err := e.Explain(t.Context(), alice(), "b"); err == nil {
		t.Error("explains a profile that is not there")
	}
	if _, err := e.Explain(t.Context(), Request{User: "alice"}, "a"); err == nil {
		t.Error("explains a request from nowhere")
	}
}

func TestAPolicyThatFailsIsExplained(t *testing.T) {
	e := engine(t, site(t, map[string]schema.Access{"a": {Everyone: true}}), modules("access.rego",
		"package x2go.access\n\nvisible contains id if net.cidr_contains(\"10.0.0.0/8\", data.site.profiles[id].name)\n"))
	x, err := e.Explain(t.Context(), alice(), "a")
	if err != nil || x.Visible || !strings.Contains(x.Error, "policy/access.rego:3:24") {
		t.Errorf("%+v, %v", x, err)
	}
	e.deadline = time.Nanosecond
	if x, err = e.Explain(t.Context(), alice(), "a"); err != nil || x.Visible || !strings.Contains(x.Error, "in time") {
		t.Errorf("%+v, %v", x, err)
	}
}

// What is explained is what is served: an explanation that says anything else,
// or nothing, is a lie.
func TestExplanationsAreTrue(tt *testing.T) {
	policies := []string{
		"",
		"visible contains id if {\n\tlib.access.visible[id]\n\tnot input.time.hour < 9\n}",
		"visible contains id if {\n\tsome id, p in data.site.profiles\n\tlib.access.granted(p)\n}\n\nvisible contains \"b\" if \"staff\" in input.user.groups",
		"visible contains id if {\n\tlib.access.visible[id]\n\tevery g in input.user.groups { g != \"interns\" }\n}",
		"visible contains id if {\n\tdata.site.profiles[id]\n\tcount({g | some g in input.user.groups; g in data.site.profiles[id].access.groups}) > 1\n}",
	}
	rapid.Check(tt, func(t *rapid.T) {
		groups := rapid.SliceOfN(rapid.SampledFrom([]string{"staff", "students", "interns"}), 0, 2)
		users := rapid.SliceOfN(rapid.SampledFrom([]string{"alice", "bob"}), 0, 1)
		places := rapid.SliceOfN(rapid.SampledFrom([]string{"campus", "exam", "192.0.2.0/24"}), 0, 2)
		access := map[string]schema.Access{}
		for _, id := range []string{"a", "b", "c"} {
			access[id] = schema.Access{
				Everyone: rapid.Bool().Draw(t, "everyone"), Users: users.Draw(t, "users"),
				Groups: groups.Draw(t, "groups"), From: places.Draw(t, "from"),
				Deny: schema.Deny{Users: users.Draw(t, "deny users"), Groups: groups.Draw(t, "deny groups"), From: places.Draw(t, "deny from")},
			}
		}
		cat := site(tt, access)
		for id, p := range cat.Profiles {
			if rapid.IntRange(0, 2).Draw(t, "legacy") == 0 {
				cat.Profiles[id] = &schema.Profile{ID: id, Name: p.Name, LegacyACL: randomLegacyACL(t)}
			}
		}
		policy := rapid.SampledFrom(policies).Draw(t, "policy")
		files := map[string][]byte{}
		if policy != "" {
			lib := ""
			if strings.Contains(policy, "lib.") {
				lib = "import data.x2go.lib\n\n"
			}
			files = modules("access.rego", "package x2go.access\n\n"+lib+policy+"\n")
		}
		e, ds := Compile(context.Background(), cat, files)
		if e == nil {
			t.Fatal(ds)
		}
		r := alice(from(rapid.SampledFrom([]string{"10.1.2.3", "10.9.1.1", "192.0.2.7", "2001:db8::1"}).Draw(t, "address")))
		r.Groups = groups.Draw(t, "of the user")
		r.Time = r.Time.Add(time.Duration(rapid.IntRange(-3, 3).Draw(t, "hours")) * time.Hour)
		for id := range access {
			profile, err := e.Sees(context.Background(), r, id)
			if err != nil {
				t.Fatal(err)
			}
			sees := profile != nil
			x, err := e.Explain(context.Background(), r, id)
			if err != nil || x.Error != "" || x.Visible != sees {
				t.Fatalf("%s: sees %v, explained %+v, %v", id, sees, x, err)
			}
			if len(x.Rules) == 0 || !sees && len(x.Because)+len(x.Access) == 0 {
				t.Fatalf("%s: nothing explains that it sees %v: %+v", id, sees, x)
			}
			for _, g := range x.Access {
				if denies(g.Field) && sees {
					t.Fatalf("%s is granted, and %s", id, g.Text)
				}
			}
		}
	})
}

func FuzzExplain(f *testing.F) {
	for _, rule := range []string{
		"visible contains id if some id, _ in data.site.profiles",
		"visible contains id if { not input.time.hour < 9; every g in input.user.groups { g != id } }",
		"visible contains id if { x := [y | y := data.site.profiles[id].access.groups[_]]; count(x) > 0 } else := 3",
		"f(x) := y if { y := x.name } else := 1\n\nvisible contains id if f(input.user) == f(data.site.profiles[id])",
		"visible contains id if { walk(data.site, [p, v]); v == id; not p[0] == \"x\" }",
		"visible contains id if { not { some g in input.user.groups; g == id }; _a.b[id] }\n\n_a.b[x] := 1 if x != \"b\"",
	} {
		f.Add(rule)
	}
	f.Fuzz(func(t *testing.T, rule string) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		files := modules("access.rego", "package x2go.access\n\nimport data.x2go.lib\n\n"+rule, "access_test.rego", "package x2go.access_test\n\ntest_a if data.x2go.access.visible.a\n\ntest_b if not data.x2go.access.visible.a\n")
		e, _ := Compile(ctx, site(t, map[string]schema.Access{"a": {Everyone: true}, "b": {Groups: []string{"a"}}}), files)
		if e == nil {
			return
		}
		e.deadline = 300 * time.Millisecond
		for _, id := range []string{"a", "b"} {
			profile, seesErr := e.Sees(ctx, alice(), id)
			sees := profile != nil
			x, err := e.Explain(ctx, alice(), id)
			if err != nil || strings.Contains(x.Error, "broke the evaluator") {
				t.Fatalf("%+v, %v", x, err)
			}
			if seesErr == nil && x.Error == "" && x.Visible != sees {
				t.Fatalf("sees %v, explained %+v", sees, x)
			}
		}
		report, err := Test(ctx, files)
		if err != nil || report.Tests() != 2 && !strings.Contains(rule, "test_") {
			t.Fatalf("%+v, %v", report, err)
		}
	})
}
