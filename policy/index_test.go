package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/x2broker/x2broker/schema"
)

func candidates(e *Engine, r Request) []string {
	address, _ := r.address()
	return e.index.candidates(r, address, networksOf(e.places, address))
}

// own is a site whose visibility is one rule.
func own(body string) map[string][]byte {
	imports := "\n"
	if strings.Contains(body, "lib.") {
		imports = "\nimport data.x2go.lib\n\n"
	}
	return modules("access.rego", "package x2go.access\n"+imports+body)
}

func TestThePolicyIsAskedAboutFewProfiles(t *testing.T) {
	profiles := map[string]schema.Access{
		"users":   {Users: []string{"alice"}},
		"groups":  {Groups: []string{"staff", "admins"}},
		"exam":    {Everyone: true, From: []string{"exam"}},
		"cidr":    {Everyone: true, From: []string{"10.1.0.0/16"}},
		"v6":      {Everyone: true, From: []string{"2001:db8:1::/48"}},
		"open":    {Everyone: true},
		"denied":  {Groups: []string{"staff"}, Deny: schema.Deny{Users: []string{"alice"}}},
		"others":  {Users: []string{"bob"}, Groups: []string{"students"}},
		"nobody":  {},
		"network": {From: []string{"campus"}},
	}
	for _, tt := range []struct {
		name  string
		files map[string][]byte
		ask   func(*Request)
		want  []string
	}{
		{name: "alice on campus", want: []string{"cidr", "denied", "groups", "open", "users"}},
		{name: "in the exam", ask: from("10.9.0.1"), want: []string{"denied", "exam", "groups", "open", "users"}},
		{name: "by IPv6", ask: from("2001:db8:1::7"), want: []string{"denied", "groups", "open", "users", "v6"}},
		{name: "bob", ask: func(r *Request) { r.User, r.Groups = "bob", nil }, want: []string{"cidr", "open", "others"}},
		{
			name:  "a rule of the site's own",
			files: own("visible contains id if {\n\tlib.access.visible[id]\n\tinput.time.hour < 20\n\tnot closed\n}\n\nclosed if input.time.weekday == \"sun\""),
			want:  []string{"cidr", "denied", "groups", "open", "users"},
		},
		{
			name:  "a user in a set",
			files: own(`visible contains id if {` + "\n" + `some id, p in data.site.profiles` + "\n" + `input.user.name in {"bob", p.name}` + "\n}"),
			ask:   func(r *Request) { r.User = "open" },
			want:  []string{"open"},
		},
		{
			name: "one of the user's groups",
			files: own(`visible contains id if {
				some id, p in data.site.profiles
				some g in input.user.groups
				g in p.access.groups
			}`),
			want: []string{"denied", "groups"},
		},
		{
			name: "an account, a frontend and a task",
			files: own(`visible contains "open" if input.account == "alice"

			visible contains "exam" if input.client.frontend == "ssh"

			visible contains "cidr" if input.task == "list"`),
			want: []string{"cidr", "open"},
		},
		{
			name:  "what has no condition to look up",
			files: own("visible contains \"open\" if startswith(input.user.name, \"a\")"),
			ask:   func(r *Request) { r.User = "zoe" },
			want:  []string{"open"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := alice()
			if tt.ask != nil {
				tt.ask(&r)
			}
			e := engine(t, site(t, profiles), tt.files)
			if diff := cmp.Diff(tt.want, candidates(e, r)); diff != "" {
				t.Errorf("candidates (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOfSeveralConditionsTheRarestIsLookedUp(t *testing.T) {
	profiles := map[string]schema.Access{"rare": {Groups: []string{"students"}, From: []string{"exam"}}}
	for i := range 5 {
		profiles[fmt.Sprint("common", i)] = schema.Access{Users: []string{"bob"}, Groups: []string{"students"}}
	}
	e := engine(t, site(t, profiles), nil)
	student := alice(func(r *Request) { r.Groups = []string{"students"} })
	if got := candidates(e, student); slices.Contains(got, "rare") {
		t.Errorf("candidates %v; want none that needs the exam's network", got)
	}
}

// As where every profile names two administrators and all networks of the site.
func TestPeopleAreLookedUpBeforeTheNetworksTheyComeFrom(t *testing.T) {
	profiles := map[string]schema.Access{}
	for i := range 20 {
		profiles[fmt.Sprint("desktop", i)] = schema.Access{
			Users: []string{"root", "admin"}, Groups: []string{"admins", fmt.Sprint("group", i)}, From: []string{"campus", "192.0.2.0/24"},
		}
	}
	e := engine(t, site(t, profiles), nil)
	member := alice(func(r *Request) { r.Groups = []string{"group7"} })
	if diff := cmp.Diff([]string{"desktop7"}, candidates(e, member)); diff != "" {
		t.Errorf("candidates (-want +got):\n%s", diff)
	}
}

// OPA's partial evaluation drops conjunctions that cannot be well typed, negated
// ones too; see untyped.
func TestAComparisonOfDifferentTypesMayBeNegated(t *testing.T) {
	cat := site(t, map[string]schema.Access{"office": {}})
	e := engine(t, cat, own(`visible contains id if {
		some id, profile in data.site.profiles
		not count(input.user.groups) == profile.name
	}`))
	if ids, failed := shown(e.Visible(t.Context(), alice())); !slices.Equal(ids, []string{"office"}) {
		t.Errorf("Visible = %v, %v", ids, failed)
	}
}

// Partial evaluation leaves rules with else as they are, and with them what they
// read.
func TestAnAnswerDependsOnWhatElseReads(t *testing.T) {
	cat := site(t, map[string]schema.Access{"office": {}})
	e := engine(t, cat, own(`visible contains id if {
		some id, _ in data.site.profiles
		level == "high"
	}

	level := "low" if {
		input.user.name == "bob"
	} else := "high"`))
	for _, user := range []string{"alice", "bob", "carol"} {
		ids, failed := shown(e.Visible(t.Context(), alice(func(r *Request) { r.User = user })))
		if (len(ids) == 1) != (user != "bob") {
			t.Errorf("%s: Visible = %v, %v", user, ids, failed)
		}
	}
}

// manyProfiles make the forms slow that are to be found.
func manyProfiles(t *testing.T) *schema.Catalog {
	profiles := map[string]schema.Access{}
	for i := range 250 {
		profiles[fmt.Sprintf("p%03d", i)] = schema.Access{Groups: []string{"staff"}}
	}
	return site(t, profiles)
}

func TestASlowFormIsNamedAndServedAllTheSame(t *testing.T) {
	for _, tt := range []struct{ name, rules, want string }{
		{
			"a loop over what is visible",
			"visible contains id if {\n\tsome id in lib.access.visible\n\tinput.time.hour > 3\n}",
			"policy/access.rego:6:2: warning: x2go.access.visible: this goes through all visible profiles each time that one is asked about: " +
				"every request is slow, and the slower the more profiles there are (now 250); write lib.access.visible[id] with the id at hand",
		},
		{
			"a loop over all profiles",
			"visible contains id if {\n\tlib.access.visible[id]\n\tsome other in data.site.profiles\n\tlib.access.granted(other)\n}",
			"policy/access.rego:5:1: warning: x2go.access.visible: one profile takes too long to be prepared for: " +
				"every request is slow, and the slower the more profiles there are (now 250); " +
				"decide from the profile at hand, data.site.profiles[id], and go through no others",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, ds := warned(t, manyProfiles(t), own(tt.rules))
			if len(ds) != 1 || ds[0].String() != tt.want {
				t.Errorf("diagnostics %v\nwant %s", ds, tt.want)
			}
			if n := len(candidates(e, alice())); n != 250 {
				t.Errorf("%d candidates, want all", n)
			}
			e.deadline = time.Hour // that it takes long is the point
			if ids, failed := shown(e.Visible(t.Context(), alice())); len(ids) != 250 || len(failed) > 0 {
				t.Errorf("%d visible, %d failed", len(ids), len(failed))
			}
		})
	}
}

func TestALookupOfWhatTheLibraryShowsIsNotSlow(t *testing.T) {
	engine(t, manyProfiles(t), own("visible contains id if lib.access.visible[id]"))
}

func TestOneProfileThatTakesLongDoesNotMakeTheSiteSlow(t *testing.T) {
	cat := three(t)
	e := engine(t, cat, own(`visible contains id if {
		lib.access.visible[id]
		not slow(id)
	}

	slow("a") if `+endless))
	nobody := alice(func(r *Request) { r.User = "nobody" })
	if got := candidates(e, nobody); !slices.Contains(got, "a") {
		t.Errorf("candidates %v; want a, of which nothing is known", got)
	}
}

// changes are what a commit may do to a site.
func randomChange(rt *rapid.T, cat *schema.Catalog) *schema.Catalog {
	next := *cat
	next.Profiles = map[string]*schema.Profile{}
	for id, p := range cat.Profiles {
		same := *p // equal, but not the same
		next.Profiles[id] = &same
	}
	id := fmt.Sprintf("p%d", rapid.IntRange(0, 7).Draw(rt, "of"))
	switch rapid.IntRange(0, 3).Draw(rt, "change") {
	case 0:
		delete(next.Profiles, id)
	case 1:
		next.Profiles[id] = randomProfile(rt, id)
	case 2:
		next.Params = maps.Clone(cat.Params)
		next.Params["names"] = []any{rapid.SampledFrom(someUsers).Draw(rt, "named now")}
	}
	return &next
}

func TestARuleOfTheSitesOwnTellsProfilesOfTheSameAccessApart(t *testing.T) {
	profiles := map[string]schema.Access{}
	for i := range 3 * sampleSize {
		profiles[fmt.Sprintf("p%02d", i)] = schema.Access{Everyone: true}
	}
	e := engine(t, site(t, profiles), own(`visible contains id if {
		some id, profile in data.site.profiles
		input.user.name == profile.name
	}`))
	for id := range profiles {
		ids, _ := shown(e.Visible(t.Context(), alice(func(r *Request) { r.User = id })))
		if !slices.Equal(ids, []string{id}) {
			t.Errorf("%s sees %v", id, ids)
		}
	}
}

// TestTheLibraryDecidesByAccessAlone is what lets profiles of the same access
// share what partial evaluation finds out.
func TestTheLibraryDecidesByAccessAlone(t *testing.T) {
	empty := site(t, nil)
	m, _ := compileModules(t.Context(), nil)
	rapid.Check(t, func(rt *rapid.T) {
		cat := randomSite(rt, empty)
		for _, p := range slices.Collect(maps.Values(cat.Profiles)) {
			twin := *p
			twin.ID, twin.Name, twin.Icon, twin.Labels = "twin-"+p.ID, "Twin", "x", map[string]string{"room": "9", "exam": "y"}
			twin.Settings, twin.Servers = []schema.Setting{{Key: "dpi", Value: 96}}, []string{"ts"}
			cat.Profiles[twin.ID] = &twin
		}
		data, err := newSiteData(cat, nil)
		if err != nil {
			rt.Fatal(err)
		}
		p := newPartial(m, data, newStore(data))
		shared, _ := p.all(t.Context(), data.ids, nil)
		for _, id := range data.ids {
			alone := p.one(t.Context(), id)
			if !alone.residue.equal(shared[id].residue) || alone.unclear != shared[id].unclear || len(alone.paths) > 0 {
				rt.Errorf("%s: shared %+v, alone %+v", id, shared[id], alone)
			}
		}
	})
}

func TestCompilingAgainIsCompilingAfresh(t *testing.T) {
	empty := site(t, nil)
	rapid.Check(t, func(rt *rapid.T) {
		cat, files := randomSite(rt, empty), randomPolicy(rt)
		c := new(Compiler)
		for range 2 {
			got, gotDiagnostics := c.Compile(t.Context(), cat, files)
			want, wantDiagnostics := Compile(t.Context(), cat, files)
			if diff := cmp.Diff(wantDiagnostics, gotDiagnostics); diff != "" {
				rt.Fatal(diff)
			}
			if diff := cmp.Diff(want.index, got.index, cmp.AllowUnexported(index{}, atom{}), cmp.Comparer(samePrefix)); diff != "" || want.listingReads != got.listingReads {
				rt.Fatalf("reads %b and %b, index (-fresh +again):\n%s", want.listingReads, got.listingReads, diff)
			}
			agree(rt, t, got, newPlainly(t, cat, files), randomRequest(rt))
			cat = randomChange(rt, cat)
			if rapid.IntRange(0, 5).Draw(rt, "other policies") == 0 {
				files = randomPolicy(rt)
			}
		}
	})
}

func TestKeptFactsAreThoseOfAFreshCompilation(t *testing.T) {
	empty := site(t, nil)
	rapid.Check(t, func(rt *rapid.T) {
		cat, files := randomSite(rt, empty), randomPolicy(rt)
		before, after := new(Compiler), new(Compiler)
		want, _ := before.Compile(t.Context(), cat, files)
		before.Compile(t.Context(), randomChange(rt, cat), files) // as a commit that is refused later
		kept, err := want.Cache()
		if err != nil {
			rt.Fatal(err)
		}
		if err := after.UseCache(kept); err != nil {
			rt.Fatal(err)
		}
		taken := maps.Clone(after.kept)
		got, _ := after.Compile(t.Context(), cat, files)
		if diff := cmp.Diff(want.index, got.index, cmp.AllowUnexported(index{}, atom{}), cmp.Comparer(samePrefix)); diff != "" || want.listingReads != got.listingReads {
			rt.Fatalf("reads %b and %b, index (-fresh +kept):\n%s", want.listingReads, got.listingReads, diff)
		}
		for id, f := range taken {
			if after.last.facts[id] != f {
				rt.Errorf("profile %q was evaluated again", id)
			}
		}
	})
}

// Lists of the Python broker leave conditions for the index as access does: only
// those are asked about that the user may see.
func TestTheIndexKnowsLegacyACLs(t *testing.T) {
	e := engine(t, oldCampus(t, 100), nil)
	address, _ := alice().address()
	ids := e.index.candidates(alice(), address, networksOf(e.places, address))
	if len(e.index.always) > 0 || len(ids) != 20 {
		t.Errorf("%d profiles of 100 are always asked about, %d for alice, who sees 20", len(e.index.always), len(ids))
	}
	if ids := e.index.candidates(alice(func(r *Request) { r.User, r.Groups = "sam", nil }), address, nil); len(ids) > 0 {
		t.Errorf("%d profiles are asked about for somebody whom no list names", len(ids))
	}
}
