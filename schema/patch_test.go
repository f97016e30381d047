package schema

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

var equalCatalogs = cmp.Options{
	cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}),
	cmp.Comparer(func(a, b *time.Location) bool { return a.String() == b.String() }),
}

// drawCommit changes one file of the site: most often a leaf.
func drawCommit(t *rapid.T, tree fstest.MapFS) {
	names := []string{"a.cue", "b.cue", "x/c.cue", "x/d.cue", "x/y/e.cue", "z/f.cue"}
	n := rapid.IntRange(0, len(names)-1).Draw(t, "file")
	name, id := names[n], fmt.Sprintf("p%d", n)
	word := rapid.SampledFrom([]string{"one", "two", "three"}).Draw(t, "word")
	leaves := []string{
		`profiles: %[1]s: {name: "%[2]s", hosts: ids: ["s1"], access: groups: ["%[2]s"]}`,
		`profiles: %[1]s: {name: "%[2]s", hosts: labels: pool: "a", access: everyone: true, x2go: fullscreen: true}`,
		"// moved down\n\nprofiles: %[1]s: {name: \"%[2]s\", hosts: ids: [\"s1\"]}",            // a warning: no access
		`profiles: %[1]s: {name: "%[2]s", hosts: ids: ["s1"], access: from: ["campus"]}`,       // another
		`profiles: %[1]s: {name: "%[2]s", hosts: ids: ["s1"], access: from: [networks.n0[0]]}`, // mentions
		`profiles: %[1]s: {name: "%[2]s", hosts: ids: ["nowhere"]}`,
		`profiles: %[1]s: {name: 7}`,
		`profiles: %[1]s: name: `,
		`profiles: {%[1]s: {name: "%[2]s", hosts: ids: ["s1"]}, more%[1]s: {name: "M", hosts: ids: ["s1"]}}`,
		`profiles: p0: {name: "%[2]s", hosts: ids: ["s1"]}`, // another file's id
		`profiles: [string]: x2go: speed: *3 | int`,
		`servers: s2: labels: pool: "a"`,
	}
	form := rapid.IntRange(0, 4).Draw(t, "form")
	if rapid.IntRange(0, 4).Draw(t, "rare") == 0 {
		form = rapid.IntRange(0, len(leaves)).Draw(t, "any form")
	}
	if form == len(leaves) {
		delete(tree, name)
		return
	}
	text := leaves[form]
	tree[name] = &fstest.MapFile{Data: []byte("package site\n\n" + fmt.Sprintf(text+"// %[1]s %[2]s\n", id, word))}
}

// TestPatchedEqualsFresh lets one compiler follow a history of commits, and
// compares each with what a compiler makes of it that knows no other.
func TestPatchedEqualsFresh(t *testing.T) {
	patched := 0
	rapid.Check(t, func(t *rapid.T) {
		tree := fstest.MapFS{
			"site.cue": {Data: []byte("package site\n\nsite: name: \"S\"\nnetworks: {campus: [\"10.0.0.0/8\"], n0: [\"192.0.2.0/24\"]}\n" +
				"servers: s1: labels: pool: \"a\"\ncases: c: {user: name: \"u\", address: \"10.0.0.1\", hides: [\"p5\"]}\n")},
			"z/f.cue":        {Data: []byte("package site\n\nprofiles: p5: {name: \"F\", hosts: ids: [\"s1\"]}\n")},
			"x/defaults.cue": {Data: []byte("package site\n\nprofiles: [string]: x2go: speed: *2 | int\n")},
		}
		compiler := NewCompiler()
		var before *Catalog
		for range rapid.IntRange(2, 5).Draw(t, "commits") {
			drawCommit(t, tree)
			want, wantDiags := NewCompiler().Compile(context.Background(), tree)
			got, gotDiags := compiler.Compile(context.Background(), tree)
			if diff := cmp.Diff(want, got, equalCatalogs); diff != "" {
				t.Fatalf("catalogs differ (-fresh +following):\n%s", diff)
			}
			if diff := cmp.Diff(wantDiags, gotDiags); diff != "" {
				t.Fatalf("diagnostics differ (-fresh +following):\n%s", diff)
			}
			if before != nil && got != nil && before != got && before.Servers["s1"] == got.Servers["s1"] {
				patched++
			}
			before = got
		}
	})
	if patched == 0 && manyChecks() {
		t.Error("no commit was compiled by exchanging profiles: nothing was compared")
	}
	t.Log(patched, "commits by exchange")
}
