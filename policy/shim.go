package policy

import (
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/x2broker/x2broker/schema"
)

// A rule is one that the broker asks.
type rule struct {
	pkg, name string
	set       bool   // a set of names; otherwise an object by server id
	form      string // how a site writes its head
}

func (r rule) String() string { return r.pkg + "." + r.name }

// shim is the file that defines the rule by asking the library.
func (r rule) shim() string {
	return "shim/" + strings.TrimPrefix(r.pkg, "x2go.") + "_" + r.name + ".rego"
}

// rules lists what the broker asks, each with a shim of its own.
func rules() []rule {
	return []rule{
		{"x2go.login", "deny", true, "deny contains reason if { ... }"},
		{"x2go.login", "accounts", true, "accounts contains name if { ... }"},
		{"x2go.access", "visible", true, "visible contains id if { ... }"},
		{"x2go.access", "overlay", true, "overlay[profile_id][key] contains value if { ... }"},
		{"x2go.placement", "excluded", false, "excluded[server_id] := reason if { ... }"},
		{"x2go.placement", "scores", false, "scores[server_id] := number if { ... }"},
	}
}

// shims gives the modules of the rules that no module of the site defines.
// Loading a shim beside a site's own rule would unite the two.
func shims(site map[string]*ast.Module) (map[string]*ast.Module, error) {
	modules := make(map[string]*ast.Module)
	own := defined(site)
	for _, r := range rules() {
		if len(own[r.String()]) > 0 {
			continue
		}
		source, err := shimFS.ReadFile(r.shim())
		if err != nil {
			return nil, err
		}
		m, err := parse(r.shim(), source)
		if err != nil {
			return nil, err
		}
		modules[r.shim()] = m
	}
	return modules, nil
}

// defined gives the places where the site defines the rules of the broker's, by
// the rule's name; rules that it leaves to the library are not there.
func defined(site map[string]*ast.Module) map[string][]schema.Position {
	out := make(map[string][]schema.Position)
	for _, r := range rules() {
		for _, name := range slices.Sorted(maps.Keys(site)) {
			if packageName(site[name]) != r.pkg {
				continue
			}
			for _, x := range site[name].Rules {
				if ruleName(x) == r.name {
					out[r.String()] = append(out[r.String()], position(x.Location))
				}
			}
		}
	}
	return out
}

// checkForms refuses a rule of the broker's that gives another kind of value
// than the broker reads, such as `visible := true`.
func checkForms(m *ast.Module) schema.Diagnostics {
	var ds schema.Diagnostics
	for _, r := range rules() {
		if packageName(m) != r.pkg {
			continue
		}
		for _, x := range m.Rules {
			if ruleName(x) != r.name || hasForm(x, r) {
				continue
			}
			kind := "an object by server id"
			if r.set {
				kind = "a set"
			}
			ds = append(ds, schema.Diagnostic{
				Severity: schema.Error,
				Pos:      position(x.Location),
				Path:     r.String(),
				Message:  "must be " + kind + "; write `" + r.form + "`",
			})
		}
	}
	return ds
}

// hasForm accepts `visible contains id` for sets, and `scores[id] := s` or the
// whole object, `scores := {...}`, for objects.
func hasForm(x *ast.Rule, r rule) bool {
	if len(x.Head.Args) > 0 {
		return false
	}
	ref := x.Head.Ref()
	if r.set {
		keys := 0
		if r.name == "overlay" {
			keys = 2
		}
		return x.Head.RuleKind() == ast.MultiValue && len(ref) == 1+keys
	}
	if x.Head.RuleKind() != ast.SingleValue || len(ref) > 2 {
		return false
	}
	_, boolean := x.Head.Value.Value.(ast.Boolean)
	return !boolean
}

// ruleName is the first part of a rule's name: "scores" of scores[id].
func ruleName(x *ast.Rule) string {
	if ref := x.Head.Ref(); len(ref) > 0 {
		if v, ok := ref[0].Value.(ast.Var); ok {
			return string(v)
		}
	}
	return ""
}
