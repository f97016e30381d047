//go:build e2e

package systemd

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestUnitFilesOfThePAMHelperAreGood(t *testing.T) {
	dir := t.TempDir()
	// systemd wants to see the program; which one does not matter to it.
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(program, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	var units []string
	for _, name := range []string{"x2broker-authd.service", "x2broker-authd.socket"} {
		data, err := os.ReadFile(filepath.Join(deploy, name))
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(data), "/usr/sbin/x2broker-authd", program)
		unit := filepath.Join(dir, name)
		if err := os.WriteFile(unit, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		units = append(units, unit)
	}
	out, err := exec.Command("systemd-analyze", append([]string{"verify", "--man=no"}, units...)...).CombinedOutput()
	if err != nil || strings.Contains(string(out), dir) || strings.Contains(string(out), "x2broker-authd") {
		t.Errorf("%v\n%s", err, out)
	}
	// 10 is no protection at all. It is root, which alone is 0.4 of them.
	out, err = exec.Command("systemd-analyze", "security", "--offline=true", "--threshold=30", "--no-pager", units[0]).CombinedOutput()
	if err != nil {
		t.Errorf("exposed more than 3.0 of 10: %v\n%s", err, out)
	}
}
