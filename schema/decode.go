package schema

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"

	"cuelang.org/go/cue"
)

// decode adds what the instance contributes to the catalog. It takes what is
// good and leaves what is not: validation has reported that already.
func (s *site) decode(in *instance, v cue.Value, cat *Catalog) {
	in.ids = map[string]map[string]bool{"servers": {}, "profiles": {}}
	root := in.parent == nil && in.dir == "."
	if root {
		s.decodeRoot(v, cat)
	}
	for _, kind := range []string{"servers", "profiles"} {
		for id, value := range fields(v, kind) {
			in.ids[kind][id] = true
			if in.parent != nil && in.parent.ids[kind][id] {
				s.checkInheritedLabel(kind, id, in)
				continue
			}
			if !s.claim(kind, id, in) {
				continue
			}
			if kind == "servers" {
				cat.Servers[id] = s.decodeServer(id, value)
			} else {
				cat.Profiles[id] = s.decodeProfile(id, value)
			}
		}
	}
	for name := range fields(v, "") {
		if !slices.Contains(topLevel, name) && s.index.ids[name] == nil {
			s.errorf(Position{File: in.dir}, name, "unknown top-level field, made by a comprehension or an embedding%s", didYouMean(name, topLevel))
		}
	}
}

// claim notes that the instance contributes the id. It reports false, with an
// error, if another directory does so too.
func (s *site) claim(kind, id string, in *instance) bool {
	for _, other := range s.instances {
		if other == in || other.ids == nil || !other.ids[kind][id] {
			continue
		}
		s.errorTwice(kind, id, s.labelIn(kind, id, in.dir), s.labelIn(kind, id, other.dir))
		return false
	}
	return true
}

// checkInheritedLabel refuses a literal label for an id that a directory above
// contributes: whoever writes it most likely means a profile of his own.
func (s *site) checkInheritedLabel(kind, id string, in *instance) {
	for _, site := range s.index.ids[kind][id] {
		if site.dir == in.dir {
			owner := in.parent
			for owner.parent != nil && owner.parent.ids[kind][id] {
				owner = owner.parent
			}
			s.errorTwice(kind, id, site.pos, s.labelIn(kind, id, owner.dir))
		}
	}
}

func (s *site) errorTwice(kind, id string, here, there Position) {
	s.diags = append(s.diags, Diagnostic{
		Severity: Error, Pos: here, Path: joinPath([]string{kind, id}), Related: []Position{there},
		Message: "another directory has this id already: choose a different one (folder defaults are written as a pattern, [string]:)",
	})
}

// labelIn is where a file of dir writes the id, or dir itself.
func (s *site) labelIn(kind, id, dir string) Position {
	for _, site := range s.index.ids[kind][id] {
		if site.dir == dir {
			return site.pos
		}
	}
	return Position{File: dir}
}

func (s *site) decodeRoot(v cue.Value, cat *Catalog) {
	cat.Site.Name = text(v, "site.name", "")
	cat.Site.Timezone = text(v, "site.timezone", "")
	for name, value := range fields(v, "networks") {
		cat.Networks[name] = Network{
			Prefixes: s.prefixes([]string{"networks", name}, list(value, "")),
			Pos:      s.index.at("networks", name),
		}
	}
	if data, err := v.LookupPath(cue.ParsePath("params")).MarshalJSON(); err == nil {
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber()
		_ = d.Decode(&cat.Params) // CUE wrote it: a struct, or nothing
	}
	if cat.Params == nil {
		cat.Params = map[string]any{}
	}
	for name, value := range fields(v, "cases") {
		cat.Cases[name] = s.decodeCase(name, value)
	}
}

func (s *site) decodeServer(id string, v cue.Value) *Server {
	return &Server{
		ID:       id,
		Address:  text(v, "address", id),
		Port:     integer(v, "port", 22),
		Hostname: text(v, "hostname", id),
		Labels:   labels(v, "labels"),
		Weight:   integer(v, "weight", 100),
		Sessions: integer(v, "capacity.sessions", 0),
		State:    State(text(v, "state", string(Active))),
		HostKeys: list(v, "hostKeys"),
		Pos:      s.index.at("servers", id),
	}
}

