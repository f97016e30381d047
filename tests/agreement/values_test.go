//go:build plain

package agreement_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/x2broker/x2broker/schema"
)

// values is what `cue export` prints of an instance, as far as a catalog has it
// too. What a site does not say has no value here, though it has a default there.
type values struct {
	Site     struct{ Name, Timezone string }
	Networks map[string][]string
	Params   map[string]any
	Servers  map[string]*struct {
		Address, Hostname, State string
		Port, Weight             int
		Capacity                 struct{ Sessions int }
		Labels                   map[string]string
		HostKeys                 []string
	}
	Profiles map[string]*profile
}

type profile struct {
	Name, Icon               string
	Autologin, UseBrokerPass bool
	Labels                   map[string]string
	X2Go                     map[string]any
	Hosts                    struct{ IDs []string }
	Access                   struct {
		Everyone            bool
		Users, Groups, From []string
		Deny                struct{ Users, Groups, From []string }
	}
}

// siteDirs are the directories with files of package site, parents first, as
// arguments of cue.
func siteDirs(files map[string][]byte) []string {
	var dirs []string
	for name, data := range files {
		if path.Ext(name) == ".cue" && packageSite.Match(data) && !skipped.MatchString(name) {
			dirs = append(dirs, "./"+path.Dir(name))
		}
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

var (
	packageSite = regexp.MustCompile(`(?m)^package site\b`)
	skipped     = regexp.MustCompile(`(^|/)[._]`) // by cue and by check
)

// exported joins the documents that `cue export` prints, one for each directory,
// parents first: the first that has an id contributes it.
func exported(t *testing.T, text string) values {
	t.Helper()
	var out values
	d := json.NewDecoder(strings.NewReader(text))
	for first := true; ; first = false {
		var v values
		err := d.Decode(&v)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if first {
			out = v
			continue
		}
		for id, p := range v.Profiles {
			if out.Profiles == nil {
				out.Profiles = map[string]*profile{}
			}
			if out.Profiles[id] == nil {
				out.Profiles[id] = p
			}
		}
	}
}

// compareValues demands that the catalog says what cue says.
func compareValues(t *testing.T, text string, catalog *schema.Catalog) {
	t.Helper()
	said := exported(t, text)
	same := func(what string, want, got any) {
		t.Helper()
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-cue +check):\n%s", what, diff)
		}
	}
	same("site", said.Site.Name, catalog.Site.Name)
	if len(said.Params)+len(catalog.Params) > 0 {
		same("params", plainJSON(t, said.Params), plainJSON(t, catalog.Params))
	}
	for name, prefixes := range said.Networks {
		var got []string
		for _, p := range catalog.Networks[name].Prefixes {
			got = append(got, p.String())
		}
		same("networks."+name, prefixes, got)
	}
	same("number of servers", len(said.Servers), len(catalog.Servers))
	for id, want := range said.Servers {
		got := catalog.Servers[id]
		if got == nil {
			t.Errorf("no server %s", id)
			continue
		}
		same(id+".address", or(want.Address, id), got.Address)
		same(id+".hostname", or(want.Hostname, id), got.Hostname)
		same(id+".state", or(want.State, "active"), string(got.State))
		same(id+".port", or(want.Port, 22), got.Port)
		same(id+".weight", or(want.Weight, 100), got.Weight)
		same(id+".capacity", want.Capacity.Sessions, got.Sessions)
		same(id+".labels", want.Labels, got.Labels)
		same(id+".hostKeys", want.HostKeys, got.HostKeys)
	}
	same("number of profiles", len(said.Profiles), len(catalog.Profiles))
	for id, want := range said.Profiles {
		if catalog.Profiles[id] == nil {
			t.Errorf("no profile %s", id)
			continue
		}
		same(id, want, asExported(t, catalog.Profiles[id], want))
	}
}

// asExported writes a profile of the catalog as cue does, with the client keys
// and servers that want has.
func asExported(t *testing.T, p *schema.Profile, want *profile) *profile {
	t.Helper()
	out := &profile{Name: p.Name, Icon: p.Icon, Autologin: p.Autologin, UseBrokerPass: p.UseBrokerPass, Labels: p.Labels}
	out.Access.Everyone, out.Access.Users, out.Access.Groups, out.Access.From = p.Access.Everyone, p.Access.Users, p.Access.Groups, p.Access.From
	out.Access.Deny.Users, out.Access.Deny.Groups, out.Access.Deny.From = p.Access.Deny.Users, p.Access.Deny.Groups, p.Access.Deny.From
	out.X2Go = map[string]any{}
	for _, s := range p.Settings {
		if _, said := want.X2Go[s.Key]; said {
			out.X2Go[s.Key] = plainJSON(t, s.Value)
		}
	}
	if len(want.Hosts.IDs) > 0 {
		slices.Sort(want.Hosts.IDs)
		out.Hosts.IDs = p.Servers
	}
	return out
}

func or[T comparable](value, def T) T {
	var zero T
	if value == zero {
		return def
	}
	return value
}

// plainJSON makes values of different Go types alike if they say the same.
func plainJSON(t *testing.T, v any) any {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	var out any
	if err := d.Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}
