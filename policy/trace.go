package policy

import (
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/x2broker/x2broker/schema"
)

// A trace follows one evaluation and remembers, for every body that was tried,
// what came of it: which condition ended it, and what was tried below that.
type trace struct {
	data  ast.Value // what is at data, nil if that is not known
	root  *attempt
	open  map[uint64]*attempt   // by id of the query
	known map[string][]*attempt // below references that failed
}

// An attempt is a body that was tried once: of a rule, a `not`, a comprehension.
type attempt struct {
	parent *attempt
	rule   *ast.Rule // nil for bodies without a name
	body   ast.Body
	held   bool
	keys   []ast.Value // what the rule gives, of a set or object

	steps  []*step // by index in body; nil for those never reached
	failed *step   // the one that got furthest of those that failed
}

// A step is an expression of a body as it was evaluated.
type step struct {
	in    *attempt
	index int
	below []*attempt
	found []Finding
}

func newTrace(data ast.Value) *trace {
	return &trace{data: data, open: map[uint64]*attempt{}, known: map[string][]*attempt{}}
}

// Enabled is true: see [topdown.QueryTracer].
func (*trace) Enabled() bool { return true }

// Config asks for nothing besides the events: values are looked up for the few
// conditions that matter.
func (*trace) Config() topdown.TraceConfig { return topdown.TraceConfig{} }

// TraceEvent follows the evaluation. What comes after an attempt has held is the
// search for further answers.
func (t *trace) TraceEvent(e topdown.Event) {
	if e.Op == topdown.EnterOp {
		t.enter(e)
		return
	}
	a := t.open[e.QueryID]
	if a == nil {
		return
	}
	if e.Op == topdown.ExitOp && a.rule != nil && a.rule.Head.Key != nil {
		a.keys = append(a.keys, e.Plug(a.rule.Head.Key).Value)
	}
	if a.held {
		return
	}
	if e.Op == topdown.ExitOp {
		a.held = true
		for i, s := range a.steps {
			if s != nil && len(s.below) == 0 {
				s.found = t.findings(e, a, i)
			}
		}
		return
	}
	x, ok := e.Node.(*ast.Expr)
	if !ok || x.Index >= len(a.body) {
		return
	}
	switch s := a.steps[x.Index]; e.Op {
	case topdown.EvalOp:
		clear(a.steps[x.Index:])
		a.steps[x.Index] = &step{in: a, index: x.Index}
	case topdown.FailOp:
		if s != nil && (a.failed == nil || x.Index > a.failed.index) {
			a.failed = s
			s.found = t.findings(e, a, x.Index)
			t.remember(e, s, x)
		}
	}
}

func (t *trace) enter(e topdown.Event) {
	a := &attempt{}
	switch node := e.Node.(type) {
	case *ast.Rule:
		a.rule, a.body = node, node.Body
	case ast.Body:
		a.body = node
	default:
		return
	}
	a.steps = make([]*step, len(a.body))
	if parent := t.open[e.ParentID]; parent != nil && e.QueryID != e.ParentID {
		a.parent = parent
		if s := parent.last(); s != nil {
			s.below = append(s.below, a)
		}
	}
	if t.root == nil {
		t.root = a
	}
	t.open[e.QueryID] = a
}

// last is the step under way.
func (a *attempt) last() *step {
	for _, s := range slices.Backward(a.steps) {
		if s != nil {
			return s
		}
	}
	return nil
}

// remember keeps what failed below a reference: when the same one is asked
// again, the evaluator knows the answer and does not say why.
func (t *trace) remember(e topdown.Event, s *step, x *ast.Expr) {
	term, ok := x.Terms.(*ast.Term)
	if !ok {
		return
	}
	if _, ok := term.Value.(ast.Ref); !ok {
		return
	}
	key := e.Plug(term).String()
	if len(s.below) > 0 {
		t.known[key] = s.below
	} else {
		s.below = t.known[key]
	}
}

// condition is the expression as somebody wrote it: the compiler takes the
// parts of an expression out of it and puts them before it.
func (a *attempt) condition(index int) *ast.Expr {
	for _, x := range a.body[index:] {
		if !x.Generated {
			return x
		}
	}
	return a.body[index]
}

// parts gives an expression together with what was taken out of it.
func (a *attempt) parts(index int) []*ast.Expr {
	last := index
	for last < len(a.body)-1 && a.body[last].Generated {
		last++
	}
	first := last
	for first > 0 && a.body[first-1].Generated {
		first--
	}
	return a.body[first : last+1]
}

// place gives where the condition stands, in a module or in the query.
func (s *step) place() schema.Position { return position(s.in.condition(s.index).Location) }

// text gives the condition on one line.
func (s *step) text() string {
	x := s.in.condition(s.index)
	if x.Location == nil || len(x.Location.Text) == 0 {
		return x.String()
	}
	return oneLine(string(x.Location.Text))
}

// rule gives the name of the rule that the step is in: "x2go.access._closed".
func (s *step) rule() string {
	for a := s.in; a != nil; a = a.parent {
		if a.rule != nil {
			return strings.TrimPrefix(a.rule.Module.Package.Path.String(), "data.") + "." + ruleName(a.rule)
		}
	}
	return ""
}
