package schema

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/rogpeppe/go-internal/txtar"
)

// checkQuick compares what the tokens of a file say with what its syntax tree
// says, and reports whether the tokens were enough.
func checkQuick(t *testing.T, name string, data []byte) bool {
	t.Helper()
	quick, full := &sourceFile{name: name, data: data}, &sourceFile{name: name, data: data}
	if !quickLeaf(quick) {
		return false
	}
	full.classify()
	if full.err != nil {
		return true // it is parsed when it is evaluated
	}
	if diff := cmp.Diff(full, quick, cmp.AllowUnexported(sourceFile{}, label{}), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s (-parsed +tokens):\n%s\n%s", name, diff, data)
	}
	return true
}

func TestTokensSayWhatTheSyntaxTreeSays(t *testing.T) {
	quick := 0
	count := func(name string, data []byte) {
		if checkQuick(t, name, data) {
			quick++
		}
	}
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range archives {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range archive.Files {
			if strings.HasSuffix(f.Name, ".cue") {
				count(f.Name, f.Data)
			}
		}
	}
	examples, err := filepath.Glob("../examples/*/profiles/*/*.cue")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range examples {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		count(file, data)
	}
	for _, text := range []string{
		`profiles: a: {name: "A"}`,
		`profiles: {a: {name: "A"}, "b.c": x2go: width: 1}`,
		"profiles: {\n\ta: {name: \"A\"}\n\n\tb: {}\n}\n",
		`profiles: a: {name: "A", access: {users: ["x"], deny: groups: ["y"]}} & _t`,
		`profiles: a: access: deny: {from: ["z"], users: []}`,
		`profiles: a: {if true {name: "A"}, access: users: [for x in [1] {"\(x)"}]}`,
		`profiles: a: access: X={users: ["x"]}`,
		`profiles: a: {name: "A", legacyACL: {users: {allow: ["x"], order: "deny-allow"}, clients: deny: ["ALL"]}}`,
		`profiles: a: legacyACL: {users: ["x"], groups: {allow: {x: 1}}, deny: users: 1, order: "x"}`,
		`profiles: a: {"access": "users": ["x"], x?: 1, [string]: _, let y = 3}`,
	} {
		count("x.cue", []byte("package site\n\n"+text))
	}
	if quick < 20 {
		t.Errorf("%d files only were recognised by their tokens", quick)
	}
}

func TestTokensLeaveWhatTheyAreNotSureOf(t *testing.T) {
	for _, text := range []string{
		"package other\nprofiles: a: {}",
		"package site\nprofiles: [string]: {}",
		"package site\nprofiles: a?: {}",
		"package site\nprofiles: _a: {}",
		"package site\nprofiles: #A: {}",
		"package site\nprofiles: X=a: {}",
		"package site\nprofiles: a~X: {}",
		"package site\nprofiles: X={a: {}}",
		"package site\nprofiles: {a: {}} & {}",
		"package site\nprofiles: {a: {}, [string]: {}}",
		"package site\nprofiles: {for x in [1] {b: {}}}",
		"package site\nprofiles: {a: {}, ...}",
		"package site\nprofiles: \"\\(x)\": {}",
		"package site\nprofiles: (\"x\"): {}",
		"package site\nprofiles: a: {}\nservers: b: {}",
		"package site\nimport \"strings\"\nprofiles: a: name: strings.ToUpper(\"a\")",
		"package site\nprofiles: a: {}\n_x: 1",
		"package site\nprofiles: a: name: profiles.b.name",
		"package site\nprofiles: a: {} @if(x)",
		"package site\nprofiles: {}",
		"package site\nprofiles: a: {",
		"package site\nprofiles: a: \"open",
		"package site, profiles: a: {}} ",
		"profiles: a: {}",
		"",
	} {
		if f := (&sourceFile{name: "x.cue", data: []byte(text)}); quickLeaf(f) || f.ids != nil || f.labels != nil || f.access != nil {
			t.Errorf("%q is taken for a plain leaf: %+v", text, f)
		}
	}
}

func FuzzQuickLeaf(f *testing.F) {
	f.Add([]byte("package site\n\nprofiles: {a: {name: \"A\", access: {users: [\"x\"], deny: groups: [\"y\"]}}}\n"))
	f.Add([]byte("package site\nprofiles: \"b-c\": access: deny: from: [1, {}] & (2 | 3)"))
	f.Add([]byte("package site\nprofiles: a: \"\\(1)\" // x\n"))
	f.Fuzz(func(t *testing.T, data []byte) { checkQuick(t, "x.cue", data) })
}
