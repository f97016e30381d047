package schema

import (
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/build"
	"cuelang.org/go/cue/errors"
	"cuelang.org/go/cue/parser"
	"cuelang.org/go/cue/token"
	"cuelang.org/go/mod/modfile"
	"golang.org/x/mod/semver"
)

// minLanguage is the first version of CUE with all that the schema uses; cue
// itself goes by the version of the module.
const minLanguage = "v0.14.0"

const moduleName = "cue.mod/module.cue"

// readModule reads the file that names the module, if there is one.
func (s *site) readModule() {
	data, err := fs.ReadFile(s.tree, moduleName)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.errorf(Position{File: moduleName}, "", "cannot be read: %v", plainError(err))
	}
	s.moduleFile = data
}

// checkModule takes the module's path from its file.
func (s *site) checkModule() {
	if s.moduleFile == nil {
		return // the site imports no packages of its own then
	}
	m, err := modfile.Parse(s.moduleFile, moduleName)
	if err != nil {
		s.report(err, nil)
		return
	}
	if m.Language == nil || semver.Compare(m.Language.Version, minLanguage) < 0 {
		s.errorf(Position{File: moduleName}, "language.version", "write language: version: %q: the schema needs CUE %s or newer", cue.LanguageVersion(), minLanguage)
	}
	s.module = m.ModuleRootPath()
	s.major = m.MajorVersion()
}

// build makes CUE's instance of files of one package; of package site with the
// built-in bindings of some fields.
func (s *site) build(dir string, files []*sourceFile, parsed map[*sourceFile]*ast.File, bound fieldSet) (*build.Instance, error) {
	l := &loader{site: s}
	l.ctx = build.NewContext(build.Loader(l.load))
	inst := l.ctx.NewInstance(dir, nil)
	if err := addFiles(inst, files, parsed); err != nil {
		return nil, err
	}
	// Last, as plain cue has a site's x2broker.cue: what it makes of
	// comprehensions can depend on the order.
	if bound != 0 {
		binding, err := parser.ParseFile(bindingFile, bindingSource)
		if err != nil {
			return nil, err
		}
		binding.Decls = slices.DeleteFunc(binding.Decls, func(d ast.Decl) bool {
			field, is := d.(*ast.Field)
			if !is {
				return false
			}
			name, _ := fieldName(field)
			return bound&(1<<slices.Index(topLevel, name)) == 0
		})
		if err := inst.AddSyntax(binding); err != nil {
			return nil, err
		}
	}
	return inst, inst.Complete()
}

// packageFiles are the files of a package in dir and the directories above it,
// in the order in which cue reads them.
func (s *site) packageFiles(dir, pkg string) []*sourceFile {
	var out []*sourceFile
	for _, d := range chain(dir) {
		for _, f := range s.files[d] {
			if f.pkg == pkg {
				out = append(out, f)
			}
		}
	}
	return out
}

// addFiles adds files, of which some have been parsed for this instance.
func addFiles(inst *build.Instance, files []*sourceFile, parsed map[*sourceFile]*ast.File) error {
	for _, f := range files {
		tree := parsed[f]
		if tree == nil {
			var err error
			if tree, err = f.parse(); err != nil {
				return err
			}
		}
		if len(inst.Files) > 0 {
			// The parser has resolved the identifiers; AddSyntax would do it again.
			inst.Files = append(inst.Files, tree)
		} else if err := inst.AddSyntax(tree); err != nil {
			return err
		}
	}
	return nil
}

// A loader resolves the imports of one instance.
type loader struct {
	site  *site
	ctx   *build.Context
	stack []string
}

// load gives the instance for an import path; nil leaves the path to CUE's
// standard library.
func (l *loader) load(pos token.Pos, importPath string) *build.Instance {
	if importPath == ImportPath {
		inst := l.ctx.NewInstance(importPath, nil)
		inst.ImportPath = importPath
		f, err := parser.ParseFile(schemaFile, schemaSource)
		if err == nil {
			err = inst.AddSyntax(f)
		}
		if err == nil {
			err = inst.Complete()
		}
		if err != nil {
			inst.ReportError(errors.Promote(err, "built-in schema"))
		}
		return inst
	}
	if first, _, _ := strings.Cut(importPath, "/"); !strings.Contains(first, ".") {
		return nil
	}
	inst := l.ctx.NewInstance(importPath, nil)
	inst.ImportPath = importPath
	fail := func(format string, args ...any) *build.Instance {
		inst.Err = errors.Newf(pos, format, args...)
		return inst
	}
	dir, pkg, ok := l.site.ownPackage(importPath)
	if !ok {
		return fail("cannot import %q: a site imports %s, CUE's standard library and packages of its own module only", importPath, ImportPath)
	}
	for _, p := range l.stack {
		if p == importPath {
			return fail("import cycle: %s", strings.Join(append(l.stack, importPath), " imports "))
		}
	}
	if len(l.site.files[dir]) == 0 {
		return fail("cannot import %q: no CUE file in %s", importPath, dir)
	}
	l.stack = append(l.stack, importPath)
	defer func() { l.stack = l.stack[:len(l.stack)-1] }()
	if err := addFiles(inst, l.site.packageFiles(dir, pkg), nil); err != nil {
		inst.ReportError(errors.Promote(err, ""))
		return inst
	}
	if len(inst.Files) == 0 {
		return fail("cannot import %q: no file of package %s in %s", importPath, pkg, dir)
	}
	if err := inst.Complete(); err != nil {
		inst.ReportError(errors.Promote(err, ""))
	}
	return inst
}

// ownPackage maps an import path to a directory and package of the site's own
// module.
func (s *site) ownPackage(importPath string) (dir, pkg string, ok bool) {
	p := ast.ParseImportPath(importPath)
	if s.module == "" || p.Version != "" && p.Version != s.major {
		return "", "", false
	}
	switch rest, inside := strings.CutPrefix(p.Path, s.module); {
	case !inside:
		return "", "", false
	case rest == "":
		dir = "."
	default:
		if dir, ok = strings.CutPrefix(rest, "/"); !ok || !fs.ValidPath(dir) {
			return "", "", false
		}
	}
	return dir, p.Qualifier, true
}

// importPath is what an import names, or "" if it is not a string.
func importPath(spec *ast.ImportSpec) string {
	p, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return ""
	}
	return p
}
