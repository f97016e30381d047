package policy

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/x2broker/x2broker/schema"
)

// reasonsQuery asks what the rule says of a profile.
const reasonsQuery = idsPrefix + `result = [r | some id in ids; some r in <x2go.access.reasons>[id]]`

// reasons gives what the policies say of a profile themselves, sorted by code.
// Most sites leave that to the library.
func (e *Engine) reasons(ctx context.Context, id string, input ast.Value) ([]Reason, error) {
	q, err := e.newQuery(reasonsQuery)
	if err != nil {
		return nil, fmt.Errorf("x2go.access.reasons: %w", plain(err))
	}
	ctx, cancel := context.WithTimeout(ctx, e.deadline)
	defer cancel()
	v, err := q.askAbout(ctx, []string{id}, input)
	if err != nil {
		return nil, fmt.Errorf("x2go.access.reasons: %w", err)
	}
	list, ok := v.(*ast.Array)
	if !ok {
		return nil, nil
	}
	var out []Reason
	list.Foreach(func(t *ast.Term) {
		o, ok := t.Value.(ast.Object)
		if !ok {
			return
		}
		code, _ := field(o, "code").(ast.String)
		message, _ := field(o, "message").(ast.String)
		out = append(out, Reason{string(code), string(message)})
	})
	slices.SortFunc(out, func(a, b Reason) int { return cmp.Or(cmp.Compare(a.Code, b.Code), cmp.Compare(a.Message, b.Message)) })
	return slices.Compact(out), nil
}

// A Denial is a reason to refuse a login, and the rule that gives it.
type Denial struct {
	Reason string          `json:"reason"`
	Pos    schema.Position `json:"position"`
}

// ExplainLogin asks as [Engine.Login] does, and says which places of
// x2go.login.deny give the reasons.
func (e *Engine) ExplainLogin(ctx context.Context, r Request) (Login, []Denial, error) {
	login, err := e.Login(ctx, r)
	if err != nil {
		return login, nil, err
	}
	input, err := e.input(r)
	if err != nil {
		return login, nil, err
	}
	_, t, err := e.traced(ctx, e.login, input)
	if err != nil {
		return login, nil, err
	}
	denials := make([]Denial, 0, len(login.Deny))
	for _, reason := range login.Deny {
		d := Denial{Reason: reason}
		for _, a := range t.rules() {
			if a.held && ruleName(a.rule) == "deny" && slices.ContainsFunc(a.keys, func(k ast.Value) bool { return k.Compare(ast.String(reason)) == 0 }) {
				d.Pos = position(a.rule.Location)
				break
			}
		}
		denials = append(denials, d)
	}
	return login, denials, nil
}
