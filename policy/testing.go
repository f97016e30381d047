package policy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/tester"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/x2broker/x2broker/schema"
)

// What the tests of a site may take.
const (
	testTime  = 5 * time.Second  // one test, as under plain opa
	testsTime = 30 * time.Second // all together
)

// A TestReport tells how the tests of a site's policies went and what they
// cover.
type TestReport struct {
	Passed   int           `json:"passed"`
	Skipped  int           `json:"skipped"`  // todo_test_ rules
	Failures []TestFailure `json:"failures"` // in file order, never null
	Coverage
}

// Tests is how many tests there are.
func (r TestReport) Tests() int { return r.Passed + r.Skipped + len(r.Failures) }

// A TestFailure is a test that did not hold.
type TestFailure struct {
	Test      string          `json:"test"` // "x2go.access_test.test_lab_is_closed"
	Pos       schema.Position `json:"position"`
	Error     string          `json:"error,omitempty"`     // why it could not be decided
	Condition *Condition      `json:"condition,omitempty"` // the condition of the test that is not met
	Because   []Condition     `json:"because,omitempty"`   // what the policy found, the nearest first
}

// Reason says in one line why the test fails.
func (f TestFailure) Reason() string {
	switch {
	case f.Error != "":
		return f.Error
	case f.Condition != nil:
		return f.Condition.String()
	}
	return "gives something else than true"
}

// Diagnostic says the failure in one line.
func (f TestFailure) Diagnostic() schema.Diagnostic {
	return schema.Diagnostic{Severity: schema.Error, Pos: f.Pos, Path: f.Test, Message: "the test fails: " + f.Reason()}
}

// Test runs the tests of a site: all rules whose names begin with test_, as
// `opa test policy/` does, but not those of the library. Files are as for
// [Compile], which must have found no error in them; otherwise Test gives one.
//
// Tests see the modules that serve, and no catalog but what they bring along
// with `with`. A built-in function that fails ends a test as it ends a decision.
// The report depends on the files and nothing else, unless time runs out.
func Test(ctx context.Context, files map[string][]byte) (TestReport, error) {
	return runTests(ctx, files, testsTime)
}

func runTests(ctx context.Context, files map[string][]byte, limit time.Duration) (report TestReport, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("run the tests: the policy broke the evaluator: %v", r)
		}
	}()
	report.Failures, report.Uncovered = []TestFailure{}, []Uncovered{}
	site, tests, ds := read(policySources(files))
	if ds.HasErrors() {
		return report, errors.New("run the tests: the policies do not compile")
	}
	all := maps.Clone(site)
	maps.Copy(all, tests)
	if !hasTests(all) {
		report.Coverage = coverage{}.report(site)
		return report, nil
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	c, err := compileTests(ctx, site, tests)
	if err != nil {
		return report, fmt.Errorf("run the tests: %w", err)
	}
	run := testRun{compiler: c, store: inmem.New(), limit: limit, seen: coverage{}}
	for _, rule := range testRules(c, all) {
		if strings.HasPrefix(testName(rule), tester.SkipTestPrefix) {
			report.Skipped++
			continue
		}
		if failure := run.test(ctx, rule); failure != nil {
			report.Failures = append(report.Failures, *failure)
		} else {
			report.Passed++
		}
	}
	report.Coverage = run.seen.report(site)
	return report, nil
}

// policySources gives the files that are read as policies.
func policySources(files map[string][]byte) map[string][]byte {
	sources := make(map[string][]byte, len(files))
	for name, source := range files {
		if strings.HasPrefix(name, "policy/") && strings.HasSuffix(name, ".rego") {
			sources[name] = source
		}
	}
	return sources
}

// compileTests compiles what serves together with the tests. OPA's tester does
// it, because it gives tests of one name numbers and finds the cases in tests
// that have several; no test matches its filter, so that it runs none. We run
// them: a panic in one of its goroutines would end the broker.
func compileTests(ctx context.Context, site, tests map[string]*ast.Module) (*ast.Compiler, error) {
	modules, err := builtin(site)
	if err != nil {
		return nil, err
	}
	maps.Copy(modules, site)
	maps.Copy(modules, tests)
	c := newCompiler(ctx).WithRewriteTestRules(true) // so that the two sides of == can be told
	none, err := tester.NewRunner().SetCompiler(c).SetModules(modules).Filter("^$").RunTests(ctx, nil)
	if err != nil {
		return nil, err
	}
	for range none {
		return nil, errors.New("a test ran that should not")
	}
	return c, nil
}

func hasTests(modules map[string]*ast.Module) bool {
	for name, m := range modules {
		if !strings.HasPrefix(name, libraryDir) && slices.ContainsFunc(m.Rules, func(r *ast.Rule) bool { return testName(r) != "" }) {
			return true
		}
	}
	return false
}

// testRules gives the compiled test rules of the site in file order.
func testRules(c *ast.Compiler, site map[string]*ast.Module) []*ast.Rule {
	var rules []*ast.Rule
	for name := range site {
		if strings.HasPrefix(name, libraryDir) {
			continue
		}
		for _, r := range c.Modules[name].Rules {
			if testName(r) != "" {
				rules = append(rules, r)
			}
		}
	}
	slices.SortStableFunc(rules, func(a, b *ast.Rule) int {
		return cmp.Or(cmp.Compare(a.Location.File, b.Location.File), cmp.Compare(a.Location.Row, b.Location.Row),
			cmp.Compare(a.Location.Col, b.Location.Col))
	})
	return rules
}

