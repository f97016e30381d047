package schema

import (
	"context"
	"flag"
	"fmt"
	"strconv"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// drawFile makes a file as people write them, right and wrong.
func drawFile(t *rapid.T, dir string) string {
	ids := []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n"}
	id := func() string { return rapid.SampledFrom(ids).Draw(t, "id") }
	hosts := `hosts: ids: ["s1"]`
	forms := []func() string{
		func() string { // a leaf
			return fmt.Sprintf("profiles: %q: {name: %q, %s, access: groups: [%q]}\n", id(), id(), hosts, id())
		},
		func() string { // a leaf with two ids, perhaps one twice
			return fmt.Sprintf("profiles: {%q: {name: \"N\", %s}, %q: x2go: fullscreen: true}\n", id(), hosts, id())
		},
		func() string { // a leaf that relies on defaults for the rest
			return fmt.Sprintf("profiles: %q: {}\n", id())
		},
		func() string { // a leaf that uses a template
			return fmt.Sprintf("profiles: %q: _template & {x2go: width: %d}\n", id(), rapid.IntRange(0, 3).Draw(t, "width"))
		},
		func() string { return "_template: {name: *\"T\" | string, " + hosts + ", ...}\n" },
		func() string { // defaults of a folder
			return fmt.Sprintf("profiles: [string]: x2go: fullscreen: *%v | bool\n", rapid.Bool().Draw(t, "full"))
		},
		func() string { // defaults that make profiles complete
			return "profiles: [string]: {name: *\"D\" | string, " + hosts + "}\n"
		},
		func() string { return "profiles: [ID=string]: labels: id: ID\n" },
		func() string { // a fixed value for a folder
			return fmt.Sprintf("profiles: [=~\"^[abc]\"]: x2go: speed: %d\n", rapid.IntRange(0, 5).Draw(t, "speed"))
		},
		func() string { // generated profiles
			return fmt.Sprintf("profiles: {for i in [%q, %q] {(i): {name: \"G\", %s}}}\n", id(), id(), hosts)
		},
		func() string { // a profile made from another
			return fmt.Sprintf("profiles: %q: {name: profiles.%s.name, %s}\n", id(), id(), hosts)
		},
		func() string { return "_count: len(profiles)\nprofiles: [string]: labels: n: \"\\(_count)\"\n" },
		func() string {
			return fmt.Sprintf("let base = {name: \"L\", %s}\nprofiles: %q: base\n", hosts, id())
		},
		func() string {
			return fmt.Sprintf("profiles: %q: X={name: X.labels.n, labels: n: \"x\", %s}\n", id(), hosts)
		},
		func() string { return fmt.Sprintf("profiles: X=%q: {name: \"A\", %s}\n", id(), hosts) },
		func() string { return fmt.Sprintf("profiles: %q: {name: 7, %s}\n", id(), hosts) },
		func() string { return fmt.Sprintf("profiles: %q: {name: \"U\", unknown: 1, %s}\n", id(), hosts) },
		func() string { return fmt.Sprintf("profiles: %q: name: _nowhere\n", id()) },
		func() string { return "if len(\"x\") > 0 {profiles: f: {name: \"I\", " + hosts + "}}\n" },
		func() string { return fmt.Sprintf("profiles: %q?: x2go: quality: 3\n", id()) },
		func() string { return fmt.Sprintf("#P: {name: \"P\", %s, ...}\nprofiles: %q: #P\n", hosts, id()) },
	}
	if dir == "." {
		forms = append(forms,
			func() string {
				return fmt.Sprintf("cases: %q: {user: name: \"u\", address: \"10.0.0.1\", sees: [%q]}\n", id(), id())
			},
			func() string {
				return "cases: k: {user: name: \"u\", address: \"10.0.0.1\", sees: [for p, _ in profiles {p}]}\n"
			},
			func() string { return "servers: s2: weight: 7\n" },
			func() string { return "params: {x: 1}\nprofiles: [string]: x2go: speed: params.x\n" },
		)
	}
	text := "package site\n\n"
	for range rapid.IntRange(1, 2).Draw(t, "parts") {
		// Mostly leaves and defaults, which are many in a real site; the rest
		// breaks most sites, or keeps them in one piece.
		n := 8
		if rapid.IntRange(0, 3).Draw(t, "rare") == 0 {
			n = len(forms)
		}
		text += forms[rapid.IntRange(0, n-1).Draw(t, "form")]()
	}
	return text
}

func drawSite(t *rapid.T) fstest.MapFS {
	tree := fstest.MapFS{"site.cue": {Data: []byte("package site\n\nsite: name: \"S\"\nservers: s1: {}\n")}}
	for _, dir := range []string{".", "x", "x/y", "z"} {
		for i := range rapid.IntRange(0, 3).Draw(t, "files in "+dir) {
			tree[fmt.Sprintf("%s/f%d.cue", dir, i)[map[bool]int{true: 2, false: 0}[dir == "."]:]] = &fstest.MapFile{Data: []byte(drawFile(t, dir))}
		}
	}
	return tree
}

// manyChecks reports whether a property is tried often enough to meet what is
// rare; not under the race detector.
func manyChecks() bool {
	n, err := strconv.Atoi(flag.Lookup("rapid.checks").Value.String())
	return err == nil && n >= 100
}

// TestShardedEqualsWhole compares each site with the evaluation of whole
// directories. One compiler is used for all sites, so that what it remembers is
// part of the claim.
func TestShardedEqualsWhole(t *testing.T) {
	sharded, whole := NewCompiler(), NewCompiler()
	whole.whole = true
	good := 0
	rapid.Check(t, func(t *rapid.T) {
		tree := drawSite(t)
		want, wantDiags := whole.Compile(context.Background(), tree)
		got, gotDiags := sharded.Compile(context.Background(), tree)
		if want != nil {
			good++
		}
		if diff := cmp.Diff(want, got, equalCatalogs); diff != "" {
			t.Fatalf("catalogs differ (-whole +sharded):\n%s\nwhole: %v\nsharded: %v", diff, wantDiags, gotDiags)
		}
		if wantDiags.HasErrors() != gotDiags.HasErrors() {
			t.Fatalf("whole: %v\nsharded: %v", wantDiags, gotDiags)
		}
	})
	if good == 0 && manyChecks() {
		t.Error("no drawn site was good: nothing was compared")
	}
	t.Log(good, "good sites")
}
