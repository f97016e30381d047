package golden_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/x2broker/x2broker/broker/snapshot"
)

// An exchange is a request of a case, for deviations to look at.
type exchange struct {
	*request
	t    *transcript
	name string     // of the step: case/number
	form url.Values // of the body; the last value counts
}

func newExchange(t *transcript, step int) *exchange {
	r := t.Steps[step].Request
	if r.Command != nil {
		return &exchange{request: r, t: t, name: fmt.Sprintf("%s/%d", t.Name, step), form: r.options()}
	}
	form, err := url.ParseQuery(strings.ReplaceAll(string(r.bytes()), ";", "%3B"))
	if err != nil {
		form = url.Values{} // a case about that
	}
	for name, values := range form {
		form[name] = values[len(values)-1:]
	}
	return &exchange{request: r, t: t, name: fmt.Sprintf("%s/%d", t.Name, step), form: form}
}

// plain and json report in which form it is answered, which is plain over SSH.
func (x *exchange) plain() bool { return strings.HasPrefix(x.Path, "/plain") || x.Command != nil }
func (x *exchange) json() bool  { return strings.HasPrefix(x.Path, "/json") }

// header gives a header of the request.
func (x *exchange) header(name string) string {
	for _, h := range x.Headers {
		if strings.EqualFold(h[0], name) {
			return h[1]
		}
	}
	return ""
}

