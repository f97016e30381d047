package schema

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"slices"
	"strings"
	"time"
)

// A Compiler compiles sites. It remembers what the files of the last site came
// to, so that compiling a site of which one file has changed costs little more
// than that file. It is safe for concurrent use; calls wait for each other.
type Compiler struct {
	workers int
	whole   bool          // evaluate each directory in one piece: for tests
	doing   progress      // what CUE is at
	turn    chan struct{} // holds a token for whoever uses what follows

	files map[string]*sourceFile
	done  map[unitKey]*outcome
	// vetted are own packages without mistakes.
	vetted  map[unitKey]bool
	unsaved int   // outcomes that Save has not written
	base    *base // nil if there is none
}

// unitKey names what an evaluation saw: files with their content, all that they
// could refer to, and this version of the schema.
type unitKey [sha256.Size]byte

// NewCompiler returns a Compiler that uses as many processors as Go does.
func NewCompiler() *Compiler {
	return &Compiler{workers: runtime.GOMAXPROCS(0), turn: make(chan struct{}, 1)}
}

// Compile evaluates the site in tree. It returns all diagnostics, in file
// order, and a nil Catalog if any of them is an error.
//
// It returns when the context ends. CUE itself cannot be interrupted: what it is
// at then goes on in the background, and later calls wait for it, each no longer
// than its own context. A process that cannot bear that has to end.
func (c *Compiler) Compile(ctx context.Context, tree fs.FS) (*Catalog, Diagnostics) {
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, c.late(ctx)
	}
	type result struct {
		catalog *Catalog
		diags   Diagnostics
	}
	done := make(chan result, 1)
	go func() {
		defer func() { <-c.turn }()
		// CUE's evaluator asserts its invariants by panics; a site must not be
		// able to end the broker by one.
		defer func() {
			if r := recover(); r != nil {
				done <- result{nil, Diagnostics{panicked(r)}}
			}
		}()
		catalog, diags := c.compile(ctx, tree)
		done <- result{catalog, diags}
	}()
	select {
	case r := <-done:
		return r.catalog, r.diags
	case <-ctx.Done():
	}
	select {
	case r := <-done:
		return r.catalog, r.diags
	case <-time.After(notice):
		return nil, c.late(ctx)
	}
}

func panicked(r any) Diagnostic {
	return Diagnostic{Severity: Error, Pos: Position{File: "."}, Message: fmt.Sprintf("the CUE evaluator failed: %v", r)}
}

func (c *Compiler) compile(ctx context.Context, tree fs.FS) (*Catalog, Diagnostics) {
	s := &site{tree: tree, byLabels: map[string][]string{}}
	if err := s.read(c.files, c.workers); err != nil {
		s.errorf(Position{File: "."}, "", "cannot read the site: %v", err)
		return nil, s.diags
	}
	c.files = s.all
	if c.base != nil {
		if catalog, diags, ok := c.base.patch(ctx, c, s); ok {
			return catalog, diags
		}
		s = &site{tree: tree, names: s.names, all: s.all, moduleFile: s.moduleFile, byLabels: map[string][]string{}, diags: s.diags}
	}
	s.order()
	if len(s.instances) == 0 && !s.broken {
		s.errorf(Position{File: "."}, "", "no CUE file with `package site` here: is this the root of a site?")
	}
	catalog, units := s.evaluate(ctx, c)
	if ctx.Err() != nil {
		return nil, c.late(ctx)
	}
	if len(s.instances) > 0 {
		s.check(catalog)
		s.checkFields()
	}
	diags := s.merge()
	c.base = newBase(s, units, catalog, diags)
	if diags.HasErrors() {
		return nil, diags
	}
	return catalog, diags
}

// A site is the state of one compilation.
type site struct {
	tree       fs.FS
	names      []string // of the CUE files, in order
	moduleFile []byte
	module     string                   // module path without its major version, "" without cue.mod
	major      string                   // of the module, "v0"
	all        map[string]*sourceFile   // by name
	files      map[string][]*sourceFile // by directory, in the order of their names
	aside      []*sourceFile            // that are no part of their package, see sourceFile.aside
	instances  []*instance              // of package site, parents before children
	index      index
	byLabels   map[string][]string             // servers by the labels asked for
	root       *rootValues                     // of the root directory
	owners     map[string]map[string]*instance // who contributes an id
	hosts      []hosts                         // of all profiles, until all servers are known
	caseTexts  map[string][2]string            // address and time of each case as written
	// usesVendored: a file may use what only the site's own bindings define.
	usesVendored bool
	importsSite  bool // a file imports a package site of the site itself
	broken       bool // a file could not be read, so that things may be missing
	diags        Diagnostics
	said         map[string]Diagnostics // of profiles by themselves, by id
	fromCUE      Diagnostics            // what CUE found; dropped where diags say it better
}

// An instance is a directory that holds files of package site.
type instance struct {
	dir    string
	parent *instance
	broken bool                       // a file of it or above does not parse
	ids    map[string]map[string]bool // that it has, its own and inherited; nil without instances below
}

func (s *site) errorf(pos Position, path, format string, args ...any) {
	s.diags = append(s.diags, Diagnostic{Severity: Error, Pos: pos, Path: path, Message: fmt.Sprintf(format, args...)})
}

func (s *site) warnf(pos Position, path, format string, args ...any) {
	s.diags = append(s.diags, Diagnostic{Severity: Warning, Pos: pos, Path: path, Message: fmt.Sprintf(format, args...)})
}

// merge joins both kinds of diagnostics. Of what CUE found at or below a place
// that has an error of ours, ours stands, and what is below a value of the wrong
// type is wrong only because of that.
func (s *site) merge() Diagnostics {
	ours, wrong := map[string]bool{}, map[string]bool{}
	found := slices.Clone(s.diags)
	for _, id := range sortedKeys(s.said) {
		found = append(found, s.said[id]...)
	}
	for _, d := range found {
		if d.Severity == Error && strings.Contains(d.Path, ".") {
			ours[d.Path] = true
		}
	}
	for _, d := range s.fromCUE {
		if d.Path != "" && strings.Contains(d.Message, " must be ") && strings.Contains(d.Message, ", not ") {
			wrong[d.Path] = true
		}
	}
	out := found
	for _, d := range s.fromCUE {
		said := ours[d.Path]
		for p := parentPath(d.Path); p != ""; p = parentPath(p) {
			said = said || ours[p] || wrong[p]
		}
		if !said {
			out = append(out, d)
		}
	}
	above := map[string]bool{} // what has an error below it
	for _, d := range out {
		for p := d.Path; d.Severity == Error && p != ""; p = parentPath(p) {
			above[p] = true
		}
	}
	out = slices.DeleteFunc(out, func(d Diagnostic) bool {
		return d.Severity == Warning && above[d.Path] // most likely a consequence
	})
	if len(s.fromCUE) > 0 && !out.HasErrors() {
		out = append(out, s.fromCUE...) // whatever else: what CUE refuses is refused
	}
	return out.Sort()
}

// parentPath drops the last part of a path; that of a quoted label with dots is
// cut somewhere within, which finds nothing and does no harm.
func parentPath(p string) string { return p[:max(strings.LastIndexByte(p, '.'), 0)] }

// plainError drops the operation and the path that the position already names.
func plainError(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
