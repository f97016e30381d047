package schema

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"sync"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/cuecontext"
)

// minShard is how many files are evaluated together at least; see shardSize.
const minShard = 100

// A unit is a set of files that are evaluated together, without the files of
// other leaves: a library alone, or a library with leaves.
//
// Evaluating one big package takes CUE more than its share of time and memory.
// As leaves do not look at each other, it makes no difference to a profile with
// which others it is evaluated, and only leaves that have changed, or whose
// library has, need to be evaluated at all.
type unit struct {
	in      *instance
	key     unitKey
	library []*sourceFile
	fields  fieldSet      // of the top level that its files can see
	leaves  []*sourceFile // that share ids, most often one; none for the library itself
	outcome *outcome      // once it is known

	libraryKey unitKey // of a unit with leaves: its key without them
}

// An outcome is what a unit came to. It is never changed.
type outcome struct {
	failure  *failure // of CUE; shared by the units of a batch
	root     *rootValues
	servers  map[string]*Server
	profiles map[string]*draft
	top      []string // regular fields at the top level
}

type failure struct {
	err    error
	syntax bool // of one file
}

// rootValues are what only the root directory says.
type rootValues struct {
	site     Site
	networks map[string][]string
	params   map[string]any
	cases    map[string]*Case
	texts    map[string][2]string // address and time of each case as written
}

// A draft is a profile before its servers are known.
type draft struct {
	profile Profile
	hosts   hosts
}

// evaluate evaluates all units that are not known from before, and puts the
// catalog together.
func (s *site) evaluate(ctx context.Context, c *Compiler) (*Catalog, []*unit) {
	var units []*unit
	packages := s.packages()
	for _, in := range s.instances {
		if !in.broken {
			units = append(units, s.units(in, packages, c.whole)...)
		}
	}
	if len(c.done) > 2*len(units)+minShard {
		c.done = nil // most of it is of sites long gone
	}
	for _, u := range units {
		u.outcome = c.done[u.key]
	}
	s.evaluateUnits(ctx, c, units)
	s.vetPackages(ctx, c, packages)
	return s.assemble(units), units
}

// evaluateUnits evaluates the units whose outcome is not known, and remembers
// those without mistakes.
func (s *site) evaluateUnits(ctx context.Context, c *Compiler, units []*unit) {
	var pending []*unit
	asked := map[unitKey]bool{}
	for _, u := range units {
		if u.outcome == nil && !asked[u.key] {
			asked[u.key] = true
			pending = append(pending, u)
		}
	}
	if len(pending) == 0 {
		return
	}
	found := make(map[unitKey]*outcome, len(pending))
	s.run(ctx, c, pending, found)
	if c.done == nil {
		c.done = make(map[unitKey]*outcome, len(units))
	}
	for _, u := range units {
		if u.outcome == nil {
			u.outcome = found[u.key]
			c.unsaved++
		}
		if u.outcome != nil && u.outcome.failure == nil {
			c.done[u.key] = u.outcome
		}
	}
}

// units splits what an instance sees; not at all if something computes profiles.
func (s *site) units(in *instance, packages []byte, computes bool) []*unit {
	all := s.packageFiles(in.dir, "site")
	if i := slices.IndexFunc(all, s.isVendored); i >= 0 {
		rest := slices.Delete(slices.Clone(all), i, i+1)
		if len(rest) > 0 && !slices.ContainsFunc(rest, func(f *sourceFile) bool { return f.chooses }) {
			all = rest
		}
	}
	var library, leaves []*sourceFile
	for _, f := range all {
		computes = computes || f.computes
		if f.leaf {
			leaves = append(leaves, f)
		} else {
			library = append(library, f)
		}
	}
	if computes {
		return []*unit{{in: in, key: key(all, packages), library: all, fields: allFields}}
	}
	library, leaves = promote(library, leaves)
	out := []*unit{{in: in, key: key(library, packages), library: library, fields: allFields}}
	forLeaves, fields := visible(library, leaves)
	libraryKey := key(forLeaves, packages)
	for _, group := range groups(leaves) {
		out = append(out, &unit{in: in, key: key(group, libraryKey[:]), library: forLeaves, fields: fields, leaves: group, libraryKey: libraryKey})
	}
	return out
}

// isVendored reports whether the file is the x2broker.cue that this x2broker
// writes. It refuses no more than the built-in bindings and the checks behind
// them, and takes CUE a third of its time on a large site.
func (s *site) isVendored(f *sourceFile) bool {
	return f.name == VendoredBinding && bytes.Equal(f.data, vendoredBindingSource) && !s.usesVendored
}

