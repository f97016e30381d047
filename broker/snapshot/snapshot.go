// Package snapshot turns revisions of a site into what the broker serves from,
// and swaps it without a request ever seeing half of it.
//
// [Build] makes a [Snapshot] of one revision, or says why it cannot. A [Keeper]
// watches a source, builds what is new and holds the one snapshot that serves:
//
//	keeper := snapshot.New(snapshot.Options{Source: src, Compiler: schema.NewCompiler(), StateDir: dir, Log: log})
//	go keeper.Run(ctx)
//	snap, err := keeper.Wait(ctx)   // the first one
//	snap = keeper.Current()         // once per request
//
// A revision that does not compile changes nothing: the last good one serves
// on, and across restarts too, because it is kept on disk.
package snapshot

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"runtime"
	"strings"
	"time"

	"github.com/x2broker/x2broker/broker/source"
	"github.com/x2broker/x2broker/policy"
	"github.com/x2broker/x2broker/schema"
)

// Snapshot is one revision of a site, compiled. It never changes; whoever
// answers a request loads it once and uses it to the end.
type Snapshot struct {
	Revision source.Revision
	Inputs   Inputs // what it was made of
	Catalog  *schema.Catalog
	Policy   *policy.Engine
	Warnings schema.Diagnostics // sorted by file and line
	Compiled time.Time          // when it was built, UTC
}

// Compiler compiles the CUE files of a site; [schema.Compiler] does.
type Compiler interface {
	Compile(ctx context.Context, tree fs.FS) (*schema.Catalog, schema.Diagnostics)
}

// A Cache is a Compiler whose knowledge of a site's files can outlive it.
type Cache interface {
	Cache() ([]byte, error) // nil for nothing new
	UseCache([]byte) error
}

var _ Cache = (*schema.Compiler)(nil)

// BuildLimit is how long a revision may take to compile; a site of 10,000
// profiles takes a few seconds.
const BuildLimit = 2 * time.Minute

// Build compiles one revision without remembering anything of its policies; see
// [Builder.Build].
func Build(ctx context.Context, compiler Compiler, rev source.Revision, tree *source.Tree) (*Snapshot, schema.Diagnostics) {
	return NewBuilder(compiler).Build(ctx, rev, tree)
}

// A Builder builds one revision of a site after the other, and remembers of the
// last one what its compilers do.
type Builder struct {
	catalogs Compiler
	limit    time.Duration
	policies policy.Compiler
}

// NewBuilder returns a Builder that compiles CUE files with compiler.
func NewBuilder(compiler Compiler) *Builder { return &Builder{catalogs: compiler, limit: BuildLimit} }

// Build compiles one revision: first the CUE files, then the policies against
// the catalog. The snapshot is nil if any diagnostic is an error; the Rego files
// are checked also when the CUE files have errors. Diagnostics are sorted and
// include the warnings. A panic in a compiler is a diagnostic.
//
// A context that ends stops the work with diagnostics that say so: callers look
// at the context before they blame the revision. What takes longer than
// [BuildLimit] is to be blamed.
func (b *Builder) Build(ctx context.Context, rev source.Revision, tree *source.Tree) (*Snapshot, schema.Diagnostics) {
	ctx, cancel := context.WithTimeoutCause(ctx, b.limit, fmt.Errorf("compiling took longer than %v", b.limit))
	defer cancel()
	var catalog *schema.Catalog
	diags := contain("schema", func() (d schema.Diagnostics) {
		catalog, d = b.catalogs.Compile(ctx, tree)
		return d
	})
	return b.finish(ctx, rev, tree, catalog, diags)
}

