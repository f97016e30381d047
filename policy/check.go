package policy

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/x2broker/x2broker/schema"
)

// check compiles modules and finds what is wrong with them; whole tells that no
// module is missing because of another error. The compiler stops after the first
// step in which something is wrong: to see the errors of later steps, the rules
// that have one are taken out and the rest is compiled again. What is then
// missing because it was taken out is no error of the site's. The compiler is nil
// if anything is wrong.
func check(ctx context.Context, modules map[string]*ast.Module, whole bool) (*ast.Compiler, schema.Diagnostics) {
	const maxRounds = 20 // there are fewer steps that find errors
	var ds schema.Diagnostics
	for round := range maxRounds {
		c := newCompiler(ctx)
		c.Compile(modules)
		if !c.Failed() {
			ds = append(ds, checkReferences(c, modules, whole && round == 0)...)
			if len(ds) > 0 {
				return nil, ds
			}
			return c, nil
		}
		if ctx.Err() != nil {
			break
		}
		ds = append(ds, diagnose(genuine(c.Errors, whole, round), "", modules)...)
		if modules = without(modules, c.Errors); modules == nil {
			break
		}
	}
	return nil, ds
}

// genuine leaves out errors that may be there only because something that has
// an error of its own is missing: a module that is not whole, or a rule that was
// taken out in an earlier round.
func genuine(errs ast.Errors, whole bool, round int) ast.Errors {
	return slices.DeleteFunc(slices.Clone(errs), func(e *ast.Error) bool {
		if round > 0 && strings.HasPrefix(e.Message, "import ") && strings.HasSuffix(e.Message, " unused") {
			return true
		}
		return (round > 0 || !whole) &&
			(strings.HasPrefix(e.Message, "undefined function data.") || strings.HasPrefix(e.Message, "undefined ref: data."))
	})
}

// newCompiler makes a compiler as strict as `opa check --strict`, which reports
// every error and stops between two steps when ctx ends.
func newCompiler(ctx context.Context) *ast.Compiler {
	c := ast.NewCompiler().
		WithCapabilities(capabilities()).
		WithStrict(true).
		WithUseTypeCheckAnnotations(true).
		SetErrorLimit(0)
	for _, step := range ast.AllStages() {
		c.WithStageAfterID(step, ast.CompilerStageDefinition{
			Name: "x2broker/" + string(step),
			Stage: func(*ast.Compiler) *ast.Error {
				if err := ctx.Err(); err != nil {
					return ast.NewError(ast.CompileErr, nil, "%v", err)
				}
				return nil
			},
		})
	}
	return c
}

// without gives the modules less the imports and rules that have errors, and
// less the modules whose package has. It gives nil when that changes nothing.
func without(modules map[string]*ast.Module, errs ast.Errors) map[string]*ast.Module {
	rest := maps.Clone(modules)
	changed := false
	for _, e := range errs {
		if e.Location == nil {
			continue
		}
		m, ok := rest[e.Location.File]
		if !ok {
			continue
		}
		less := *m
		less.Rules = slices.Clone(m.Rules)
		less.Imports = slices.DeleteFunc(slices.Clone(m.Imports), func(i *ast.Import) bool {
			return i.Location.Row == e.Location.Row
		})
		r := ruleAt(m, e.Location)
		switch {
		case r != nil:
			less.Rules = slices.DeleteFunc(less.Rules, func(x *ast.Rule) bool { return x == r })
			rest[e.Location.File] = &less
			changed = true
		case len(less.Imports) < len(m.Imports):
			rest[e.Location.File] = &less
			changed = true
		case m.Package.Location.Row == e.Location.Row:
			delete(rest, e.Location.File)
			changed = true
		}
	}
	if !changed {
		return nil
	}
	return rest
}

// ruleAt gives the rule that spans a place: the last that begins before it.
func ruleAt(m *ast.Module, at *ast.Location) *ast.Rule {
	var found *ast.Rule
	for _, r := range m.Rules {
		l := r.Location
		if l == nil || l.Row > at.Row || l.Row == at.Row && l.Col > at.Col {
			continue
		}
		if found == nil || l.Row > found.Location.Row || l.Row == found.Location.Row && l.Col >= found.Location.Col {
			found = r
		}
	}
	return found
}
