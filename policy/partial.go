package policy

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/types"
)

// Partial evaluation asks for each profile whether it is visible, with the input
// unknown. What is left is made into an index, see [residueOf]; no answer comes
// from it. It may take long only for forms that would make every request slow,
// too: those are served without an index.
const (
	maxSteps   = 20_000 // expressions evaluated for one profile; an ordinary rule needs 300
	slowSteps  = 2_000  // for a usual profile: about 5 ms
	sampleSize = 8      // profiles that are tried first
	maxStopped = 16     // profiles that reach maxSteps
	maxReads   = 64     // paths remembered for one profile

	// Safety nets, for functions that take long in one step. They are far from
	// what a busy machine needs for a good policy.
	maxOne = 2 * time.Second
	maxAll = 2 * time.Minute
)

// facts are what partial evaluation has found out about one profile.
type facts struct {
	residue
	unclear bool           // there is no residue: always ask the policy
	stopped bool           // because it took too long
	steps   int            // that it took
	paths   []storage.Path // that were read of data, apart from the profile's own
}

// A partial evaluates the visibility of profiles partially.
type partial struct {
	modules *ast.Compiler
	data    *siteData
	store   storage.Store
	rule    ast.Ref // that decides
	reads   fields  // parts of the input that it may read
	limit   int     // steps for one profile

	// Of profiles with the same access and legacyACL one is evaluated for all: the
	// library decides by nothing else.
	byAccess bool
}

func newPartial(m *compiled, data *siteData, store storage.Store) *partial {
	rule := ruleRef(m.asked(visibleRule))
	return &partial{
		modules: untyped(m.compiler), data: data, store: store,
		rule: rule, reads: fieldsOfRule(m.compiler, rule), limit: maxSteps,
		byAccess: len(m.defined[visibleRule]) == 0,
	}
}

// alike puts the profiles together of which one is evaluated for all.
func (p *partial) alike(ids []string) [][]string {
	groups := make([][]string, 0, len(ids))
	known := map[int][]int{} // by hash, places in groups
	access, legacyACL := ast.StringTerm("access"), ast.StringTerm("legacyACL")
	of := func(id string) *ast.Term {
		profile := p.data.profiles[id].Value.(ast.Object)
		if legacy := profile.Get(legacyACL); legacy != nil {
			return legacy // its access is empty
		}
		return profile.Get(access)
	}
	for _, id := range ids {
		if !p.byAccess {
			groups = append(groups, []string{id})
			continue
		}
		mine := of(id)
		same := slices.IndexFunc(known[mine.Hash()], func(i int) bool { return mine.Equal(of(groups[i][0])) })
		if same >= 0 {
			i := known[mine.Hash()][same]
			groups[i] = append(groups[i], id)
			continue
		}
		known[mine.Hash()] = append(known[mine.Hash()], len(groups))
		groups = append(groups, []string{id})
	}
	return groups
}

// untyped gives a compiler to which functions take and give anything. Partial
// evaluation drops conjunctions that cannot be well typed, which is wrong for
// negated ones: `not count(input.user.groups) == "a"` is true.
func untyped(c *ast.Compiler) *ast.Compiler {
	loose := *capabilities()
	loose.Builtins = slices.Clone(loose.Builtins)
	for i, b := range loose.Builtins {
		if b.Decl.Result() == nil {
			continue
		}
		anything := *b
		args := make([]types.Type, len(b.Decl.FuncArgs().Args))
		for j := range args {
			args[j] = types.A
		}
		anything.Decl = types.NewFunction(args, types.A)
		loose.Builtins[i] = &anything
	}
	open := ast.NewCompiler().WithCapabilities(&loose)
	open.Compile(nil)
	copied := *c
	copied.TypeEnv = open.TypeEnv
	return &copied
}

