package policy

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/x2broker/x2broker/schema"
)

// lint warns of what compiles and probably is not meant. Modules are the site's
// as parsed, without tests; c has compiled them. It is for policies without an
// error, which would make rules and references be missing.
func lint(c *ast.Compiler, cat *schema.Catalog, modules map[string]*ast.Module) schema.Diagnostics {
	var ds schema.Diagnostics
	for _, name := range slices.Sorted(maps.Keys(modules)) {
		ds = append(ds, lintParams(c, cat, name, modules[name])...)
		ds = append(ds, lintIteration(modules[name])...)
		ds = append(ds, lintReasons(modules[name])...)
	}
	return append(append(ds, lintUnasked(c, modules)...), lintUnited(modules)...)
}

// lintTests warns of tests that plain opa decides differently. The modules are
// tests; own are the rules of the broker's that the site defines.
func lintTests(c *ast.Compiler, own map[string][]schema.Position, tests map[string]*ast.Module) schema.Diagnostics {
	var ds schema.Diagnostics
	for _, name := range slices.Sorted(maps.Keys(tests)) {
		if isLibraryTest(name) {
			continue
		}
		eachReference(c, name, func(ref ast.Ref, at *ast.Location) {
			for _, r := range rules() {
				rule := ast.MustParseRef("data." + r.String())
				if !ref.HasPrefix(rule) || len(own[r.String()]) > 0 {
					continue
				}
				library := strings.Replace(r.String(), "x2go.", "x2go.lib.", 1)
				ds = append(ds, warning(at, testAt(tests[name], at), fmt.Sprintf(
					"the site does not define %s, so that plain opa has no such rule and decides this test differently; ask data.%s, which is what serves",
					r, library)))
			}
		})
	}
	return ds
}

func warning(at *ast.Location, path, message string) schema.Diagnostic {
	return schema.Diagnostic{Severity: schema.Warning, Pos: position(at), Path: path, Message: message}
}

// testAt names the rule at a place.
func testAt(m *ast.Module, at *ast.Location) string {
	if r := ruleAt(m, at); r != nil {
		return packageName(m) + "." + ruleName(r)
	}
	return packageName(m)
}

// eachReference visits the references of a compiled module.
func eachReference(c *ast.Compiler, name string, visit func(ast.Ref, *ast.Location)) {
	ast.WalkTerms(c.Modules[name], func(t *ast.Term) bool {
		if ref, ok := t.Value.(ast.Ref); ok && t.Location != nil {
			visit(original(c, ref), t.Location)
		}
		return false
	})
}

// lintParams finds params that the site does not have, where they are misspelt
// or where `not` makes a yes of them. Elsewhere a policy may do without. Params
// that are nil are not known.
func lintParams(c *ast.Compiler, cat *schema.Catalog, name string, m *ast.Module) schema.Diagnostics {
	var ds schema.Diagnostics
	eachReference(c, name, func(ref ast.Ref, at *ast.Location) {
		if !isBelow(ref, 4, "data", "site") || ref[2].Value.Compare(ast.String("params")) != 0 {
			return
		}
		here := cat.Params
		for i := 3; i < len(ref) && here != nil; i++ {
			part, ok := ref[i].Value.(ast.String)
			if !ok {
				return
			}
			value, ok := here[string(part)]
			if ok {
				here, _ = value.(map[string]any)
				continue
			}
			near := schema.DidYouMean(string(part), slices.Sorted(maps.Keys(here)))
			if near != "" || negated(m, at) {
				ds = append(ds, warning(at, testAt(m, at), fmt.Sprintf("%s is not among the site's params%s", ref[:i+1], near)))
			}
			return
		}
	})
	return ds
}

// negated reports whether the place is below a `not`.
func negated(m *ast.Module, at *ast.Location) bool {
	found := false
	ast.WalkExprs(m, func(x *ast.Expr) bool {
		l := x.Location
		_, not := x.Terms.(*ast.Not)
		found = found || (x.Negated || not) && l.Offset <= at.Offset && at.Offset < l.Offset+len(l.Text)
		return found
	})
	return found
}

// lintIteration finds `some id in lib.access.visible`, which asks about all
// profiles for each.
func lintIteration(m *ast.Module) schema.Diagnostics {
	var ds schema.Diagnostics
	slow := ast.MustParseRef("data.x2go.lib.access.visible")
	ast.WalkExprs(m, func(x *ast.Expr) bool {
		some, ok := x.Terms.(*ast.SomeDecl)
		if !ok || len(some.Symbols) != 1 {
			return false
		}
		call, ok := some.Symbols[0].Value.(ast.Call)
		if !ok || len(call) < 3 {
			return false
		}
		if ref, ok := call[len(call)-1].Value.(ast.Ref); ok && imported(m, ref).Equal(slow) {
			ds = append(ds, warning(x.Location, testAt(m, x.Location), fmt.Sprintf(
				"this asks the library about every profile, for each profile again; write %s[%s] for it, with no `some`", ref, call[1])))
		}
		return false
	})
	return ds
}

// imported gives a reference with the path that its first part is imported from.
func imported(m *ast.Module, ref ast.Ref) ast.Ref {
	for _, i := range m.Imports {
		if path, ok := i.Path.Value.(ast.Ref); ok && ref[0].Value.Compare(i.Name()) == 0 {
			return path.Concat(ref[1:])
		}
	}
	return ref
}

