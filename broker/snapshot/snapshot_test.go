package snapshot_test

import (
	"context"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/x2broker/x2broker/broker/snapshot"
	"github.com/x2broker/x2broker/broker/source"
	"github.com/x2broker/x2broker/schema"
)

var rev = source.Revision{ID: strings.Repeat("a", 40), Subject: "Open the lab"}

func TestBuild(t *testing.T) {
	snap, diags := snapshot.Build(t.Context(), schema.NewCompiler(), rev, tree(t, site("University")))
	if snap == nil || diags.HasErrors() {
		t.Fatalf("site does not compile: %v", diags)
	}
	if snap.Revision != rev || snap.Catalog.Site.Name != "University" || snap.Policy == nil || snap.Compiled.IsZero() {
		t.Errorf("snapshot is %+v", snap)
	}
}

func TestBuildReportsCUEAndRegoErrorsTogether(t *testing.T) {
	files := site("University",
		"profiles/a.cue", "package site\n\nprofiles: office: {name: 7}\n",
		"policy/access.rego", "package x2go.access\n\nthis is not rego\n",
	)
	snap, diags := snapshot.Build(t.Context(), schema.NewCompiler(), rev, tree(t, files))
	if snap != nil {
		t.Fatal("a broken site compiles")
	}
	found := map[string]bool{}
	for _, d := range diags {
		if d.Severity == schema.Error {
			found[d.Pos.File] = true
		}
	}
	if !found["profiles/a.cue"] || !found["policy/access.rego"] {
		t.Errorf("errors in %v, want one in each file:\n%v", found, diags)
	}
	if diff := cmp.Diff(diags.Sort(), diags); diff != "" {
		t.Errorf("not sorted (-want +got):\n%s", diff)
	}
}

func TestBuildKeepsWarnings(t *testing.T) {
	files := site("University", "policy/_draft.rego", "no rego", "policy/_old/x.rego", "no rego", "policy/.x.rego", "no rego")
	snap, diags := snapshot.Build(t.Context(), schema.NewCompiler(), rev, tree(t, files))
	if snap == nil {
		t.Fatalf("site does not compile: %v", diags)
	}
	var got []string
	for _, d := range snap.Warnings {
		got = append(got, d.String())
	}
	const text = ": warning: not read, because its name begins with _: rename it if it is part of the policy"
	want := []string{"policy/_draft.rego" + text, "policy/_old" + text}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func TestBuildRefusesWhatHidesFiles(t *testing.T) {
	for _, c := range []struct {
		name string
		mode fs.FileMode
		want string
	}{
		{"policy/deny.rego", fs.ModeSymlink, "symbolic link"},
		{"policy", fs.ModeSymlink, "symbolic link"},
		{"policy", 0, "a file where the directory"},
		{"policy/vendor", fs.ModeIrregular, "submodule"},
		{"profiles/vendor", fs.ModeIrregular, "submodule"},
		{"policy/deny.rego", fs.ModeNamedPipe, "not a regular file"},
		{"profiles/a.cue", fs.ModeNamedPipe, "not a regular file"},
	} {
		t.Run(c.name+" "+c.mode.String(), func(t *testing.T) {
			fsys := fstest.MapFS{c.name: {Mode: c.mode}}
			for path, content := range site("University") {
				fsys[path] = &fstest.MapFile{Data: []byte(content)}
			}
			tree, err := source.FromFS(fsys)
			if err != nil {
				t.Fatal(err)
			}
			snap, diags := snapshot.Build(t.Context(), schema.NewCompiler(), rev, tree)
			if snap != nil || len(diags) != 1 || diags[0].Pos.File != c.name || !strings.Contains(diags[0].Message, c.want) {
				t.Errorf("diagnostics %v, want one of %s with %q", diags, c.name, c.want)
			}
		})
	}
}

func TestBuildContainsPanics(t *testing.T) {
	panics := compile(func(context.Context, fs.FS) (*schema.Catalog, schema.Diagnostics) {
		var m []int
		return nil, make(schema.Diagnostics, m[len(os.Args)])
	})
	snap, diags := snapshot.Build(t.Context(), panics, rev, tree(t, site("University")))
	if snap != nil || !diags.HasErrors() {
		t.Fatal("a panic is no error")
	}
	for _, want := range []string{"the schema compiler failed: runtime error: index out of range", "TestBuildContainsPanics", "a bug in x2broker"} {
		if !strings.Contains(diags[0].Message, want) {
			t.Errorf("message %q lacks %q", diags[0].Message, want)
		}
	}
	nothing := compile(func(context.Context, fs.FS) (*schema.Catalog, schema.Diagnostics) { return nil, nil })
	if snap, diags := snapshot.Build(t.Context(), nothing, rev, tree(t, nil)); snap != nil || !diags.HasErrors() {
		t.Errorf("a compiler that says nothing: %v, %v", snap, diags)
	}
}
