// Package layout_test holds the direction of dependency between the packages:
// what each may import of ours. Data flows one way, and this is how it stays
// so.
package layout_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/x2broker/x2broker/"

// mayImport is the table; a package that is not in it is an error, so that a
// new one is thought about. "*" is anything.
var mayImport = map[string][]string{
	"cmd/x2broker":       {"*"},
	"cmd/x2broker-authd": {"*"},

	"schema": {},
	"policy": {"schema"},

	"broker/config":               {"broker/source/verify", "broker/identity", "broker/identity/endpoint", "broker/identity/ldap"},
	"broker/source":               {},
	"broker/source/gittest":       {},
	"broker/source/verify":        {},
	"broker/durable":              {},
	"broker/snapshot":             {"broker/durable", "schema", "policy", "broker/source"},
	"broker/worker":               {"schema", "broker/source"},
	"broker/identity":             {"broker/durable"},
	"broker/identity/endpoint":    {"broker/identity"},
	"broker/identity/ldap":        {"broker/identity"},
	"broker/identity/authd":       {"broker/identity", "broker/listen/peer"},
	"broker/farm":                 {"schema", "policy"},
	"broker/audience":             {},
	"broker/listen":               {},
	"broker/session":              {"schema", "policy", "broker/snapshot", "broker/identity", "broker/farm"},
	"broker/frontend":             {"broker/session"},
	"broker/frontend/plain":       {"broker/session", "broker/frontend"},
	"broker/frontend/json":        {"broker/session", "broker/frontend"},
	"broker/frontend/uccs":        {"broker/session", "broker/frontend"},
	"broker/frontend/ssh":         {"broker/durable", "broker/session", "broker/frontend", "broker/frontend/plain", "broker/frontend/ssh/command", "broker/listen"},
	"broker/frontend/ssh/command": {},
	"broker/listen/peer":          {},
	"broker/frontend/ssh/local":   {"broker/session", "broker/frontend", "broker/frontend/plain", "broker/frontend/ssh", "broker/frontend/ssh/command", "broker/listen/peer"},
	"broker/frontend/ssh/keys":    {},
	"broker/frontend/doortest":    {"*"},
	"broker/admin":                {"schema", "broker/listen/peer", "broker/session", "broker/snapshot", "broker/farm"},
	"broker/check":                {"schema", "policy", "broker/snapshot", "broker/source"},
	"broker/legacy":               {"schema", "policy", "client"},

	"client":               {},
	"client/rehearse":      {"client"},
	"examples":             {},
	"tests/agreement":      {"*"},
	"tests/bench":          {"*"},
	"tests/brokertest":     {"*"},
	"tests/campus":         {"*"},
	"tests/e2e":            {"*"},
	"tests/e2e/disk":       {"*"},
	"tests/e2e/endpoint":   {"*"},
	"tests/e2e/gitservers": {"*"},
	"tests/e2e/imported":   {"*"},
	"tests/e2e/ldap":       {"*"},
	"tests/e2e/migrate":    {"*"},
	"tests/e2e/proxies":    {"*"},
	"tests/e2e/sshkeys":    {"*"},
	"tests/e2e/pam":        {"*"},
	"tests/e2e/openssh":    {"*"},
	"tests/e2e/ssh":        {"*"},
	"tests/e2e/systemd":    {"*"},
	"tests/e2e/verify":     {"*"},
	"tests/golden":         {"*"},
	"tests/faults":         {"*"},
	"tests/hostile":        {"*"},
	"tests/layout":         {"*"},
	"tests/pamtest":        {"*"},
	"tests/rehearse":       {"*"},
	"tests/site":           {"*"},
	"tests/x2goclient":     {},
}

func TestPackagesImportOnlyWhatTheTableAllows(t *testing.T) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,TestGoFiles", module+"...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	d := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		seen++
		name := strings.TrimPrefix(p.ImportPath, module)
		allowed, ok := mayImport[name]
		if !ok {
			t.Errorf("package %s is not in the table of this test: say what it may import", name)
			continue
		}
		for _, i := range p.Imports {
			i, ours := strings.CutPrefix(i, module)
			if ours && !slices.Contains(allowed, i) && !slices.Contains(allowed, "*") {
				t.Errorf("%s imports %s, which the table does not allow", name, i)
			}
		}
	}
	if seen < 10 {
		t.Errorf("go list named %d packages only: this test would not fail", seen)
	}
}
