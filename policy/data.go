package policy

import (
	"fmt"
	"maps"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage"

	"github.com/x2broker/x2broker/schema"
)

// siteData is the catalog as policies see it at data.site. What of it is equal to
// that of an earlier catalog is the same value, so that comparing pointers tells
// what has changed.
type siteData struct {
	catalog  *schema.Catalog
	parts    map[string]*ast.Term // "params": its value
	profiles map[string]*ast.Term // by id
	ids      []string             // of the profiles, sorted
	changed  []string             // ids of profiles that are new, gone or not as before
	value    ast.Value
}

// newSiteData gives the catalog to policies. Keys are those of the site's CUE
// files; profiles carry the ids of their servers in place of the hosts that name
// them, and sets stay arrays. Before is the data of an earlier catalog, or nil.
func newSiteData(cat *schema.Catalog, before *siteData) (*siteData, error) {
	if before == nil {
		before = &siteData{catalog: &schema.Catalog{}}
	}
	networks := make(map[string]any, len(cat.Networks))
	for name, n := range cat.Networks {
		cidrs := make([]any, len(n.Prefixes))
		for i, p := range n.Prefixes {
			cidrs[i] = p.String()
		}
		networks[name] = cidrs
	}
	servers := make(map[string]any, len(cat.Servers))
	for id, s := range cat.Servers {
		servers[id] = serverData(s)
	}
	params := cat.Params
	if params == nil {
		params = map[string]any{}
	}
	d := &siteData{catalog: cat, parts: make(map[string]*ast.Term, len(catalogParts()))}
	for name, part := range map[string]any{
		"site":     map[string]any{"name": cat.Site.Name, "timezone": cat.Site.Timezone},
		"networks": networks,
		"params":   params,
		"servers":  servers,
	} {
		v, err := ast.InterfaceToValue(part)
		if err != nil {
			return nil, fmt.Errorf("give the catalog to the policies: %w", err)
		}
		if old := before.parts[name]; old != nil && old.Value.Compare(v) == 0 {
			d.parts[name] = old
		} else {
			d.parts[name] = ast.NewTerm(v)
		}
	}
	d.addProfiles(before)
	items := make([][2]*ast.Term, 0, len(d.parts))
	for name, part := range d.parts {
		items = append(items, ast.Item(ast.StringTerm(name), part))
	}
	d.value = ast.NewObject(items...)
	return d, nil
}

// addProfiles adds the profiles: the object of all of them is the same as before
// if none has changed.
func (d *siteData) addProfiles(before *siteData) {
	if d.profiles = maps.Clone(before.profiles); d.profiles == nil {
		d.profiles = make(map[string]*ast.Term, len(d.catalog.Profiles))
	}
	others := len(before.profiles) // that are not in the new catalog, as far as is known
	idsChanged := false
	var perhaps []*schema.Profile // new, or not as before
	for id, p := range d.catalog.Profiles {
		if before.profiles[id] != nil {
			others--
			if samePolicyData(before.catalog.Profiles[id], p) {
				continue
			}
		}
		perhaps = append(perhaps, p)
	}
	values := profileValues(perhaps)
	for i, p := range perhaps {
		id, v := p.ID, values[i]
		old := before.profiles[id]
		if old == nil || old.Value.Compare(v) != 0 {
			d.profiles[id] = ast.NewTerm(v)
			d.changed = append(d.changed, id)
			idsChanged = idsChanged || old == nil
		}
	}
	if others > 0 {
		for id := range before.profiles {
			if d.catalog.Profiles[id] == nil {
				delete(d.profiles, id)
				d.changed = append(d.changed, id)
			}
		}
	}
	if d.ids = before.ids; idsChanged || others > 0 {
		d.ids = slices.Sorted(maps.Keys(d.profiles))
	}
	if d.parts["profiles"] = before.parts["profiles"]; len(d.changed) > 0 || d.parts["profiles"] == nil {
		items := make([][2]*ast.Term, 0, len(d.profiles))
		for id, t := range d.profiles {
			items = append(items, ast.Item(ast.StringTerm(id), t))
		}
		d.parts["profiles"] = ast.NewTerm(ast.NewObject(items...))
	}
}