// reasonCode is the form of codes: they are searched for in logs.
var reasonCode = regexp.MustCompile(`^[a-z0-9-]+$`)

// lintReasons looks at reasons that are written out.
func lintReasons(m *ast.Module) schema.Diagnostics {
	if packageName(m) != "x2go.access" {
		return nil
	}
	var ds schema.Diagnostics
	for _, r := range m.Rules {
		if ruleName(r) != "reasons" || r.Head.Key == nil {
			continue
		}
		if problem := reasonProblem(r.Head.Key.Value); problem != "" {
			ds = append(ds, warning(r.Head.Location, "x2go.access.reasons", problem+
				`; write {"code": "room-closed", "message": "the room is closed"}`))
		}
	}
	return ds
}

func reasonProblem(v ast.Value) string {
	o, ok := v.(ast.Object)
	if !ok {
		return "" // known only when it is asked
	}
	for _, key := range []string{"code", "message"} {
		value := field(o, key)
		text, isText := value.(ast.String)
		switch {
		case value == nil:
			return "the reason has no " + key
		case ast.IsConstant(value) && !isText:
			return fmt.Sprintf("the %s is no string but %s", key, shorten(value.String()))
		case isText && key == "code" && !reasonCode.MatchString(string(text)):
			return fmt.Sprintf("the code %s has more than small letters, digits and -", value)
		}
	}
	return ""
}

// askedRules lists what the broker asks in a package.
func askedRules(pkg string) []string {
	var names []string
	for _, r := range rules() {
		if r.pkg == pkg {
			names = append(names, r.name)
		}
	}
	if pkg == "x2go.access" {
		names = append(names, "reasons", "overlay")
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// lintUnasked finds packages of the broker's in which a site defines no rule that
// is asked, and rules that are asked under another name. What other rules refer
// to is a helper.
func lintUnasked(c *ast.Compiler, modules map[string]*ast.Module) schema.Diagnostics {
	used := map[string]bool{} // rules that others refer to
	for name := range modules {
		eachReference(c, name, func(ref ast.Ref, at *ast.Location) {
			if names := ref.StringPrefix(); len(names) > 3 && isBelow(names, 4, "data", "x2go") {
				rule := strings.TrimPrefix(names[:4].String(), "data.")
				if r := ruleAt(modules[name], at); r == nil || packageName(modules[name])+"."+ruleName(r) != rule {
					used[rule] = true
				}
			}
		})
	}
	var ds schema.Diagnostics
	for _, below := range sitePackages() {
		pkg := "x2go." + below
		asked := askedRules(pkg)
		if len(asked) > 0 {
			ds = append(ds, lintUnaskedIn(pkg, asked, modules, used)...)
		}
	}
	return ds
}

func lintUnaskedIn(pkg string, asked []string, modules map[string]*ast.Module, used map[string]bool) schema.Diagnostics {
	var misspelt schema.Diagnostics
	var first *ast.Module
	defined, needed := map[string]bool{}, false
	for _, name := range slices.Sorted(maps.Keys(modules)) {
		if packageName(modules[name]) != pkg || len(modules[name].Rules) == 0 {
			continue
		}
		if first == nil {
			first = modules[name]
		}
		for _, r := range modules[name].Rules {
			defined[ruleName(r)] = true
			needed = needed || slices.Contains(asked, ruleName(r)) || used[pkg+"."+ruleName(r)]
		}
	}
	missing := slices.DeleteFunc(slices.Clone(asked), func(name string) bool { return defined[name] })
	for _, name := range slices.Sorted(maps.Keys(modules)) {
		if packageName(modules[name]) != pkg {
			continue
		}
		for _, r := range modules[name].Rules {
			rule := ruleName(r)
			near := schema.DidYouMean(rule, missing)
			if near == "" || slices.Contains(asked, rule) || used[pkg+"."+rule] || strings.HasPrefix(rule, "_") {
				continue
			}
			misspelt = append(misspelt, warning(r.Location, pkg+"."+rule, "the broker asks no such rule, and nothing refers to it"+near))
		}
	}
	if len(misspelt) > 0 || needed || first == nil {
		return misspelt
	}
	return schema.Diagnostics{warning(first.Package.Location, pkg, fmt.Sprintf(
		"nothing in this package is asked: the broker asks %s; name a package of helpers x2go.site.*", strings.Join(asked, ", ")))}
}

// lintUnited finds a rule that widens what another directory decides: who writes
// a condition there may not know that either is enough. Reasons to deny a login
// add up as one expects.
func lintUnited(modules map[string]*ast.Module) schema.Diagnostics {
	var ds schema.Diagnostics
	own := defined(modules)
	for _, rule := range []string{"x2go.access.visible", "x2go.login.accounts"} {
		for _, at := range own[rule] {
			if first := own[rule][0]; path.Dir(at.File) != path.Dir(first.File) {
				ds = append(ds, schema.Diagnostic{
					Severity: schema.Warning, Pos: at, Path: rule, Related: []schema.Position{first},
					Message: "another directory defines this rule, too, and what either gives counts; put all conditions into one of them",
				})
				break
			}
		}
	}
	return ds
}
