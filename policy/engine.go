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
// x2go.access.visible, x2go.placement.excluded and x2go.placement.scores. For
// each one that the site does not define, a built-in shim asks the library
// x2go.lib. A rule that the site defines replaces the built-in one: the two are
// never united.
package policy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/x2broker/x2broker/schema"
)

// Deadline bounds each question to an [Engine]; the caller's context may be
// shorter.
const Deadline = 2 * time.Second

// The questions, asked of the compiled modules. Ids are bound before a rule is
// asked about them, so that a rule answers for one id at a time and an id that
// only a policy knows never appears. Sees carries its id beside the input, so
// that policies see the same input whichever way they are asked.
const (
	loginQuery   = `{"deny": data.x2go.login.deny, "accounts": data.x2go.login.accounts}`
	visibleQuery = `{id | data.site.profiles[id]; data.x2go.access.visible[id]}`
	seesQuery    = `id := input.id; data.x2go.access.visible[id] with input as input.request`
	placeQuery   = `{
		"excluded": {id: reason | input.servers[id]; reason := data.x2go.placement.excluded[id]},
		"scores": {id: score | input.servers[id]; score := data.x2go.placement.scores[id]},
	}`
)

// An Engine answers from one catalog and one set of modules. It does not change
// after [Compile] and may be used by any number of goroutines.
type Engine struct {
	catalog  *schema.Catalog
	places   []place
	deadline time.Duration
	defined  map[string][]schema.Position // where the site defines a rule of the broker's

	login, visible, sees, place rego.PreparedEvalQuery

	compiler *ast.Compiler // these for explanations
	store    storage.Store
	data     ast.Value
}

// newEngine prepares the queries once. The modules in c have been checked.
func newEngine(ctx context.Context, cat *schema.Catalog, c *ast.Compiler, site map[string]*ast.Module) (*Engine, error) {
	data, err := catalogData(cat)
	if err != nil {
		return nil, err
	}
	store := inmem.NewFromObjectWithOpts(
		map[string]any{"site": data},
		inmem.OptRoundTripOnWrite(false),
		inmem.OptReturnASTValuesOnRead(true),
	)
	e := &Engine{catalog: cat, places: newPlaces(cat.Networks), deadline: Deadline, defined: defined(site)}
	e.compiler, e.store, e.data = c, store, object("site", data)
	for _, q := range []struct {
		text     string
		prepared *rego.PreparedEvalQuery
	}{
		{loginQuery, &e.login},
		{visibleQuery, &e.visible},
		{seesQuery, &e.sees},
		{placeQuery, &e.place},
	} {
		if *q.prepared, err = prepare(ctx, c, store, q.text); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// prepare makes a query of text. Errors of built-in functions must end an
// evaluation: the default makes them undefined, which `not` turns into a yes.
func prepare(ctx context.Context, c *ast.Compiler, store storage.Store, text string) (rego.PreparedEvalQuery, error) {
	return rego.New(
		rego.Query(text),
		rego.Compiler(c),
		rego.Store(store),
		rego.StrictBuiltinErrors(true),
	).PrepareForEval(ctx)
}

// eval runs a query and gives the value of its last expression, nil if it is
// undefined or false.
func (e *Engine) eval(ctx context.Context, q rego.PreparedEvalQuery, input ast.Value, more ...rego.EvalOption) (v ast.Value, err error) {
	defer func() {
		if r := recover(); r != nil {
			v, err = nil, fmt.Errorf("the policy broke the evaluator: %v", r)
		}
	}()
	if err := ctx.Err(); err != nil {
		return nil, stopped(err)
	}
	results, err := q.Eval(ctx, append(more, rego.EvalParsedInput(input), rego.EvalGenerateJSON(keepValue))...)
	if err != nil {
		if topdown.IsCancel(err) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			return nil, stopped(context.Cause(ctx))
		}
		return nil, plain(err)
	}
	if len(results) == 0 {
		return nil, nil
	}
	values := results[0].Expressions
	v, ok := values[len(values)-1].Value.(ast.Value)
	if !ok {
		return nil, nil
	}
	return v, nil
}

// keepValue hands results over as they are: as JSON, sets would look like arrays.
func keepValue(t *ast.Term, _ *rego.EvalContext) (any, error) { return t.Value, nil }

// stopped is the error of an evaluation that ctx ended.
func stopped(cause error) error {
	if cause == nil {
		cause = context.Canceled
	}
	if errors.Is(cause, context.DeadlineExceeded) {
		return fmt.Errorf("the policy did not decide in time: %w", cause)
	}
	return fmt.Errorf("the request was given up: %w", cause)
}

// plain gives an evaluation error as file:line:col and a sentence.
func plain(err error) error {
	var e *topdown.Error
	if !errors.As(err, &e) {
		return err
	}
	message := e.Message
	switch e.Code {
	case topdown.ConflictErr:
		message = "two rules give different values for one name: " + e.Message
	case topdown.BuiltinErr, topdown.TypeErr:
		message = "a function was called with a value that it cannot take: " + e.Message
	}
	if e.Location == nil || e.Location.File == "" {
		return errors.New(message)
	}
	return fmt.Errorf("%s: %s", position(e.Location), message)
}

// Defined gives the places where the site defines a rule of the broker's, like
// "x2go.access.visible"; none where the library decides.
func (e *Engine) Defined(rule string) []schema.Position { return e.defined[rule] }
