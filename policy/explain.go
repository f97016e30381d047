package policy

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/x2broker/x2broker/schema"
)

// An Explanation says why a profile is granted or hidden.
type Explanation struct {
	Profile string      `json:"profile"`
	Visible bool        `json:"visible"`
	Error   string      `json:"error,omitempty"`   // of the policy; it hides the profile
	Rules   []Decider   `json:"rules"`             // that grant it, or that all do not; never null
	Because []Condition `json:"because,omitempty"` // conditions of policies, those of the library only where the site has none
	Access  []Grant     `json:"access,omitempty"`  // fields of the profile's access or legacyACL that decided
	Reasons []Reason    `json:"reasons,omitempty"` // as x2go.access.reasons gives them
}

// A Decider is a place of a rule that the broker asks.
type Decider struct {
	Rule string          `json:"rule"`
	Pos  schema.Position `json:"position"`
}

// A Grant is a field of a profile's access or legacyACL that grants or hides.
type Grant struct {
	Field string          `json:"field"` // "groups", "deny.from", "legacyACL.users.allow"; empty for all of them
	Pos   schema.Position `json:"position"`
	Text  string          `json:"text"` // `access.groups has "staff"`
}

// A Reason is what a policy says of a profile itself.
type Reason struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Explain asks about one profile as [Engine.Sees] does, and says why the answer
// is what it is. A policy that fails is part of the explanation; the error says
// that the site has no such profile or that the address is not known.
func (e *Engine) Explain(ctx context.Context, r Request, id string) (Explanation, error) {
	x := Explanation{Profile: id, Rules: []Decider{}}
	profile, ok := e.catalog.Profiles[id]
	if !ok {
		return x, fmt.Errorf("explain profile %q: the site has no such profile", id)
	}
	input, err := e.input(r)
	if err != nil {
		return x, fmt.Errorf("explain profile %q: %w", id, err)
	}
	v, t, err := e.traced(ctx, e.visible.about([]string{id}), input)
	var visible []string
	if err == nil {
		visible, err = names(v)
	}
	allowed := len(visible) > 0
	if err == nil && allowed {
		_, err = e.Sees(ctx, r, id) // whose overlay may hide it yet
	}
	if err != nil {
		x.Error = err.Error()
	}
	x.Visible = err == nil && allowed
	var causes []Condition
	for _, a := range t.rules() {
		if a.held != allowed {
			continue
		}
		x.Rules = append(x.Rules, a.decider())
		causes = append(causes, t.causes(a, "")...)
	}
	x.Because, x.Access = e.separate(causes, allowed, profile, r)
	x.Reasons, err = e.reasons(ctx, id, input)
	if err != nil && x.Error == "" {
		x.Error = err.Error()
	}
	return x, nil
}

// traced runs a query, looking at all rules that might answer it.
func (e *Engine) traced(ctx context.Context, q *query, input ast.Value) (ast.Value, *trace, error) {
	ctx, cancel := context.WithTimeout(ctx, e.deadline)
	defer cancel()
	t := newTrace(e.data)
	v, err := q.traced(t).ask(ctx, input)
	return v, t, err
}

// rules gives the attempts of the rule that was asked: the library's, where the
// broker's own rule only asks the library.
func (t *trace) rules() []*attempt {
	if t.root == nil {
		return nil
	}
	return askedBy(t.root)
}

func askedBy(a *attempt) []*attempt {
	var out []*attempt
	for _, s := range a.steps {
		if s == nil {
			continue
		}
		for _, below := range s.below {
			switch {
			case below.rule == nil, strings.HasPrefix(below.rule.Location.File, "shim/"):
				out = append(out, askedBy(below)...)
			default:
				out = append(out, below)
			}
		}
	}
	return out
}

func (a *attempt) decider() Decider {
	return Decider{Rule: packageName(a.rule.Module) + "." + ruleName(a.rule), Pos: position(a.rule.Location)}
}

