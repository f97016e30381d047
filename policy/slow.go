package policy

import (
	"fmt"
	"maps"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/x2broker/x2broker/schema"
)

// slowForm says what makes visibility too slow to be prepared, and where.
func slowForm(c *ast.Compiler, site map[string]*ast.Module, profiles int) schema.Diagnostic {
	d := schema.Diagnostic{Severity: schema.Warning, Pos: schema.Position{File: "."}, Path: visibleRule}
	const consequence = "every request is slow, and the slower the more profiles there are (now %d)"
	if at := iteration(c, site); at != nil {
		d.Pos = position(at)
		d.Message = fmt.Sprintf("this goes through all visible profiles each time that one is asked about: "+consequence+
			"; write lib.access.visible[id] with the id at hand", profiles)
		return d
	}
	if at := defined(site)[visibleRule]; len(at) > 0 {
		d.Pos = at[0]
	}
	d.Message = fmt.Sprintf("one profile takes too long to be prepared for: "+consequence+
		"; decide from the profile at hand, data.site.profiles[id], and go through no others", profiles)
	return d
}

// iteration finds where the site goes through what the library shows, such as
// `some id in lib.access.visible`: a lookup by a variable that is nowhere else.
func iteration(c *ast.Compiler, site map[string]*ast.Module) (at *ast.Location) {
	library := ruleRef("x2go.lib.access.visible")
	for _, file := range slices.Sorted(maps.Keys(site)) {
		ast.WalkRules(c.Modules[file], func(r *ast.Rule) bool {
			uses := map[ast.Var]int{}
			ast.WalkVars(r, func(v ast.Var) bool {
				uses[v]++
				return false
			})
			ast.WalkExprs(r, func(e *ast.Expr) bool {
				ast.WalkRefs(e, func(ref ast.Ref) bool {
					if at != nil || !ref.HasPrefix(library) {
						return false
					}
					if len(ref) == len(library) { // the set itself
						at = e.Location
					} else if v, ok := ref[len(library)].Value.(ast.Var); ok && uses[v] == 1 {
						at = e.Location
					}
					return false
				})
				return false
			})
			return at != nil
		})
	}
	return at
}
