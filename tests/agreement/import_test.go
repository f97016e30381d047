//go:build plain

package agreement_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/x2broker/x2broker/broker/check"
	"github.com/x2broker/x2broker/broker/legacy"
)

func TestPlainToolsAcceptImportedSites(t *testing.T) {
	names, err := filepath.Glob("../../broker/legacy/testdata/import/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatal("no test data", err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			old := map[string]*legacy.File{}
			for _, f := range archive.Files {
				if filepath.Ext(f.Name) == ".conf" {
					if old[f.Name], err = legacy.ParseINI(f.Name, f.Data); err != nil {
						t.Fatal(err)
					}
				}
			}
			files, err := legacy.New(old["x2gobroker.conf"], old["profiles.conf"], false).Files()
			if err != nil {
				t.Fatal(err)
			}
			site := filepath.Join(t.TempDir(), "site")
			if report, err := check.Write(t.Context(), site, files, nil); err != nil || len(report.Diagnostics) > 0 {
				t.Fatalf("%v\n%v", err, report.Diagnostics)
			}
			for _, c := range append(commands, []string{"cue", "fmt", "--check", "./..."}) {
				if out, err := plain(t, site, c[0], c[1:]...); err != nil {
					t.Errorf("%s: %v\n%s", strings.Join(c, " "), err, out)
				}
			}
		})
	}
}
