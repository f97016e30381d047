package policy

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "rewrite the expected diagnostics")

// TestDiagnostics holds the text that people read. Each archive begins with its
// claim; its file "want" has the diagnostics, one per line.
func TestDiagnostics(t *testing.T) {
	names, err := filepath.Glob("testdata/diagnostics/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatalf("%v, %d archives", err, len(names))
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			files, want := map[string][]byte{}, ""
			var kept []txtar.File
			for _, f := range archive.Files {
				if f.Name == "want" {
					want = string(f.Data)
					continue
				}
				files[f.Name], kept = f.Data, append(kept, f)
			}
			cat := site(t, nil)
			cat.Params = map[string]any{"labs": map[string]any{"opens": 7, "closes": 20}, "rooms": []any{"r101"}}
			e, ds := Compile(t.Context(), cat, files)
			if (e == nil) != ds.HasErrors() {
				t.Errorf("engine %v, errors %v", e != nil, ds.HasErrors())
			}
			var got bytes.Buffer
			for _, d := range ds {
				fmt.Fprintln(&got, d)
			}
			if *update {
				archive.Files = append(kept, txtar.File{Name: "want", Data: got.Bytes()})
				if err := os.WriteFile(name, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(want, got.String()); diff != "" {
				t.Errorf("%s(-want +got):\n%s", archive.Comment, diff)
			}
		})
	}
}
