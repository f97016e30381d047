package schema

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/parser"
)

// A Compiler compiles sites. It keeps nothing between calls yet; one Compiler
// per process lets later versions reuse what did not change.
type Compiler struct{}

// NewCompiler returns a Compiler.
func NewCompiler() *Compiler { return &Compiler{} }

// Compile evaluates the site in tree. It returns all diagnostics, in file
// order, and a nil Catalog if any of them is an error. The context is looked at
// between directories: CUE itself cannot be interrupted.
func (c *Compiler) Compile(ctx context.Context, tree fs.FS) (_ *Catalog, diags Diagnostics) {
	defer func() {
		// CUE's evaluator asserts its invariants by panics; a site must not be
		// able to end the broker by one.
		if r := recover(); r != nil {
			diags = Diagnostics{{
				Severity: Error, Pos: Position{File: "."},
				Message: fmt.Sprintf("the CUE evaluator failed: %v", r),
			}}
		}
	}()
	s := &site{tree: tree, index: newIndex(), caseTexts: map[string][2]string{}}
	if err := s.scan(); err != nil {
		s.errorf(Position{File: "."}, "", "cannot read the site: %v", err)
		return nil, s.diags
	}
	cat := &Catalog{
		Networks: map[string]Network{},
		Servers:  map[string]*Server{},
		Profiles: map[string]*Profile{},
		Cases:    map[string]*Case{},
	}
	if len(s.instances) == 0 && !s.broken {
		s.errorf(Position{File: "."}, "", "no CUE file with `package site` here: is this the root of a site?")
	}
	s.evaluate(ctx, cat)
	if ctx.Err() != nil {
		s.errorf(Position{File: "."}, "", "gave up: %v", context.Cause(ctx))
	} else if len(s.instances) > 0 {
		s.check(cat)
		s.checkFields()
	}
	diags = s.merge()
	if diags.HasErrors() {
		return nil, diags
	}
	return cat, diags
}

// merge joins both kinds of diagnostics: of what CUE found at or below a place
// that has an error of ours, ours stands.
func (s *site) merge() Diagnostics {
	ours := map[string]bool{}
	for _, d := range s.diags {
		if d.Severity == Error && strings.Contains(d.Path, ".") {
			ours[d.Path] = true
		}
	}
	out := slices.Clone(s.diags)
	for _, d := range s.fromCUE {
		said := false
		for p := d.Path; p != ""; p = p[:max(strings.LastIndexByte(p, '.'), 0)] {
			said = said || ours[p]
		}
		if !said {
			out = append(out, d)
		}
	}
	return out.Sort()
}

// A site is the state of one compilation.
type site struct {
	tree      fs.FS
	module    string // module path without its major version, "" without cue.mod
	files     map[string][]*sourceFile
	instances []*instance // of package site, parents before children
	index     *index
	hosts     []hosts              // of all profiles, until all servers are known
	caseTexts map[string][2]string // address and time of each case as written
	broken    bool                 // a file could not be read, so that things may be missing
	diags     Diagnostics
	fromCUE   Diagnostics // what CUE found; dropped where diags say it better
}

// A sourceFile is a CUE file that parses.
type sourceFile struct {
	name string
	pkg  string
	data []byte
}

// parse gives a fresh syntax tree: resolving identifiers changes it, so that
// two instances must not share one.
func (f *sourceFile) parse() (*ast.File, error) {
	return parser.ParseFile(f.name, f.data, parser.ParseComments)
}

// An instance is a directory that holds files of package site.
type instance struct {
	dir    string
	parent *instance
	broken bool // a file of it or above does not parse
	ids    map[string]map[string]bool
}

func (s *site) errorf(pos Position, path, format string, args ...any) {
	s.diags = append(s.diags, Diagnostic{Severity: Error, Pos: pos, Path: path, Message: fmt.Sprintf(format, args...)})
}

func (s *site) warnf(pos Position, path, format string, args ...any) {
	s.diags = append(s.diags, Diagnostic{Severity: Warning, Pos: pos, Path: path, Message: fmt.Sprintf(format, args...)})
}

