package golden_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// text is an answer as it is compared.
func (a answer) text() string {
	switch a.Status {
	case hangs:
		return "never answered"
	case closed:
		return "connection closed without an answer"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d\n", a.Status)
	for _, name := range slices.Sorted(maps.Keys(a.Headers)) {
		fmt.Fprintf(&b, "%s: %s\n", name, a.Headers[name])
	}
	b.WriteString("\n" + a.Body)
	return b.String()
}

// An exchange is a request of a case, for deviations to look at.
type exchange struct {
	*request
	t    *transcript
	name string     // of the step: case/number
	form url.Values // of the body; the last value counts
}

func newExchange(t *transcript, step int) *exchange {
	r := t.Steps[step].Request
	form, err := url.ParseQuery(strings.ReplaceAll(string(r.bytes()), ";", "%3B"))
	if err != nil {
		form = url.Values{} // a case about that
	}
	for name, values := range form {
		form[name] = values[len(values)-1:]
	}
	return &exchange{request: r, t: t, name: fmt.Sprintf("%s/%d", t.Name, step), form: form}
}

// plain reports whether the request is for the plain frontend.
func (x *exchange) plain() bool { return strings.HasPrefix(x.Path, "/plain") }

// json reports whether the request is for the JSON frontend.
func (x *exchange) json() bool { return strings.HasPrefix(x.Path, "/json") }

// expected gives what the broker is to answer where the old one gave want, and
// the deviations that made it so.
func (x *exchange) expected(want answer) (answer, []*deviation) {
	var because []*deviation
	for _, d := range deviations {
		if !d.concerns(x) {
			continue
		}
		next := want
		next.Headers = maps.Clone(want.Headers)
		next = d.Expect(x, next)
		if next.text() != want.text() {
			because = append(because, d)
		}
		want = next
	}
	return want, because
}

// An outcome says how the answers of a case are.
type outcome struct {
	waits          *pending // nil: the case is compared
	equal, differs int      // answers
	because        map[*deviation]bool
}

func TestAnswersAreThoseOfTheOldBroker(t *testing.T) {
	cases := transcripts(t)
	outcomes := make([]*outcome, len(cases))
	t.Run("case", func(t *testing.T) {
		for i, c := range cases {
			t.Run(c.Name, func(t *testing.T) {
				t.Parallel()
				outcomes[i] = conform(t, c)
			})
		}
	})
	if slices.Contains(outcomes, nil) {
		return // only some cases were asked for
	}
	checkUse(t, cases, outcomes)
	checkDocument(t, cases, outcomes)
}

// conform runs a case, and compares all answers but those that wait.
func conform(t *testing.T, c *transcript) *outcome {
	o := &outcome{because: map[*deviation]bool{}}
	if o.waits = waiting(c.Name); o.waits != nil {
		for _, choose := range []func(int) int{first, last} {
			if problems := play(t, c, choose, &outcome{because: map[*deviation]bool{}}); len(problems) > 0 {
				return o
			}
		}
		t.Errorf("waits for %s, but its answers are right: take it from pending_test.go", o.waits.For)
		return o
	}
	turn := 0
	for _, p := range play(t, c, func(n int) int { turn++; return turn % n }, o) {
		t.Error(p)
	}
	return o
}

func first(int) int  { return 0 }
func last(n int) int { return n - 1 }

// play goes through the steps of a case and says what is not as expected.
func play(t *testing.T, c *transcript, choose func(int) int, o *outcome) (problems []string) {
	known := ids{}
	address := ""
	for i, s := range c.Steps {
		switch {
		case s.Action != "":
			address = "" // the next request meets a broker that knows
			if err := c.act(s.Action); err != nil {
				problems = append(problems, err.Error())
			}
			continue
		case s.Request.Command != nil:
			problems = append(problems, "there is no SSH frontend")
			continue
		}
		if address == "" {
			address = start(t, c, choose)
		}
		x := newExchange(c, i)
		problem := x.play(address, known, max(s.Repeated, 1), s.answers(), o)
		switch waits := waiting(x.name); {
		case waits == nil && problem != "":
			problems = append(problems, problem)
		case waits != nil && problem == "":
			problems = append(problems, fmt.Sprintf("%s waits for %s, but its answer is right: take it from pending_test.go", x.name, waits.For))
		}
	}
	return problems
}

// play sends the request so often, and says what is wrong with the answers: each
// must be one of the recorded ones, and each of those must come.
func (x *exchange) play(address string, known ids, times int, recorded []answer, o *outcome) string {
	wanted := map[string]bool{} // and whether it came
	differs := 0
	for _, want := range recorded {
		want, because := x.expected(want)
		wanted[want.text()] = false
		for _, d := range because {
			o.because[d] = true
		}
		if len(because) > 0 {
			differs = 1
		}
	}
	o.differs += differs
	o.equal += 1 - differs
	body, err := known.fill(string(x.bytes()))
	if err != nil {
		return fmt.Sprintf("%s: %v", x.name, err)
	}
	for range times {
		got, err := send(address, x.request, []byte(body), x.t.Name == "http10")
		if err != nil {
			return fmt.Sprintf("%s: %v", x.name, err)
		}
		came := false
		for want := range wanted {
			if known.match(want, got.text()) {
				wanted[want], came = true, true
			}
		}
		if !came {
			return fmt.Sprintf("%s: %s %s %s\n%s", x.name, x.Method, x.Path, body, difference(wanted, got))
		}
	}
	for want, came := range wanted {
		if !came {
			return fmt.Sprintf("%s: of %d answers none was\n%s", x.name, times, want)
		}
	}
	return ""
}

// difference shows how an answer is not as wanted.
func difference(wanted map[string]bool, got answer) string {
	all := slices.Sorted(maps.Keys(wanted))
	return cmp.Diff(all[0], got.text()) + strings.Join(all[1:], "\nor\n")
}

// checkUse finds deviations and marks that no case needs.
func checkUse(t *testing.T, cases []*transcript, outcomes []*outcome) {
	t.Helper()
	used := map[*deviation]bool{}
	for _, o := range outcomes {
		maps.Copy(used, o.because)
	}
	for _, d := range deviations {
		if !used[d] {
			t.Errorf("no case needs the deviation %q: remove it", d.Name)
		}
	}
	for _, p := range waits {
		for _, pattern := range p.Cases {
			if !slices.ContainsFunc(cases, func(c *transcript) bool { return covers(pattern, c.Name) }) {
				t.Errorf("no case waits for %s as %q: remove it", p.For, pattern)
			}
		}
	}
}

var _ = http.StatusOK
