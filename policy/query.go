package policy

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/metrics"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/x2broker/x2broker/schema"
)

// resultVar is what a query binds its answer to.
const resultVar = ast.Var("result")

// A query is a question, compiled once against the modules and asked often.
type query struct {
	body     ast.Body
	compiler ast.QueryCompiler
	modules  *ast.Compiler
	store    storage.Store
	tracer   topdown.QueryTracer
}

// idsPrefix begins a query about some ids, which take the place of these here
// when it is asked: policies see no ids in their input. The other way, asking the
// policies `with` an input of their own, makes each call of a function slower.
const idsPrefix = `ids = input.ids; `

// newQuery compiles text, which binds result.
func newQuery(c *ast.Compiler, store storage.Store, text string) (*query, error) {
	body, err := ast.ParseBodyWithOpts(text, ast.ParserOptions{Capabilities: capabilities(), RegoVersion: ast.RegoV1})
	if err != nil {
		return nil, err
	}
	compiler := c.QueryCompiler()
	if body, err = compiler.Compile(body); err != nil {
		return nil, err
	}
	return &query{body: body, compiler: compiler, modules: c, store: store}, nil
}

// askAbout is ask for a query that begins with idsPrefix.
func (q *query) askAbout(ctx context.Context, ids []string, input ast.Value) (ast.Value, error) {
	return q.about(ids).ask(ctx, input)
}

// traced gives the query as one that looks at all rules that might answer it,
// and says so.
func (q *query) traced(t topdown.QueryTracer) *query {
	with := *q
	with.tracer = t
	return &with
}

func (q *query) about(ids []string) *query {
	about := *q
	about.body = slices.Clone(q.body)
	first := *q.body[0]
	first.Terms = slices.Clone(q.body[0].Terms.([]*ast.Term))
	first.Terms.([]*ast.Term)[2] = term(ids)
	about.body[0] = &first
	return &about
}

// ask gives what the query binds to result, nil if it is undefined. Errors of
// built-in functions end an evaluation: the default makes them undefined, which
// `not` turns into a yes.
func (q *query) ask(ctx context.Context, input ast.Value) (v ast.Value, err error) {
	defer func() {
		if r := recover(); r != nil {
			v, err = nil, fmt.Errorf("the policy broke the evaluator: %v", r)
		}
	}()
	if ctx.Err() != nil {
		return nil, stopped(context.Cause(ctx))
	}
	txn, err := q.store.NewTransaction(ctx)
	if err != nil {
		return nil, err
	}
	defer q.store.Abort(ctx, txn)
	cancel := topdown.NewCancel()
	defer context.AfterFunc(ctx, cancel.Cancel)()

	asked := topdown.NewQuery(q.body)
	if q.tracer != nil {
		asked = asked.WithQueryTracer(q.tracer).WithIndexing(false)
	}
	err = asked.
		WithQueryCompiler(q.compiler).
		WithCompiler(q.modules).
		WithStore(q.store).
		WithTransaction(txn).
		WithInput(ast.NewTerm(input)).
		WithStrictBuiltinErrors(true).
		WithCancel(cancel).
		WithMetrics(metrics.NoOp()).
		Iter(ctx, func(r topdown.QueryResult) error {
			if t := r[resultVar]; t != nil {
				v = t.Value
			}
			return nil
		})
	switch {
	case err == nil:
		return v, nil
	case topdown.IsCancel(err) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return nil, stopped(context.Cause(ctx))
	}
	return nil, plain(err)
}

// stopped is the error of an evaluation that its context ended.
func stopped(cause error) error {
	if cause == nil {
		cause = context.Canceled
	}
	if errors.Is(cause, context.DeadlineExceeded) {
		return fmt.Errorf("the policy did not decide in time: %w", cause)
	}
	return fmt.Errorf("the request was given up: %w: %w", context.Canceled, cause)
}

// isStopped reports whether an error is of the moment: asked again, the policy
// may well answer. All its other errors come again, as its answers do.
func isStopped(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
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

// places writes positions in a row.
func places(at []schema.Position) string {
	text := ""
	for i, p := range at {
		if i > 0 {
			text += ", "
		}
		text += p.String()
	}
	return text
}