// scan reads the tree, parses its CUE files once and finds the instances.
func (s *site) scan() error {
	s.files = map[string][]*sourceFile{}
	brokenDirs := map[string]bool{}
	err := fs.WalkDir(s.tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := path.Base(name)
		if name != "." && (base[0] == '.' || base[0] == '_') {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		switch {
		case d.Type()&fs.ModeSymlink != 0:
			s.errorf(Position{File: name}, "", "symbolic links are not read: put the file itself here")
			return nil
		case d.IsDir() && base == "cue.mod":
			if name != "cue.mod" {
				s.errorf(Position{File: name}, "", "a site has one cue.mod, in its root: remove this one")
			}
			return fs.SkipDir
		case d.IsDir() || path.Ext(name) != ".cue":
			return nil
		case !d.Type().IsRegular():
			s.errorf(Position{File: name}, "", "not a regular file")
			return nil
		}
		if !s.read(name) {
			s.broken = true
			brokenDirs[path.Dir(name)] = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.readModule()
	s.findInstances(brokenDirs)
	return nil
}

// read parses one file and reports whether it can be evaluated.
func (s *site) read(name string) bool {
	data, err := fs.ReadFile(s.tree, name)
	if err != nil {
		s.errorf(Position{File: name}, "", "cannot be read: %v", plainError(err))
		return false
	}
	if len(data) > MaxFileBytes {
		s.errorf(Position{File: name}, "", "is larger than %d bytes: split it", MaxFileBytes)
		return false
	}
	f := &sourceFile{name: name, data: data}
	tree, err := f.parse()
	if err != nil {
		s.report(err, nil)
		return false
	}
	f.pkg = tree.PackageName()
	if f.pkg == "" {
		s.errorf(Position{File: name}, "", "has no package clause: begin the file with `package site`")
		return false
	}
	if !s.checkSyntax(f, tree) {
		return false
	}
	dir := path.Dir(name)
	s.files[dir] = append(s.files[dir], f)
	return true
}

// checkSyntax looks at what evaluation would not show, and remembers where
// things are written.
func (s *site) checkSyntax(f *sourceFile, tree *ast.File) bool {
	ok := true
	ast.Walk(tree, func(n ast.Node) bool {
		a, is := n.(*ast.Attribute)
		if !is {
			return true
		}
		if key, _ := a.Split(); key == "if" || key == "ignore" || key == "extern" || key == "embed" {
			s.errorf(position(a.Pos()), "", "@%s is not supported: a site is the same on every machine", key)
			ok = false
		}
		return true
	}, nil)
	if f.pkg != "site" {
		return ok
	}
	root := path.Dir(f.name) == "."
	for _, d := range tree.Decls {
		field, is := d.(*ast.Field)
		if !is {
			continue
		}
		label, literal := fieldName(field)
		if !literal || strings.HasPrefix(label, "_") || strings.HasPrefix(label, "#") {
			continue
		}
		pos := position(field.Label.Pos())
		switch {
		case !slices.Contains(topLevel, label):
			s.errorf(pos, label, "unknown top-level field%s (a site has %s; hidden _fields, #Definitions and let are free)",
				didYouMean(label, topLevel), strings.Join(topLevel, ", "))
		case !root && label != "profiles":
			s.errorf(pos, label, "%s may stand in the root directory of the site only", label)
		}
		s.index.add(label, f, field)
	}
	return ok
}

// findInstances orders the directories of package site, parents first.
func (s *site) findInstances(brokenDirs map[string]bool) {
	dirs := make([]string, 0, len(s.files))
	used := map[string]*sourceFile{}
	for dir, files := range s.files {
		slices.SortFunc(files, func(a, b *sourceFile) int { return strings.Compare(a.name, b.name) })
		first := map[string]*sourceFile{}
		for _, f := range files {
			if first[f.pkg] == nil {
				first[f.pkg] = f
			}
		}
		if len(first) > 1 {
			for pkg, f := range first {
				if pkg != "site" {
					s.errorf(Position{File: f.name}, "", "package %s shares a directory with another package: move it to a directory of its own", pkg)
				}
			}
		}
		if first["site"] != nil {
			dirs = append(dirs, dir)
			continue
		}
		used[dir] = files[0]
	}
	slices.SortFunc(dirs, func(a, b string) int {
		// "." sorts before "a/b": by depth, then by name.
		if d := depth(a) - depth(b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	byDir := map[string]*instance{}
	for _, dir := range dirs {
		in := &instance{dir: dir}
		for d := dir; ; d = path.Dir(d) {
			if brokenDirs[d] {
				in.broken = true
			}
			if d != dir && byDir[d] != nil && in.parent == nil {
				in.parent = byDir[d]
			}
			if d == "." {
				break
			}
		}
		byDir[dir] = in
		s.instances = append(s.instances, in)
	}
	s.checkOrphans(used)
}

// checkOrphans warns of packages that nothing imports: most likely a profile in
// a file with the wrong package clause.
func (s *site) checkOrphans(packages map[string]*sourceFile) {
	imported := map[string]bool{}
	for _, files := range s.files {
		for _, f := range files {
			tree, err := f.parse()
			if err != nil {
				continue
			}
			for spec := range tree.ImportSpecs() {
				if dir, _, ok := s.ownPackage(importPath(spec)); ok {
					imported[dir] = true
				}
			}
		}
	}
	for dir, f := range packages {
		if !imported[dir] {
			s.warnf(Position{File: f.name}, "", "package %s is imported by no file, so nothing here has an effect: did you mean `package site`?", f.pkg)
		}
	}
}

// evaluate builds every instance and collects what it contributes.
func (s *site) evaluate(ctx context.Context, cat *Catalog) {
	for _, in := range s.instances {
		if in.broken {
			continue
		}
		if ctx.Err() != nil {
			return
		}
		s.evaluateInstance(in, cat)
	}
}

func (s *site) evaluateInstance(in *instance, cat *Catalog) {
	inst, err := s.build(in)
	if err != nil {
		s.report(err, in)
		return
	}
	// A context grows with all it evaluates, so that each instance has its own.
	v := cuecontext.New().BuildInstance(inst)
	err = v.Validate(cue.Attributes(true), cue.Definitions(true), cue.Hidden(true), cue.Concrete(true))
	if err != nil {
		s.report(err, in)
	}
	s.decode(in, v, cat)
}

func depth(dir string) int {
	if dir == "." {
		return 0
	}
	return 1 + strings.Count(dir, "/")
}

// plainError drops the operation and the path that the position already names.
func plainError(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