// all gives the facts of all profiles: those in known, which becomes the result,
// are taken over. It is slow
// if the site's rules are of a form for which it is not worth while, and then
// has facts of a few profiles only.
func (p *partial) all(ctx context.Context, ids []string, known map[string]*facts) (found map[string]*facts, slow bool) {
	if found = known; found == nil {
		found = make(map[string]*facts, len(ids))
	}
	var sample []*facts
	for i := range min(sampleSize, len(ids)) {
		id := ids[i*len(ids)/min(sampleSize, len(ids))]
		if found[id] == nil {
			found[id] = p.one(ctx, id)
		}
		sample = append(sample, found[id])
	}
	isSlow := func(f *facts) bool { return f.steps > slowSteps }
	if fast := slices.DeleteFunc(slices.Clone(sample), isSlow); len(fast) < (len(sample)+1)/2 {
		return found, true
	}

	limited, cancel := context.WithTimeout(ctx, maxAll)
	defer cancel()
	var missing []string
	var stopped atomic.Int32
	note := func(f *facts) {
		if f.stopped {
			stopped.Add(1)
		}
	}
	for _, id := range ids {
		if f := found[id]; f != nil {
			note(f)
		} else {
			missing = append(missing, id)
		}
	}
	groups := p.alike(missing)
	results := make([]*facts, len(groups))
	var next atomic.Int32
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(groups)) {
		workers.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(groups) || stopped.Load() > maxStopped || limited.Err() != nil {
					return
				}
				results[i] = p.one(ctx, groups[i][0])
				note(results[i])
			}
		})
	}
	workers.Wait()
	if stopped.Load() > maxStopped || limited.Err() != nil {
		return found, true
	}
	for i, ids := range groups {
		for _, id := range ids {
			found[id] = results[i]
		}
	}
	return found, false
}

// one evaluates one profile. All that goes wrong leaves it unclear.
func (p *partial) one(ctx context.Context, id string) (f *facts) {
	reads := &recorder{Store: p.store, own: id, seen: map[string]storage.Path{}}
	meter := &meter{limit: p.limit, began: time.Now()}
	f = &facts{unclear: true, residue: residue{input: p.reads}}
	defer func() {
		_ = recover() // as from a function of the evaluator's
		f.steps, f.stopped, f.paths = meter.steps, meter.over, reads.paths()
	}()
	txn, err := p.store.NewTransaction(ctx)
	if err != nil {
		return f
	}
	defer p.store.Abort(ctx, txn)
	question := ast.NewBody(ast.NewExpr(ast.NewTerm(p.rule.Append(ast.StringTerm(id)))))
	queries, support, err := topdown.NewQuery(question).
		WithCompiler(p.modules).
		WithStore(reads).
		WithTransaction(txn).
		WithStrictBuiltinErrors(true).
		WithCancel(meter).
		WithUnknowns([]*ast.Term{ast.NewTerm(ast.InputRootRef)}).
		PartialRun(ctx)
	if err == nil {
		f.residue, f.unclear = residueOf(queries, support, p.reads), false
	}
	return f
}

// ruleRef gives data.x2go.access.visible for "x2go.access.visible".
func ruleRef(name string) ast.Ref {
	ref := ast.Ref{ast.DefaultRootDocument}
	for part := range strings.SplitSeq(name, ".") {
		ref = append(ref, ast.StringTerm(part))
	}
	return ref
}

// A meter counts the steps of an evaluation, which looks at it before each, and
// stops it at the limit.
type meter struct {
	limit, steps int
	began        time.Time
	over         bool
}

// Cancel does nothing: nobody else stops the evaluation.
func (m *meter) Cancel() {}

// Cancelled counts a step.
func (m *meter) Cancelled() bool {
	m.steps++
	m.over = m.over || m.steps > m.limit || m.steps%256 == 0 && time.Since(m.began) > maxOne
	return m.over
}

// A recorder remembers what is read of a store. What belongs to the profile that
// is asked about goes without saying.
type recorder struct {
	storage.Store
	own  string
	seen map[string]storage.Path
}

// Read reads and remembers.
func (r *recorder) Read(ctx context.Context, txn storage.Transaction, path storage.Path) (any, error) {
	own := len(path) > 2 && path[0] == "site" && path[1] == "profiles" && path[2] == r.own
	if !own && len(r.seen) <= maxReads {
		r.seen[path.String()] = slices.Clone(path)
	}
	return r.Store.Read(ctx, txn, path)
}

// paths gives what was read; all of data if that is much.
func (r *recorder) paths() []storage.Path {
	if len(r.seen) > maxReads {
		return []storage.Path{{}}
	}
	paths := make([]storage.Path, 0, len(r.seen))
	for _, p := range r.seen {
		paths = append(paths, p)
	}
	return paths
}
