package policy

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/x2broker/x2broker/schema"
)

// compiled are the modules of a site. They depend on their sources alone.
type compiled struct {
	sources  map[string][]byte
	compiler *ast.Compiler
	site     map[string]*ast.Module
	defined  map[string][]schema.Position
	warnings schema.Diagnostics
}

// Compile makes an [Engine] of a catalog and the site's Rego modules, without
// remembering anything; see [Compiler.Compile].
func Compile(ctx context.Context, cat *schema.Catalog, files map[string][]byte) (*Engine, schema.Diagnostics) {
	return new(Compiler).Compile(ctx, cat, files)
}

// compileModules checks and compiles sources; the result is nil if there is an
// error among the diagnostics.
func compileModules(ctx context.Context, sources map[string][]byte) (*compiled, schema.Diagnostics) {
	site, tests, ds := read(sources)
	ds = append(ds, checkVendored(sources)...)

	serving, err := builtin(site)
	if err != nil {
		return nil, append(ds, broken(err)).Sort()
	}
	maps.Copy(serving, site)
	whole := !ds.HasErrors()
	compiler, found := check(ctx, serving, whole)
	ds = append(ds, found...)
	if len(tests) > 0 {
		all := maps.Clone(serving)
		maps.Copy(all, tests)
		tested, found := check(ctx, all, whole)
		ds = append(ds, found...)
		if !ds.HasErrors() {
			ds = append(ds, lintTests(tested, defined(site), tests)...)
		}
	}
	if err := ctx.Err(); err != nil {
		ds = append(ds, unfinished(err))
	}
	if ds = ds.Sort(); ds.HasErrors() {
		return nil, ds
	}
	return &compiled{sources: sources, compiler: compiler, site: site, defined: defined(site), warnings: ds}, ds
}

// read parses the site's modules and keeps those that are worth compiling. The
// library's own modules are left out: the built-in ones serve.
func read(sources map[string][]byte) (site, tests map[string]*ast.Module, ds schema.Diagnostics) {
	site, tests = make(map[string]*ast.Module), make(map[string]*ast.Module)
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		if strings.HasPrefix(name, libraryDir) && !isTest(name) {
			continue
		}
		m, found := readModule(name, sources[name])
		ds = append(ds, found...)
		switch {
		case m == nil:
		case isTest(name):
			tests[name] = m
		default:
			site[name] = m
		}
	}
	return site, tests, ds
}

// readModule parses and checks one file by itself. The module is nil if
// compiling it would take forever or make the other files look wrong. A panic is
// that file's error.
func readModule(name string, source []byte) (m *ast.Module, ds schema.Diagnostics) {
	defer func() {
		if r := recover(); r != nil {
			d := broken(r)
			d.Pos.File = name
			m, ds = nil, schema.Diagnostics{d}
		}
	}()
	if len(source) > maxFileSize {
		return nil, schema.Diagnostics{{
			Severity: schema.Error,
			Pos:      schema.Position{File: name},
			Message:  fmt.Sprintf("the file has %d bytes, %d are allowed; split it", len(source), maxFileSize),
		}}
	}
	m, err := parse(name, source)
	if err != nil {
		return nil, diagnose(err, name, nil)
	}
	ds = slices.Concat(checkNesting(m), checkSchemas(m))
	foreign := isReserved(packageName(m)) && !isLibraryTest(name)
	unusable := ds.HasErrors() || foreign
	ds = append(ds, checkPackage(name, m)...)
	if unusable {
		return nil, ds
	}
	if !isTest(name) {
		ds = append(ds, checkForms(m)...)
	}
	return m, ds
}

func parse(name string, source []byte) (*ast.Module, error) {
	m, err := ast.ParseModuleWithOpts(name, string(source), ast.ParserOptions{
		Capabilities:      capabilities(),
		ProcessAnnotation: true, // without it the input schema is a comment
		RegoVersion:       ast.RegoV1,
	})
	if err == nil && m == nil {
		return nil, ast.NewError(ast.ParseErr, &ast.Location{File: name}, "empty module")
	}
	return m, err
}

// builtin gives the library and the shims that the site leaves room for.
func builtin(site map[string]*ast.Module) (map[string]*ast.Module, error) {
	modules, err := shims(site)
	if err != nil {
		return nil, err
	}
	for name, source := range Library() {
		if modules[name], err = parse(name, source); err != nil {
			return nil, err
		}
	}
	return modules, nil
}
