// Package campus_test holds the examples and the pages for admins to what they
// promise: every site in them compiles, every case and every test holds.
package campus_test

import (
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	cueformat "cuelang.org/go/cue/format"
	"github.com/google/go-cmp/cmp"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/format"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/tester"

	"github.com/x2broker/x2broker/broker/snapshot"
	"github.com/x2broker/x2broker/broker/source"
	"github.com/x2broker/x2broker/policy"
	"github.com/x2broker/x2broker/schema"
)

const examples = "../../examples/"

// build compiles the site in a directory, as the broker does.
func build(t *testing.T, dir string) (*snapshot.Snapshot, schema.Diagnostics) {
	t.Helper()
	src, err := source.Open(source.Config{URL: dir, StoreDir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	rev, err := src.Fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tree, err := src.Tree(t.Context(), rev)
	if err != nil {
		t.Fatal(err)
	}
	return snapshot.Build(t.Context(), schema.NewCompiler(), rev, tree)
}

// mustBuild wants no error, no warning, and every case to hold.
func mustBuild(t *testing.T, dir string) *snapshot.Snapshot {
	t.Helper()
	snap, diags := build(t, dir)
	for _, d := range diags {
		t.Error(d)
	}
	if snap == nil {
		t.FailNow()
	}
	for _, f := range snapshot.RunCases(t.Context(), snap) {
		t.Error(f.Diagnostic())
	}
	return snap
}

func TestTheExamplesAreGood(t *testing.T) {
	for _, name := range []string{"minimal", "demo", "campus"} {
		t.Run(name, func(t *testing.T) { mustBuild(t, examples+name) })
	}
}

func TestTheCampusIsAsLargeAsItSays(t *testing.T) {
	site := mustBuild(t, examples+"campus").Catalog
	if n := len(site.Servers); n != 8 {
		t.Errorf("%d servers, README says eight", n)
	}
	if n := len(site.Profiles); n != 18 {
		t.Errorf("%d profiles, README says eighteen", n)
	}
	if n := len(site.Cases); n < 12 {
		t.Errorf("%d cases", n)
	}
	pools, draining := map[string]int{}, 0
	for _, s := range site.Servers {
		pools[s.Labels["pool"]]++
		if s.State == schema.Drain {
			draining++
		}
	}
	if diff := cmp.Diff(map[string]int{"staff": 3, "labs": 3, "gpu": 2}, pools); diff != "" || draining != 1 {
		t.Errorf("%d servers drain, pools (-want +got):\n%s", draining, diff)
	}
}

// TestTheCampusIsFormatted is `cue fmt`.
func TestTheCampusIsFormatted(t *testing.T) {
	dir := os.DirFS(examples + "campus")
	err := fs.WalkDir(dir, ".", func(name string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(name) != ".cue" {
			return err
		}
		text, err := fs.ReadFile(dir, name)
		if err != nil {
			return err
		}
		formatted, err := cueformat.Source(text)
		if diff := cmp.Diff(string(text), string(formatted)); diff != "" {
			t.Errorf("%s (-is +cue fmt):\n%s", name, diff)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// modules parses the Rego files of a site and the library beside them, as
// `x2broker vendor` puts it there.
func modules(t *testing.T, dir string) map[string]*ast.Module {
	t.Helper()
	files := policy.Library()
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(name) != ".rego" {
			return err
		}
		files[name], err = os.ReadFile(filepath.Join(dir, name))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	parsed := map[string]*ast.Module{}
	for name, text := range files {
		m, err := ast.ParseModuleWithOpts(name, string(text), ast.ParserOptions{ProcessAnnotation: true, RegoVersion: ast.RegoV1})
		if err != nil {
			t.Fatal(err)
		}
		parsed[name] = m
	}
	return parsed
}

// runTests is `opa test policy/` in a site; it gives how many tests ran.
func runTests(t *testing.T, dir string) int {
	t.Helper()
	results, err := tester.NewRunner().
		SetStore(inmem.New()).
		RaiseBuiltinErrors(true).
		SetModules(modules(t, dir)).
		RunTests(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for r := range results {
		ran++
		if !r.Pass() {
			t.Errorf("%s: %v", dir, r)
		}
	}
	return ran
}

func TestTheTestsOfTheExamplesPass(t *testing.T) {
	for site, want := range map[string]int{"campus": 45, "demo": 2} {
		if ran := runTests(t, examples+site); ran < want {
			t.Errorf("%s: %d tests, want at least %d", site, ran, want)
		}
	}
}

// TestPlainOPALikesTheCampus is `opa check --strict policy/` and `opa fmt`, and
// looks for the titles of rules.
func TestPlainOPALikesTheCampus(t *testing.T) {
	parsed := modules(t, examples+"campus")
	c := ast.NewCompiler().WithStrict(true).WithUseTypeCheckAnnotations(true)
	if c.Compile(parsed); c.Failed() {
		t.Error(c.Errors)
	}
	for name, m := range parsed {
		if strings.HasPrefix(name, "policy/x2go_lib/") {
			continue
		}
		text, err := os.ReadFile(examples + "campus/" + name)
		if err != nil {
			t.Fatal(err)
		}
		formatted, err := format.SourceWithOpts(name, text, format.Opts{RegoVersion: ast.RegoV1})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(text), string(formatted)); diff != "" {
			t.Errorf("%s (-is +opa fmt):\n%s", name, diff)
		}
		titled := map[string]bool{}
		for _, a := range m.Annotations {
			titled[a.GetTargetPath().String()] = a.Title != ""
		}
		for _, r := range m.Rules {
			path := r.Ref().GroundPrefix().String()
			if !strings.Contains(path, "._") && !strings.HasSuffix(name, "_test.rego") && !titled[path] {
				t.Errorf("%s: %s has no title", r.Location, path)
			}
		}
	}
}
