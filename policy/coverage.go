package policy

import (
	"maps"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/x2broker/x2broker/schema"
)

// Coverage tells which of a site's own rules the tests make true at least once.
// A rule that is written in several places counts once for each.
type Coverage struct {
	Rules     int         `json:"rules"`
	Uncovered []Uncovered `json:"uncovered"` // in file order, never null
}

// Uncovered is a rule that no test makes true.
type Uncovered struct {
	Rule string          `json:"rule"` // "x2go.access.visible"
	Pos  schema.Position `json:"position"`
}

// coverage has the places of the rules that were true. OPA's own notes lines,
// and a condition that fails makes the line of its rule a covered one.
type coverage map[schema.Position]bool

// Enabled is true: see [topdown.QueryTracer].
func (coverage) Enabled() bool { return true }

// Config asks for nothing besides the events.
func (coverage) Config() topdown.TraceConfig { return topdown.TraceConfig{} }

// TraceEvent notes rules whose bodies hold.
func (c coverage) TraceEvent(e topdown.Event) {
	if r, ok := e.Node.(*ast.Rule); ok && e.Op == topdown.ExitOp {
		c[position(r.Head.Location)] = true
	}
}

// report compares with the site's own rules; the tests among them do not count.
func (c coverage) report(site map[string]*ast.Module) Coverage {
	out := Coverage{Uncovered: []Uncovered{}}
	for _, name := range slices.Sorted(maps.Keys(site)) {
		m := site[name]
		ast.WalkRules(m, func(r *ast.Rule) bool {
			if testName(r) != "" {
				return true
			}
			out.Rules++
			if at := position(r.Head.Location); !c[at] {
				out.Uncovered = append(out.Uncovered, Uncovered{Rule: packageName(m) + "." + ruleName(r), Pos: at})
			}
			return false
		})
	}
	return out
}