// visible gives the fields that leaves can see, directly or not, and the files
// of the library without those that have other fields only.
func visible(library, leaves []*sourceFile) ([]*sourceFile, fieldSet) {
	needed := fieldSet(1) << slices.Index(topLevel, "profiles")
	for _, f := range leaves {
		needed |= f.mentions
	}
	for {
		before := needed
		out := library[:0:0]
		for _, f := range library {
			if !f.plain || f.has()&needed != 0 {
				out = append(out, f)
				needed |= f.has() | f.mentions
			}
		}
		if needed == before {
			return out, needed
		}
	}
}

// promote moves leaves to the library that write an id which the library writes
// too: the library would be incomplete without them.
func promote(library, leaves []*sourceFile) (_, _ []*sourceFile) {
	ids := map[string]bool{}
	add := func(f *sourceFile) {
		for _, l := range f.ids {
			if l.field == "profiles" {
				ids[l.id] = true
			}
		}
	}
	for _, f := range library {
		add(f)
	}
	if len(ids) == 0 {
		return library, leaves
	}
	for {
		rest := leaves[:0:0]
		for _, f := range leaves {
			if slices.ContainsFunc(f.ids, func(l label) bool { return ids[l.id] }) {
				library = append(library, f)
				add(f)
			} else {
				rest = append(rest, f)
			}
		}
		if len(rest) == len(leaves) {
			return library, leaves
		}
		leaves = rest
	}
}

// groups joins leaves that write the same id.
func groups(leaves []*sourceFile) [][]*sourceFile {
	leader := make([]int, len(leaves)) // union-find, by index
	var find func(int) int
	find = func(i int) int {
		if leader[i] != i {
			leader[i] = find(leader[i])
		}
		return leader[i]
	}
	owner := make(map[string]int, len(leaves))
	for i, f := range leaves {
		leader[i] = i
		for _, l := range f.ids {
			if j, ok := owner[l.id]; ok {
				leader[find(i)] = find(j)
			} else {
				owner[l.id] = i
			}
		}
	}
	at := map[int]int{}
	var out [][]*sourceFile
	for i, f := range leaves {
		n, ok := at[find(i)]
		if !ok {
			n = len(out)
			at[find(i)] = n
			out = append(out, nil)
		}
		out[n] = append(out[n], f)
	}
	return out
}

// packages names all that the site's files import from it.
func (s *site) packages() []byte {
	imported := map[string]bool{}
	for _, f := range s.all {
		for _, p := range f.imports {
			imported[p] = true
		}
	}
	h := sha256.New()
	h.Write([]byte(s.module + "@" + s.major))
	for _, p := range sortedKeys(imported) {
		dir, pkg, ok := s.ownPackage(p)
		if !ok {
			continue
		}
		s.importsSite = s.importsSite || pkg == "site"
		for _, f := range s.packageFiles(dir, pkg) {
			h.Write(f.hash[:])
		}
	}
	return h.Sum(nil)
}

// key names files, in any order, and more.
func key(files []*sourceFile, more ...[]byte) unitKey {
	h := sha256.New()
	sorted := files
	if len(files) > 1 {
		sorted = slices.SortedFunc(slices.Values(files), func(a, b *sourceFile) int { return cmp.Compare(a.name, b.name) })
	}
	for _, f := range sorted {
		h.Write(f.hash[:])
	}
	for _, m := range more {
		h.Write(m)
	}
	return unitKey(h.Sum(nil))
}

// run evaluates units with all workers, several leaves at a time.
func (s *site) run(ctx context.Context, c *Compiler, pending []*unit, done map[unitKey]*outcome) {
	work := make(chan []*unit)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range c.workers {
		wg.Go(func() {
			for batch := range work {
				c.doing.add(batch, 1)
				outcomes, panicking := s.evaluateBatch(batch)
				c.doing.add(batch, -1)
				mu.Lock()
				maps.Copy(done, outcomes)
				if panicking != nil {
					s.diags = append(s.diags, *panicking)
				}
				mu.Unlock()
			}
		})
	}
	for _, batch := range batches(pending) {
		if ctx.Err() != nil {
			break
		}
		work <- batch
	}
	close(work)
	wg.Wait()
}

// batches puts units of one library together.
func batches(pending []*unit) [][]*unit {
	var out [][]*unit
	size := 0
	for i, u := range pending {
		last := len(out) - 1
		if i > 0 && len(u.leaves) > 0 && len(pending[i-1].leaves) > 0 && pending[i-1].in == u.in && len(out[last]) < size {
			out[last] = append(out[last], u)
			continue
		}
		out = append(out, []*unit{u})
		size = shardSize(u.library)
	}
	return out
}