// testName gives the part of a rule's name that makes it a test, or nothing.
func testName(r *ast.Rule) string {
	ref := testRef(r)
	if len(ref) == 0 {
		return ""
	}
	return partName(ref[len(ref)-1])
}

// testRef gives a test's name up to the part that makes it a test.
func testRef(r *ast.Rule) ast.Ref {
	ref := r.Head.Ref().GroundPrefix()
	for i, part := range ref {
		if name := partName(part); strings.HasPrefix(name, tester.TestPrefix) || strings.HasPrefix(name, tester.SkipTestPrefix) {
			return ref[:i+1]
		}
	}
	return nil
}

func partName(t *ast.Term) string {
	switch v := t.Value.(type) {
	case ast.Var:
		return string(v)
	case ast.String:
		return string(v)
	}
	return ""
}

func fullName(path ast.Ref) string {
	names := make([]string, 0, len(path))
	for _, part := range path[1:] { // the first is data
		names = append(names, partName(part))
	}
	return strings.Join(names, ".")
}

// A testRun runs one test after the other.
type testRun struct {
	compiler *ast.Compiler
	store    storage.Store
	limit    time.Duration // of all
	seen     coverage
}

// test gives what is wrong, nil for nothing.
func (t testRun) test(ctx context.Context, rule *ast.Rule) *TestFailure {
	path := rule.Module.Package.Path.Extend(testRef(rule))
	f := &TestFailure{Test: fullName(path), Pos: position(rule.Location)}
	if ctx.Err() != nil {
		f.Error = t.tooLate()
		return f
	}
	started := &cases{}
	value, err := t.eval(ctx, path, rego.EvalQueryTracer(t.seen), rego.EvalQueryTracer(started), rego.EvalEarlyExit(false))
	if err != nil {
		f.Error = oneLine(err.Error())
		if ctx.Err() != nil {
			f.Error = t.tooLate()
		}
		return f
	}
	if value == true {
		return nil
	}
	if object, ok := value.(map[string]any); ok && rule.Head.DocKind() == ast.PartialObjectDoc {
		failed := started.failed(object)
		if len(failed) == 0 {
			return nil
		}
		f.Error = "these cases do not hold: " + strings.Join(failed, ", ")
		return f
	}
	trace := newTrace(nil)
	if _, err := t.eval(ctx, path, rego.EvalQueryTracer(trace), rego.EvalRuleIndexing(false)); err == nil {
		f.Condition, f.Because = trace.test()
	}
	return f
}

func (t testRun) tooLate() string {
	return fmt.Sprintf("the tests of the site take more than %v together", t.limit)
}

// eval gives the value of a rule, nil if it has none.
func (t testRun) eval(ctx context.Context, path ast.Ref, options ...rego.EvalOption) (value any, err error) {
	defer func() {
		if r := recover(); r != nil {
			value, err = nil, fmt.Errorf("the policy broke the evaluator: %v", r)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, testTime)
	defer cancel()
	q, err := rego.New(
		rego.Query(path.String()),
		rego.Compiler(t.compiler),
		rego.Store(t.store),
		rego.StrictBuiltinErrors(true),
	).PrepareForEval(ctx)
	if err != nil {
		return nil, plain(err)
	}
	results, err := q.Eval(ctx, options...)
	switch {
	case topdown.IsCancel(err):
		return nil, fmt.Errorf("takes more than %v", testTime)
	case err != nil:
		return nil, plain(err)
	case len(results) == 0:
		return nil, nil
	}
	return results[0].Expressions[0].Value, nil
}

// cases notes the cases that a test with several has begun: one that does not
// hold has no value.
type cases struct{ paths [][]string }

// Enabled is true: see [topdown.QueryTracer].
func (*cases) Enabled() bool { return true }

// Config asks for nothing besides the events.
func (*cases) Config() topdown.TraceConfig { return topdown.TraceConfig{} }

// TraceEvent notes a case.
func (c *cases) TraceEvent(e topdown.Event) {
	x, ok := e.Node.(*ast.Expr)
	if e.Op != topdown.TestCaseOp || !ok {
		return
	}
	if names, ok := e.Plug(x.Operand(0)).Value.(*ast.Array); ok {
		var path []string
		names.Foreach(func(t *ast.Term) {
			if s, ok := t.Value.(ast.String); ok {
				path = append(path, string(s))
				return
			}
			path = append(path, t.Value.String())
		})
		c.paths = append(c.paths, path)
	}
}

// failed gives the names of cases that have no value, or one that is not true.
func (c *cases) failed(values map[string]any) []string {
	var names []string
	var walk func(prefix []string, v any)
	walk = func(prefix []string, v any) {
		if object, ok := v.(map[string]any); ok {
			for _, key := range slices.Sorted(maps.Keys(object)) {
				walk(append(slices.Clone(prefix), key), object[key])
			}
		} else if v != true {
			names = append(names, strings.Join(prefix, "."))
		}
	}
	walk(nil, values)
	for _, path := range c.paths {
		var v any = values
		for _, part := range path {
			object, _ := v.(map[string]any)
			v = object[part]
		}
		if name := strings.Join(path, "."); v == nil && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}
