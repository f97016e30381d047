package policy

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// TestReports holds what is said of tests. Each archive begins with its claim;
// its file "want" has the report.
func TestReports(t *testing.T) {
	names, err := filepath.Glob("testdata/tests/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatalf("%v, %d archives", err, len(names))
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			archive, files := readArchive(t, name)
			if e, ds := Compile(t.Context(), site(t, nil), files); e == nil {
				t.Fatal(ds)
			}
			report, err := Test(t.Context(), files)
			if err != nil {
				t.Fatal(err)
			}
			got := reported(report)
			archive.wants(t, got)
		})
	}
}

func reported(r TestReport) string {
	var out bytes.Buffer
	fmt.Fprintf(&out, "%d passed, %d skipped, %d failed\n", r.Passed, r.Skipped, len(r.Failures))
	for _, f := range r.Failures {
		fmt.Fprintln(&out, f.Diagnostic())
		for _, c := range f.Because {
			fmt.Fprintf(&out, "\t%s: %s: %s\n", c.Pos, c.Rule, c)
		}
	}
	fmt.Fprintf(&out, "%d of %d rules covered\n", r.Rules-len(r.Uncovered), r.Rules)
	for _, u := range r.Uncovered {
		fmt.Fprintf(&out, "\t%s: %s\n", u.Pos, u.Rule)
	}
	return out.String()
}

const endlessTests = `package x2go.site.slow_test

test_a if count([1 | some a in numbers.range(1, 10000); some b in numbers.range(1, 10000); a + b == 1]) == 0

test_b if true
`

func TestEndlessTestsEnd(t *testing.T) {
	files := modules("slow_test.rego", endlessTests)
	report, err := runTests(t.Context(), files, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	want := `0 passed, 0 skipped, 2 failed
policy/slow_test.rego:3:1: x2go.site.slow_test.test_a: the test fails: the tests of the site take more than 1s together
policy/slow_test.rego:5:1: x2go.site.slow_test.test_b: the test fails: the tests of the site take more than 1s together
0 of 0 rules covered
`
	if diff := cmp.Diff(want, reported(report)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if report, err := Test(ctx, files); err == nil {
		t.Errorf("nobody waits any more, and %v", report)
	}
}

// An evaluator that panics in a goroutine of its own would end the broker.
func TestAPanicIsAFailedTest(t *testing.T) {
	c := newCompiler(t.Context())
	c.Compile(map[string]*ast.Module{"a.rego": ast.MustParseModule("package a\n\ntest_x if input.x > 1\n")})
	run := testRun{compiler: c, store: inmem.New()}
	_, err := run.eval(t.Context(), ast.MustParseRef("data.a.test_x"), rego.EvalQueryTracer(panicking{}))
	if err == nil || !strings.Contains(err.Error(), "broke the evaluator: here") {
		t.Errorf("got %v", err)
	}
}

type panicking struct{}

func (panicking) Enabled() bool               { return true }
func (panicking) Config() topdown.TraceConfig { return topdown.TraceConfig{} }
func (panicking) TraceEvent(topdown.Event)    { panic("here") }

func TestTestsOfPoliciesThatDoNotCompileAreAnError(t *testing.T) {
	for _, source := range []string{"package x2go.site.a\n\ntest_a if x\n", "package\n"} {
		if report, err := Test(t.Context(), modules("a_test.rego", source)); err == nil {
			t.Errorf("%q: %v", source, report)
		}
	}
}
