//go:build plain

package agreement_test

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/x2broker/x2broker/broker/source"
	"github.com/x2broker/x2broker/schema"
)

// A claim says what both think of a site.
type claim struct {
	cue, ours bool   // accepted
	why       string // where x2broker is stricter than cue
}

// A line of an archive's comment makes a claim about one of its sites:
//
//	name: accepted
//	name: refused
//	name: stricter: why x2broker refuses what cue accepts
var claimLine = regexp.MustCompile(`(?m)^([a-z0-9-]+): (accepted|refused|stricter: .+)$`)

func claims(t *testing.T, comment []byte) map[string]claim {
	t.Helper()
	out := map[string]claim{}
	for _, m := range claimLine.FindAllStringSubmatch(string(comment), -1) {
		if _, twice := out[m[1]]; twice {
			t.Errorf("two claims about %s", m[1])
		}
		why, stricter := strings.CutPrefix(m[2], "stricter: ")
		if !stricter {
			why = ""
		}
		out[m[1]] = claim{cue: m[2] == "accepted" || stricter, ours: m[2] == "accepted", why: why}
	}
	return out
}

// sites gives the files of each site of an archive: those below its name and
// those below all/, which its own replace. An empty file is one that the site
// does not have.
func sites(archive *txtar.Archive) map[string]map[string][]byte {
	common := map[string][]byte{"cue.mod/module.cue": []byte("module: \"example.edu/site@v0\"\nlanguage: version: \"v0.17.0\"\n")}
	maps.Copy(common, schema.Vendored())
	own := map[string]map[string][]byte{}
	for _, f := range archive.Files {
		name, file, _ := strings.Cut(f.Name, "/")
		if name == "all" {
			common[file] = f.Data
			continue
		}
		if own[name] == nil {
			own[name] = map[string][]byte{}
		}
		own[name][file] = f.Data
	}
	for name, files := range own {
		whole := maps.Clone(common)
		maps.Copy(whole, files)
		maps.DeleteFunc(whole, func(_ string, data []byte) bool { return len(data) == 0 })
		own[name] = whole
	}
	return own
}

// TestWhatCueRejectsCheckRejects holds every site of testdata against both, and
// where both accept one, what they read in it.
func TestWhatCueRejectsCheckRejects(t *testing.T) {
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, file := range archives {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		theme := strings.TrimSuffix(filepath.Base(file), ".txtar")
		claimed, all := claims(t, archive.Comment), sites(archive)
		for name := range claimed {
			if all[name] == nil {
				t.Errorf("%s: a claim about %s, which is not there", theme, name)
			}
		}
		for name, files := range all {
			count++
			t.Run(theme+"/"+name, func(t *testing.T) {
				t.Parallel()
				want, ok := claimed[name]
				if !ok {
					t.Fatal("nothing is claimed about this site")
				}
				compare(t, files, want)
			})
		}
	}
	if count < 100 {
		t.Errorf("%d sites only: this test would not find much", count)
	}
}

func compare(t *testing.T, files map[string][]byte, want claim) {
	a := ask(t, files)
	if a.cue != want.cue || a.ours() != want.ours {
		t.Errorf("cue accepts: %v, want %v; check accepts: %v, want %v\n%s", a.cue, want.cue, a.ours(), want.ours, a)
	}
	a.demandAgreement(t, files)
}

// An answer is what both say of a site.
type answer struct {
	cue     bool   // accepted
	said    string // by cue
	catalog *schema.Catalog
	diags   schema.Diagnostics
	dir     string // of the site
}

func ask(t *testing.T, files map[string][]byte) answer {
	t.Helper()
	a := answer{dir: t.TempDir()}
	for name, data := range files {
		file := filepath.Join(a.dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	a.said, err = plain(t, a.dir, "cue", "vet", "-c", "./...")
	a.cue = err == nil
	tree, err := source.FromFS(os.DirFS(a.dir))
	if err != nil {
		t.Fatal(err)
	}
	a.catalog, a.diags = schema.NewCompiler().Compile(context.Background(), tree)
	return a
}

func (a answer) ours() bool { return a.catalog != nil }

func (a answer) String() string {
	var b strings.Builder
	b.WriteString("cue says:\n" + a.said + "check says:\n")
	for _, d := range a.diags {
		b.WriteString(d.String() + "\n")
	}
	return b.String()
}

// demandAgreement fails when cue rejects what check accepts, and when both
// accept a site and read different things in it.
func (a answer) demandAgreement(t *testing.T, files map[string][]byte) {
	t.Helper()
	switch {
	case !a.cue && a.ours():
		t.Errorf("check accepts what cue rejects\n%s", a)
	case a.cue && a.ours():
		out, err := plain(t, a.dir, "cue", append([]string{"export"}, siteDirs(files)...)...)
		if err != nil {
			t.Fatalf("cue export: %v\n%s", err, out)
		}
		compareValues(t, out, a.catalog)
	}
}
