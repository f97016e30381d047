//go:build plain

package agreement_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/x2broker/x2broker/broker/check"
)

func newSite(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "site")
	if _, err := check.Init(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// commands are what the CI files of a new site run, apart from check.
var commands = [][]string{
	{"cue", "vet", "-c", "./..."},
	{"opa", "check", "--strict", "policy/"},
	{"opa", "check", "--strict", "--capabilities", "x2broker/capabilities.json", "policy/"},
	{"opa", "test", "policy/"},
}

func TestPlainToolsAcceptANewSite(t *testing.T) {
	site := newSite(t)
	for _, c := range commands {
		t.Run(strings.Join(c, " "), func(t *testing.T) {
			if out, err := plain(t, site, c[0], c[1:]...); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	out, err := plain(t, site, "opa", "test", "policy/")
	if err != nil || !strings.Contains(out, "PASS: ") {
		t.Errorf("opa test ran nothing: %v\n%s", err, out)
	}
	out, err = plain(t, site, "cue", "fmt", "--check", "./...")
	if err != nil {
		t.Errorf("cue fmt would change files of a new site: %v\n%s", err, out)
	}
	out, err = plain(t, site, "opa", "fmt", "--fail", "--list", "policy/")
	if err != nil {
		t.Errorf("opa fmt would change files of a new site: %v\n%s", err, out)
	}
}

func TestPlainToolsAcceptAVendoredSite(t *testing.T) {
	site := t.TempDir()
	text := "package site\n\nsite: name: \"S\"\nservers: a: {}\nprofiles: p: {name: \"P\", hosts: ids: [\"a\"], access: everyone: true}\n"
	if err := os.WriteFile(filepath.Join(site, "site.cue"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := check.Vendor(site); err != nil {
		t.Fatal(err)
	}
	for _, c := range commands[:3] {
		if out, err := plain(t, site, c[0], c[1:]...); err != nil {
			t.Errorf("%s: %v\n%s", strings.Join(c, " "), err, out)
		}
	}
}

func TestPlainToolsAcceptTheCampus(t *testing.T) {
	site := t.TempDir()
	if err := os.CopyFS(site, os.DirFS("../../examples/campus")); err != nil {
		t.Fatal(err)
	}
	if _, err := check.Vendor(site); err != nil {
		t.Fatal(err)
	}
	for _, c := range commands {
		if out, err := plain(t, site, c[0], c[1:]...); err != nil {
			t.Errorf("%s: %v\n%s", strings.Join(c, " "), err, out)
		}
	}
}

// TestPlainToolsSeeMistakes makes sure that the commands look at the site at all.
func TestPlainToolsSeeMistakes(t *testing.T) {
	for _, test := range []struct {
		name, file, old, new string
		command              []string
		want                 string
	}{
		{"misspelt field", "profiles/office/desktop.cue", "fullscreen:", "fullscren:", commands[0], "fullscren: field not allowed"},
		{"dangling server", "profiles/labs/physics.cue", `hosts: labels: pool: "lab"`, `hosts: ids: ["lab9"]`, commands[0], "lab9"},
		{"bad server id", "servers.cue", "\tts02:", "\t\"ts 02\":", commands[0], "a server id has only letters"},
		{"misspelt input", "policy/access.rego", "_closed(data.site.profiles[id])\n}", "_closed(data.site.profiles[id])\n\tinput.tsk == \"list\"\n}", commands[1], "rego_type_error"},
		{"the clock", "policy/access.rego", "not _lab_hours", "time.now_ns() > 0", commands[2], "undefined function time.now_ns"},
		{"wrong rule", "policy/access.rego", "not _lab_hours", "_lab_hours", commands[3], "FAIL: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			site := newSite(t)
			file := filepath.Join(site, test.file)
			text, err := os.ReadFile(file)
			if err != nil || !strings.Contains(string(text), test.old) {
				t.Fatalf("%s has no %q, %v", test.file, test.old, err)
			}
			if err := os.WriteFile(file, []byte(strings.Replace(string(text), test.old, test.new, 1)), 0o644); err != nil {
				t.Fatal(err)
			}
			out, err := plain(t, site, test.command[0], test.command[1:]...)
			if err == nil || !strings.Contains(out, test.want) {
				t.Errorf("%s: %v, no %q in:\n%s", strings.Join(test.command, " "), err, test.want, out)
			}
		})
	}
}
