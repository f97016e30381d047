package faults_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = "../.."

var (
	cell  = regexp.MustCompile(`\s*\|\s*`)
	codes = regexp.MustCompile("`([^`]+)`")
)

// Each row of docs/faults.md names tests that exist and that see the words of
// the row, and no fault of the table of tests is missing there.
func TestThePageSaysWhatTheTestsShow(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs/faults.md"))
	if err != nil {
		t.Fatal(err)
	}
	reasons := map[string]string{}
	for _, f := range faults() {
		reasons[f.name] = f.reason
	}
	sources := map[string]string{}
	seen := map[string]bool{}
	rows := 0
	for line := range strings.Lines(string(page)) {
		cells := cell.Split(strings.Trim(strings.TrimSpace(line), "|"), -1)
		if len(cells) != 4 || strings.TrimSpace(cells[0]) == "fault" || strings.HasPrefix(cells[0], "---") {
			continue
		}
		rows++
		said := codes.FindAllStringSubmatch(cells[1], -1)
		tests := codes.FindAllStringSubmatch(cells[3], -1)
		if len(tests) == 0 {
			t.Errorf("no test: %s", line)
		}
		for _, test := range tests {
			shows := ""
			if name, is := strings.CutPrefix(test[1], "TestFaults/"); is {
				shows, seen[name] = reasons[name], true
			} else {
				shows = sourceOf(t, sources, test[1])
			}
			if shows == "" {
				t.Errorf("there is no test %s", test[1])
				continue
			}
			for _, words := range said {
				if !strings.HasPrefix(words[1], "/") && !strings.Contains(shows, words[1]) {
					t.Errorf("%s does not see %q", test[1], words[1])
				}
			}
		}
	}
	if rows < 30 {
		t.Errorf("only %d rows were read", rows)
	}
	for name := range reasons {
		if !seen[name] {
			t.Errorf("the page lacks the fault %q", name)
		}
	}
}

// sourceOf gives the text of the file that has a test: "TestX" of this package,
// or a directory, a space and the name. "" for none.
func sourceOf(t *testing.T, sources map[string]string, test string) string {
	t.Helper()
	dir, name, other := strings.Cut(test, " ")
	if !other {
		dir, name = "tests/faults", test
	}
	files, err := filepath.Glob(filepath.Join(root, dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if sources[file] == "" {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			sources[file] = string(data)
		}
		if strings.Contains(sources[file], "\nfunc "+name+"(t *testing.T) {") {
			return sources[file]
		}
	}
	return ""
}
