package policy

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"

	"github.com/x2broker/x2broker/schema"
)

// A Compiler compiles policies. It remembers what the last site came to, and no
// more, so that compiling a site of which one profile has changed costs little.
// It is safe for concurrent use; calls wait for each other.
type Compiler struct {
	mu   sync.Mutex
	last *memory
	kept map[string]*facts // of the site that is compiled next, see UseCache
}

// A memory is what compiling a site came to.
type memory struct {
	modules *compiled
	data    *siteData
	facts   map[string]*facts // of profiles, by id
	index   *index            // made of facts; nil if it is not
}

// Compile makes an [Engine] of a catalog and the site's Rego modules. Files are
// sources by path in the site; those that are not policy/**.rego are ignored,
// and there may be none. The result is the same whatever was compiled before.
//
// The diagnostics tell all that is wrong, in file order. With an error among
// them the engine is nil. Test modules (*_test.rego) are checked together with
// the rest and never decide anything. When ctx ends, Compile stops at the next
// step and says so in a diagnostic.
func (c *Compiler) Compile(ctx context.Context, cat *schema.Catalog, files map[string][]byte) (engine *Engine, ds schema.Diagnostics) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer func() {
		if r := recover(); r != nil {
			engine, ds = nil, append(ds, broken(r)).Sort()
		}
	}()
	sources := policySources(files)
	before := c.last
	if before == nil || !maps.EqualFunc(before.modules.sources, sources, bytes.Equal) {
		for name, source := range sources {
			sources[name] = bytes.Clone(source) // files may change
		}
		modules, ds := compileModules(ctx, sources)
		if modules == nil {
			return nil, ds
		}
		before = &memory{modules: modules}
	}
	ds = append(slices.Clone(before.modules.warnings), lint(before.modules.compiler, cat, before.modules.site)...)
	engine, now, slow, err := prepare(ctx, cat, before, c.kept)
	c.kept = nil
	switch {
	case ctx.Err() != nil:
		return nil, append(ds, unfinished(ctx.Err())).Sort()
	case err != nil:
		return nil, append(ds, broken(err)).Sort()
	}
	c.last = now
	ds = slices.DeleteFunc(ds, func(d schema.Diagnostic) bool {
		return slices.ContainsFunc(slow, func(s schema.Diagnostic) bool { return s.Pos == d.Pos }) // says more
	})
	return engine, append(ds, slow...).Sort()
}

// prepare makes an engine of compiled modules and a catalog, from what is still
// true of the memory of an earlier catalog, or from what is known of this one.
func prepare(ctx context.Context, cat *schema.Catalog, before *memory, known map[string]*facts) (*Engine, *memory, schema.Diagnostics, error) {
	m := before.modules
	data, err := newSiteData(cat, before.data)
	if err != nil {
		return nil, nil, nil, err
	}
	store := newStore(data)
	engine, err := newEngine(cat, m, data, store)
	if err != nil {
		return nil, nil, nil, err
	}
	partial := newPartial(m, data, store)
	if before.data != nil {
		known = stillTrue(before, data)
	}
	found, slow := partial.all(ctx, data.ids, known)
	if err := ctx.Err(); err != nil {
		return nil, nil, nil, err
	}
	now := &memory{modules: m, data: data, facts: found}
	engine.facts = found
	if slow {
		engine.index = newIndex(data.ids, nil)
		engine.listingReads |= partial.reads
		return engine, now, schema.Diagnostics{slowForm(m.compiler, m.site, len(data.ids))}, nil
	}
	if now.index = before.index; !sameIndex(before, now) {
		now.index = newIndex(data.ids, found)
	}
	engine.index = now.index
	for _, f := range found {
		engine.listingReads |= f.input
	}
	return engine, now, nil, nil
}

// newStore gives the data to the evaluator, which changes nothing of it.
func newStore(data *siteData) storage.Store {
	return inmem.NewFromObjectWithOpts(
		map[string]any{"site": data.value},
		inmem.OptRoundTripOnWrite(false),
		inmem.OptReturnASTValuesOnRead(true),
	)
}

// stillTrue gives the facts of which all that they were found out from is as it
// was: the profile itself, and what else was read.
func stillTrue(before *memory, data *siteData) map[string]*facts {
	known := maps.Clone(before.facts)
	for _, id := range data.changed {
		delete(known, id)
	}
	maps.DeleteFunc(known, func(_ string, f *facts) bool {
		return slices.ContainsFunc(f.paths, func(path storage.Path) bool {
			return len(path) < 2 || data.lookup(path) != before.data.lookup(path)
		})
	})
	return known
}

// sameIndex reports whether the index of an earlier site is that of the new one:
// the conditions of all profiles are the same.
func sameIndex(before, now *memory) bool {
	return before.index != nil && slices.Equal(before.index.ids, now.data.ids) &&
		maps.EqualFunc(before.facts, now.facts, func(a, b *facts) bool { return a == b || a.unclear == b.unclear && a.residue.equal(b.residue) })
}
