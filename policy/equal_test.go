package policy

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"pgregory.net/rapid"

	"github.com/x2broker/x2broker/schema"
)

// A plainly answers as the policy does when nothing is prepared: each profile is
// looked up by OPA's own front door, in data that went through JSON. It shares
// modules and input with the engine, and nothing else.
type plainly struct {
	catalog  *schema.Catalog
	compiler *ast.Compiler
	store    storage.Store
	overlay  bool
}

func newPlainly(tb testing.TB, cat *schema.Catalog, files map[string][]byte) *plainly {
	tb.Helper()
	own, _, ds := read(files)
	serving, err := builtin(own)
	if err != nil {
		tb.Fatal(err)
	}
	maps.Copy(serving, own)
	c, found := check(tb.Context(), serving, true)
	if c == nil {
		tb.Fatal(ds, found)
	}
	site, err := newSiteData(cat, nil)
	if err != nil {
		tb.Fatal(err)
	}
	var data any
	if err := json.Unmarshal([]byte(site.value.String()), &data); err != nil {
		tb.Fatal(err)
	}
	return &plainly{cat, c, inmem.NewFromObject(map[string]any{"site": data}), len(defined(own)[overlayRule]) > 0}
}

func (p *plainly) ask(tb testing.TB, text string, input ast.Value) (rego.ResultSet, error) {
	return rego.New(
		rego.Query(text), rego.Compiler(p.compiler), rego.Store(p.store),
		rego.ParsedInput(input), rego.StrictBuiltinErrors(true),
		rego.GenerateJSON(func(t *ast.Term, _ *rego.EvalContext) (any, error) { return t.Value, nil }),
	).Eval(tb.Context())
}

// visible gives the settings of the visible profiles by id, and the ids of those
// that are hidden by an error.
func (p *plainly) visible(tb testing.TB, input ast.Value) (shown map[string][]schema.Setting, failed []string) {
	shown = map[string][]schema.Setting{}
	for _, id := range slices.Sorted(maps.Keys(p.catalog.Profiles)) {
		results, err := p.ask(tb, `data.x2go.access.visible["`+id+`"]`, input)
		if err != nil {
			failed = append(failed, id)
			continue
		}
		if len(results) == 0 {
			continue
		}
		profile := p.catalog.Profiles[id]
		if p.overlay {
			changes, err := p.ask(tb, `data.x2go.access.overlay["`+id+`"]`, input)
			if err == nil && len(changes) > 0 {
				profile, err = changed(profile, changes[0].Expressions[0].Value.(ast.Value))
			}
			if err != nil {
				failed = append(failed, id)
				continue
			}
		}
		shown[id] = profile.Settings
	}
	return shown, failed
}

// changed applies an overlay in the plainest way.
func changed(p *schema.Profile, overlay ast.Value) (*schema.Profile, error) {
	var byKey map[string][]any
	d := json.NewDecoder(strings.NewReader(asJSON(overlay)))
	d.UseNumber()
	if err := d.Decode(&byKey); err != nil {
		return nil, err
	}
	settings := map[string]any{}
	for key, values := range byKey {
		if len(values) != 1 {
			return nil, fmt.Errorf("%d values for %s", len(values), key)
		}
		value, err := schema.CheckSetting(key, values[0])
		if err != nil {
			return nil, err
		}
		settings[key] = value
	}
	if len(settings) == 0 {
		return p, nil
	}
	return p.WithSettings(settings), nil
}

func asJSON(v ast.Value) string {
	plain, err := ast.JSON(v)
	if err != nil {
		return err.Error()
	}
	text, err := json.Marshal(plain)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// agree holds what the engine answers, asked twice so that the second answer is
// remembered, against the plain policy.
func agree(tb fataler, t *testing.T, e *Engine, p *plainly, r Request) {
	tb.Helper()
	input, err := e.input(r)
	if err != nil {
		tb.Fatalf("%v", err)
	}
	want, failed := p.visible(t, input)
	for _, time := range []string{"first", "second"} {
		l := e.Visible(t.Context(), r)
		got := map[string][]schema.Setting{}
		for _, p := range l.Profiles {
			got[p.ID] = p.Settings
		}
		if diff := cmp.Diff(want, got); diff != "" {
			tb.Fatalf("the %s time, %+v (-policy +engine):\n%s\nfailed %v", time, r, diff, l.Failed)
		}
		for id := range l.Failed {
			if !slices.Contains(failed, id) {
				tb.Fatalf("%s fails, %+v: %v", id, r, l.Failed[id])
			}
		}
	}
	for id := range e.catalog.Profiles {
		address, _ := r.address()
		fresh, err := e.decide(t.Context(), e.deadline, e.inputFrom(r, address), id)
		remembered, _ := e.Sees(t.Context(), r, id)
		_, visible := want[id]
		if (fresh != nil) != visible || (remembered != nil) != visible || (err != nil) != slices.Contains(failed, id) {
			tb.Fatalf("%s, %+v: visible %v, fresh %v %v, remembered %v", id, r, visible, fresh, err, remembered)
		}
	}
}

// TestTheEngineSaysWhatThePolicySays compares 2,000 listings of 100 random sites
// and policies; -rapid.checks says how many sites.
func TestTheEngineSaysWhatThePolicySays(t *testing.T) {
	empty := site(t, nil)
	rapid.Check(t, func(rt *rapid.T) {
		cat, files := randomSite(rt, empty), randomPolicy(rt)
		e, ds := Compile(t.Context(), cat, files)
		if e == nil {
			rt.Fatalf("%v\n%s", ds, files["policy/access.rego"])
		}
		p := newPlainly(t, cat, files)
		for range 20 {
			agree(rt, t, e, p, randomRequest(rt))
		}
	})
}

// fataler is what a test and a property have in common.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}
