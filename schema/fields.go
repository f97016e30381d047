package schema

import (
	"slices"
	"sync"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/parser"
)

// definitions are the structs of the schema by name, for messages only.
var definitions = sync.OnceValue(func() map[string]*ast.StructLit {
	f, err := parser.ParseFile(schemaFile, schemaSource)
	if err != nil {
		return nil // a test compiles the schema
	}
	out := map[string]*ast.StructLit{}
	for _, d := range f.Decls {
		field, ok := d.(*ast.Field)
		if !ok {
			continue
		}
		if lit, ok := field.Value.(*ast.StructLit); ok {
			label, _ := fieldName(field)
			out[label] = lit
		}
	}
	return out
})

// fieldsNear are the fields that the schema knows where the path ends.
func fieldsNear(p []string) []string {
	if len(p) < 2 {
		return topLevel
	}
	entry := map[string]string{"site": "#SiteInfo", "servers": "#Server", "profiles": "#Profile", "cases": "#Case"}
	lit := definitions()[entry[p[0]]]
	steps := p[1 : len(p)-1]
	if p[0] != "site" && len(steps) > 0 {
		steps = steps[1:] // the id
	}
	for _, step := range steps {
		lit = structAt(lit, step)
	}
	if lit == nil {
		return nil
	}
	var out []string
	for _, d := range lit.Elts {
		if f, ok := d.(*ast.Field); ok {
			if label, ok := fieldName(f); ok {
				out = append(out, label)
			}
		}
	}
	return out
}

// checkFields finds fields that the schema does not know and that CUE did not
// report: it names the first mistakes of a struct only.
func (s *site) checkFields() {
	reported := map[string]bool{}
	for _, d := range s.fromCUE {
		reported[d.Path] = true
	}
	for _, p := range sortedKeys(s.index.fields) {
		f := s.index.fields[p]
		known := fieldsNear(f.path)
		label := f.path[len(f.path)-1]
		if reported[joinPath(f.path[:len(f.path)-1])] {
			continue // the whole struct is something else
		}
		if len(f.path) < 3 || len(known) == 0 || slices.Contains(known, label) || reported[p] {
			continue
		}
		s.errorf(f.pos, p, "%s", s.reword("field not allowed", f.path))
	}
}

// structAt is the struct of a field of lit, or nil.
func structAt(lit *ast.StructLit, label string) *ast.StructLit {
	if lit == nil {
		return nil
	}
	for _, d := range lit.Elts {
		f, ok := d.(*ast.Field)
		if !ok {
			continue
		}
		name, literal := fieldName(f)
		if literal && name != label {
			continue
		}
		switch v := f.Value.(type) {
		case *ast.StructLit:
			return v
		case *ast.Ident:
			return definitions()[v.Name]
		}
	}
	return nil
}
