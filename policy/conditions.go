package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/x2broker/x2broker/schema"
)

// A Condition is a line of a policy that decided something.
type Condition struct {
	Rule   string          `json:"rule"` // that the line is in, "x2go.access.visible"
	Pos    schema.Position `json:"position"`
	Text   string          `json:"text"` // as written, on one line and shortened
	Holds  bool            `json:"holds"`
	Found  []Finding       `json:"found,omitempty"`  // what its parts were
	Access string          `json:"access,omitempty"` // field of a profile's access that it is about: "groups", "deny.from", "legacyACL.users.allow"
}

// A Finding is the value that a part of a condition had.
type Finding struct {
	Name  string `json:"name"`  // as written, "input.time.hour"
	Value string `json:"value"` // in Rego, shortened; empty if there is none
}

// String says whether the condition held, and for which values.
func (c Condition) String() string {
	verdict := "is false"
	switch {
	case c.Holds:
		verdict = "is true"
	case strings.HasPrefix(c.Text, "some "):
		verdict = "finds nothing"
	}
	var found []string
	for _, f := range c.Found {
		value := "is " + f.Value
		if f.Value == "" {
			value = "is not there"
		}
		found = append(found, f.Name+" "+value)
	}
	text := fmt.Sprintf("`%s` %s", c.Text, verdict)
	if len(found) > 0 {
		text += ": " + strings.Join(found, ", ")
	}
	return text
}

// builtIn reports whether the condition is in the library or a shim.
func (c Condition) builtIn() bool {
	return strings.HasPrefix(c.Pos.File, libraryDir) || strings.HasPrefix(c.Pos.File, "shim/")
}

// causes gives the conditions that made an attempt end as it did: those at the
// ends of the rules that it asked.
func (t *trace) causes(a *attempt, field string) []Condition {
	if !a.held {
		if a.failed == nil { // what it was asked for is not what it is about
			return nil
		}
		return t.stepCauses(a.failed, false, field)
	}
	var out []Condition
	for i, s := range a.steps {
		if s == nil || a.body[i].Generated {
			continue
		}
		out = append(out, t.stepCauses(s, true, field)...)
	}
	return out
}

func (t *trace) stepCauses(s *step, held bool, field string) []Condition {
	if f := s.accessField(); f != "" {
		field = f
	}
	x := s.in.body[s.index]
	_, not := x.Terms.(*ast.Not)
	below := held != (x.Negated || not)
	var out []Condition
	for _, a := range s.below {
		if a.held == below {
			out = append(out, t.causes(a, field)...)
		}
	}
	if len(out) > 0 || held && s.binds() {
		return out
	}
	c := s.condition(held)
	c.Access = field
	return []Condition{c}
}

// binds reports whether the step only gives names to values.
func (s *step) binds() bool {
	text := s.text()
	return strings.HasPrefix(text, "some ") || strings.Contains(text, ":=")
}

func (s *step) condition(held bool) Condition {
	if s.in.rule == nil && !s.in.body[s.index].Negated && strings.HasPrefix(s.text(), "not ") {
		held = !held // the text is that of the whole line, the step what is negated in it
	}
	c := Condition{Rule: s.rule(), Pos: s.place(), Text: shortenTo(120, s.text()), Holds: held, Found: s.found}
	if held && strings.Contains(c.Text, " == ") {
		c.Found = nil // it is what it is compared with
	}
	return c
}

// accessPattern finds fields of a profile's access in a line of a policy:
// `profile.access.deny.users`, `object.get(access, "from", [])`.
var accessPattern = regexp.MustCompile(`\baccess(?:\.|, ")(everyone|users|groups|from|deny\.users|deny\.groups|deny\.from)\b`)

// accessField gives the field of a profile's access or legacyACL that the step
// reads, such as deny.users or legacyACL.users.deny.
func (s *step) accessField() string {
	if m := legacyPattern.FindStringSubmatch(s.text()); m != nil {
		return legacyPrefix + m[1]
	}
	if m := accessPattern.FindStringSubmatch(s.text()); m != nil {
		return m[1]
	}
	return ""
}

