package campus_test

import (
	"bytes"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/x2broker/x2broker/broker/check"
	"github.com/x2broker/x2broker/broker/source"
	"github.com/x2broker/x2broker/policy"
)

var update = flag.Bool("update", false, "rewrite what x2broker check prints in docs/mistakes.md")

// base is the site of which a section of a page is a part. The sections'
// conventions: a block of cue or rego begins with a comment that names its file,
// a file of the base with that name gives way to it, and all blocks of a section
// make one site.
var base = map[string]string{
	"site.cue":     "package site\n\nsite: {name: \"Example\", timezone: \"Europe/Berlin\"}\n",
	"networks.cue": "package site\n\nnetworks: campus: [\"10.0.0.0/8\"]\n",
	"servers.cue": `package site

servers: {
	ts01: labels: pool: "staff"
	ts02: labels: pool: "staff"
	lab01: labels: pool: "labs"
}
`,
	"profiles/desktop.cue": `package site

profiles: desktop: {
	name: "Desktop"
	x2go: command: "XFCE"
	hosts: labels: pool: "staff"
	access: groups: ["staff", "students", "guests"]
}
`,
}

// A section is what stands below a heading.
type section struct {
	title string
	files map[string]string
	says  string // what its block without a language shows
}

var (
	heading = regexp.MustCompile(`(?m)^## (.*)\n`)
	block   = regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```$")
	named   = regexp.MustCompile(`^(?://|#) (\S+\.(?:cue|rego))\n`)
)

// sections reads a page; those without a block are left out.
func sections(t *testing.T, page string) []section {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var out []section
	places := heading.FindAllStringSubmatchIndex(string(text), -1)
	for i, p := range places {
		end := len(text)
		if i+1 < len(places) {
			end = places[i+1][0]
		}
		s := section{title: string(text[p[2]:p[3]]), files: map[string]string{}}
		for _, b := range block.FindAllStringSubmatch(string(text[p[1]:end]), -1) {
			switch b[1] {
			case "":
				s.says = b[2]
				continue
			case "sh": // run by tests of their own
				continue
			}
			name := named.FindStringSubmatch(b[2])
			if name == nil {
				t.Errorf("%s: a block of %q names no file", page, s.title)
				continue
			}
			if _, ok := s.files[name[1]]; ok {
				t.Errorf("%s: %q has two files %s", page, s.title, name[1])
			}
			s.files[name[1]] = b[2]
		}
		if len(s.files) > 0 {
			out = append(out, s)
		}
	}
	return out
}

// write puts the section's site in a directory.
func (s section) write(t *testing.T, more map[string]string) string {
	t.Helper()
	files := maps.Clone(base)
	maps.Copy(files, s.files)
	maps.Copy(files, more)
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// promised reads what is claimed of a page's recipes, by title and file.
func promised(t *testing.T, file string) map[string]map[string]string {
	t.Helper()
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	claims := map[string]map[string]string{}
	for _, f := range archive.Files {
		title, name, _ := strings.Cut(f.Name, "/")
		if claims[title] == nil {
			claims[title] = map[string]string{}
		}
		claims[title][name] = string(f.Data)
	}
	return claims
}

// TestRecipes compiles each recipe of the pages without a warning, runs the tests
// that it shows, and tries what is claimed of it: cases, and tests of policies
// for what cases cannot say. They hold the prose to its word.
func TestRecipes(t *testing.T) {
	for page, file := range map[string]string{
		"../../docs/recipes.md": "testdata/recipes.txtar",
		"../../docs/policy.md":  "testdata/policy.txtar",
		"../../docs/migrate.md": "testdata/migrate.txtar",
	} {
		claims := promised(t, file)
		recipes := sections(t, page)
		if len(recipes) < 6 {
			t.Errorf("%s: %d recipes", page, len(recipes))
		}
		for _, r := range recipes {
			t.Run(r.title, func(t *testing.T) {
				dir := r.write(t, claims[r.title])
				delete(claims, r.title)
				if len(mustBuild(t, dir).Catalog.Cases)+runTests(t, dir) == 0 {
					t.Error("nothing is claimed about this recipe")
				}
			})
		}
		for title := range claims {
			t.Errorf("%s: claims about %q, which is no recipe", file, title)
		}
	}
}

// TestThePolicyPageHasTheWholeLibrary: what the page calls is there, and what is
// there is on the page.
func TestThePolicyPageHasTheWholeLibrary(t *testing.T) {
	text, err := os.ReadFile("../../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	page := map[string]bool{}
	for _, name := range regexp.MustCompile(`\blib\.[a-z]+\.[a-z_]+`).FindAllString(string(text), -1) {
		page[name] = true
	}
	library := map[string]bool{}
	for name, text := range policy.Library() {
		m, err := ast.ParseModule(name, string(text))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range m.Rules {
			rule := strings.TrimPrefix(r.Ref().GroundPrefix().String(), "data.x2go.")
			if !strings.Contains(rule, "._") {
				library[rule] = true
			}
		}
	}
	if diff := cmp.Diff(library, page); diff != "" {
		t.Errorf("(-library +page):\n%s", diff)
	}
}

// TestMistakes compares the page with what x2broker check prints, less the line
// that sums up.
func TestMistakes(t *testing.T) {
	const page = "../../docs/mistakes.md"
	mistakes := sections(t, page)
	if len(mistakes) < 5 {
		t.Errorf("%d mistakes", len(mistakes))
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mistakes {
		t.Run(m.title, func(t *testing.T) {
			got := printed(t, m.write(t, nil))
			if *update {
				text = bytes.Replace(text, fmt.Appendf(nil, "```\n%s```", m.says), fmt.Appendf(nil, "```\n%s```", got), 1)
				return
			}
			if diff := cmp.Diff(m.says, got); diff != "" {
				t.Errorf("x2broker check prints something else (-page +check):\n%s", diff)
			}
		})
	}
	if *update {
		if err := os.WriteFile(page, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// printed is what x2broker check prints of the site.
func printed(t *testing.T, dir string) string {
	t.Helper()
	src, err := source.Open(source.Config{URL: dir, StoreDir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	report, err := check.Check(t.Context(), src)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := report.Write(&out); err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(strings.TrimSuffix(out.String(), "\n"), "\n")
	return strings.Join(lines[:len(lines)-1], "")
}
