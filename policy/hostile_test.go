package policy

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/x2broker/x2broker/schema"
)

func TestHostileSourcesAreRefusedQuickly(t *testing.T) {
	nest := func(open, inside, end string, n int) string {
		return "package x2go.access\n\nfoo := " + strings.Repeat(open, n) + inside + strings.Repeat(end, n) + "\n"
	}
	for _, tt := range []struct{ name, source, message string }{
		{"comprehensions", nest("[x | x := ", "1", "]", 40), "within each other"},
		{"every", "package x2go.access\n\nfoo if " + strings.Repeat("every x in [1] { ", 40) + "x" + strings.Repeat("}", 40), "within each other"},
		{"templates", nest("$`{", "1", "}`", 40), "within each other"},
		{"brackets", nest("[", "", "]", 20000), "is nested"},
		{"calls", nest("count(", "[]", ")", 5000), "is nested"},
		{"sums", nest("1 + ", "1", "", 5000), "is nested"},
		{"else", "package x2go.access\n\nfoo := 1 if input.user" + strings.Repeat(" else := 1 if input.user", 2000), "is nested"},
		{"a long body", "package x2go.access\n\nfoo if {" + strings.Repeat("\n\tinput.user", 5000) + "\n}\n", "lines in one body"},
		{"parentheses", nest("(", "1", ")", 90000), "max parsing recursion depth exceeded"},
		{"a file too large", "package x2go.access\n" + strings.Repeat("# x\n", 1<<18), "are allowed"},
		{"binary", "\x00\xff\xfe\x01", "illegal"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			began := time.Now()
			e, ds := Compile(t.Context(), site(t, nil), modules("access.rego", tt.source))
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("took %v", took)
			}
			if e != nil || !strings.Contains(fmt.Sprint(ds), tt.message) {
				t.Errorf("%.300s, want %q", fmt.Sprint(ds), tt.message)
			}
		})
	}
}

func TestCompileStopsWhenItsContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	e, ds := Compile(ctx, site(t, nil), nil)
	if e != nil || len(ds) != 1 || !strings.Contains(ds[0].Message, "not compiled in time") {
		t.Errorf("%v, %v", e, ds)
	}
}

func TestAnEngineAnswersManyAtOnce(t *testing.T) {
	cat := site(t, map[string]schema.Access{"office": {Everyone: true}, "staff": {Groups: []string{"staff"}}}, server("a"), server("full"))
	e := engine(t, cat, nil)
	want := decisions(t.Context(), e)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				if got := decisions(t.Context(), e); got != want {
					t.Errorf("%s, want %s", got, want)
				}
			}
		})
	}
	all.Wait()
}

func FuzzCompile(f *testing.F) {
	for _, source := range []string{
		"package x2go.access\n\nvisible contains id if some id, _ in data.site.profiles\n",
		"package x2go.placement\n\nscores[id] := 1 / facts.load1 if some id, facts in input.servers\n",
		"package x2go.login\n\ndeny contains $`{input.user.name} is out` if not input.user.name == \"a\"\n",
		"# METADATA\n# schemas:\n#   - input: {type: object}\npackage x2go.site.a\n\nimport rego.v1\n\nf(x) := [y | y := x[_]] if { every z in x { z > 1 } } else := 3\n",
		"package x2go.access\n\nfoo[x][y] contains z if { x := walk(input)[y]; z := json.unmarshal(\"[\")\n",
		"package x2go.lib.access\n\ndefault visible := set()\n",
		"\xff\xfe\x00", "", "package", "p { true }",
	} {
		f.Add("policy/access.rego", []byte(source))
		f.Add("policy/x2go_lib/access_test.rego", []byte(source))
	}
	f.Fuzz(func(t *testing.T, name string, source []byte) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		cat := site(t, map[string]schema.Access{"office": {Everyone: true}}, server("a"))
		e, ds := Compile(ctx, cat, map[string][]byte{name: source})
		if (e == nil) != ds.HasErrors() {
			t.Fatalf("engine %v with %v", e != nil, ds)
		}
		for _, d := range ds {
			if strings.Contains(d.Message, "please report") || strings.Contains(d.Message, "\n") {
				t.Errorf("%s", d)
			}
		}
		if e == nil {
			return
		}
		e.deadline = 100 * time.Millisecond
		_, _ = e.Login(ctx, alice())
		ids, _ := shown(e.Visible(ctx, alice()))
		for _, id := range ids {
			if id != "office" {
				t.Errorf("visible: %q", id)
			}
		}
		if p, err := e.Place(ctx, alice(), "office", nil); err != nil && len(p.Winners) > 0 {
			t.Errorf("winners %v in spite of %v", p.Winners, err)
		}
	})
}