// shardSize gives how many leaves are worth evaluating the library once more
// for: as many as it has things of its own.
func shardSize(library []*sourceFile) int {
	n := 0
	for _, f := range library {
		n += len(f.ids)
	}
	return max(minShard, n)
}

// evaluateBatch evaluates units of one library together. A panic of CUE is a
// diagnostic.
func (s *site) evaluateBatch(batch []*unit) (out map[unitKey]*outcome, panicking *Diagnostic) {
	defer func() {
		if r := recover(); r != nil {
			d := panicked(r)
			out, panicking = nil, &d
		}
	}()
	out = make(map[unitKey]*outcome, len(batch))
	batch, parsed := parseLeaves(batch, out)
	if len(batch) == 0 {
		return out, nil
	}
	files := slices.Clone(batch[0].library)
	for _, u := range batch {
		files = append(files, u.leaves...)
	}
	v, err := s.value(batch[0].in.dir, files, parsed, batch[0].fields)
	if err != nil {
		// As from a name that is not defined: no other leaf has a value then. Those
		// without such a mistake are found by halves, to hear of theirs too.
		if len(batch) > 1 && s.fitTogether(batch[0].in.dir, batch[0].library, batch[0].fields) {
			for _, half := range [][]*unit{batch[:len(batch)/2], batch[len(batch)/2:]} {
				outcomes, panicking := s.evaluateBatch(half)
				if panicking != nil {
					return nil, panicking
				}
				maps.Copy(out, outcomes)
			}
			return out, nil
		}
		out[batch[0].key] = &outcome{failure: &failure{err: err}}
		return out, nil
	}
	var failed *failure
	if err := validate(v); err != nil {
		failed = &failure{err: err}
	}
	for _, u := range batch {
		o := decodeUnit(u, v)
		o.failure = failed
		out[u.key] = o
	}
	return out, nil
}

// value evaluates files of one package; of package site with the bindings of
// these fields. The error says that they do not go together, and nothing has a
// value then.
func (s *site) value(dir string, files []*sourceFile, parsed map[*sourceFile]*ast.File, bound fieldSet) (cue.Value, error) {
	inst, err := s.build(dir, files, parsed, bound)
	if err != nil {
		return cue.Value{}, err
	}
	// A context grows with all it evaluates, so that each call has its own.
	v := cuecontext.New().BuildInstance(inst)
	if inst.Err != nil {
		return cue.Value{}, inst.Err
	}
	return v, nil
}

// fitTogether reports whether files of package site have a value, right or wrong.
func (s *site) fitTogether(dir string, files []*sourceFile, bound fieldSet) bool {
	if len(files) == 0 {
		return true
	}
	_, err := s.value(dir, files, nil, bound)
	return err == nil
}

// vetPackages validates the site's own packages by themselves, as plain cue does.
func (s *site) vetPackages(ctx context.Context, c *Compiler, packages []byte) {
	vetted := map[unitKey]bool{}
	for _, dir := range sortedKeys(s.files) {
		first := s.files[dir][0]
		if first.pkg == "site" || ctx.Err() != nil {
			continue // two packages in one directory are an error already
		}
		files := s.packageFiles(dir, first.pkg)
		k := key(files, packages)
		if !c.vetted[k] {
			if err := s.vet(dir, files); err != nil {
				s.report(err, &instance{dir: dir})
				continue
			}
		}
		vetted[k] = true
	}
	c.vetted = vetted
}

func (s *site) vet(dir string, files []*sourceFile) error {
	v, err := s.value(dir, files, nil, 0)
	if err != nil {
		return err
	}
	return validate(v)
}

// validate is what `cue vet -c` does.
func validate(v cue.Value) error {
	return v.Validate(cue.Attributes(true), cue.Definitions(true), cue.Hidden(true), cue.Concrete(true))
}

// parseLeaves parses the leaves of a batch. Those that do not parse, which their
// tokens did not tell, are taken out: they cost the others nothing.
func parseLeaves(batch []*unit, out map[unitKey]*outcome) ([]*unit, map[*sourceFile]*ast.File) {
	good := batch[:0:0]
	parsed := map[*sourceFile]*ast.File{}
	for _, u := range batch {
		var failed *failure
		for _, f := range u.leaves {
			tree, err := f.parse()
			if err != nil {
				failed = &failure{err: err, syntax: true}
				break
			}
			parsed[f] = tree
		}
		if failed != nil {
			out[u.key] = &outcome{failure: failed}
			continue
		}
		good = append(good, u)
	}
	return good, parsed
}

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
