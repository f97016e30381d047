package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"strings"

	"cuelang.org/go/cue"
)

// Paths, parsed once: a large site looks up hundreds of thousands.
var (
	pathProfiles = cue.ParsePath("profiles")
	pathServers  = cue.ParsePath("servers")
	pathNetworks = cue.ParsePath("networks")
	pathParams   = cue.ParsePath("params")
	pathCases    = cue.ParsePath("cases")
	pathX2Go     = cue.ParsePath("x2go")
	pathHosts    = cue.ParsePath("hosts")
	pathAccess   = cue.ParsePath("access")
	pathLegacy   = cue.ParsePath("legacyACL")
	pathDeny     = cue.ParsePath("deny")

	pathName          = cue.ParsePath("name")
	pathIcon          = cue.ParsePath("icon")
	pathLabels        = cue.ParsePath("labels")
	pathAutologin     = cue.ParsePath("autologin")
	pathUseBrokerPass = cue.ParsePath("usebrokerpass")
	pathIDs           = cue.ParsePath("ids")
)

// accessFields are the fields of access by their path below it.
var accessFields = []struct {
	name string
	path cue.Path
	deny bool // below deny
}{
	{"everyone", cue.ParsePath("everyone"), false},
	{"users", cue.ParsePath("users"), false},
	{"groups", cue.ParsePath("groups"), false},
	{"from", cue.ParsePath("from"), false},
	{"deny.users", cue.ParsePath("users"), true},
	{"deny.groups", cue.ParsePath("groups"), true},
	{"deny.from", cue.ParsePath("from"), true},
}

// decodeUnit reads what the unit's files make of v. It takes what is good and
// leaves what is not: validation reports that.
func decodeUnit(u *unit, v cue.Value) *outcome {
	o := &outcome{profiles: map[string]*draft{}}
	if d, ok := v.Default(); ok {
		v = d // a choice at file level
	}
	profiles := look(v, pathProfiles)
	if len(u.leaves) > 0 {
		for _, f := range u.leaves {
			for _, l := range f.ids {
				value := look(profiles, cue.MakePath(cue.Str(l.id)))
				if o.profiles[l.id] == nil && value.Exists() {
					o.profiles[l.id] = decodeProfile(value, l.id, u.leaves)
				}
			}
		}
		return o
	}
	o.servers = map[string]*Server{}
	for id, value := range fields(look(v, pathServers)) {
		o.servers[id] = decodeServer(id, value)
	}
	for id, value := range fields(profiles) {
		o.profiles[id] = decodeProfile(value, id, u.library)
	}
	for name := range fields(v) {
		o.top = append(o.top, name)
	}
	o.root = decodeRoot(v)
	return o
}

func decodeRoot(v cue.Value) *rootValues {
	r := &rootValues{
		site:     Site{Name: text(v, "site.name", ""), Timezone: text(v, "site.timezone", "")},
		networks: map[string][]string{},
		params:   map[string]any{},
		cases:    map[string]*Case{},
		texts:    map[string][2]string{},
	}
	for name, value := range fields(look(v, pathNetworks)) {
		r.networks[name] = stringList(value)
	}
	if data, err := v.LookupPath(pathParams).MarshalJSON(); err == nil {
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber()
		var params map[string]any
		if err := d.Decode(&params); err == nil && params != nil {
			r.params = params
		}
	}
	for name, value := range fields(look(v, pathCases)) {
		r.cases[name] = decodeCase(name, value)
		r.texts[name] = [2]string{text(value, "address", ""), text(value, "time", "")}
	}
	return r
}

func decodeServer(id string, v cue.Value) *Server {
	return &Server{
		ID:       id,
		Address:  text(v, "address", id),
		Port:     integer(v, "port", 22),
		Hostname: text(v, "hostname", id),
		Labels:   labels(v),
		Weight:   integer(v, "weight", 100),
		Sessions: integer(v, "capacity.sessions", 0),
		State:    State(text(v, "state", string(Active))),
		HostKeys: stringList(at(v, "hostKeys")),
	}
}

// decodeProfile reads a profile that some of the files write.
func decodeProfile(v cue.Value, id string, files []*sourceFile) *draft {
	d := &draft{profile: Profile{ID: id}}
	p := &d.profile
	p.Name = stringAt(v, pathName)
	p.Icon = stringAt(v, pathIcon)
	p.Labels = labels(v)
	p.Autologin = boolean(v.LookupPath(pathAutologin), false)
	p.UseBrokerPass = boolean(v.LookupPath(pathUseBrokerPass), false)
	if hosts := look(v, pathHosts); hosts.Exists() {
		d.hosts = decodeHosts(hosts)
	}
	if access := look(v, pathAccess); access.Exists() {
		decodeAccess(p, access)
		d.hosts.hasAccess, d.hosts.brokenAccess = true, access.Validate() != nil
	}
	legacy := look(v, pathLegacy)
	if legacy.Exists() {
		p.LegacyACL = decodeLegacyACL(legacy)
		d.hosts.brokenAccess = d.hosts.brokenAccess || legacy.Validate() != nil
	}
	given := map[string]any{}
	if x2go := look(v, pathX2Go); x2go.Exists() {
		// Looking up each key is cheaper than Fields, which sorts.
		for _, r := range settingRules {
			if value := x2go.LookupPath(r.path); value.Exists() {
				given[r.key] = setting(value, r.def)
			}
		}
	}
	p.Settings = settings(given)
	written := accessPositions(files, id)
	if p.LegacyACL != nil {
		p.LegacyACL.position(legacy, written)
	}
	maps.DeleteFunc(written, func(field string, _ Position) bool { return strings.HasPrefix(field, legacyPrefix) })
	p.Access.Pos = written
	computedPositions(v, &p.Access)
	d.hosts.clean = clean(p)
	return d
}

