package policy

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"

	"github.com/x2broker/x2broker/schema"
)

// answers evaluates a rule of the broker's as a site has it.
func answers(t *testing.T, query, source string) string {
	t.Helper()
	site := map[string]*ast.Module{}
	if source != "" {
		m, err := parse("policy/site.rego", []byte(source))
		if err != nil {
			t.Fatal(err)
		}
		if ds := checkForms(m); len(ds) > 0 {
			t.Fatal(ds)
		}
		site["policy/site.rego"] = m
	}
	modules, err := builtin(site)
	if err != nil {
		t.Fatal(err)
	}
	for name, m := range site {
		modules[name] = m
	}
	compiler, ds := check(t.Context(), modules, true)
	if len(ds) > 0 {
		t.Fatal(ds)
	}
	results, err := rego.New(rego.Query("x := "+query), rego.Compiler(compiler), rego.Input(map[string]any{
		"user":       map[string]any{"name": "alice", "groups": []any{"staff"}},
		"client":     map[string]any{"address": "10.1.2.3", "networks": []any{"campus"}},
		"time":       map[string]any{"unix": 1000},
		"profile_id": "office",
		"servers":    map[string]any{"ts01": map[string]any{"sessions": 3, "inflight": 0}},
		"sessions": map[string]any{
			"s1": map[string]any{"profile_id": "office", "state": "suspended", "changed": 400},
			"s2": map[string]any{"profile_id": "office", "state": "running", "changed": 900},
		},
	}), rego.Data(map[string]any{"site": map[string]any{
		"profiles": map[string]any{"office": map[string]any{"access": map[string]any{"groups": []any{"staff"}}}},
		"servers":  map[string]any{"ts01": map[string]any{"capacity": map[string]any{"sessions": 3}, "weight": 1}},
	}})).Eval(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(results) == 0 {
		return "undefined"
	}
	return strings.Join(strings.Fields(ast.MustInterfaceToValue(results[0].Bindings["x"]).String()), " ")
}

func TestTheBuiltInRulesAreTheLibrarys(t *testing.T) {
	want := map[string]string{
		"x2go.login.deny":         `[]`,
		"x2go.login.accounts":     `["alice"]`,
		"x2go.access.visible":     `["office"]`,
		"x2go.access.reasons":     `{"office": [{"code": "granted-by-group", "message": "granted to group staff"}]}`,
		"x2go.access.overlay":     `{}`,
		"x2go.placement.excluded": `{"ts01": "full: 3 of 3 sessions"}`,
		"x2go.placement.scores":   `{"ts01": 4}`,
		"x2go.sessions.resume":    `{"s1": 600}`,
		"x2go.sessions.takeover":  `{"s2": 100}`,
		"x2go.sessions.limits":    `{}`,
	}
	got := map[string]string{}
	for _, r := range rules() {
		got[r.String()] = answers(t, "data."+r.String(), "")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRulesByIDAreAskedForOneID(t *testing.T) {
	for query, want := range map[string]string{
		"data.x2go.access.reasons.office":        `[{"code": "granted-by-group", "message": "granted to group staff"}]`,
		"data.x2go.access.overlay.office":        "undefined",
		"data.x2go.placement.excluded.ts01":      `"full: 3 of 3 sessions"`,
		"data.x2go.placement.excluded.ts02":      "undefined",
		"data.x2go.sessions.resume.s2":           "undefined",
		"data.x2go.sessions.limits.sessions":     "undefined",
		`data.x2go.lib.access.reasons["office"]`: `[{"code": "granted-by-group", "message": "granted to group staff"}]`,
	} {
		if got := answers(t, query, ""); got != want {
			t.Errorf("%s: got %s, want %s", query, got, want)
		}
	}
}

func TestASiteReplacesOrExtendsARule(t *testing.T) {
	for _, tt := range []struct{ name, query, source, want string }{
		{
			"overlay", "data.x2go.access.overlay",
			`package x2go.access
			overlay[id].pack contains "4k-jpeg" if some id, _ in data.site.profiles`,
			`{"office": {"pack": ["4k-jpeg"]}}`,
		},
		{
			"reasons replaced", "data.x2go.access.reasons",
			`package x2go.access
			reasons.office contains {"code": "closed", "message": "closed"}`,
			`{"office": [{"code": "closed", "message": "closed"}]}`,
		},
		{
			"reasons extended, with the id at hand", "data.x2go.access.reasons.office",
			`package x2go.access
			import data.x2go.lib
			reasons[id] contains reason if some reason in lib.access.reasons[id]
			reasons[id] contains {"code": "closed", "message": "closed"} if some id, _ in data.site.profiles`,
			`[{"code": "closed", "message": "closed"}, {"code": "granted-by-group", "message": "granted to group staff"}]`,
		},
		{
			"excluded as a set", "data.x2go.placement.excluded",
			`package x2go.placement
			import data.x2go.lib
			excluded[id] contains lib.placement.excluded[id] if some id, _ in input.servers
			excluded[id] contains "broken" if some id, _ in input.servers`,
			`{"ts01": ["broken", "full: 3 of 3 sessions"]}`,
		},
		{
			"excluded joined", "data.x2go.placement.excluded",
			`package x2go.placement
			import data.x2go.lib
			excluded[id] := lib.placement.join(reasons[id])
			reasons[id] contains lib.placement.full(id) if some id, _ in input.servers
			reasons[id] contains "broken" if some id, _ in input.servers`,
			`{"ts01": "broken; full: 3 of 3 sessions"}`,
		},
		{
			"limits", "data.x2go.sessions.limits",
			`package x2go.sessions
			limits.sessions := 2
			limits.suspended_s := 86400`,
			`{"sessions": 2, "suspended_s": 86400}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := answers(t, tt.query, tt.source); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestExcludedMayGiveManyReasons(t *testing.T) {
	cat := site(t, map[string]schema.Access{"office": {Everyone: true}}, server("ts01"), server("ts02"), server("ts03"))
	e := engine(t, cat, modules("placement.rego", `package x2go.placement
		excluded.ts01 contains "stale"
		excluded.ts01 contains "failing"
		excluded.ts02 contains 7 # which is no reason, and no server either
		excluded[id] contains "full" if input.servers[id].sessions > 9`))
	p, err := e.Place(t.Context(), alice(), "office", nil)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"ts01": "failing; stale", "ts02": "excluded by the policy: {7}"}
	if diff := cmp.Diff(want, p.Excluded); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"ts03"}, p.Winners); diff != "" {
		t.Errorf("winners (-want +got):\n%s", diff)
	}
}
