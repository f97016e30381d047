package worker_test

import (
	"context"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/x2broker/x2broker/broker/source"
	"github.com/x2broker/x2broker/broker/worker"
	"github.com/x2broker/x2broker/schema"
)

// asChild makes the test binary the process, and says what kind.
const asChild = "x2broker-worker-test"

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == asChild {
		os.Exit(child(os.Args[2]))
	}
	os.Exit(m.Run())
}

func child(kind string) int {
	switch kind {
	case "crashes":
		fmt.Fprintln(os.Stderr, "fatal error: all goroutines are asleep")
		return 2
	case "serves":
		if err := worker.Serve(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return 0
}

func newCompiler(t *testing.T, kind string, memory int64) *worker.Compiler {
	t.Helper()
	c := worker.New(worker.Options{Command: []string{"/proc/self/exe", asChild, kind}, Memory: memory})
	t.Cleanup(c.Close)
	return c
}

const root = "package site\n\nsite: name: \"S\"\nservers: s1: {}\n"

func tree(t *testing.T, files ...string) *source.Tree {
	t.Helper()
	content := map[string][]byte{}
	for i := 0; i < len(files); i += 2 {
		content[files[i]] = []byte(files[i+1])
	}
	tree, err := source.FromFiles(content)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func profile(id, name string) string {
	return fmt.Sprintf("package site\n\nprofiles: %s: {name: %q, hosts: ids: [\"s1\"], access: everyone: true}\n", id, name)
}

// same compiles in both ways and compares.
func same(t *testing.T, c *worker.Compiler, files fs.FS) *schema.Catalog {
	t.Helper()
	want, wantDiags := schema.NewCompiler().Compile(t.Context(), files)
	got, gotDiags := c.Compile(t.Context(), files)
	if (want == nil) != (got == nil) {
		t.Fatalf("catalog %v, want %v: %v", got, want, gotDiags)
	}
	if got != nil {
		zones := cmp.Comparer(func(a, b *time.Location) bool { return a.String() == b.String() })
		if diff := cmp.Diff(want, got, zones, cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{})); diff != "" {
			t.Errorf("catalogs (-want +got):\n%s", diff)
		}
	}
	if diff := cmp.Diff(wantDiags, gotDiags); diff != "" {
		t.Errorf("diagnostics (-want +got):\n%s", diff)
	}
	return got
}

func TestCompilesAsTheCompilerItselfDoes(t *testing.T) {
	c := newCompiler(t, "serves", 0)
	same(t, c, os.DirFS("../../examples/campus"))
	one := same(t, c, tree(t, "site.cue", root, "a.cue", profile("a", "A"), "b.cue", profile("b", "B")))
	two := same(t, c, tree(t, "site.cue", root, "a.cue", profile("a", "A2"), "b.cue", profile("b", "B")))
	if one.Profiles["b"] != two.Profiles["b"] {
		t.Error("an unchanged profile was sent again")
	}
	if same(t, c, tree(t, "site.cue", root, "a.cue", profile("a", "A2"), "b.cue", profile("b", "B"))) != two {
		t.Error("an unchanged site was sent again")
	}
	same(t, c, tree(t, "site.cue", root, "a.cue", "package site\n\nprofiles: a: name: 7\n")) // with mistakes
	same(t, c, tree(t, "site.cue", root, "c.cue", profile("c", "C")))
	same(t, c, tree(t))
}

func TestTheProcessHasGivenUpWhatItDoesNotNeed(t *testing.T) {
	c := newCompiler(t, "serves", 0)
	same(t, c, tree(t, "site.cue", root))
	if got := c.Confinement(); !got.NoNetwork || !got.NoFiles || !got.NoPrograms || len(got.Why) > 0 {
		t.Errorf("confinement: %+v", got)
	}
}

// endless takes CUE minutes, and nothing interrupts it.
func endless() string {
	var alternatives []string
	for i := range 16 {
		alternatives = append(alternatives, fmt.Sprintf("({a%d: 1} | {b%d: 2})", i, i))
	}
	return "package site\n\n_x: " + strings.Join(alternatives, " & ") + "\n"
}

func TestAnEndlessEvaluationIsKilledAtTheDeadline(t *testing.T) {
	c := newCompiler(t, "serves", 0)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	catalog, diags := c.Compile(ctx, tree(t, "site.cue", root, "x/bomb.cue", endless()))
	if catalog != nil || len(diags) != 1 || !strings.HasPrefix(diags[0].String(), "site.cue: gave up: it took too long; CUE is still evaluating this and 1 more files") {
		t.Errorf("%v, %v", catalog, diags)
	}
	same(t, c, tree(t, "site.cue", root)) // at once, in a new process
}

func TestTooMuchMemoryIsKilled(t *testing.T) {
	c := newCompiler(t, "serves", 128<<20)
	catalog, diags := c.Compile(t.Context(), tree(t, "site.cue", root, "bomb.cue",
		"package site\n\nimport \"list\"\n\n_x: [for i in list.Range(0, 3000, 1) for j in list.Range(0, 3000, 1) {\"\\(i)\": j}]\n"))
	if catalog != nil || len(diags) != 1 || !strings.Contains(diags[0].Message, "memory") {
		t.Errorf("%v, %v", catalog, diags)
	}
	same(t, c, tree(t, "site.cue", root))
}

func TestAProcessThatCrashesIsSaid(t *testing.T) {
	_, diags := newCompiler(t, "crashes", 0).Compile(t.Context(), tree(t, "site.cue", root))
	if len(diags) != 1 || diags[0].Message != "the process that evaluates CUE failed: fatal error: all goroutines are asleep" {
		t.Errorf("%v", diags)
	}
}

func TestTheCacheOutlivesTheProcess(t *testing.T) {
	site := tree(t, "site.cue", root, "a.cue", profile("a", "A"), "b.cue", profile("b", "B"))
	before := newCompiler(t, "serves", 0)
	same(t, before, site)
	kept, err := before.Cache()
	if err != nil || kept == nil {
		t.Fatal(kept, err)
	}
	after := newCompiler(t, "serves", 0)
	if err := after.UseCache(kept); err != nil {
		t.Fatal(err)
	}
	same(t, after, site)
	if again, err := after.Cache(); err != nil || again != nil && len(again) != len(kept) {
		t.Error(len(again), err)
	}
}
