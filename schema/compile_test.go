package schema_test

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/x2broker/x2broker/schema"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestMistakes compiles the site of each archive; its section "want" is what
// an admin reads, one diagnostic a line, or "ok".
func TestMistakes(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no test data", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			site := fstest.MapFS{}
			want := -1
			for i, f := range archive.Files {
				if f.Name == "want" {
					want = i
					continue
				}
				site[f.Name] = &fstest.MapFile{Data: f.Data}
			}
			if want < 0 {
				archive.Files = append(archive.Files, txtar.File{Name: "want"})
				want = len(archive.Files) - 1
			}
			catalog, diags := schema.NewCompiler().Compile(context.Background(), site)
			if (catalog == nil) != diags.HasErrors() {
				t.Errorf("catalog is nil: %v, diagnostics have errors: %v", catalog == nil, diags.HasErrors())
			}
			var got strings.Builder
			if !diags.HasErrors() {
				got.WriteString("ok\n")
			}
			for _, d := range diags {
				got.WriteString(d.String() + "\n")
			}
			if *update {
				archive.Files[want].Data = []byte(got.String())
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(archive.Files[want].Data), got.String()); diff != "" {
				t.Errorf("diagnostics differ (-want +got):\n%s", diff)
			}
		})
	}
}
