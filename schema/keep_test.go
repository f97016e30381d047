package schema

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestKeptEqualsFresh compiles sites with what another process has kept of an
// earlier commit.
func TestKeptEqualsFresh(t *testing.T) {
	file := filepath.Join(t.TempDir(), "compiled")
	reused := 0
	rapid.Check(t, func(t *rapid.T) {
		tree := drawSite(t)
		before := NewCompiler()
		before.Compile(context.Background(), tree)
		before.unsaved = 1
		if err := before.Save(file); err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, "changed") {
			tree["x/f0.cue"] = &fstest.MapFile{Data: []byte(drawFile(t, "x"))}
		}
		want, wantDiags := NewCompiler().Compile(context.Background(), tree)
		after := NewCompiler()
		if err := after.Load(file); err != nil {
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
	if reused == 0 {
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
`)}}
	before, after := NewCompiler(), NewCompiler()
	want, diags := before.Compile(context.Background(), tree)
	if want == nil {
		t.Fatal(diags)
	}
	file := filepath.Join(t.TempDir(), "compiled")
	if err := before.Save(file); err != nil {
		t.Fatal(err)
	}
	if err := after.Load(file); err != nil {
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

func TestDamagedKeptFileIsStale(t *testing.T) {
	file := filepath.Join(t.TempDir(), "compiled")
	c := NewCompiler()
	c.Compile(context.Background(), fstest.MapFS{"site.cue": {Data: []byte("package site\n\nsite: name: \"S\"\n")}})
	if err := c.Save(file); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]func([]byte) []byte{
		"of another program": func(b []byte) []byte { b[0] ^= 1; return b },
		"a flipped bit":      func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		"cut off":            func(b []byte) []byte { return b[:len(b)-3] },
		"empty":              func([]byte) []byte { return nil },
	} {
		if err := os.WriteFile(file, damage(append([]byte{}, good...)), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := NewCompiler().Load(file); !errors.Is(err, ErrStale) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := NewCompiler().Load(file + ".none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}
