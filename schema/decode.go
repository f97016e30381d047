package schema

import (
	"bytes"
	"encoding/json"
	"iter"

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
	pathSelf     = cue.Path{}

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
}{
	{"everyone", cue.ParsePath("everyone")},
	{"users", cue.ParsePath("users")},
	{"groups", cue.ParsePath("groups")},
	{"from", cue.ParsePath("from")},
	{"deny.users", cue.ParsePath("deny.users")},
	{"deny.groups", cue.ParsePath("deny.groups")},
	{"deny.from", cue.ParsePath("deny.from")},
}

// decodeUnit reads what the unit's files make of v. It takes what is good and
// leaves what is not: validation reports that.
func decodeUnit(u *unit, v cue.Value) *outcome {
	o := &outcome{profiles: map[string]*draft{}}
	profiles := v.LookupPath(pathProfiles)
	if len(u.leaves) > 0 {
		for _, f := range u.leaves {
			for _, l := range f.ids {
				value := profiles.LookupPath(cue.MakePath(cue.Str(l.id)))
				if o.profiles[l.id] == nil && value.Exists() {
					o.profiles[l.id] = decodeProfile(value, l.id, u.leaves)
				}
			}
		}
		return o
	}
	o.servers = map[string]*Server{}
	for id, value := range fields(v, pathServers) {
		o.servers[id] = decodeServer(id, value)
	}
	for id, value := range fields(profiles, pathSelf) {
		o.profiles[id] = decodeProfile(value, id, u.library)
	}
	for name := range fields(v, pathSelf) {
		o.top = append(o.top, name)
	}
	if u.in.dir == "." {
		o.root = decodeRoot(v)
	}
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
	for name, value := range fields(v, pathNetworks) {
		r.networks[name] = stringList(value, pathSelf)
	}
	if data, err := v.LookupPath(pathParams).MarshalJSON(); err == nil {
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber()
		var params map[string]any
		if err := d.Decode(&params); err == nil && params != nil {
			r.params = params
		}
	}
	for name, value := range fields(v, pathCases) {
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
		Labels:   labels(v, "labels"),
		Weight:   integer(v, "weight", 100),
		Sessions: integer(v, "capacity.sessions", 0),
		State:    State(text(v, "state", string(Active))),
		HostKeys: stringList(v, cue.ParsePath("hostKeys")),
	}
}

// decodeProfile reads a profile that some of the files write.
func decodeProfile(v cue.Value, id string, files []*sourceFile) *draft {
	d := &draft{profile: Profile{ID: id, Labels: map[string]string{}}}
	p := &d.profile
	p.Name = stringAt(v, pathName)
	p.Icon = stringAt(v, pathIcon)
	p.Labels = labels(v.LookupPath(pathLabels), "")
	p.Autologin = boolean(v.LookupPath(pathAutologin), false)
	p.UseBrokerPass = boolean(v.LookupPath(pathUseBrokerPass), false)
	if hosts := v.LookupPath(pathHosts); hosts.Exists() {
		d.hosts = decodeHosts(hosts)
	}
	if access := v.LookupPath(pathAccess); access.Exists() {
		decodeAccess(p, access)
		d.hosts.hasAccess, d.hosts.brokenAccess = true, access.Validate() != nil
	}
	given := map[string]any{}
	if x2go := v.LookupPath(pathX2Go); x2go.Exists() {
		// Looking up each key is cheaper than Fields, which sorts.
		for _, r := range settingRules {
			if value := x2go.LookupPath(r.path); value.Exists() {
				given[r.key] = setting(value, r.def)
			}
		}
	}
	p.Settings = settings(given)
	p.Access.Pos = accessPositions(files, id)
	d.hosts.clean = clean(p)
	return d
}

// accessPositions is where the files write a profile's access. What a folder
// default adds has no place of the profile's own.
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
	ids := v.LookupPath(pathIDs)
	return hosts{
		given:   true,
		hasIDs:  ids.Exists(),
		ids:     stringList(ids, pathSelf),
		labels:  labels(v.LookupPath(pathLabels), ""),
		refused: v.Validate() != nil,
	}
}

func decodeAccess(p *Profile, v cue.Value) {
	a := &p.Access
	lists := map[string]*[]string{
		"users": &a.Users, "groups": &a.Groups, "from": &a.From,
		"deny.users": &a.Deny.Users, "deny.groups": &a.Deny.Groups, "deny.from": &a.Deny.From,
	}
	for _, f := range accessFields {
		value := v.LookupPath(f.path)
		if list := lists[f.name]; list != nil {
			*list = stringList(value, pathSelf)
		} else {
			a.Everyone = boolean(value, false)
		}
	}
}

func decodeCase(name string, v cue.Value) *Case {
	c := &Case{
		Name:   name,
		User:   text(v, "user.name", ""),
		Groups: stringList(v, cue.ParsePath("user.groups")),
		Sees:   stringList(v, cue.ParsePath("sees")),
		Hides:  stringList(v, cue.ParsePath("hides")),
		Select: map[string]Selection{},
	}
	if exactly := v.LookupPath(cue.ParsePath("exactly")); exactly.Exists() {
		c.Exactly = append([]string{}, stringList(exactly, pathSelf)...)
	}
	for id, sel := range fields(v, cue.ParsePath("select")) {
		out := Selection{Facts: map[string]CaseFacts{}, Wins: text(sel, "wins", ""), WinsOneOf: stringList(sel, cue.ParsePath("winsOneOf"))}
		for server, f := range fields(sel, cue.ParsePath("facts")) {
			load, _ := f.LookupPath(cue.ParsePath("load1")).Float64()
			out.Facts[server] = CaseFacts{Sessions: integer(f, "sessions", 0), Inflight: integer(f, "inflight", 0), Load1: load}
		}
		c.Select[id] = out
	}
	return c
}

// The following read one value; what is absent or of another type, which
// validation reports, gives the default.

func at(v cue.Value, p string) cue.Value {
	if p == "" {
		return v
	}
	return v.LookupPath(cue.ParsePath(p))
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
	return stringList(v, pathSelf)
}

// stringList reads a list of strings.
func stringList(v cue.Value, p cue.Path) []string {
	it, err := v.LookupPath(p).List()
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

func labels(v cue.Value, p string) map[string]string {
	out := map[string]string{}
	for k, value := range fields(at(v, p), pathSelf) {
		if s, err := value.String(); err == nil {
			out[k] = s
		}
	}
	return out
}

// fields iterates over the regular fields.
func fields(v cue.Value, p cue.Path) iter.Seq2[string, cue.Value] {
	return func(yield func(string, cue.Value) bool) {
		it, err := v.LookupPath(p).Fields()
		if err != nil {
			return
		}
		for it.Next() {
			if !yield(it.Selector().Unquoted(), it.Value()) {
				return
			}
		}
	}
}