// findings gives the values of the parts of a condition at the time of an event.
func (t *trace) findings(e topdown.Event, a *attempt, index int) []Finding {
	var out []Finding
	note := func(name string, v ast.Value) {
		if _, object := v.(ast.Object); object || name == "" || slices.ContainsFunc(out, func(f Finding) bool { return f.Name == name }) {
			return
		}
		if text := valueText(v); text != name {
			out = append(out, Finding{shortenTo(60, name), text})
		}
	}
	for _, x := range a.parts(index) {
		if x.Index > index {
			break
		}
		if x.Generated {
			note(sourceText(x), t.output(e, x))
			continue
		}
		t.readable(e, x, note)
	}
	return out
}

// output is the value of a part that the compiler took out of a condition.
func (t *trace) output(e topdown.Event, x *ast.Expr) ast.Value {
	operands := x.Operands()
	if len(operands) == 0 {
		return nil
	}
	of := operands[len(operands)-1]
	if x.IsEquality() {
		of = operands[0]
	}
	if v := e.Plug(of); v.IsGround() {
		return v.Value
	}
	return nil
}

// readable notes the values of references and named variables.
func (t *trace) readable(e topdown.Event, x *ast.Expr, note func(string, ast.Value)) {
	if x.IsCall() {
		for _, operand := range x.Operands() {
			t.readableTerm(e, operand, note)
		}
		return
	}
	if term, ok := x.Terms.(*ast.Term); ok {
		t.readableTerm(e, term, note)
	}
}

func (t *trace) readableTerm(e topdown.Event, term *ast.Term, note func(string, ast.Value)) {
	name := sourceText(term)
	switch v := term.Value.(type) {
	case ast.Var:
		if plugged := e.Plug(term); plugged.IsGround() && !strings.ContainsAny(name, "([{\" ") {
			note(name, plugged.Value)
		}
	case ast.Ref:
		root, known := t.base(e, v)
		if !known {
			return
		}
		path, ok := e.Plug(ast.NewTerm(v[1:])).Value.(ast.Ref)
		if !ok || !path.IsGround() {
			return
		}
		if root == nil {
			note(name, nil)
			return
		}
		found, err := root.Find(path)
		if err != nil {
			found = nil
		}
		note(name, found)
	}
}

// base gives the value that a reference begins with, and whether it is known.
func (t *trace) base(e topdown.Event, ref ast.Ref) (ast.Value, bool) {
	head, ok := ref[0].Value.(ast.Var)
	switch {
	case !ok:
		return nil, false
	case head == "input":
		if e.Input() == nil {
			return nil, true
		}
		return e.Input().Value, true
	case head == "data":
		return t.data, t.data != nil && isBelow(ref, 2, "data", "site")
	}
	v := e.Plug(ref[0])
	return v.Value, v.IsGround()
}

// sourceText gives an expression or term as somebody wrote it.
func sourceText(n ast.Node) string {
	if l := n.Loc(); l != nil {
		return oneLine(string(l.Text))
	}
	return ""
}

func valueText(v ast.Value) string {
	switch v := v.(type) {
	case nil:
		return ""
	case ast.Set:
		if v.Len() == 0 {
			return "empty"
		}
	case *ast.Array:
		if v.Len() == 0 {
			return "empty"
		}
	}
	return shorten(v.String())
}

func shortenTo(most int, s string) string {
	if len(s) <= most {
		return s
	}
	return fmt.Sprintf("%.*s...", most, s)
}

// test gives the condition of a test that failed, and why.
func (t *trace) test() (*Condition, []Condition) {
	if t.root == nil || t.root.failed == nil {
		return nil, nil
	}
	for _, a := range t.root.failed.below {
		if a.rule == nil || a.failed == nil {
			continue
		}
		failed := a.failed.condition(false)
		because := t.causes(a, "")
		if len(because) == 1 && because[0].Pos == failed.Pos {
			because = nil
		}
		return &failed, because[:min(len(because), mostCauses)]
	}
	return nil, nil
}

// mostCauses is how many reasons one failure of a test names.
const mostCauses = 3
