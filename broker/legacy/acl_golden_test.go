package legacy

import (
	"path"
	"regexp"
	"runtime/debug"
	"slices"
	"testing"
	"testing/fstest"
	"time"

	"github.com/x2broker/x2broker/policy"
	"github.com/x2broker/x2broker/schema"
)

// shards is how many sites the recorded cases share.
const shards = 50

var section = regexp.MustCompile(`(?m)^\[(p\d+)\]$`)

// TestRecordedACLsThroughASite takes the recorded files the whole way: each is
// imported into a folder of a site that many share, with its ids made its own; the
// site is compiled, and its policies decide on each profile.
//
// A profile with a deny list that the old broker could not read and ignored is the
// one deviation: the site heeds the entries that can be read, so that it may hide
// what the old broker showed, see [ACL.Safe]. The import reports each as a loss.
func TestRecordedACLsThroughASite(t *testing.T) {
	cases := goldenCases(t)
	equal, deviating := 0, 0
	sites, policies := schema.NewCompiler(), new(policy.Compiler)
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // half of the time is garbage collection otherwise
	for n := range shards {
		shard := cases[n*len(cases)/shards : (n+1)*len(cases)/shards]
		engine := sharedSite(t, sites, policies, shard)
		for i := range shard {
			c := &shard[i]
			r := policy.Request{
				User: c.User, Groups: c.userGroups(), Account: c.User, Address: c.Address, Frontend: "plain", Time: time.Now(), Task: "list",
			}
			var got []string
			for id := range c.Profiles {
				switch p, err := engine.Sees(t.Context(), r, c.ID+"-"+id); {
				case err != nil:
					t.Fatal(err)
				case p != nil:
					got = append(got, id)
				}
			}
			slices.Sort(got)
			exact, want := slices.Sorted(slices.Values(c.Visible)), c.safelyVisible()
			if !slices.Equal(got, want) {
				t.Errorf("case %s: user %q in %q at %s sees %q in the site, want %q; the old broker showed %q\n%s",
					c.ID, c.User, c.userGroups(), c.Address, got, want, exact, c.SessionProfiles)
			} else if slices.Equal(got, exact) {
				equal++
			} else {
				deviating++
			}
		}
	}
	t.Logf("%d cases equal, %d hide a profile whose deny list the old broker ignored", equal, deviating)
	if equal != 4995 || deviating != 5 {
		t.Errorf("%d of %d cases are equal and %d deviate, want 4995 and 5", equal, len(cases), deviating)
	}
}

// safelyVisible is what the site is to show: what the old broker did, but for
// profiles whose deny list has an entry that is no address.
func (c *goldenCase) safelyVisible() []string {
	visible := slices.DeleteFunc(slices.Clone(c.Visible), func(id string) bool {
		acl, problems := ParseACL(c.options(id))
		unread := slices.ContainsFunc(problems, func(p Problem) bool { return p.Option == "acl-clients-deny" })
		return unread && !acl.Clients.AllowFirst && acl.deny.contain(c.Address)
	})
	slices.Sort(visible)
	return visible
}

// sharedSite is a site with the profiles of all the cases.
func sharedSite(t *testing.T, sites *schema.Compiler, policies *policy.Compiler, cases []goldenCase) *policy.Engine {
	t.Helper()
	tree := fstest.MapFS{}
	for _, c := range cases {
		i := importTexts(t, "[broker_inifile]\nenable=true\n", section.ReplaceAllString(c.SessionProfiles, "["+c.ID+"-$1]"))
		for name, data := range files(t, i) {
			if dir, base := path.Split(name); dir != "" {
				name = dir + "case" + c.ID + "/" + base
			}
			tree[name] = &fstest.MapFile{Data: data}
		}
	}
	catalog, diags := sites.Compile(t.Context(), tree)
	if len(diags) > 0 {
		t.Fatal(diags)
	}

	engine, diags := policies.Compile(t.Context(), catalog, nil)
	if len(diags) > 0 {
		t.Fatal(diags)
	}
	return engine
}
