package check

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/x2broker/x2broker/broker/snapshot"
)

var oneProfile = map[string][]byte{
	"site.cue":       []byte("package site\n\nsite: name: \"S\"\nservers: a: {}\n"),
	"profiles/p.cue": []byte("package site\n\nprofiles: p: {name: \"P\", hosts: ids: [\"a\"], access: everyone: true}\n"),
}

func TestASiteIsWrittenWhole(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sites", "new")
	approved := 0
	report, err := Write(t.Context(), dir, oneProfile, func(s *snapshot.Snapshot) error {
		approved += len(s.Catalog.Profiles)
		if _, err := os.Stat(dir); err == nil {
			t.Error("the site is there before it is approved")
		}
		return nil
	})
	if err != nil || !report.OK || len(report.Diagnostics) > 0 || report.Profiles != 1 || report.Site != dir || approved != 1 {
		t.Fatalf("%+v, %v; %d profiles approved", report, err, approved)
	}
	for name := range oneProfile {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	for name := range vendoredFiles() {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	alone(t, filepath.Dir(dir), "new")
}

func TestNothingIsLeftOfASiteThatIsNotWritten(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	refused := errors.New("not this one")
	for name, c := range map[string]struct {
		ctx     context.Context
		files   map[string][]byte
		approve func(*snapshot.Snapshot) error
		want    string
	}{
		"with a mistake":    {t.Context(), map[string][]byte{"site.cue": []byte("package site\n\nsite: nam: 1\n")}, nil, "the site has mistakes"},
		"that is refused":   {t.Context(), oneProfile, func(*snapshot.Snapshot) error { return refused }, "not this one"},
		"interrupted":       {cancelled, oneProfile, nil, "context canceled"},
		"with a file twice": {t.Context(), map[string][]byte{"a": nil, "a/b": nil}, nil, "write the site"},
	} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			_, err := Write(c.ctx, filepath.Join(parent, "sites", "new"), c.files, c.approve)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			alone(t, parent)
		})
	}
}

func TestASiteIsWrittenIntoAnEmptyDirectoryOnly(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(t.Context(), link, oneProfile, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "site.cue")); err != nil {
		t.Error("the site is not where the link leads:", err)
	}
	_, err := Write(t.Context(), dir, oneProfile, nil)
	if err == nil || !strings.Contains(err.Error(), "is not empty") {
		t.Errorf("error %v, want one that says that the directory is not empty", err)
	}
}

// alone fails unless a directory has exactly these entries.
func alone(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(names, " ") {
		t.Errorf("%s has %q, want %q", dir, got, names)
	}
}
