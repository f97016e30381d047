package golden_test

import (
	"os"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/x2broker/x2broker/broker/config"
)

// The old broker's files have these names in what the import says of them.
const (
	confName     = "x2gobroker.conf"
	profilesName = "x2gobroker-sessionprofiles.conf"
)

// An imported is what the import made of the files of a case.
type imported struct {
	files    map[string][]byte // of the site; nil: the import refuses
	settings []byte            // broker.cue
	said     []string          // what could not be carried over, or why nothing was
}

// importFiles imports the files as they are at this point of the case.
func (f *oldFiles) importFiles(tb testing.TB) *imported {
	tb.Helper()
	files, said, err := scratchImport(deref(f.broker), deref(f.profiles))
	if err != nil {
		return &imported{said: []string{err.Error()}}
	}
	return &imported{files: files, said: said}
}

// config reads broker.cue as x2broker serve does.
func (i *imported) config(tb testing.TB) *config.Config {
	tb.Helper()
	return config.Default()
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// saidFile holds what the import is expected to say of each case, as far as it
// says that something is lost.
const saidFile = "testdata/import.txtar"

// expectedSaid reads the file.
func expectedSaid(tb testing.TB) map[string]string {
	tb.Helper()
	archive, err := txtar.ParseFile(saidFile)
	if err != nil {
		tb.Fatal(err)
	}
	all := map[string]string{}
	for _, f := range archive.Files {
		all[f.Name] = string(f.Data)
	}
	return all
}

// checkSaid holds what the import said to what is expected, in all cases.
func checkSaid(t *testing.T, cases []*transcript, outcomes []*outcome) {
	t.Helper()
	archive := &txtar.Archive{Comment: []byte("What the import says of the cases of which it cannot carry over everything.\n\n")}
	for i, o := range outcomes {
		if len(o.said) > 0 {
			archive.Files = append(archive.Files, txtar.File{Name: cases[i].Name, Data: []byte(strings.Join(o.said, "\n") + "\n")})
		}
	}
	if *update {
		if err := os.WriteFile(saidFile, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	said := map[string]string{}
	for _, f := range archive.Files {
		said[f.Name] = string(f.Data)
	}
	if diff := gocmp.Diff(expectedSaid(t), said); diff != "" {
		t.Errorf("the import says otherwise than %s (rewrite it with -update):\n%s", saidFile, diff)
	}
}