// finish adds the policies to a catalog, nil if it has errors, of which
// diagnostics are there already.
func (b *Builder) finish(ctx context.Context, rev source.Revision, tree *source.Tree, catalog *schema.Catalog, diags schema.Diagnostics) (*Snapshot, schema.Diagnostics) {
	modules, found := regoFiles(tree)
	diags = append(diags, found...)
	if catalog == nil && ctx.Err() != nil { // the CUE files took all the time, and policies are not to blame
		return nil, diags.Sort()
	}
	var engine *policy.Engine
	diags = append(diags, contain("policy", func() (d schema.Diagnostics) {
		if catalog == nil { // of which nothing is worth remembering
			engine, d = policy.Compile(ctx, emptyCatalog(), modules)
			return d
		}
		engine, d = b.policies.Compile(ctx, catalog, modules)
		return d
	})...)
	if !diags.HasErrors() && (catalog == nil || engine == nil) {
		diags = append(diags, internalError("a compiler gave neither a result nor an error"))
	}
	diags = diags.Sort()
	if diags.HasErrors() {
		return nil, diags
	}
	return &Snapshot{
		Revision: rev,
		Inputs:   inputs(rev, catalog),
		Catalog:  catalog,
		Policy:   engine,
		Warnings: diags,
		Compiled: time.Now().UTC(),
	}, diags
}

// emptyCatalog is what policies are checked against when there is no other. Its
// params are nil: what a policy reads of them may be there.
func emptyCatalog() *schema.Catalog {
	return &schema.Catalog{
		Site:     schema.Site{Timezone: "UTC", Location: time.UTC},
		Networks: map[string]schema.Network{},
		Servers:  map[string]*schema.Server{},
		Profiles: map[string]*schema.Profile{},
		Cases:    map[string]*schema.Case{},
	}
}

// regoFiles gives the *.rego files below policy/. It refuses what is neither
// file nor directory anywhere in the site, where the schema compiler does not:
// the files behind it would be missing without a word.
func regoFiles(tree *source.Tree) (map[string][]byte, schema.Diagnostics) {
	files := map[string][]byte{}
	var diags schema.Diagnostics
	say := func(severity schema.Severity, name, format string, args ...any) {
		diags = append(diags, schema.Diagnostic{
			Severity: severity,
			Pos:      schema.Position{File: name},
			Message:  fmt.Sprintf(format, args...),
		})
	}
	err := fs.WalkDir(tree, ".", func(name string, e fs.DirEntry, err error) error {
		inPolicy := strings.HasPrefix(name, "policy/")
		base := path.Base(name)
		switch {
		case err != nil:
			return err
		case name == ".":
		case name == "policy" && e.Type().IsRegular():
			say(schema.Error, name, "a file where the directory of the policies should be: rename it")
		case base[0] == '.' || base[0] == '_':
			// Plain opa reads these, so a site would test rules that never serve.
			if inPolicy && base[0] == '_' && (e.IsDir() || path.Ext(base) == ".rego") {
				say(schema.Warning, name, "not read, because its name begins with _: rename it if it is part of the policy")
			}
		case e.Type()&fs.ModeIrregular != 0:
			say(schema.Error, name, "a Git submodule, which is not read: put the files themselves here")
		case e.IsDir(), e.Type()&fs.ModeSymlink != 0, !e.Type().IsRegular() && path.Ext(base) == ".cue":
			// Entered by the walk, or refused by the schema compiler.
		case !e.Type().IsRegular():
			say(schema.Error, name, "not a regular file: remove it")
		case inPolicy && path.Ext(base) == ".rego":
			data, err := tree.ReadFile(name)
			if err != nil {
				return err
			}
			files[name] = data
		}
		return nil
	})
	if err != nil {
		say(schema.Error, ".", "cannot read the site: %v", err)
	}
	return files, diags
}

// contain runs a compiler and makes a panic in it an error of the revision, so
// that no site can end the broker.
func contain(what string, compile func() schema.Diagnostics) (diags schema.Diagnostics) {
	defer func() {
		if p := recover(); p != nil {
			diags = append(diags, internalError("the %s compiler failed: %v (in %s)", what, p, panicOrigin()))
		}
	}()
	return compile()
}

func internalError(format string, args ...any) schema.Diagnostic {
	return schema.Diagnostic{
		Severity: schema.Error,
		Pos:      schema.Position{File: "."},
		Message:  fmt.Sprintf(format, args...) + ": this is a bug in x2broker, please report it",
	}
}

// panicOrigin names the function that panicked; called by a deferred function.
func panicOrigin() string {
	var pcs [64]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs[:])])
	for thrown := false; ; {
		f, more := frames.Next()
		switch {
		case f.Function == "runtime.gopanic":
			thrown = true
		case thrown && !strings.HasPrefix(f.Function, "runtime."):
			return f.Function
		case !more:
			return "an unknown function"
		}
	}
}
