package policy

import (
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/x2broker/x2broker/schema"
)

// A rule is one that the broker asks, or will ask in x2go.sessions.
type rule struct {
	pkg, name string
	keys      int    // how many keys lead to a value: scores[id] has one
	values    values // at the end of the keys
	kind      string // in words
	form      string // how a site writes its head
}

// values says whether a rule has one value or a set of them.
type values int

const (
	one values = iota
	many
	oneOrMany
)

func (r rule) String() string { return r.pkg + "." + r.name }

// shim is the file that defines the rule by asking the library.
func (r rule) shim() string {
	return "shim/" + strings.TrimPrefix(r.pkg, "x2go.") + "_" + r.name + ".rego"
}

// rules lists what the broker asks, each with a shim of its own.
func rules() []rule {
	return []rule{
		{"x2go.login", "deny", 0, many, "a set", "deny contains reason if { ... }"},
		{"x2go.login", "accounts", 0, many, "a set", "accounts contains name if { ... }"},
		{"x2go.access", "visible", 0, many, "a set", "visible contains id if { ... }"},
		{
			"x2go.access", "reasons", 1, many, "a set by profile id, of objects with code and message",
			`reasons[profile_id] contains {"code": ..., "message": ...} if { ... }`,
		},
		{
			"x2go.access", "overlay", 2, many, "a set by profile id and session key",
			"overlay[profile_id][key] contains value if { ... }",
		},
		{
			"x2go.placement", "excluded", 1, oneOrMany, "a set of reasons by server id",
			"excluded[server_id] contains reason if { ... }",
		},
		{"x2go.placement", "scores", 1, one, "an object by server id", "scores[server_id] := number if { ... }"},
		{"x2go.sessions", "resume", 1, one, "an object by session id", "resume[session_id] := number if { ... }"},
		{"x2go.sessions", "takeover", 1, one, "an object by session id", "takeover[session_id] := number if { ... }"},
		{"x2go.sessions", "limits", 1, one, "an object by name", "limits[name] := number if { ... }"},
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
			ds = append(ds, schema.Diagnostic{
				Severity: schema.Error,
				Pos:      position(x.Location),
				Path:     r.String(),
				Message:  "must be " + r.kind + "; write `" + r.form + "`",
			})
		}
	}
	return ds
}

// hasForm accepts `visible contains id` and `overlay[id][key] contains value`
// for sets, and for single values `scores[id] := s` or the whole object,
// `scores := {...}`.
func hasForm(x *ast.Rule, r rule) bool {
	if len(x.Head.Args) > 0 {
		return false
	}
	keys := len(x.Head.Ref()) - 1
	if x.Head.RuleKind() == ast.MultiValue {
		return r.values != one && keys == r.keys && (r.name != "reasons" || isReason(x.Head.Key))
	}
	_, boolean := x.Head.Value.Value.(ast.Boolean)
	return r.values != many && keys <= r.keys && !boolean
}

// isReason accepts {"code": ..., "message": ...} and what is known only when the
// rule is asked.
func isReason(t *ast.Term) bool {
	switch v := t.Value.(type) {
	case ast.Object:
		return v.Len() == 2 && v.Get(ast.StringTerm("code")) != nil && v.Get(ast.StringTerm("message")) != nil
	case ast.Var, ast.Ref, ast.Call:
		return true
	}
	return false
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