// expected gives what the broker is to answer where the old one gave want, and
// the deviations that made it so.
func (x *exchange) expected(want answer) (answer, []*deviation) {
	var because []*deviation
	for _, d := range deviations() {
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
	because        map[*deviation]names
	missing        []*pending // of answers that wait
	said           []string   // by the import
}

// names are those of the requests that a deviation changes.
type names map[string]bool

// deviates notes that a request is answered otherwise, and why.
func (o *outcome) deviates(x *exchange, d *deviation) {
	if o.because[d] == nil {
		o.because[d] = names{}
	}
	o.because[d][x.name] = true
}

func TestAnswersAreThoseOfTheOldBroker(t *testing.T) {
	cases := transcripts(t)
	outcomes := make([]*outcome, len(cases))
	all := &sites{compiled: map[string]*snapshot.Snapshot{}}
	t.Run("case", func(t *testing.T) {
		for i, c := range cases {
			t.Run(c.Name, func(t *testing.T) {
				t.Parallel()
				outcomes[i] = conform(t, c, all)
			})
		}
	})
	if slices.Contains(outcomes, nil) {
		return // only some cases were asked for
	}
	checkUse(t, cases, outcomes)
	checkSaid(t, cases, outcomes)
	checkDocument(t, outcomes)
}

// conform runs a case, and compares all answers but those that wait.
func conform(t *testing.T, c *transcript, all *sites) *outcome {
	waits := waiting(c.Name)
	if waits == nil {
		var turn atomic.Int64 // each of equal servers in turn
		p := newPlay(t, c, all, func(n int) int { return int(turn.Add(1)) % n })
		p.run()
		for _, problem := range p.problems {
			t.Error(problem)
		}
		return &p.outcome
	}
	// Chance must not decide whether a mark is wrong.
	p := newPlay(t, c, all, func(int) int { return 0 })
	p.run()
	if len(p.problems) == 0 {
		p = newPlay(t, c, all, func(n int) int { return n - 1 })
		p.run()
	}
	if len(p.problems) == 0 {
		t.Errorf("waits for %s, but its answers are right: take it from pending_test.go", waits.For)
	}
	return &outcome{waits: waits, said: p.said}
}

// A play is one run of a case.
type play struct {
	outcome
	t        *testing.T
	c        *transcript
	sites    *sites
	files    oldFiles
	choose   func(n int) int
	known    ids
	broker   *broker // nil: not started since the files changed
	problems []string
}

func newPlay(t *testing.T, c *transcript, all *sites, choose func(n int) int) *play {
	return &play{
		outcome: outcome{because: map[*deviation]names{}},
		t:       t, c: c, sites: all, choose: choose, known: ids{},
		files: oldFiles{broker: c.Config.Broker, profiles: c.Config.Profiles},
	}
}

// run goes through the steps and notes what is not as expected.
func (p *play) run() {
	for i, s := range p.c.Steps {
		if s.Action != "" {
			p.broker = nil
			if err := p.files.act(s.Action); err != nil {
				p.problems = append(p.problems, err.Error())
			}
			continue
		}
		if p.broker == nil {
			p.broker = p.sites.start(p.t, p.c, &p.files, p.choose)
			for _, line := range p.broker.said {
				if !slices.Contains(p.said, line) {
					p.said = append(p.said, line)
				}
			}
		}
		x := newExchange(p.c, i)
		waits := waiting(x.name)
		if waits != nil {
			p.missing = append(p.missing, waits)
		}
		switch problem := p.ask(x, &s); {
		case waits == nil && problem != "":
			p.problems = append(p.problems, x.name+": "+problem)
		case waits != nil && problem == "":
			p.problems = append(p.problems, fmt.Sprintf("%s waits for %s, but its answer is right: take it from pending_test.go", x.name, waits.For))
		}
	}
}

// ask sends a request as often as it was recorded and says what is wrong with the
// answers: each must be one of the recorded ones, and each of those must come.
func (p *play) ask(x *exchange, s *step) string {
	wanted := map[string]bool{} // and whether it came
	differs := false
	for _, want := range s.answers() {
		if importSays.concerns(x) && want.Status == http.StatusInternalServerError {
			p.deviates(x, importSays)
			differs = true
			continue // what it says is compared at the end
		}
		want, because := x.expected(want)
		wanted[want.text()] = false
		for _, d := range because {
			p.deviates(x, d)
			differs = true
		}
	}
	switch {
	case waiting(x.name) != nil:
	case differs:
		p.differs++
	default:
		p.equal++
	}
	if len(wanted) == 0 {
		return ""
	}
	if p.broker.address == "" {
		return "the import refuses the files: " + strings.Join(p.broker.said, "\n")
	}
	if deeds := s.deeds(); len(deeds) > 0 {
		return "an agent is to do " + strings.Join(deeds, ", ")
	}
	asked, ask := x.Method+" "+x.Path, p.send
	if x.Command != nil {
		asked, ask = strings.Join(x.Command, " "), p.command
	}
	for range max(s.Repeated, 1) {
		got, err := ask(x)
		if err != nil {
			return err.Error()
		}
		came := false
		for want := range wanted {
			if p.known.match(want, got.text()) {
				wanted[want], came = true, true
			}
		}
		if !came {
			return fmt.Sprintf("%s %s\n%s", asked, x.Body, difference(wanted, got))
		}
	}
	for want, came := range wanted {
		if !came {
			return fmt.Sprintf("of %d answers none was\n%s", s.Repeated, want)
		}
	}
	return ""
}

// send asks over HTTP.
func (p *play) send(x *exchange) (answer, error) {
	body, err := p.known.fill(string(x.bytes()))
	if err != nil {
		return answer{}, err
	}
	return send(p.broker.address, x.request, []byte(body), p.c.Name == "http10")
}

// difference shows how an answer is not as wanted.
func difference(wanted map[string]bool, got answer) string {
	all := slices.Sorted(maps.Keys(wanted))
	return cmp.Diff(all[0], got.text()) + strings.Join(all[1:], "\nor\n")
}

// checkUse finds deviations and marks that no case needs, and losses without a
// word.
func checkUse(t *testing.T, cases []*transcript, outcomes []*outcome) {
	t.Helper()
	used := map[*deviation]names{}
	for i, o := range outcomes {
		for d, where := range o.because {
			if d.Said && len(o.said) == 0 {
				t.Errorf("%s: the import says nothing of %q", cases[i].Name, d.Name)
			}
			if used[d] == nil {
				used[d] = names{}
			}
			for name := range where {
				step := strings.LastIndexByte(name, '/')
				used[d][name], used[d][name[:step]] = true, true
			}
		}
	}
	for _, d := range deviations() {
		if len(used[d]) == 0 {
			t.Errorf("no case needs the deviation %q: remove it", d.Name)
		}
		for _, name := range d.Cases {
			if !used[d][name] {
				t.Errorf("%s does not need the deviation %q: remove it there", name, d.Name)
			}
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