// accessPositions is where the files write a profile's access and its legacyACL
// below its id.
func accessPositions(files []*sourceFile, id string) map[string]Position {
	out := map[string]Position{}
	for _, f := range files {
		for _, a := range f.access {
			if _, known := out[a.field]; a.id == id && !known {
				out[a.field] = a.pos
			}
		}
	}
	return out
}

func decodeHosts(v cue.Value) hosts {
	ids := look(v, pathIDs)
	h := hosts{
		given:   true,
		hasIDs:  ids.Exists(),
		ids:     stringList(ids),
		labels:  labels(v),
		refused: v.Validate() != nil,
	}
	var key strings.Builder
	for _, k := range sortedKeys(h.labels) {
		fmt.Fprintf(&key, "%q=%q ", k, h.labels[k])
	}
	h.labelKey = key.String()
	return h
}

func decodeAccess(p *Profile, v cue.Value) {
	a := &p.Access
	lists := map[string]*[]string{
		"users": &a.Users, "groups": &a.Groups, "from": &a.From,
		"deny.users": &a.Deny.Users, "deny.groups": &a.Deny.Groups, "deny.from": &a.Deny.From,
	}
	deny := look(v, pathDeny)
	for _, f := range accessFields {
		value := v.LookupPath(f.path)
		if f.deny {
			value = deny.LookupPath(f.path)
		}
		if list := lists[f.name]; list != nil {
			*list = stringList(value)
		} else {
			a.Everyone = boolean(value, false)
		}
	}
}

func decodeCase(name string, v cue.Value) *Case {
	c := &Case{
		Name:   name,
		User:   text(v, "user.name", ""),
		Groups: stringList(at(v, "user.groups")),
		Sees:   stringList(at(v, "sees")),
		Hides:  stringList(at(v, "hides")),
		Select: map[string]Selection{},
	}
	if exactly := at(v, "exactly"); exactly.Exists() {
		c.Exactly = append([]string{}, stringList(exactly)...)
	}
	for id, sel := range fields(at(v, "select")) {
		out := Selection{Facts: map[string]CaseFacts{}, Wins: text(sel, "wins", ""), WinsOneOf: stringList(at(sel, "winsOneOf"))}
		for server, f := range fields(at(sel, "facts")) {
			load, _ := at(f, "load1").Float64()
			out.Facts[server] = CaseFacts{Sessions: integer(f, "sessions", 0), Inflight: integer(f, "inflight", 0), Load1: load}
		}
		c.Select[id] = out
	}
	return c
}

// The following read one value; what is absent or of another type, which
// validation reports, gives the default.

// look gives the field of v, and its default if it has several values: nothing
// can be looked up in a choice.
func look(v cue.Value, p cue.Path) cue.Value {
	v = v.LookupPath(p)
	if d, ok := v.Default(); ok {
		return d
	}
	return v
}

// at looks for one field after the other, "user.name".
func at(v cue.Value, p string) cue.Value {
	if p == "" {
		return v
	}
	for part := range strings.SplitSeq(p, ".") {
		v = look(v, cue.MakePath(cue.Str(part)))
	}
	return v
}

func stringAt(v cue.Value, p cue.Path) string {
	s, _ := v.LookupPath(p).String()
	return s
}

func text(v cue.Value, p, def string) string {
	if s, err := at(v, p).String(); err == nil {
		return s
	}
	return def
}

func integer(v cue.Value, p string, def int) int {
	if n, err := at(v, p).Int64(); err == nil {
		return int(n)
	}
	return def
}

func boolean(v cue.Value, def bool) bool {
	if b, err := v.Bool(); err == nil {
		return b
	}
	return def
}

// setting reads a value of the type of def.
func setting(v cue.Value, def any) any {
	switch def := def.(type) {
	case string:
		return text(v, "", def)
	case int:
		return integer(v, "", def)
	case bool:
		return boolean(v, def)
	}
	return stringList(v)
}

// stringList reads a list of strings.
func stringList(v cue.Value) []string {
	it, err := v.List()
	if err != nil {
		return nil
	}
	var out []string
	for it.Next() {
		if s, err := it.Value().String(); err == nil {
			out = append(out, s)
		}
	}
	return out
}

// labels reads the field of that name.
func labels(v cue.Value) map[string]string {
	out := map[string]string{}
	for k, value := range fields(look(v, pathLabels)) {
		if s, err := value.String(); err == nil {
			out[k] = s
		}
	}
	return out
}

// fields iterates over the regular fields, with the defaults of those that have
// several values.
func fields(v cue.Value) iter.Seq2[string, cue.Value] {
	return func(yield func(string, cue.Value) bool) {
		it, err := v.Fields()
		if err != nil {
			return
		}
		for it.Next() {
			value, _ := it.Value().Default()
			if !yield(it.Selector().Unquoted(), value) {
				return
			}
		}
	}
}
