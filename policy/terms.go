package policy

import (
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/x2broker/x2broker/schema"
)

// terms makes values of profiles and uses the terms of texts again: profiles
// repeat most of theirs. Terms are never changed, so that values may share them.
type terms struct {
	texts    map[string]*ast.Term
	settings map[*schema.Setting]*ast.Term // of lists of settings, by the first
}

func newTerms() *terms {
	return &terms{map[string]*ast.Term{}, map[*schema.Setting]*ast.Term{}}
}

func (t *terms) text(s string) *ast.Term {
	term := t.texts[s]
	if term == nil {
		term = ast.StringTerm(s)
		t.texts[s] = term
	}
	return term
}

// list keeps an absent list apart from an absent field: it gives [].
func (t *terms) list(texts []string) *ast.Term {
	members := make([]*ast.Term, len(texts))
	for i, s := range texts {
		members[i] = t.text(s)
	}
	return ast.ArrayTerm(members...)
}

// object makes an object of keys and terms in turn.
func (t *terms) object(pairs ...any) *ast.Term {
	items := make([][2]*ast.Term, len(pairs)/2)
	for i := range items {
		items[i] = ast.Item(t.text(pairs[2*i].(string)), pairs[2*i+1].(*ast.Term))
	}
	return ast.ObjectTerm(items...)
}

func (t *terms) profile(p *schema.Profile) ast.Value {
	labels := make([][2]*ast.Term, 0, len(p.Labels))
	for key, value := range p.Labels {
		labels = append(labels, ast.Item(t.text(key), t.text(value)))
	}
	a := &p.Access
	pairs := []any{
		"name", t.text(p.Name),
		"labels", ast.ObjectTerm(labels...),
		"x2go", t.allSettings(p.Settings),
		"servers", t.list(p.Servers),
		"access", t.object(
			"everyone", ast.InternedTerm(a.Everyone),
			"users", t.list(a.Users),
			"groups", t.list(a.Groups),
			"from", t.list(a.From),
			"deny", t.object(
				"users", t.list(a.Deny.Users),
				"groups", t.list(a.Deny.Groups),
				"from", t.list(a.Deny.From),
			),
		),
		"autologin", ast.InternedTerm(p.Autologin),
		"usebrokerpass", ast.InternedTerm(p.UseBrokerPass),
		"icon", t.text(p.Icon),
	}
	if p.LegacyACL != nil {
		pairs = append(pairs, "legacyACL", t.legacyACL(p.LegacyACL))
	}
	return t.object(pairs...).Value
}

func (t terms) legacyACL(l *schema.LegacyACL) *ast.Term {
	rule := func(r schema.LegacyRule) *ast.Term {
		order := "deny-allow"
		if r.AllowFirst {
			order = "allow-deny"
		}
		return t.object("allow", t.list(r.Allow), "deny", t.list(r.Deny), "order", t.text(order))
	}
	return t.object("users", rule(l.Users), "groups", rule(l.Groups), "clients", rule(l.Clients))
}

// allSettings makes one object for profiles that share their settings.
func (t *terms) allSettings(settings []schema.Setting) *ast.Term {
	if len(settings) == 0 {
		return ast.ObjectTerm()
	}
	term := t.settings[&settings[0]]
	if term == nil {
		items := make([][2]*ast.Term, len(settings))
		for i, s := range settings {
			items[i] = ast.Item(t.text(s.Key), t.setting(s.Value))
		}
		term = ast.ObjectTerm(items...)
		t.settings[&settings[0]] = term
	}
	return term
}

func (t *terms) setting(value any) *ast.Term {
	switch v := value.(type) {
	case string:
		return t.text(v)
	case []string:
		return t.list(v)
	case bool:
		return ast.InternedTerm(v)
	case int:
		return ast.InternedTerm(v)
	}
	return ast.NullTerm() // the schema gives no others
}
