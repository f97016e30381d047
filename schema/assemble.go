package schema

import (
	"maps"
	"reflect"
	"slices"
	"strconv"
)

// assemble puts together what the instances contribute, parents first.
func (s *site) assemble(units []*unit) *Catalog {
	catalog := &Catalog{
		Networks: map[string]Network{}, Params: map[string]any{},
		Servers: map[string]*Server{}, Profiles: make(map[string]*Profile, len(units)), Cases: map[string]*Case{},
	}
	s.hosts = make([]hosts, 0, len(units))
	s.caseTexts = map[string][2]string{}
	s.owners = map[string]map[string]*instance{"servers": {}, "profiles": make(map[string]*instance, len(units))}
	slab := make([]Profile, 0, len(units)) // of most sites, one for each unit
	reported := map[*failure]bool{}
	for _, u := range units {
		o := u.outcome
		if o == nil {
			continue // ctx ended, or CUE panicked
		}
		if o.failure != nil && !reported[o.failure] {
			reported[o.failure] = true // for all units of the batch
			if o.failure.syntax {
				s.broken = true
				s.report(o.failure.err, nil)
			} else {
				s.report(o.failure.err, u.in)
			}
		}
		if len(u.leaves) == 0 {
			s.addLibrary(u.in, o, catalog)
		}
		for id := range o.profiles {
			if s.claim("profiles", id, u.in) {
				d := o.profiles[id]
				if len(slab) == cap(slab) {
					slab = make([]Profile, 0, 1+len(units)/8)
				}
				slab = append(slab, d.profile) // a copy: the outcome is used again
				p := &slab[len(slab)-1]
				p.Pos = s.idPosition("profiles", id)
				catalog.Profiles[id] = p
				h := d.hosts
				h.profile = p
				s.hosts = append(s.hosts, h)
			}
		}
	}
	return catalog
}

// addLibrary adds what is no profile.
func (s *site) addLibrary(in *instance, o *outcome, catalog *Catalog) {
	switch {
	case o.root == nil: // nothing has a value
	case in.dir != ".":
		s.checkRootOnly(in, o.root)
	default:
		s.root = o.root
		catalog.Site = o.root.site
		catalog.Params = o.root.params
		for _, name := range sortedKeys(o.root.networks) {
			catalog.Networks[name] = Network{
				Prefixes: s.prefixes([]string{"networks", name}, o.root.networks[name]),
				Pos:      s.idPosition("networks", name),
			}
		}
		for name, c := range o.root.cases {
			copied := *c
			copied.Pos = s.idPosition("cases", name)
			catalog.Cases[name] = &copied
		}
		s.caseTexts = o.root.texts
	}
	for _, id := range sortedKeys(o.servers) {
		if s.claim("servers", id, in) && in.dir != "." && len(s.index.id("servers", id)) == 0 {
			s.errorRootOnly(in, "servers", "server "+strconv.Quote(id))
		} else if s.owners["servers"][id] == in {
			srv := *o.servers[id]
			srv.Pos = s.idPosition("servers", id)
			catalog.Servers[id] = &srv
		}
	}
	for _, name := range o.top {
		if !slices.Contains(topLevel, name) && len(s.index.tops[name]) == 0 {
			s.errorf(Position{File: in.dir}, name, "unknown top-level field, made by a comprehension or an embedding%s", DidYouMean(name, topLevel))
		}
	}
}

// checkRootOnly finds what a comprehension or an embedding adds in a folder to
// what stands in the root only; labels are refused where they are written.
func (s *site) checkRootOnly(in *instance, here *rootValues) {
	if s.root == nil {
		return // the root has errors of its own
	}
	for _, name := range sortedKeys(here.networks) {
		if _, ok := s.root.networks[name]; !ok {
			s.errorRootOnly(in, "networks", "network "+strconv.Quote(name))
		}
	}
	for _, name := range sortedKeys(here.cases) {
		if _, ok := s.root.cases[name]; !ok {
			s.errorRootOnly(in, "cases", "case "+strconv.Quote(name))
		}
	}
	if !reflect.DeepEqual(here.params, s.root.params) {
		s.errorRootOnly(in, "params", "a part of params")
	}
	if here.site != s.root.site {
		s.errorRootOnly(in, "site", "a part of site")
	}
}

func (s *site) errorRootOnly(in *instance, field, what string) {
	if slices.ContainsFunc(s.index.tops[field], func(f *sourceFile) bool { return f.dir == in.dir }) {
		return // said at the label
	}
	s.errorf(Position{File: in.dir}, field, "%s is made here by a comprehension or an embedding: %s may stand in the root directory of the site only", what, field)
}

// claim notes that the instance has the id, and reports whether it contributes
// it: whether its nearest ancestor does not have it. It complains when another
// directory contributes the id too, or when a file here writes an id that is
// inherited: whoever does so most likely means a thing of his own.
func (s *site) claim(kind, id string, in *instance) bool {
	if in.ids != nil {
		in.ids[kind][id] = true
	}
	if in.parent != nil && in.parent.ids[kind][id] {
		owner := in.parent
		for owner.parent != nil && owner.parent.ids[kind][id] {
			owner = owner.parent
		}
		for _, w := range s.index.id(kind, id) {
			if w.file.dir == in.dir {
				s.errorTwice(kind, id, w.pos, s.labelIn(kind, id, owner.dir))
			}
		}
		return false
	}
	if other := s.owners[kind][id]; other != nil {
		s.errorTwice(kind, id, s.labelIn(kind, id, in.dir), s.labelIn(kind, id, other.dir))
		return false
	}
	s.owners[kind][id] = in
	return true
}

func (s *site) errorTwice(kind, id string, here, there Position) {
	s.diags = append(s.diags, Diagnostic{
		Severity: Error, Pos: here, Path: joinPath([]string{kind, id}), Related: []Position{there},
		Message: "another directory has this id already: choose a different one (folder defaults are written as a pattern, [string]:)",
	})
}

// labelIn is where a file of dir writes the id, or dir itself.
func (s *site) labelIn(kind, id, dir string) Position {
	for _, w := range s.index.id(kind, id) {
		if w.file.dir == dir {
			return w.pos
		}
	}
	return Position{File: dir}
}

// idPosition is where an id is written first, or nowhere if it is computed.
func (s *site) idPosition(kind, id string) Position {
	if sites := s.index.id(kind, id); len(sites) > 0 {
		return sites[0].pos
	}
	return s.index.at(kind)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
