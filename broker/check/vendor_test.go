package check_test

import (
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/x2broker/x2broker/broker/check"
	"github.com/x2broker/x2broker/broker/source"
	"github.com/x2broker/x2broker/schema"
)

func TestVendorWarnings(t *testing.T) {
	change := func(name, text string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	remove := func(name string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, test := range []struct {
		name string
		make func(t *testing.T, dir string)
		want []string
	}{
		{"fresh", func(*testing.T, string) {}, nil},
		{"schema deleted", remove("cue.mod"), nil},
		{"bindings deleted", remove("x2broker.cue"), nil},
		{"capabilities deleted", remove("x2broker"), nil},
		{
			"another schema", change(schema.VendoredSchema, "package schema\n"),
			[]string{schema.VendoredSchema + ": warning: vendored schema differs from the one in this x2broker: run `x2broker vendor`"},
		},
		{
			"a further schema", change(schema.VendoredDir+"/more.cue", "package schema\n"),
			[]string{schema.VendoredDir + "/more.cue: warning: is no part of the schema in this x2broker: run `x2broker vendor`, which removes it"},
		},
		{
			"bindings of an admin's own", change(schema.VendoredBinding, "package site\n"),
			[]string{"x2broker.cue: warning: is neither the one in this x2broker nor one that an earlier version wrote: " +
				"delete it and run `x2broker vendor`; what you added belongs in a file of your own"},
		},
		{
			"other capabilities", change("x2broker/capabilities.json", "{}\n"),
			[]string{"x2broker/capabilities.json: warning: differs from the one in this x2broker: run `x2broker vendor`"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := newSite(t)
			test.make(t, dir)
			var got []string
			for _, d := range check.VendorWarnings(os.DirFS(dir)) {
				got = append(got, d.String())
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A source keeps CUE and Rego files only, and most sites have no copies.
func TestVendorWarningsNeedNoCopies(t *testing.T) {
	for name, tree := range map[string]fstest.MapFS{
		"none": {"site.cue": {Data: []byte("package site\n")}},
		"json": {"x2broker/capabilities.json": {Data: []byte("{}")}},
	} {
		kept, err := source.FromFS(tree)
		if err != nil {
			t.Fatal(err)
		}
		if got := check.VendorWarnings(kept); len(got) > 0 {
			t.Errorf("%s: got %v", name, got)
		}
	}
}