func (s *site) decodeProfile(id string, v cue.Value) *Profile {
	p := &Profile{
		ID:            id,
		Name:          text(v, "name", ""),
		Labels:        labels(v, "labels"),
		Autologin:     boolean(v, "autologin", false),
		UseBrokerPass: boolean(v, "usebrokerpass", false),
		Icon:          text(v, "icon", ""),
		Pos:           s.index.at("profiles", id),
		Access: Access{
			Everyone: boolean(v, "access.everyone", false),
			Users:    list(v, "access.users"),
			Groups:   list(v, "access.groups"),
			From:     list(v, "access.from"),
			Deny: Deny{
				Users:  list(v, "access.deny.users"),
				Groups: list(v, "access.deny.groups"),
				From:   list(v, "access.deny.from"),
			},
			Pos: map[string]Position{},
		},
	}
	given := map[string]any{}
	for _, r := range settingRules {
		value := v.LookupPath(cue.MakePath(cue.Str("x2go"), cue.Str(r.key)))
		if !value.Exists() {
			continue
		}
		switch r.def.(type) {
		case string:
			given[r.key] = text(value, "", r.def.(string))
		case int:
			given[r.key] = integer(value, "", r.def.(int))
		case bool:
			given[r.key] = boolean(value, "", r.def.(bool))
		case []string:
			given[r.key] = list(value, "")
		}
	}
	p.Settings = settings(given)
	for _, field := range []string{"everyone", "users", "groups", "from", "deny.users", "deny.groups", "deny.from"} {
		value := v.LookupPath(cue.ParsePath("access." + field))
		if !value.Exists() {
			continue
		}
		pos := position(value.Pos())
		if !pos.IsValid() {
			pos = s.index.at(append([]string{"profiles", id, "access"}, splitDots(field)...)...)
		}
		p.Access.Pos[field] = pos
	}
	s.hosts = append(s.hosts, hosts{
		profile: p,
		given:   v.LookupPath(cue.ParsePath("hosts")).Exists(),
		ids:     list(v, "hosts.ids"),
		labels:  labels(v, "hosts.labels"),
		hasIDs:  v.LookupPath(cue.ParsePath("hosts.ids")).Exists(),
		refused: v.LookupPath(cue.ParsePath("hosts")).Validate() != nil,
	})
	return p
}

func (s *site) decodeCase(name string, v cue.Value) *Case {
	c := &Case{
		Name:   name,
		User:   text(v, "user.name", ""),
		Groups: list(v, "user.groups"),
		Sees:   list(v, "sees"),
		Hides:  list(v, "hides"),
		Select: map[string]Selection{},
		Pos:    s.index.at("cases", name),
	}
	if v.LookupPath(cue.ParsePath("exactly")).Exists() {
		c.Exactly = append([]string{}, list(v, "exactly")...)
	}
	for id, sel := range fields(v, "select") {
		out := Selection{Facts: map[string]CaseFacts{}, Wins: text(sel, "wins", ""), WinsOneOf: list(sel, "winsOneOf")}
		for server, f := range fields(sel, "facts") {
			load, _ := f.LookupPath(cue.ParsePath("load1")).Float64()
			out.Facts[server] = CaseFacts{Sessions: integer(f, "sessions", 0), Inflight: integer(f, "inflight", 0), Load1: load}
		}
		c.Select[id] = out
	}
	s.caseTexts[name] = [2]string{text(v, "address", ""), text(v, "time", "")}
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

func boolean(v cue.Value, p string, def bool) bool {
	if b, err := at(v, p).Bool(); err == nil {
		return b
	}
	return def
}

func list(v cue.Value, p string) []string {
	it, err := at(v, p).List()
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
	for k, value := range fields(v, p) {
		if s, err := value.String(); err == nil {
			out[k] = s
		}
	}
	return out
}

// fields iterates over the regular fields in the order of their labels.
func fields(v cue.Value, p string) func(yield func(string, cue.Value) bool) {
	m := map[string]cue.Value{}
	if it, err := at(v, p).Fields(); err == nil {
		for it.Next() {
			m[it.Selector().Unquoted()] = it.Value()
		}
	}
	return func(yield func(string, cue.Value) bool) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}
