package check

import (
	"fmt"

	"github.com/x2broker/x2broker/policy"
)

// mostNotes is how many rules without a test are named.
const mostNotes = 5

// writeTests prints a paragraph for each failing test, a line for each of the
// first rules that no test covers, and a line that sums up.
func (r Report) writeTests(p *printer) {
	for _, f := range r.Tests.Failures {
		p.printf("%s: test %s fails\n", f.Pos, f.Test)
		if f.Condition != nil {
			p.printf("    condition %s: %s\n", f.Condition.Pos, f.Condition)
		} else {
			p.printf("    because   it %s\n", f.Reason())
		}
		label := "because  "
		for _, c := range f.Because {
			p.printf("    %s %s: %s\n", label, c.Pos, c)
			label = "         "
		}
	}
	notes, more := r.notes()
	for _, u := range notes {
		p.printf("%s: note: %s\n", u.Pos, uncovered(u))
	}
	if more > 0 {
		p.printf("and %d more\n", more)
	}
	switch t := r.Tests; {
	case t.Tests() > 0:
		p.printf("rego tests: %d passed, %d failed", t.Passed, len(t.Failures))
		if t.Skipped > 0 {
			p.printf(", %d skipped", t.Skipped)
		}
		p.printf("; %d of %s covered\n", t.Rules-len(t.Uncovered), count(t.Rules, "rule"))
	case t.Rules > 0:
		p.printf("rego tests: none for %s\n", count(t.Rules, "rule"))
	}
}

// notes gives the first rules that no test covers, and how many there are
// besides. A site without tests knows that nothing is covered, and a test that
// fails matters more.
func (r Report) notes() (first []policy.Uncovered, more int) {
	if r.Tests.Passed == 0 || len(r.Tests.Failures) > 0 {
		return nil, 0
	}
	n := min(mostNotes, len(r.Tests.Uncovered))
	return r.Tests.Uncovered[:n], len(r.Tests.Uncovered) - n
}

func uncovered(u policy.Uncovered) string {
	return fmt.Sprintf("rule %s is not covered by a test", u.Rule)
}
