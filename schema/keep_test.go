package schema

import (
	"context"
	"encoding/json"
	"os"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// TestKeptEqualsFresh compiles sites with what another process has kept of an
// earlier commit.
func TestKeptEqualsFresh(t *testing.T) {
	reused := 0
	rapid.Check(t, func(t *rapid.T) {
		tree := drawSite(t)
		before := NewCompiler()
		before.Compile(context.Background(), tree)
		before.unsaved = 1
		kept, err := before.Cache()
		if err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, "changed") {
			tree["x/f0.cue"] = &fstest.MapFile{Data: []byte(drawFile(t, "x"))}
		}
		want, wantDiags := NewCompiler().Compile(context.Background(), tree)
		after := NewCompiler()
		if err := after.UseCache(kept); err != nil {
			t.Fatal(err)
		}
		known := len(after.done)
		got, gotDiags := after.Compile(context.Background(), tree)
		if diff := cmp.Diff(want, got, equalCatalogs); diff != "" {
			t.Fatalf("catalogs differ (-fresh +kept):\n%s", diff)
		}
		if diff := cmp.Diff(wantDiags, gotDiags); diff != "" {
			t.Fatalf("diagnostics differ (-fresh +kept):\n%s", diff)
		}
		if got != nil {
			reused += known
		}
	})
	if reused == 0 && manyChecks() {
		t.Error("no good site had a kept leaf: nothing was compared")
	}
}

func TestKeptSettingsOfAllKinds(t *testing.T) {
	tree := fstest.MapFS{"site.cue": {Data: []byte("package site\n\nsite: name: \"S\"\nservers: s1: {}\n")}, "p.cue": {Data: []byte(`package site

profiles: p: {
	name: "Zoë", icon: "i", labels: {a: "b"}, autologin: true, hosts: ids: ["s1"]
	access: {users: ["u"], groups: ["g", "h"], from: ["10.0.0.0/8"], deny: from: ["192.0.2.0/24"]}
	x2go: {command: "xfce", width: 32767, rootless: false, applications: ["OFFICE", "TERMINAL"], published: true, rdpport: 1, clipboard: "none"}
}
profiles: old: {
	name: "Old", hosts: ids: ["s1"]
	legacyACL: {users: {allow: ["u", ""], order: "allow-deny"}, groups: deny: ["g"], clients: {allow: ["ALL", "10.1.2.3"], deny: ["2001:db8::/32"]}}
}
`)}}
	before, after := NewCompiler(), NewCompiler()
	want, diags := before.Compile(context.Background(), tree)
	if want == nil {
		t.Fatal(diags)
	}
	kept, err := before.Cache()
	if err != nil {
		t.Fatal(err)
	}
	if err := after.UseCache(kept); err != nil {
		t.Fatal(err)
	}
	got, _ := after.Compile(context.Background(), tree)
	if diff := cmp.Diff(want, got, equalCatalogs); diff != "" {
		t.Error(diff)
	}
	if after.unsaved != 1 { // the library
		t.Errorf("%d units were evaluated, want the library alone", after.unsaved)
	}
}

func TestACatalogSurvivesItsBinaryForm(t *testing.T) {
	for _, dir := range []string{"../examples/campus", "../examples/minimal", "../examples/demo"} {
		want, diags := NewCompiler().Compile(context.Background(), os.DirFS(dir))
		if want == nil {
			t.Fatal(diags)
		}
		for _, p := range want.Profiles {
			p.LegacyACL = &LegacyACL{
				Users: LegacyRule{Allow: []string{"u"}}, Clients: LegacyRule{Deny: []string{LegacyAll}, AllowFirst: true},
				Pos: map[string]Position{"users.allow": p.Pos},
			}
			break
		}
		want.Params["n"] = json.Number("12345678901234567890")
		for _, c := range want.Cases {
			c.Exactly = []string{}
			break
		}
		data, err := want.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		var got Catalog
		if err := got.UnmarshalBinary(data); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, &got, equalCatalogs, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", dir, diff)
		}
		for name, c := range want.Cases {
			if (c.Exactly == nil) != (got.Cases[name].Exactly == nil) {
				t.Errorf("%s: case %q: exactly is %#v, want %#v", dir, name, got.Cases[name].Exactly, c.Exactly)
			}
		}
	}
}
