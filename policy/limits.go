package policy

import (
	"fmt"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/x2broker/x2broker/schema"
)

// Compilation cannot be interrupted within a step, and takes time that doubles
// with each comprehension inside another, grows with the third power of a body's
// length and the square of other nesting. These limits are far above what people
// write and keep a step short.
const (
	maxFileSize = 1 << 20 // bytes
	maxNesting  = 200     // terms and expressions within each other
	maxClosures = 8       // comprehensions, every and template strings within each other
	maxBody     = 100     // expressions in one body
)

// checkNesting refuses modules that would take too long to compile.
func checkNesting(m *ast.Module) schema.Diagnostics {
	var ds schema.Diagnostics
	for _, r := range m.Rules {
		if message := nesting(r); message != "" {
			ds = append(ds, schema.Diagnostic{
				Severity: schema.Error,
				Pos:      position(r.Location),
				Path:     packageName(m) + "." + ruleName(r),
				Message:  message,
			})
		}
	}
	return ds
}

// nesting says which limit a rule exceeds, if any.
func nesting(r *ast.Rule) string {
	var depth, closures, deepest, most, longest int
	step := func(x any, by int) {
		switch x := x.(type) {
		case *ast.Rule, *ast.Expr:
			depth += by
		case *ast.Term:
			depth += by
			switch x.Value.(type) {
			case *ast.ArrayComprehension, *ast.SetComprehension, *ast.ObjectComprehension, *ast.TemplateString:
				closures += by
			}
		case *ast.Every, *ast.Not, *ast.LogicalAnd, *ast.LogicalOr:
			closures += by
		case ast.Body:
			longest = max(longest, len(x))
		}
		deepest, most = max(deepest, depth), max(most, closures)
	}
	var visitor *ast.BeforeAfterVisitor
	visitor = ast.NewBeforeAfterVisitor(
		func(x any) bool {
			step(x, 1)
			if t, ok := x.(*ast.TemplateString); ok { // the visitor does not enter these
				for _, part := range t.Parts {
					visitor.Walk(part)
				}
			}
			return false
		},
		func(x any) { step(x, -1) },
	)
	visitor.Walk(r)
	switch {
	case most > maxClosures:
		return fmt.Sprintf("has %d comprehensions or similar within each other, %d are allowed; move some into rules of their own", most, maxClosures)
	case longest > maxBody:
		return fmt.Sprintf("has %d lines in one body, %d are allowed; move some into rules of their own", longest, maxBody)
	case deepest > maxNesting:
		return fmt.Sprintf("is nested %d deep, %d is allowed; move parts into rules of their own", deepest, maxNesting)
	}
	return ""
}

// checkSchemas refuses metadata whose schema names another document: the
// type checker would read that file or URL.
func checkSchemas(m *ast.Module) schema.Diagnostics {
	var ds schema.Diagnostics
	for _, a := range m.Annotations {
		for _, s := range a.Schemas {
			if s.Definition == nil || !hasReference(*s.Definition) {
				continue
			}
			ds = append(ds, schema.Diagnostic{
				Severity: schema.Error,
				Pos:      position(a.Location),
				Path:     packageName(m),
				Message:  "the schema refers to another with $ref; write it out in place",
			})
		}
	}
	return ds
}

func hasReference(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		for key, x := range v {
			if key == "$ref" || hasReference(x) {
				return true
			}
		}
	case []any:
		for _, x := range v {
			if hasReference(x) {
				return true
			}
		}
	}
	return false
}
