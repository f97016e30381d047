package schema

import (
	"context"
	"maps"
	"slices"
	"sync"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/cuecontext"
)

// minShard is how many files are evaluated together at least; see shardSize.
const minShard = 100

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
