package check_test

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/x2broker/x2broker/broker/check"
	"github.com/x2broker/x2broker/broker/source"
)

func newSite(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "sites", "new")
	if _, err := check.Init(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func checked(t *testing.T, dir string) check.Report {
	t.Helper()
	src, err := source.Open(source.Config{URL: dir})
	if err != nil {
		t.Fatal(err)
	}
	report, err := check.Check(context.Background(), src)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestANewSitePassesItsOwnCheck(t *testing.T) {
	report := checked(t, newSite(t))
	if !report.OK || len(report.Diagnostics) > 0 || report.Profiles != 3 || report.Servers != 4 {
		t.Errorf("got %+v", report)
	}
}

func TestInitNamesEveryFileThatItWrites(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	written, err := check.Init(dir)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	err = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			found++
		}
		return err
	})
	if err != nil || found != len(written) {
		t.Errorf("%d files named, %d there, %v", len(written), found, err)
	}
	for _, name := range written {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || len(data) == 0 {
			t.Errorf("%s: %d bytes, %v", name, len(data), err)
		}
		if strings.Contains(string(data), "${version}") {
			t.Errorf("%s: names no version of x2broker", name)
		}
	}
}

func TestInitSaysWhenItCannotWrite(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if written, err := check.Init(filepath.Join(file, "site")); err == nil || written != nil {
		t.Errorf("got %v, %v", written, err)
	}
}

// TestTheToolsOfANewSiteAreThoseOfTheBroker keeps the versions in the CI files
// those that the broker itself is built with.
func TestTheToolsOfANewSiteAreThoseOfTheBroker(t *testing.T) {
	goMod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	dir := newSite(t)
	for _, name := range []string{".github/workflows/check.yml", ".forgejo/workflows/check.yml", ".gitlab-ci.yml"} {
		ci, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for module, program := range map[string]string{"cuelang.org/go": "/cmd/cue", "github.com/open-policy-agent/opa": ""} {
			version := regexp.MustCompile(regexp.QuoteMeta(module) + ` (v\S+)`).FindSubmatch(goMod)
			if version == nil {
				t.Fatalf("go.mod does not have %s", module)
			}
			if want := "go install " + module + program + "@" + string(version[1]) + "\n"; !strings.Contains(string(ci), want) {
				t.Errorf("%s: no %q", name, want)
			}
		}
		for _, command := range []string{
			"x2broker check\n", "cue vet -c ./...\n", "opa test policy/\n",
			"opa check --strict --capabilities x2broker/capabilities.json policy/\n",
		} {
			if !strings.Contains(string(ci), command) {
				t.Errorf("%s: does not run %q", name, command)
			}
		}
	}
}
