package golden_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/x2broker/x2broker/broker/config"
	"github.com/x2broker/x2broker/broker/legacy"
)

// The old broker's files have these names in what the import says of them.
const (
	confName     = "x2gobroker.conf"
	profilesName = "x2gobroker-sessionprofiles.conf"
)

// An imported is what the import made of the files of a case.
type imported struct {
	files    map[string][]byte // of the site; nil: the import refuses
	settings *config.Config    // broker.cue
	said     []string          // what could not be carried over, or why nothing was
}

// importFiles imports the files as they are at this point of the case.
func (f *oldFiles) importFiles(tb testing.TB) *imported {
	tb.Helper()
	conf, err := parse(confName, f.broker)
	if err != nil {
		return &imported{said: []string{err.Error()}}
	}
	profiles, err := parse(profilesName, f.profiles)
	if err != nil {
		return &imported{said: []string{err.Error()}}
	}
	made := legacy.New(conf, profiles, true)
	files, err := made.Files()
	if err != nil {
		tb.Fatal(err)
	}
	i := &imported{files: files, settings: readSettings(tb, made)}
	for _, e := range made.Report.Losses {
		if !slices.Contains(ours[e.Option], strings.ToLower(e.Value)) {
			i.said = append(i.said, fmt.Sprintf("%s:%d: %s = %s: %s (%s)", e.File, e.Line, e.Option, e.Value, e.Text, e.Remedy))
		}
	}
	return i
}

// ours are options whose place the table of the case's users takes.
var ours = map[string][]string{
	"default-auth-mech": {"none", "testsuite", "pam"},
	"auth-mech":         {"none", "testsuite"},
	"default-user-db":   {"testsuite", "libnss"},
	"default-group-db":  {"testsuite", "libnss"},
	"user-db":           {"testsuite", "libnss"},
	"group-db":          {"testsuite", "libnss"},
}

// parse reads a file; one that is missing is empty to the old broker.
func parse(name string, text *string) (*legacy.File, error) {
	if text == nil {
		return legacy.ParseINI(name, nil)
	}
	return legacy.ParseINI(name, []byte(*text))
}

// readSettings reads broker.cue as x2broker serve does.
func readSettings(tb testing.TB, made *legacy.Import) *config.Config {
	tb.Helper()
	text, err := made.Config("/site")
	if err != nil {
		tb.Fatal(err)
	}
	file := filepath.Join(tb.TempDir(), "broker.cue")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		tb.Fatal(err)
	}
	c, err := config.Load(file)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// saidFile holds what the import is expected to say of each case that does not
// wait, as far as it says that something is lost.
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
		if o.waits == nil && len(o.said) > 0 {
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
