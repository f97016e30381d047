package snapshot

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/x2broker/x2broker/policy"
	"github.com/x2broker/x2broker/schema"
)

// A CaseFailure is an expectation of the site that its own catalog and policies
// do not meet.
type CaseFailure struct {
	Case     string          `json:"case"`
	Pos      schema.Position `json:"position"`
	Who      string          `json:"who"` // user, groups, address and time
	Expected string          `json:"expected"`
	Got      string          `json:"got"`
	Rule     string          `json:"rule"` // that decided, and where the site defines it
}

// Diagnostic says the failure in one line.
func (f CaseFailure) Diagnostic() schema.Diagnostic {
	return schema.Diagnostic{
		Severity: schema.Error, Pos: f.Pos, Path: fmt.Sprintf("cases.%q", f.Case),
		Message: fmt.Sprintf("%s: expected %s, got %s (%s)", f.Who, f.Expected, f.Got, f.Rule),
	}
}

// caseTime bounds what all cases of a site may take together.
const caseTime = 30 * time.Second

// RunCases checks all cases of the snapshot's catalog, in file order. A policy
// that fails is a failure of the cases that need it, and so is
// the end of the time that all have together. When ctx itself ends, the rest is
// not checked: callers look at it.
func RunCases(ctx context.Context, s *Snapshot) []CaseFailure {
	limited, cancel := context.WithTimeout(ctx, caseTime)
	defer cancel()
	return runCases(limited, s)
}

func runCases(ctx context.Context, s *Snapshot) []CaseFailure {
	var out []CaseFailure
	for _, c := range inFileOrder(s.Catalog.Cases) {
		if ctx.Err() != nil {
			return append(out, CaseFailure{
				Case: c.Name, Pos: c.Pos, Who: "all cases together",
				Expected: fmt.Sprintf("an end within %v", caseTime), Got: "this one not reached", Rule: "see docs/policy.md for slow forms",
			})
		}
		r := caseRun{Snapshot: s, c: c}
		r.request = policy.Request{
			User: r.c.User, Groups: r.c.Groups, Account: r.c.User,
			Address: r.c.Address, Frontend: "plain", Time: r.c.Time, Task: "list",
		}
		if !r.refused(ctx) {
			r.visibility(ctx)
		}
		r.request.Task = "select"
		if len(r.c.Select) > 0 && !r.refused(ctx) {
			for _, id := range slices.Sorted(maps.Keys(r.c.Select)) {
				r.selection(ctx, id, r.c.Select[id])
			}
		}
		out = append(out, r.failures...)
	}
	return out
}

func inFileOrder(cases map[string]*schema.Case) []*schema.Case {
	return slices.SortedFunc(maps.Values(cases), func(a, b *schema.Case) int {
		return cmp.Or(cmp.Compare(a.Pos.File, b.Pos.File), cmp.Compare(a.Pos.Line, b.Pos.Line),
			cmp.Compare(a.Pos.Column, b.Pos.Column), cmp.Compare(a.Name, b.Name))
	})
}

// A caseRun is one case being checked.
type caseRun struct {
	*Snapshot
	c        *schema.Case
	request  policy.Request
	failures []CaseFailure
}

func (r *caseRun) fail(rule, expected, got string) {
	decided := rule + ", built in"
	if places := r.Policy.Defined(rule); len(places) > 0 {
		texts := make([]string, len(places))
		for i, p := range places {
			texts[i] = p.String()
		}
		decided = rule + " at " + strings.Join(texts, ", ")
	}
	r.failures = append(r.failures, CaseFailure{
		Case: r.c.Name, Pos: r.c.Pos, Who: r.who(), Expected: expected, Got: got, Rule: decided,
	})
}

// who says in words what the case assumes.
func (r *caseRun) who() string {
	groups := "no groups"
	if len(r.c.Groups) > 0 {
		groups = "groups " + strings.Join(r.c.Groups, ", ")
	}
	return fmt.Sprintf("%s (%s) from %s on %s", r.c.User, groups, r.c.Address, r.c.Time.Format("Mon 2006-01-02 15:04 MST"))
}

const visible = "x2go.access.visible"

// refused reports whether the policy lets the user in at all, as it is asked
// before each list and select. Whom it refuses, sees nothing and selects nothing.
func (r *caseRun) refused(ctx context.Context) bool {
	login, err := r.Policy.Login(ctx, r.request)
	rule, got := "x2go.login.deny", ""
	switch {
	case err != nil:
		got = err.Error()
	case len(login.Deny) > 0:
		got = "hidden because x2go.login.deny: " + login.Deny[0]
	case !slices.Contains(login.Accounts, r.request.Account):
		rule, got = "x2go.login.accounts", "hidden because x2go.login.accounts has no "+r.request.Account
	default:
		return false
	}
	if r.request.Task == "select" {
		for _, id := range slices.Sorted(maps.Keys(r.c.Select)) {
			r.fail(rule, onServer(id, r.c.Select[id]), got)
		}
		return true
	}
	for _, id := range r.c.Sees {
		r.fail(rule, id+" visible", got)
	}
	if len(r.c.Exactly) > 0 || err != nil && r.c.Exactly != nil {
		r.fail(rule, "exactly "+names(r.c.Exactly), got)
	}
	for _, id := range r.c.Hides {
		if err != nil {
			r.fail(rule, id+" hidden", got)
		}
	}
	return true
}

