package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/x2broker/x2broker/schema"
)

// checkReferences finds references to rules below x2go that nobody defines, to
// parts of the catalog, and to facts of servers and sessions that there are not. The compiler
// takes them for data that may come; here they would be undefined for good, and
// `not` would make a yes of it. Modules are as parsed, to tell the rule of a
// place; whole tells that no rule is missing because of another error.
func checkReferences(c *ast.Compiler, modules map[string]*ast.Module, whole bool) schema.Diagnostics {
	var ds schema.Diagnostics
	for _, name := range slices.Sorted(maps.Keys(modules)) {
		ast.WalkTerms(c.Modules[name], func(t *ast.Term) bool {
			ref, ok := t.Value.(ast.Ref)
			if !ok || t.Location == nil {
				return false
			}
			if message := missing(c, original(c, ref), whole); message != "" {
				d := schema.Diagnostic{Severity: schema.Error, Pos: position(t.Location), Message: readable(message)}
				if r := ruleAt(modules[name], t.Location); r != nil {
					d.Path = packageName(modules[name]) + "." + ruleName(r)
				}
				ds = append(ds, d)
			}
			return false
		})
	}
	return ds
}

// original gives a reference with its variables as written.
func original(c *ast.Compiler, ref ast.Ref) ast.Ref {
	written := ref.Copy()
	for i, t := range written {
		if v, ok := t.Value.(ast.Var); ok {
			if name, ok := c.RewrittenVars[v]; ok {
				written[i] = ast.VarTerm(string(name))
			}
		}
	}
	return written
}

// missing says which part of a reference does not exist.
func missing(c *ast.Compiler, ref ast.Ref, whole bool) string {
	switch {
	case isBelow(ref, 3, "data", "site"):
		return notOneOf(ref, 2, catalogParts())
	case isBelow(ref, 4, "input", "servers"):
		return notOneOf(ref, 3, factNames())
	case isBelow(ref, 4, "input", "sessions"):
		return notOneOf(ref, 3, sessionFields())
	case whole && isBelow(ref, 3, "data", "x2go"):
		return undefinedRule(c, ref)
	}
	return ""
}

// isBelow reports whether a reference has at least length parts and begins with
// these two.
func isBelow(ref ast.Ref, length int, root, field string) bool {
	return len(ref) >= length && ref[0].Value.Compare(ast.Var(root)) == 0 && ref[1].Value.Compare(ast.String(field)) == 0
}

// notOneOf says that the part at index i is none of the names, if it is a name.
func notOneOf(ref ast.Ref, i int, names []string) string {
	part, ok := ref[i].Value.(ast.String)
	if !ok || slices.Contains(names, string(part)) {
		return ""
	}
	return fmt.Sprintf("%s does not exist; %s has %s", ref[:i+1], ref[:i], strings.Join(names, ", "))
}

// undefinedRule says which part of a reference leads to no rule.
func undefinedRule(c *ast.Compiler, ref ast.Ref) string {
	node := c.RuleTree
	for i, t := range ref {
		if _, ok := t.Value.(ast.String); !ok && i > 0 {
			return ""
		}
		child := node.Child(t.Value)
		if child == nil {
			return fmt.Sprintf("%s does not exist; nothing defines it", ref[:i+1])
		}
		if len(child.Values) > 0 {
			return "" // a rule: what follows is part of its value
		}
		node = child
	}
	return ""
}

// sessionFields lists what policies see of a session at input.sessions[id].
func sessionFields() []string {
	return []string{"server", "profile_id", "state", "created", "changed", "client"}
}
