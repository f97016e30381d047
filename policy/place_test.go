package policy

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/x2broker/x2broker/schema"
)

func weighs(n int) func(*schema.Server) { return func(s *schema.Server) { s.Weight = n } }
func holds(n int) func(*schema.Server)  { return func(s *schema.Server) { s.Sessions = n } }

func is(state schema.State) func(*schema.Server) { return func(s *schema.Server) { s.State = state } }

func anybody() map[string]schema.Access { return map[string]schema.Access{"office": {Everyone: true}} }

func placement(rules string) map[string][]byte {
	return modules("placement.rego", "package x2go.placement\n\n"+rules)
}
func servers(list ...*schema.Server) []*schema.Server { return list }

func TestPlace(t *testing.T) {
	for _, tt := range []struct {
		name    string
		servers []*schema.Server
		facts   map[string]Facts
		policy  string
		want    Placement
	}{
		{
			name:    "the fewest sessions win",
			servers: servers(server("a"), server("b"), server("c")),
			facts:   map[string]Facts{"a": {Sessions: 2}, "b": {Sessions: 1}, "c": {Sessions: 3}},
			want:    Placement{Scores: map[string]float64{"a": 3, "b": 2, "c": 4}, Winners: []string{"b"}},
		},
		{
			name:    "sessions being started count",
			servers: servers(server("a"), server("b")),
			facts:   map[string]Facts{"a": {Inflight: 2}, "b": {Sessions: 1}},
			want:    Placement{Scores: map[string]float64{"a": 3, "b": 2}, Winners: []string{"b"}},
		},
		{
			name:    "a heavier server takes more",
			servers: servers(server("a", weighs(100)), server("b", weighs(50))),
			facts:   map[string]Facts{"a": {Sessions: 9}, "b": {Sessions: 5}},
			want:    Placement{Scores: map[string]float64{"a": 0.1, "b": 0.12}, Winners: []string{"a"}},
		},
		{
			name:    "equal scores of unequal weights tie",
			servers: servers(server("a", weighs(30)), server("b", weighs(10)), server("c", weighs(7))),
			facts:   map[string]Facts{"a": {Sessions: 2}, "c": {Sessions: 6}},
			want:    Placement{Scores: map[string]float64{"a": 0.1, "b": 0.1, "c": 1}, Winners: []string{"a", "b"}},
		},
		{
			name:    "among equals, the fewest in flight",
			servers: servers(server("a"), server("b"), server("c")),
			facts:   map[string]Facts{"a": {Inflight: 2}, "b": {Sessions: 1, Inflight: 1}, "c": {Sessions: 1, Inflight: 1}},
			want:    Placement{Scores: map[string]float64{"a": 3, "b": 3, "c": 3}, Winners: []string{"b", "c"}},
		},
		{
			name:    "no facts are an idle server",
			servers: servers(server("a"), server("b")),
			want:    Placement{Scores: map[string]float64{"a": 1, "b": 1}, Winners: []string{"a", "b"}},
		},
		{
			name:    "a full server does not win",
			servers: servers(server("a", holds(2)), server("b", holds(2)), server("c", holds(9))),
			facts:   map[string]Facts{"a": {Sessions: 1, Inflight: 1}, "b": {Sessions: 7}, "c": {Sessions: 8}},
			want: Placement{
				Scores:   map[string]float64{"a": 3, "b": 8, "c": 9},
				Excluded: map[string]string{"a": "full: 2 of 2 sessions", "b": "full: 7 of 2 sessions"},
				Winners:  []string{"c"},
			},
		},
		{
			name:    "all full",
			servers: servers(server("a", holds(1))),
			facts:   map[string]Facts{"a": {Sessions: 1}},
			want:    Placement{Scores: map[string]float64{"a": 2}, Excluded: map[string]string{"a": "full: 1 of 1 sessions"}},
		},
		{
			name:    "drain and maintenance never win",
			servers: servers(server("a", is(schema.Drain)), server("b", is(schema.Maintenance)), server("c", is("gone fishing")), server("d")),
			facts:   map[string]Facts{"d": {Sessions: 100}},
			want: Placement{
				Scores:   map[string]float64{"d": 101},
				Excluded: map[string]string{"a": "state is drain", "b": "state is maintenance", "c": "state is gone fishing"},
				Winners:  []string{"d"},
			},
		},
		{
			name:    "drain and maintenance never win, whatever a policy scores",
			servers: servers(server("a", is(schema.Drain)), server("b", is(schema.Maintenance)), server("c")),
			policy:  `scores := {"a": -5, "b": -7, "c": 3, "ghost": -9}`,
			want: Placement{
				Scores:   map[string]float64{"c": 3},
				Excluded: map[string]string{"a": "state is drain", "b": "state is maintenance"},
				Winners:  []string{"c"},
			},
		},
		{
			name:    "a policy sees the candidates alone",
			servers: servers(server("a", is(schema.Drain)), server("b"), server("c")),
			policy:  `scores[id] := count(input.servers) if some id, _ in data.site.servers`,
			want: Placement{
				Scores:   map[string]float64{"b": 2, "c": 2},
				Excluded: map[string]string{"a": "state is drain"},
				Winners:  []string{"b", "c"},
			},
		},
		{
			name:    "a policy sees the facts and the profile",
			servers: servers(server("a")),
			facts: map[string]Facts{"a": {
				Sessions: 1, Inflight: 2, Load1: 0.25, CPUs: 8, MemAvailable: 1 << 40, MemTotal: 1 << 41,
				Age: 1500 * time.Millisecond, Failures: 3,
			}},
			policy: `excluded[id] := sprintf("%s %v", [input.profile_id, facts]) if some id, facts in input.servers`,
			want: Placement{
				Scores: map[string]float64{"a": 4},
				Excluded: map[string]string{"a": `office {"age_s": 1.5, "cpus": 8, "failures": 3, "inflight": 2, "load1": 0.25, ` +
					`"mem_available": 1099511627776, "mem_total": 2199023255552, "sessions": 1}`},
			},
		},
		{
			name:    "without a score a server is not eligible",
			servers: servers(server("a"), server("b")),
			policy:  `scores.b := 99`,
			want: Placement{
				Scores:   map[string]float64{"b": 99},
				Excluded: map[string]string{"a": "the policy gives it no score"},
				Winners:  []string{"b"},
			},
		},
		{
			name:    "a score that is no number",
			servers: servers(server("a"), server("b"), server("c"), server("d")),
			policy:  `scores := {"a": "1", "b": 1e999, "c": null, "d": 4}`,
			want: Placement{
				Scores: map[string]float64{"d": 4},
				Excluded: map[string]string{
					"a": `its score is not a number: "1"`, "b": "its score is not a number: 1e999", "c": "its score is not a number: null",
				},
				Winners: []string{"d"},
			},
		},
		{
			name:    "no scores at all",
			servers: servers(server("a")),
			policy:  `scores := [3, 4]`,
			want:    Placement{Excluded: map[string]string{"a": "the policy gives it no score"}},
		},
		{
			name:    "any reason excludes, even false",
			servers: servers(server("a"), server("b"), server("c"), server("d")),
			policy:  `excluded := {"a": false, "b": "", "c": {"why": "so"}}`,
			want: Placement{
				Scores: map[string]float64{"a": 1, "b": 1, "c": 1, "d": 1},
				Excluded: map[string]string{
					"a": "excluded by the policy: false", "b": `excluded by the policy: ""`, "c": `excluded by the policy: {"why": "so"}`,
				},
				Winners: []string{"d"},
			},
		},
		{
			name:    "a load that is no number costs that server alone",
			servers: servers(server("a"), server("b"), server("c")),
			facts:   map[string]Facts{"a": {Load1: math.NaN()}, "b": {Load1: math.Inf(1)}, "c": {Sessions: 5}},
			want: Placement{
				Scores: map[string]float64{"c": 6},
				Excluded: map[string]string{
					"a": "reports a load that is not a number", "b": "reports a load that is not a number",
				},
				Winners: []string{"c"},
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := engine(t, site(t, anybody(), tt.servers...), placement(tt.policy))
			p, err := e.Place(t.Context(), alice(), "office", tt.facts)
			if err != nil {
				t.Fatal(err)
			}
			if tt.want.Scores == nil {
				tt.want.Scores = map[string]float64{}
			}
			if tt.want.Excluded == nil {
				tt.want.Excluded = map[string]string{}
			}
			if diff := cmp.Diff(tt.want, p); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAPlacementThatFailsGivesNoServer(t *testing.T) {
	for _, tt := range []struct{ name, policy, message string }{
		{"two values for a score", "scores.a := 1\n\nscores[id] := 2 if some id, _ in input.servers", "two rules give different values"},
		{"two values for a reason", `excluded[id] := reason if {
			some id, _ in input.servers
			some reason in ["tired", "old"]
		}`, "two rules give different values"},
		{"two values for all scores", "scores := {\"a\": 1}\n\nscores := {\"a\": input.time.hour}", "two rules give different values"},
		{"a function's error inside not", `scores[id] := 1 if {
			some id, server in data.site.servers
			not to_number(server.address) == 7
		}`, "policy/placement.rego:5:"},
		{"division by zero", `scores[id] := 1 / facts.load1 if some id, facts in input.servers`, "divide by zero"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := engine(t, site(t, anybody(), server("a"), server("b")), placement(tt.policy))
			p, err := e.Place(t.Context(), alice(), "office", nil)
			if err == nil || !strings.Contains(err.Error(), tt.message) {
				t.Errorf("error %v, want %q", err, tt.message)
			}
			if diff := cmp.Diff(Placement{}, p); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAnEndlessPlacementStopsAtTheDeadline(t *testing.T) {
	e := engine(t, site(t, anybody(), server("a")), placement(`scores.a := 1 if `+endless))
	e.deadline = 50 * time.Millisecond
	if p, err := e.Place(t.Context(), alice(), "office", nil); !errors.Is(err, context.DeadlineExceeded) || len(p.Winners) > 0 {
		t.Errorf("Place = %v, %v", p, err)
	}
}

func TestAProfileThatTheSiteDoesNotHaveHasNoPlace(t *testing.T) {
	e := engine(t, site(t, anybody(), server("a")), nil)
	if p, err := e.Place(t.Context(), alice(), "ghost", nil); err == nil || len(p.Winners) > 0 {
		t.Errorf("Place = %v, %v", p, err)
	}
}

func TestWithoutCandidatesNoRuleIsAsked(t *testing.T) {
	e := engine(t, site(t, anybody(), server("a", is(schema.Drain))), placement(`scores.a := 1 / input.time.unix if `+endless))
	p, err := e.Place(t.Context(), alice(), "office", nil)
	if err != nil || len(p.Winners) > 0 || fmt.Sprint(p.Excluded) != "map[a:state is drain]" {
		t.Errorf("Place = %v, %v", p, err)
	}
}

func TestServersOfOtherProfilesAreNoCandidates(t *testing.T) {
	cat := site(t, anybody(), server("a"), server("b"))
	cat.Profiles["office"].Servers = []string{"b", "ghost"}
	e := engine(t, cat, nil)
	p, err := e.Place(t.Context(), alice(), "office", map[string]Facts{"b": {Sessions: 50}})
	want := Placement{
		Scores: map[string]float64{"b": 51}, Excluded: map[string]string{"ghost": "not a server of the site"}, Winners: []string{"b"},
	}
	if diff := cmp.Diff(want, p); err != nil || diff != "" {
		t.Error(err, diff)
	}
}