// profileValues gives profiles as policies see them, made on all processors.
func profileValues(profiles []*schema.Profile) []ast.Value {
	values := make([]ast.Value, len(profiles))
	var next atomic.Int32
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(profiles)) {
		workers.Go(func() {
			t := newTerms()
			for i := int(next.Add(1)) - 1; i < len(profiles); i = int(next.Add(1)) - 1 {
				values[i] = t.profile(profiles[i])
			}
		})
	}
	workers.Wait()
	return values
}

// samePolicyData reports whether policies cannot tell two profiles apart. It may
// say no of two that are equal.
func samePolicyData(a, b *schema.Profile) bool {
	return a == b || a.Name == b.Name && a.Autologin == b.Autologin && a.UseBrokerPass == b.UseBrokerPass && a.Icon == b.Icon &&
		sameLabels(a.Labels, b.Labels) && slices.Equal(a.Servers, b.Servers) &&
		sameSettings(a.Settings, b.Settings) && sameAccess(a.Access, b.Access) && sameLegacyACL(a.LegacyACL, b.LegacyACL)
}

func sameLegacyACL(a, b *schema.LegacyACL) bool {
	same := func(a, b schema.LegacyRule) bool {
		return a.AllowFirst == b.AllowFirst && slices.Equal(a.Allow, b.Allow) && slices.Equal(a.Deny, b.Deny)
	}
	return a == b || a != nil && b != nil && same(a.Users, b.Users) && same(a.Groups, b.Groups) && same(a.Clients, b.Clients)
}

// sameLabels looks first whether both are one map, as sameSettings does: the
// schema compiler hands out what it remembers.
func sameLabels(a, b map[string]string) bool {
	return reflect.ValueOf(a).UnsafePointer() == reflect.ValueOf(b).UnsafePointer() || maps.Equal(a, b)
}

func sameSettings(a, b []schema.Setting) bool {
	if len(a) > 0 && len(a) == len(b) && &a[0] == &b[0] {
		return true
	}
	return slices.EqualFunc(a, b, func(x, y schema.Setting) bool {
		if list, ok := x.Value.([]string); ok {
			other, ok := y.Value.([]string)
			return ok && x.Key == y.Key && slices.Equal(list, other)
		}
		_, list := y.Value.([]string)
		return !list && x == y
	})
}

func sameAccess(a, b schema.Access) bool {
	return a.Everyone == b.Everyone && slices.Equal(a.Users, b.Users) && slices.Equal(a.Groups, b.Groups) && slices.Equal(a.From, b.From) &&
		slices.Equal(a.Deny.Users, b.Deny.Users) && slices.Equal(a.Deny.Groups, b.Deny.Groups) && slices.Equal(a.Deny.From, b.Deny.From)
}

// lookup gives what is at a path below data, nil if there is nothing. What is
// below a profile counts as the whole profile, and what is below another part as
// that part.
func (d *siteData) lookup(path storage.Path) *ast.Term {
	switch {
	case len(path) < 2 || path[0] != "site":
		return nil
	case path[1] == "profiles" && len(path) > 2:
		return d.profiles[path[2]]
	}
	return d.parts[path[1]]
}

// catalogParts lists what is at data.site.
func catalogParts() []string { return []string{"networks", "params", "profiles", "servers", "site"} }

func serverData(s *schema.Server) map[string]any {
	capacity := map[string]any{}
	if s.Sessions > 0 {
		capacity["sessions"] = s.Sessions
	}
	return map[string]any{
		"address":  s.Address,
		"port":     s.Port,
		"hostname": s.Hostname,
		"labels":   stringMap(s.Labels),
		"weight":   s.Weight,
		"capacity": capacity,
		"state":    string(s.State),
	}
}

func stringMap(m map[string]string) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}
