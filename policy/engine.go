// Package policy decides who may log in, who sees which profile and which
// server a session is placed on. It turns a [schema.Catalog] and the site's
// Rego modules into an [Engine], and knows nothing of Git, files or networks.
//
// # Promises
//
// Decisions are repeatable: a policy sees the request and the catalog and
// nothing else, so the same request gives the same answer on every broker.
// Functions that read a clock, chance or a network do not exist in policies.
//
// Decisions fail closed: an error, a timeout or a value of the wrong kind
// denies the login, hides the profile or leaves the session without a server,
// and never more than the one thing that it concerns.
//
// # Whose rules
//
// The rules that the broker asks are x2go.login.deny, x2go.login.accounts,
// x2go.access.visible, x2go.access.overlay, x2go.placement.excluded and
// x2go.placement.scores. For each one that the site does not define, a built-in
// shim asks the library x2go.lib. A rule that the site defines replaces the
// built-in one: the two are never united.
//
// # Why it is fast
//
// All answers are the policy's own. When a site is compiled, the visibility of
// each profile is evaluated partially, with the request unknown, and what is left
// makes an index: a request asks the policy about the profiles that it may see,
// not about all. Answers are remembered by the parts of the request that the
// policy reads. Neither changes an answer; only an error in the decision on a
// profile that nothing could show may go unreported.
package policy

import (
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage"

	"github.com/x2broker/x2broker/schema"
)

// Deadline bounds each question to an [Engine]; the caller's context may be
// shorter.
const Deadline = 2 * time.Second

// The questions. Names of rules stand for what decides them, see asked. Ids are
// bound before a rule is asked about them, so that a rule answers for one id at a
// time and an id that only a policy knows never appears.
const (
	loginQuery   = `result = {"deny": <x2go.login.deny>, "accounts": <x2go.login.accounts>}`
	visibleQuery = idsPrefix + `result = {id | some id in ids; <x2go.access.visible>[id]}`
	overlayQuery = idsPrefix + `result = {id: changes | some id in ids; changes := <x2go.access.overlay>[id]}`
	placeQuery   = idsPrefix + `
		excluded = {id: reason | some id in ids; reason := <x2go.placement.excluded>[id]}
		scores = {id: score | some id in ids; score := <x2go.placement.scores>[id]}
		result = {"excluded": excluded, "scores": scores}`
)

// visibleRule is the rule that is asked most.
const visibleRule = "x2go.access.visible"

// An Engine answers from one catalog and one set of modules. It does not change
// after [Compile] but for what it remembers of its answers, and may be used by
// any number of goroutines.
type Engine struct {
	catalog  *schema.Catalog
	places   []place
	deadline time.Duration
	defined  map[string][]schema.Position // where the site defines a rule of the broker's

	login, visible, place *query
	overlay               *query // nil if the site defines none
	index                 *index
	facts                 map[string]*facts // that index was made of, by profile id

	listingReads, loginReads fields // parts of the request that the answers depend on
	listings                 cache[*Listing]
	logins                   cache[Login]

	modules *compiled // these for explanations
	store   storage.Store
	data    ast.Value
}

// newEngine prepares the queries once. The modules in c have been checked. What
// visibility depends on is filled in by [Compiler].
func newEngine(cat *schema.Catalog, m *compiled, data *siteData, store storage.Store) (e *Engine, err error) {
	e = &Engine{
		catalog: cat, places: newPlaces(cat.Networks), deadline: Deadline, defined: m.defined,
		modules: m, store: store, data: object("site", data.value),
	}
	queries := map[string]**query{loginQuery: &e.login, visibleQuery: &e.visible, placeQuery: &e.place}
	if len(e.defined[overlayRule]) > 0 {
		queries[overlayQuery] = &e.overlay
		e.listingReads |= fieldsOfRule(m.compiler, ruleRef(overlayRule))
	}
	for text, q := range queries {
		if *q, err = e.newQuery(text); err != nil {
			return nil, err
		}
	}
	e.loginReads = fieldsOfRule(m.compiler, ruleRef("x2go.login.deny")) | fieldsOfRule(m.compiler, ruleRef("x2go.login.accounts"))
	return e, nil
}

// newQuery compiles a question.
func (e *Engine) newQuery(text string) (*query, error) {
	for _, r := range rules() {
		text = strings.ReplaceAll(text, "<"+r.String()+">", "data."+e.modules.asked(r.String()))
	}
	return newQuery(e.modules.compiler, e.store, text)
}

// asked gives the rule that decides in the place of one of the broker's: the
// site's, or else the library's. The shim between would only ask that in turn.
func (m *compiled) asked(rule string) string {
	if len(m.defined[rule]) > 0 {
		return rule
	}
	return "x2go.lib." + strings.TrimPrefix(rule, "x2go.")
}

// Defined gives the places where the site defines a rule of the broker's, like
// "x2go.access.visible"; none where the library decides.
func (e *Engine) Defined(rule string) []schema.Position { return e.defined[rule] }
