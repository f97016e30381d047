//go:build e2e

// Package systemd asks systemd what it thinks of the unit files, and runs the
// broker under the filter of system calls that they set.
package systemd

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/x2broker/x2broker/tests/brokertest"
)

func TestMain(m *testing.M) {
	if filter := os.Getenv(filterVariable); filter != "" {
		confined(filter)
	}
	brokertest.Main(m)
}

const deploy = "../../../examples/deploy"

// units copies the unit files, with the program that was built.
func units(t *testing.T) (dir string) {
	t.Helper()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Fatal("this test needs the Debian package systemd")
	}
	dir = t.TempDir()
	for _, pattern := range []string{"*.service", "*.socket"} {
		files, err := filepath.Glob(filepath.Join(deploy, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("no unit files: %v", err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			// It wants to see the programs.
			text := strings.NewReplacer("/usr/bin/x2broker", brokertest.Binary(t), "/usr/sbin/x2broker-authd", brokertest.Binary(t)).Replace(string(data))
			if err := os.WriteFile(filepath.Join(dir, filepath.Base(file)), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

func analyze(args ...string) (string, error) {
	out, err := exec.Command("systemd-analyze", args...).CombinedOutput()
	return string(out), err
}

func TestUnitFilesAreGood(t *testing.T) {
	dir := units(t)
	files, err := filepath.Glob(filepath.Join(dir, "x2broker*"))
	if err != nil || len(files) < 6 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		file = strings.Replace(file, "@.", "@physics.", 1)
		out, err := analyze("verify", "--man=no", file)
		if err != nil || strings.Contains(out, dir) || strings.Contains(out, "x2broker") {
			t.Errorf("%s: %v\n%s", filepath.Base(file), err, out)
		}
	}
}

// orSign stands for a | that is no border of a table.
const orSign = "\x00"

// exposed is what docs/threat-model.md shows.
func exposed(t *testing.T, table string) (lines []string) {
	t.Helper()
	for line := range strings.SplitSeq(table, "\n") {
		if name, ok := strings.CutPrefix(line, "✗ "); ok {
			fields := strings.Fields(name)
			lines = append(lines, fields[len(fields)-1]+" "+fields[0])
		}
	}
	return lines
}

// 10 is no protection at all; services as they come have more than 9.
func TestTheBrokerIsExposedNoMoreThan1point5Of10(t *testing.T) {
	dir := units(t)
	page, err := os.ReadFile("../../../docs/threat-model.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, unit := range []string{"x2broker.service", "x2broker@.service"} {
		out, err := analyze("security", "--offline=true", "--threshold=15", "--no-pager", filepath.Join(dir, unit))
		if err != nil {
			t.Errorf("%s: exposed more than 1.5 of 10: %v\n%s", unit, err, out)
		}
		var told []string
		_, table, _ := strings.Cut(string(page), "systemd-analyze security --offline=true")
		for line := range strings.SplitSeq(strings.ReplaceAll(table, `\|`, orSign), "\n") {
			if cells := strings.Split(line, "|"); len(cells) == 5 && strings.HasPrefix(strings.TrimSpace(cells[1]), "0.") {
				told = append(told, strings.TrimSpace(cells[1])+" "+strings.ReplaceAll(strings.Trim(strings.TrimSpace(cells[2]), "`"), orSign, "|"))
			}
		}
		if diff := cmp.Diff(exposed(t, out), told); diff != "" {
			t.Errorf("%s: the table of docs/threat-model.md (-real +told):\n%s", unit, diff)
		}
	}
}
