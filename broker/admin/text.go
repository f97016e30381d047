package admin

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/x2broker/x2broker/broker/snapshot"
)

// shownDiagnostics is how many errors of a refused commit fit on the screen.
const shownDiagnostics = 3

// WriteText prints the report for people: one screen, times as seen from now,
// in the zone of now.
func (r Report) WriteText(w io.Writer, now time.Time) error {
	p := &page{w: w, now: now}
	p.printf("x2broker %s, up %s, process %d\n", r.Version, span(time.Duration(r.UptimeS)*time.Second), r.PID)
	site := r.Site
	if r.Name != "" {
		site = fmt.Sprintf("%s, from %s", r.Name, r.Site)
	}
	p.printf("%s\n%s\n\n", clean(site), clean(r.State))
	p.stages(r.Stages)
	if r.Hold != nil {
		p.hold(r.Hold)
	}
	if r.Refused != nil {
		p.refused(r.Refused)
	}
	p.printf("\n")
	p.source(r.Source)
	if s := r.Snapshot; s != nil {
		p.printf("snapshot   %.12s (library %.12s, program %.12s, %s %.12s)\n", s.Digest, s.Library, s.Program, clean(s.Timezone), s.Clock)
	}
	for _, kept := range r.Unused {
		p.printf("NOT USED   %s\n", cut(kept, 400))
	}
	if r.Unkept != "" {
		p.printf("state      what serves is not on disk, so that a restart needs the source: %s\n", cut(r.Unkept, 300))
	}
	if r.Webhook != nil {
		p.webhook(*r.Webhook)
	}
	p.printf("serves     %s, %s, %s, %s\n", count(r.Objects.Profiles, "profile"), count(r.Objects.Servers, "server"),
		count(r.Objects.Cases, "case"), count(r.Objects.Warnings, "warning"))
	p.logins(r.Tickets, r.Guessing)
	confinement := r.Worker
	if confinement == "" {
		confinement = "not started yet"
	}
	p.printf("worker     %s\n", clean(confinement))
	p.printf("listens    %s\n", r.listens())
	p.doors(r.Doors)
	return p.err
}

// A page is being written; the first error ends it.
type page struct {
	w   io.Writer
	now time.Time
	err error
}

func (p *page) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

func (p *page) stages(stages []Stage) {
	t := tabwriter.NewWriter(p.w, 0, 0, 2, ' ', 0)
	for _, s := range stages {
		if s.Commit == "" {
			reason := s.Reason
			if reason == "" {
				reason = "nothing yet"
			}
			fmt.Fprintf(t, "%s\t-\t%s\n", s.Stage, cut(reason, 90))
			continue
		}
		text := cut(strings.TrimPrefix(s.Author+": "+s.Subject, ": "), 50)
		if s.Reason != "" {
			text = strings.TrimSpace(text + "  [" + cut(s.Reason, 70) + "]")
		}
		fmt.Fprintf(t, "%s\t%s\t%s", s.Stage, short(s.Commit), p.when(s.Time))
		if text != "" {
			fmt.Fprintf(t, "\t%s", text)
		}
		fmt.Fprintln(t)
	}
	if err := t.Flush(); p.err == nil {
		p.err = err
	}
}

func (p *page) hold(h *snapshot.Hold) {
	until := "until lifted"
	if !h.Until.IsZero() {
		until = "until " + p.when(h.Until)
	}
	what := "what serves"
	if h.Revision.ID != "" {
		what = short(h.Revision.ID)
	}
	p.printf("\n%s: %s %s, by %s (uid %d) at %s", strings.ToUpper(held(h.Kind)), what, until, clean(h.By), h.UID, p.when(h.Since))
	if h.Reason != "" {
		p.printf(": %s", cut(h.Reason, 200))
	}
	p.printf("\n  newer commits wait; x2broker un%s follows the source again\n", h.Kind)
}

func (p *page) refused(f *Refused) {
	p.printf("\nREFUSED: %s by gate %s at %s", short(f.Commit), f.Gate, p.when(f.Since))
	if text := strings.TrimPrefix(f.Author+": "+f.Subject, ": "); text != "" {
		p.printf(" (%s)", cut(text, 80))
	}
	p.printf("\n")
	for _, d := range f.Diagnostics[:min(len(f.Diagnostics), shownDiagnostics)] {
		p.printf("  %s\n", cut(d, 300))
	}
	if more := f.Total - shownDiagnostics; more > 0 {
		p.printf("  and %d more: x2broker check says all\n", more)
	}
}

func (p *page) source(s Source) {
	next := ""
	if !s.NextLook.IsZero() {
		next = ", looks again in " + span(max(0, s.NextLook.Sub(p.now)))
	}
	if s.Failures == 0 {
		p.printf("source     answers%s\n", next)
		return
	}
	p.printf("source     failed %s since %s%s: %s\n", times(s.Failures), p.when(s.Since), next, cut(s.Reason, 300))
}

func (p *page) webhook(c HookCalls) {
	text := count(c.Accepted, "call")
	for _, other := range []struct {
		n    int
		what string
	}{{c.Forbidden, "without a good signature"}, {c.Limited, "too many at once"}, {c.Bad, "malformed"}} {
		if other.n > 0 {
			text += fmt.Sprintf(", %d refused: %s", other.n, other.what)
		}
	}
	p.printf("webhook    %s\n", text)
}

func (p *page) logins(t Tickets, g Guessing) {
	failing := ""
	if t.Failing {
		failing = "; CANNOT BE RECORDED: none are issued, see the log"
	}
	p.printf("tickets    %s of %s, %s%s\n", count(t.Logins, "login"), count(t.Users, "user"), count(t.Keys, "key"), failing)
	refused := ""
	for _, limit := range slices.Sorted(maps.Keys(g.Refused)) {
		if n := g.Refused[limit]; n > 0 {
			refused += fmt.Sprintf(", %d by %s", n, limit)
		}
	}
	if refused != "" {
		refused = "; refused since the start" + strings.Replace(refused, ",", ":", 1)
	}
	if g.Blocked > 0 || refused != "" {
		p.printf("guessing   %d of %s that failed in the last hour blocked%s\n", g.Blocked, pairs(g.Failed), refused)
	}
	if g.Checking > 0 {
		p.printf("passwords  %d being looked at, %d wait\n", g.Checking, g.Waiting)
	}
}

// when leaves out the date of today.
func (p *page) when(t time.Time) string {
	t = t.In(p.now.Location())
	if t.Format(time.DateOnly) == p.now.Format(time.DateOnly) {
		return t.Format("15:04:05")
	}
	return t.Format("2006-01-02 15:04")
}

// span says a length of time in its two largest units.
func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", (d+time.Second-1)/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", d/time.Minute, d%time.Minute/time.Second)
	case d < 24*time.Hour:
		return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%d d %d h", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func pairs(n int) string {
	if n == 1 {
		return "1 pair of name and address"
	}
	return fmt.Sprintf("%d pairs of name and address", n)
}

// clean keeps a terminal safe from what a repository says.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s)
}

// cut gives at most so many letters.
func cut(s string, most int) string {
	letters := []rune(clean(s))
	if len(letters) > most {
		return string(letters[:most-3]) + "..."
	}
	return string(letters)
}