// separate tells conditions of the policies from what a profile's access says.
func (e *Engine) separate(causes []Condition, visible bool, p *schema.Profile, r Request) (because []Condition, access []Grant) {
	var fields []string
	for _, c := range causes {
		if c.Access != "" && strings.HasPrefix(c.Access, legacyPrefix) != (p.LegacyACL != nil) {
			if c.builtIn() {
				continue // about what the profile does not have
			}
			c.Access = ""
		}
		deny := denies(c.Access)
		switch {
		case c.Access != "" && c.Holds == (visible != deny):
			fields = append(fields, c.Access)
		case c.Access != "" && visible, c.builtIn() && visible:
		case !slices.ContainsFunc(because, func(b Condition) bool { return b.Pos == c.Pos }):
			because = append(because, c)
		}
	}
	inOrder := slices.DeleteFunc(accessFields(), func(f string) bool { return !slices.Contains(fields, f) })
	access = e.grants(inOrder, visible, p, r)
	site := slices.DeleteFunc(slices.Clone(because), Condition.builtIn)
	if len(site)+len(access) > 0 {
		because = site
	}
	return because, access
}

// grants says what the fields have to do with the request.
func (e *Engine) grants(fields []string, visible bool, p *schema.Profile, r Request) []Grant {
	var out []Grant
	place := func(field string) schema.Position {
		if pos, ok := p.Access.Pos[field]; ok {
			return pos
		}
		return p.Pos // a default of its folder, or nothing
	}
	against := func(field string) (is, has string) { return e.against(field, p.Access, r) }
	prefix, nobody := "access.", "access grants nobody"
	if l := p.LegacyACL; l != nil {
		against = func(field string) (is, has string) { return againstLegacyACL(field, l, r) }
		prefix, nobody = "", "legacyACL allows nobody"
		place = func(field string) schema.Position {
			if pos, ok := l.Pos[strings.TrimPrefix(field, legacyPrefix)]; ok {
				return pos
			}
			return p.Pos
		}
	}
	invites := false
	for _, field := range fields {
		is, has := against(field)
		invites = invites || p.LegacyACL != nil || slices.Contains([]string{"everyone", "users", "groups"}, field)
		if text := has; visible || denies(field) {
			if text != "" {
				out = append(out, Grant{field, place(field), prefix + field + " " + text})
			}
		} else if is != "" {
			out = append(out, Grant{field, place(field), prefix + field + " " + is})
		}
	}
	if len(out) == 0 && invites && !visible {
		out = append(out, Grant{"", place(""), nobody})
	}
	return out
}

// denies reports whether what matches the field is taken away.
func denies(field string) bool {
	return strings.HasPrefix(field, "deny.") || strings.HasSuffix(field, ".deny")
}

// against compares a field of access with the request: what it is and what the
// request has instead, and what of it is in the request. Empty for nothing to say.
func (e *Engine) against(field string, a schema.Access, r Request) (is, has string) {
	address := r.Address.Unmap().WithZone("")
	networks := networksOf(e.places, address)
	var list, mine []string
	var whose string
	switch field {
	case "everyone":
		if a.Everyone {
			return "", "is true"
		}
		return "", ""
	case "users", "deny.users":
		list, mine, whose = a.Users, []string{r.User}, fmt.Sprintf("the user is %q", r.User)
	case "groups", "deny.groups":
		list, mine, whose = a.Groups, r.Groups, r.User+" is in "+inWords(sorted(r.Groups), "no group")
	case "from", "deny.from":
		list, mine, whose = a.From, networks, address.String()+" is in "+inWords(networks, "no network of the site")
	}
	switch field {
	case "deny.users":
		list = a.Deny.Users
	case "deny.groups":
		list = a.Deny.Groups
	case "deny.from":
		list = a.Deny.From
	}
	if len(list) == 0 {
		return "", ""
	}
	var both []string
	for _, s := range list {
		if slices.Contains(mine, s) || strings.HasSuffix(field, "from") && inNetwork(s, address) {
			both = append(both, s)
		}
	}
	if len(both) > 0 {
		has = "has " + inWords(both, "")
	}
	return "is " + shorten(term(list).String()) + "; " + whose, has
}

// inNetwork reports whether a network in CIDR form holds the address.
func inNetwork(cidr string, address netip.Addr) bool {
	p, err := netip.ParsePrefix(cidr)
	return err == nil && p.Contains(address)
}

// inWords lists names as a sentence has them.
func inWords(names []string, none string) string {
	if len(names) == 0 {
		return none
	}
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = fmt.Sprintf("%q", n)
	}
	return strings.Join(quoted, ", ")
}

// accessFields lists the fields of a profile's access and legacyACL, in the order
// in which they are told.
func accessFields() []string {
	fields := []string{"everyone", "users", "groups", "from", "deny.users", "deny.groups", "deny.from"}
	for _, kind := range []string{"users", "groups", "clients"} {
		fields = append(fields, legacyPrefix+kind+".allow", legacyPrefix+kind+".deny")
	}
	return fields
}
