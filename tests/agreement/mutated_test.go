//go:build plain

package agreement_test

import (
	"flag"
	"maps"
	"math/rand/v2"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

var (
	mutations = flag.Int("mutations", 300, "number of sites of TestMutatedSites")
	seed      = flag.Uint64("seed", 1, "seed of TestMutatedSites")
)

// TestMutatedSites changes sites of testdata at random and makes no claim but
// the one: what cue rejects, check rejects, and what both accept they read alike.
// For a search, give it more: -run Mutated -mutations 10000 -seed 7.
func TestMutatedSites(t *testing.T) {
	random := rand.New(rand.NewPCG(*seed, 0))
	bases, lines := material(t)
	for n := range *mutations {
		files := maps.Clone(bases[random.IntN(len(bases))])
		for range 1 + random.IntN(2) {
			mutate(random, files, lines)
		}
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			t.Parallel()
			a := ask(t, files)
			a.demandAgreement(t, files)
			if t.Failed() {
				for _, name := range written(files) {
					t.Logf("-- %s --\n%s", name, files[name])
				}
			}
		})
	}
}

// material gives the sites to change, and lines to add to them.
func material(t *testing.T) (bases []map[string][]byte, lines []string) {
	t.Helper()
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatal("no test data", err)
	}
	for _, file := range archives {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all := sites(archive)
		for _, name := range slices.Sorted(maps.Keys(all)) {
			files := all[name]
			if len(written(files)) == 0 {
				continue
			}
			bases = append(bases, files)
			for _, file := range written(files) {
				for line := range strings.Lines(string(files[file])) {
					if strings.TrimSpace(line) != "" && !strings.HasPrefix(line, "package") && !strings.HasPrefix(line, "import") {
						lines = append(lines, line)
					}
				}
			}
		}
	}
	return bases, lines
}

// written are the CUE files that belong to one site and not to all.
func written(files map[string][]byte) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(files)), func(name string) bool {
		return path.Ext(name) != ".cue" || strings.HasPrefix(name, "cue.mod/") || name == "x2broker.cue" ||
			strings.HasPrefix(name, "testdata/")
	})
}

// tokens take the place of a word.
var tokens = strings.Fields(`_ string int 1 "a" ? ! * | & ... #A _h { } [ ] [string]: null true profiles servers
	site name hosts ids "ts01" ( ) =~ >1 access close( X= profiles.p *{} if for let`)

// mutate changes one file, or adds one.
func mutate(random *rand.Rand, files map[string][]byte, lines []string) {
	names := written(files)
	name := names[random.IntN(len(names))]
	text := string(files[name])
	switch random.IntN(4) {
	case 0:
		text += lines[random.IntN(len(lines))]
	case 1:
		all := strings.SplitAfter(text, "\n")
		drop := random.IntN(len(all))
		text = strings.Join(slices.Delete(all, drop, drop+1), "")
	case 2:
		words := regexp.MustCompile(`[^\s:,{}\[\]]+`).FindAllStringIndex(text, -1)
		if len(words) > 2 { // the first two are the package clause
			w := words[2+random.IntN(len(words)-2)]
			text = text[:w[0]] + tokens[random.IntN(len(tokens))] + text[w[1]:]
		}
	case 3:
		name = []string{"profiles/x.cue", "other/x.cue", "other/deep/x.cue"}[random.IntN(3)]
		text = string(files[name])
		if text == "" {
			text = "package site\n"
		}
		text += "\n" + lines[random.IntN(len(lines))]
	}
	files[name] = []byte(text)
}
