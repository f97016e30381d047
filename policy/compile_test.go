package policy

import (
	"bytes"
	"flag"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
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
			archive, files := readArchive(t, name)
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
			archive.wants(t, got.String())
		})
	}
}
