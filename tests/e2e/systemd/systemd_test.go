//go:build e2e

// Package systemd asks systemd what it thinks of the unit files.
package systemd

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/x2broker/x2broker/tests/brokertest"
)

func TestMain(m *testing.M) { brokertest.Main(m) }

const deploy = "../../../examples/deploy"

func TestUnitFilesAreGood(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Fatal("this test needs the Debian package systemd")
	}
	dir := t.TempDir()
	for _, name := range []string{"x2broker.service", "x2broker.socket"} {
		data, err := os.ReadFile(filepath.Join(deploy, name))
		if err != nil {
			t.Fatal(err)
		}
		// It wants to see the program.
		text := strings.ReplaceAll(string(data), "/usr/bin/x2broker", brokertest.Binary(t))
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command("systemd-analyze", "verify", "--man=no", filepath.Join(dir, "x2broker.service"), filepath.Join(dir, "x2broker.socket")).CombinedOutput()
	if err != nil || strings.Contains(string(out), dir) || strings.Contains(string(out), "x2broker") {
		t.Errorf("%v\n%s", err, out)
	}
	// 10 is no protection at all; services as they come have more than 9.
	out, err = exec.Command("systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", filepath.Join(dir, "x2broker.service")).CombinedOutput()
	if err != nil {
		t.Errorf("exposed more than 2.0 of 10: %v\n%s", err, out)
	}
}
