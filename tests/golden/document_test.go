package golden_test

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite docs/conformance.md and what the import says")

const document = "../../docs/conformance.md"

// checkDocument holds the document to what the cases came to.
func checkDocument(t *testing.T, outcomes []*outcome) {
	t.Helper()
	written := writeDocument(outcomes)
	if *update {
		if err := os.WriteFile(document, []byte(written), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(string(have), written); diff != "" {
		t.Errorf("%s is not what the tests found (rewrite it with -update):\n%s", document, diff)
	}
}

func writeDocument(outcomes []*outcome) string {
	var same, deviating, waiting, answers, equal int
	uses := map[*deviation]int{}
	waitFor, missing := map[*pending]int{}, map[*pending]int{}
	for _, o := range outcomes {
		switch {
		case o.waits != nil:
			waiting++
			waitFor[o.waits]++
			continue
		case len(o.because) > 0:
			deviating++
		default:
			same++
		}
		for d := range o.because {
			uses[d]++
		}
		for _, p := range o.missing {
			missing[p]++
		}
		answers += o.equal + o.differs
		equal += o.equal
	}
	var b strings.Builder
	fmt.Fprintf(&b, `# Conformance with x2gobroker

<!-- Written by tests/golden: go test ./tests/golden -update -->

%d cases of the Python broker x2gobroker 0.0.4.3 were recorded: its files, what was asked and what it answered. The tests
take the files of each case through `+"`x2broker import`"+`, serve the site with the real frontends, over HTTP and for command lines
over SSH, ask the same from the same address, and compare the answers byte by byte.

| cases | |
|---|---|
| %d | are answered byte for byte as recorded |
| %d | deviate, for the reasons below; what is answered instead is compared byte by byte as well |
| %d | need what this broker cannot do yet |

Of the %d answers in the first two rows, %d are equal.

`, len(outcomes), same, deviating, waiting, answers, equal)
	b.WriteString("## Deviations\n")
	for _, g := range groups {
		fmt.Fprintf(&b, "\n### %s\n\n| cases | where | why |\n|---|---|---|\n", g.title)
		sorted := slices.Clone(g.deviations)
		slices.SortStableFunc(sorted, func(x, y *deviation) int { return cmp.Compare(uses[y], uses[x]) })
		for _, d := range sorted {
			fmt.Fprintf(&b, "| %d | %s | %s |\n", uses[d], d.Name, d.Reason)
		}
	}
	b.WriteString(`
A case may deviate for several reasons. No client reads the headers Server, Date, Expires, Etag, Connection, Cache-Control
and X-Content-Type-Options, and Content-Length follows from the body: these are not compared, all others are.

## Not yet

The tests fail when one of these would pass. Single answers that wait are of cases of which all others are compared.

| cases | answers | wait for | why |
|---|---|---|---|
`)
	for _, p := range waits {
		fmt.Fprintf(&b, "| %d | %d | %s | %s |\n", waitFor[p], missing[p], p.For, p.Why)
	}
	b.WriteString(`
## How the cases are run

The users of a case, with their groups, are in a table with their passwords; so are those of the cases with PAM. Most
cases were recorded with a setting that finds every password right; the one that a user sends is his password here. Where
somebody gets in without a password or a name, everybody does. What the import says is compared with
tests/golden/testdata/import.txtar, and what it calls lost is accepted.

Over SSH whoever was asked for has logged in: the recordings speak for him through a user whom the old broker believes
everything. Exit codes and standard output are compared.

Requests come from the recorded address; an address that is not one of 127.0.0.0/8 is told in X-Forwarded-For by a proxy
that the broker trusts. Random ids are compared by their place: the same id must be where the same one was.
`)
	return b.String()
}
