//go:build plain

package agreement_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/x2broker/x2broker/policy"
)

// stricter are the tests of policy/testdata/tests of which check and plain opa
// think differently, with what opa says.
var stricter = map[string]map[string]string{
	// Plain opa takes the error of a built-in function for an answer, no.
	"errors": {"x2go.access_test.test_builtin": "pass"},
	// Plain opa has no built-in rules beside the site's.
	"shims": {"x2go.access_test.test_everyone": "fail"},
}

// TestVerdictsAgree runs tests with both.
func TestVerdictsAgree(t *testing.T) {
	archives, err := filepath.Glob("../../policy/testdata/tests/*.txtar")
	if err != nil || len(archives) < 5 {
		t.Fatalf("%v, %d archives", err, len(archives))
	}
	for _, file := range archives {
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		t.Run(name, func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			files := map[string][]byte{}
			for _, f := range archive.Files {
				if f.Name != "want" {
					files[f.Name] = f.Data
				}
			}
			want := plainVerdicts(t, files)
			for test, verdict := range stricter[name] {
				if want[test] != verdict {
					t.Errorf("plain opa says %q of %s, not %q", want[test], test, verdict)
				}
				want[test] = map[string]string{"pass": "fail", "fail": "pass"}[verdict]
			}
			agree(t, files, want)
		})
	}
	for name, dir := range map[string]string{"campus": "../../examples/campus", "demo": "../../examples/demo", "init": newSite(t)} {
		t.Run(name, func(t *testing.T) {
			files := policies(t, dir)
			agree(t, files, plainVerdicts(t, files))
		})
	}
}

// TestVerdictsOfMutatedPoliciesAgree changes numbers, words and operators.
func TestVerdictsOfMutatedPoliciesAgree(t *testing.T) {
	random := rand.New(rand.NewPCG(*seed, 1))
	bases := []map[string][]byte{policies(t, "../../examples/campus"), policies(t, newSite(t))}
	failing := 0
	for n := range *mutations / 5 {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			files := maps.Clone(bases[n%len(bases)])
			for range 3 {
				mutatePolicy(random, files)
			}
			if _, err := policy.Test(t.Context(), files); err != nil {
				return // it does not compile, and opa needs no asking
			}
			want := plainVerdicts(t, files)
			if slices.Contains(slices.Collect(maps.Values(want)), "fail") {
				failing++
			}
			agree(t, files, want)
		})
	}
	if failing < *mutations/50 {
		t.Errorf("%d suites with a failing test: this test would not find much", failing)
	}
}

var changeable = regexp.MustCompile(`\bnot |\b[0-9]+\b|[<>]=?|==|"[a-z]+"`)

func mutatePolicy(random *rand.Rand, files map[string][]byte) {
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(files)), func(name string) bool { return strings.Contains(name, "x2go_lib") })
	name := names[random.IntN(len(names))]
	text := string(files[name])
	places := changeable.FindAllStringIndex(text, -1)
	if len(places) == 0 {
		return
	}
	p := places[random.IntN(len(places))]
	by := map[bool][]string{
		true:  {"7", "12", "19"},
		false: {"<", ">=", "==", "!="},
	}[text[p[0]] >= '0' && text[p[0]] <= '9']
	switch text[p[0]] {
	case '"':
		by = []string{`"room"`, `"students"`, `"lab"`}
	case 'n':
		by = []string{""}
	}
	files[name] = []byte(text[:p[0]] + by[random.IntN(len(by))] + text[p[1]:])
}

// policies reads the Rego files of a site.
func policies(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	names, err := filepath.Glob(filepath.Join(dir, "policy", "*.rego"))
	if err != nil || len(names) == 0 {
		t.Fatalf("%s: %v, %d policies", dir, err, len(names))
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files["policy/"+filepath.Base(name)] = data
	}
	return files
}

// plainVerdicts gives what `opa test policy/` says: pass, fail or skip. Tests of
// the library are left out.
func plainVerdicts(t *testing.T, files map[string][]byte) map[string]string {
	t.Helper()
	dir := t.TempDir()
	all := policy.Library()
	maps.Copy(all, files)
	for name, data := range all {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out, _ := plain(t, dir, "opa", "test", "--format", "json", "policy/")
	var results []struct {
		Package, Name string
		Fail, Skip    bool
		Error         any
	}
	if err := json.Unmarshal([]byte(out), &results); err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	verdicts := map[string]string{}
	for _, r := range results {
		name := strings.TrimPrefix(r.Package, "data.") + "." + r.Name
		switch {
		case strings.HasPrefix(name, "x2go.lib."):
		case r.Skip:
			verdicts[name] = "skip"
		case r.Fail || r.Error != nil:
			verdicts[name] = "fail"
		default:
			verdicts[name] = "pass"
		}
	}
	return verdicts
}

// agree compares with what check says.
func agree(t *testing.T, files map[string][]byte, want map[string]string) {
	t.Helper()
	report, err := policy.Test(t.Context(), files)
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	var failing []string
	for name, verdict := range want {
		count[verdict]++
		if verdict == "fail" {
			failing = append(failing, name)
		}
	}
	slices.Sort(failing)
	var failed []string
	for _, f := range report.Failures {
		failed = append(failed, f.Test)
	}
	slices.Sort(failed)
	if diff := cmp.Diff(failing, failed); diff != "" {
		t.Errorf("tests that fail (-opa +check):\n%s", diff)
	}
	if got, plain := fmt.Sprint(report.Passed, report.Skipped), fmt.Sprint(count["pass"], count["skip"]); got != plain {
		t.Errorf("passed and skipped: check %s, opa %s", got, plain)
	}
	if t.Failed() {
		for name, data := range files {
			t.Logf("-- %s --\n%s", name, data)
		}
	}
}