// onServer says in words what a selection expects.
func onServer(id string, want schema.Selection) string {
	if want.Wins != "" {
		return fmt.Sprintf("%s on %s", id, want.Wins)
	}
	return fmt.Sprintf("%s on one of %s", id, names(want.WinsOneOf))
}

func (r *caseRun) visibility(ctx context.Context) {
	if r.c.Exactly != nil {
		want := slices.Compact(slices.Sorted(slices.Values(r.c.Exactly)))
		listing := r.Policy.Visible(ctx, r.request)
		ids := idsOf(listing)
		switch {
		case len(listing.Failed) > 0:
			r.fail(visible, "exactly "+names(want), policyError(listing.Failed))
		case !slices.Equal(ids, want):
			r.fail(visible, "exactly "+names(want), names(ids))
		}
	}
	for _, id := range r.c.Sees {
		if p, err := r.Policy.Sees(ctx, r.request, id); err != nil {
			r.fail(visible, id+" visible", err.Error())
		} else if p == nil {
			r.fail(visible, id+" visible", "hidden; visible: "+r.visibleNow(ctx))
		}
	}
	for _, id := range r.c.Hides {
		if p, err := r.Policy.Sees(ctx, r.request, id); err != nil {
			r.fail(visible, id+" hidden", err.Error())
		} else if p != nil {
			r.fail(visible, id+" hidden", "visible")
		}
	}
}

func (r *caseRun) visibleNow(ctx context.Context) string {
	return names(idsOf(r.Policy.Visible(ctx, r.request)))
}

func idsOf(l *policy.Listing) []string {
	ids := make([]string, len(l.Profiles))
	for i, p := range l.Profiles {
		ids[i] = p.ID
	}
	return ids
}

// selection expects a placement. Wins is the strict minimum: chance must have
// no part in it.
func (r *caseRun) selection(ctx context.Context, id string, want schema.Selection) {
	expected := onServer(id, want)
	if p, err := r.Policy.Sees(ctx, r.request, id); err != nil || p == nil {
		r.fail(visible, expected, "the profile is hidden")
		return
	}
	facts := make(map[string]policy.Facts, len(want.Facts))
	for server, f := range want.Facts {
		facts[server] = policy.Facts{Sessions: f.Sessions, Inflight: f.Inflight, Load1: f.Load1}
	}
	placement, err := r.Policy.Place(ctx, r.request, id, facts)
	const scores = "x2go.placement.scores"
	eligible := maps.Clone(placement.Scores)
	maps.DeleteFunc(eligible, func(server string, _ float64) bool { return placement.Excluded[server] != "" })
	got := scored(eligible)
	if len(placement.Excluded) > 0 {
		got += "; excluded: " + reasons(placement.Excluded)
	}
	switch best := lowest(eligible); {
	case err != nil:
		r.fail(scores, expected, err.Error())
	case len(best) == 0:
		r.fail("x2go.placement.excluded", expected, "no server; excluded: "+reasons(placement.Excluded))
	case want.Wins != "" && (len(best) > 1 || best[0] != want.Wins):
		r.fail(scores, expected, got)
	case want.Wins == "" && slices.ContainsFunc(placement.Winners, func(w string) bool { return !slices.Contains(want.WinsOneOf, w) }):
		r.fail(scores, expected, got)
	}
}

// lowest gives the servers with the lowest score, sorted.
func lowest(scores map[string]float64) []string {
	var out []string
	for _, id := range slices.Sorted(maps.Keys(scores)) {
		switch {
		case len(out) == 0 || scores[id] < scores[out[0]]:
			out = []string{id}
		case scores[id] == scores[out[0]]:
			out = append(out, id)
		}
	}
	return out
}

// names lists at most ten ids.
func names(ids []string) string {
	const most = 10
	switch n := len(ids); {
	case n == 0:
		return "nothing"
	case n > most:
		return fmt.Sprintf("%s and %d more", strings.Join(ids[:most], ", "), n-most)
	}
	return strings.Join(ids, ", ")
}

func scored(scores map[string]float64) string {
	var out []string
	for _, id := range slices.Sorted(maps.Keys(scores)) {
		out = append(out, fmt.Sprintf("%s %.6g", id, scores[id]))
	}
	return "scores " + names(out)
}

func reasons(excluded map[string]string) string {
	var out []string
	for _, id := range slices.Sorted(maps.Keys(excluded)) {
		out = append(out, id+" "+excluded[id])
	}
	return names(out)
}

func policyError(failed map[string]error) string {
	ids := slices.Sorted(maps.Keys(failed))
	return fmt.Sprintf("the policy fails for %s: %v", names(ids), failed[ids[0]])
}
