package policy

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/format"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/tester"
)

// sources parses every file that matches one of the patterns.
func sources(t *testing.T, patterns ...string) map[string]*ast.Module {
	t.Helper()
	parsed := map[string]*ast.Module{}
	for _, pattern := range patterns {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: %v, %d files", pattern, err, len(names))
		}
		for _, name := range names {
			source, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if parsed[name], err = parse(name, source); err != nil {
				t.Fatal(err)
			}
		}
	}
	return parsed
}

func TestLibraryPassesItsOwnTests(t *testing.T) {
	results, err := tester.NewRunner().
		SetStore(inmem.New()).
		RaiseBuiltinErrors(true).
		SetModules(sources(t, "x2go_lib/*.rego")).
		RunTests(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for r := range results {
		ran++
		if !r.Pass() {
			t.Error(r)
		}
	}
	if ran < 20 {
		t.Errorf("ran %d tests, want all of them", ran)
	}
}

// plainCheck compiles as `opa check --strict` does, with all of OPA's functions
// and without the broker's own checks.
func plainCheck(modules map[string]*ast.Module) ast.Errors {
	c := ast.NewCompiler().
		WithCapabilities(ast.CapabilitiesForThisVersion()).
		WithEnablePrintStatements(true).
		WithStrict(true).
		WithUseTypeCheckAnnotations(true)
	c.Compile(modules)
	return c.Errors
}

func TestLibraryPassesAPlainStrictCheck(t *testing.T) {
	if errs := plainCheck(sources(t, "x2go_lib/*.rego")); len(errs) > 0 {
		t.Error(errs)
	}
}

func TestLibraryWithShimsPassesAPlainStrictCheck(t *testing.T) {
	if errs := plainCheck(sources(t, "x2go_lib/*.rego", "shim/*.rego")); len(errs) > 0 {
		t.Error(errs)
	}
}

func TestPlainCheckFindsAMisspeltInput(t *testing.T) {
	all := sources(t, "x2go_lib/*.rego")
	for name, source := range map[string]string{
		"access.rego":    "package x2go.access\nfoo if input.uesr.name\n",
		"servers.rego":   "package x2go.access\nfoo if input.servers.ts01\n", // placement's only
		"placement.rego": "package x2go.placement\nfoo if input.server.ts01\n",
		"site.rego":      "package x2go.site.hours\nfoo if input.time.minutes\n",
	} {
		with := map[string]*ast.Module{name: ast.MustParseModule(source)}
		for k, m := range all {
			with[k] = m
		}
		errs := plainCheck(with)
		if len(errs) != 1 || !strings.Contains(errs[0].Message, "undefined ref: input.") {
			t.Errorf("%s: %v", name, errs)
		}
	}
}

func TestRegoIsFormattedAsOPADoes(t *testing.T) {
	for name := range sources(t, "x2go_lib/*.rego", "shim/*.rego") {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		formatted, err := format.SourceWithOpts(name, source, format.Opts{RegoVersion: ast.RegoV1})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(source), string(formatted)); diff != "" {
			t.Errorf("%s (-is +opa fmt):\n%s", name, diff)
		}
	}
}

// TestASitesOwnTestsRunInPlainOPA is what `opa test policy/` does in a site: the
// library is there, the shims are not, and the catalog is what the test brings.
func TestASitesOwnTestsRunInPlainOPA(t *testing.T) {
	all := sources(t, "x2go_lib/*.rego")
	maps.DeleteFunc(all, func(name string, _ *ast.Module) bool { return isTest(name) })
	all["access.rego"] = ast.MustParseModule(`package x2go.access

		import data.x2go.lib

		visible contains id if {
			lib.access.visible[id]
			not closed(data.site.profiles[id])
		}

		closed(profile) if {
			profile.labels.room == "exam"
			input.time.hour < 8
		}`)
	all["access_test.rego"] = ast.MustParseModule(`package x2go.access_test

		import data.x2go.access

		catalog := {"profiles": {
			"office": {"access": {"groups": ["staff"]}},
			"exam": {"labels": {"room": "exam"}, "access": {"groups": ["staff"]}},
			"bare": {},
		}}

		test_the_exam_room_opens_at_eight if {
			access.visible == {"office"} with data.site as catalog
				with input as {"user": {"name": "a", "groups": ["staff"]}, "time": {"hour": 7}}
			access.visible == {"office", "exam"} with data.site as catalog
				with input as {"user": {"name": "a", "groups": ["staff"]}, "time": {"hour": 8}}
		}`)
	if errs := plainCheck(all); len(errs) > 0 {
		t.Error(errs)
	}
	results, err := tester.NewRunner().SetStore(inmem.New()).RaiseBuiltinErrors(true).SetModules(all).RunTests(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for r := range results {
		ran++
		if !r.Pass() {
			t.Error(r)
		}
	}
	if ran != 1 {
		t.Errorf("ran %d tests, want 1", ran)
	}
}

func TestEveryEmbeddedFileIsOneThatASiteGets(t *testing.T) {
	names, err := filepath.Glob("x2go_lib/*.rego")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, name := range names {
		if !isTest(name) {
			want = append(want, "policy/"+filepath.ToSlash(name))
		}
	}
	var got []string
	for name := range Library() {
		got = append(got, name)
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("embedded files (-on disk +embedded):\n%s", diff)
	}
}

func TestEveryExportedRuleSaysWhatItIsFor(t *testing.T) {
	for name, m := range sources(t, "x2go_lib/*.rego", "shim/*.rego") {
		if isTest(name) {
			continue
		}
		documented := map[string]bool{}
		for _, a := range m.Annotations {
			if a.Title == "" || a.Description == "" {
				t.Errorf("%s: metadata without title or description", a.Location)
			}
			if a.Scope == "rule" || a.Scope == "document" {
				documented[a.GetTargetPath().String()] = true
			}
		}
		for _, r := range m.Rules {
			if !strings.HasPrefix(ruleName(r), "_") && !documented[r.Ref().GroundPrefix().String()] {
				t.Errorf("%s: %s has no metadata", r.Location, ruleName(r))
			}
		}
	}
}

func TestInputSchemasAgree(t *testing.T) {
	schemas := map[string]map[string]any{}
	for name, m := range sources(t, "x2go_lib/*.rego") {
		for _, a := range m.Annotations {
			for _, s := range a.Schemas {
				schemas[filepath.Base(name)] = (*s.Definition).(map[string]any)["properties"].(map[string]any)
			}
		}
	}
	if diff := cmp.Diff(schemas["placement.rego"], schemas["placement_input.rego"]); diff != "" {
		t.Errorf("library and site see different inputs of placement:\n%s", diff)
	}
	if len(schemas["input.rego"]) == 0 {
		t.Fatal("input.rego has no schema")
	}
	for field, want := range schemas["input.rego"] {
		if diff := cmp.Diff(want, schemas["placement_input.rego"][field]); diff != "" {
			t.Errorf("input.%s differs in placement:\n%s", field, diff)
		}
	}
}

func TestFactsFitTheirSchema(t *testing.T) {
	for _, m := range sources(t, "x2go_lib/placement_input.rego") {
		input := (*m.Annotations[0].Schemas[0].Definition).(map[string]any)["properties"].(map[string]any)
		facts := factsData(factKeys(), Facts{})
		want := schemaPaths("", input["servers"].(map[string]any)["additionalProperties"])
		if diff := cmp.Diff(want, valuePaths("", facts)); diff != "" {
			t.Errorf("(-schema +facts):\n%s", diff)
		}
	}
}

func TestInputFitsItsSchema(t *testing.T) {
	e := engine(t, site(t, nil), nil)
	input, err := e.input(alice())
	if err != nil {
		t.Fatal(err)
	}
	for name, m := range sources(t, "x2go_lib/input.rego") {
		definition := *m.Annotations[0].Schemas[0].Definition
		if diff := cmp.Diff(schemaPaths("", definition), valuePaths("", input)); diff != "" {
			t.Errorf("%s (-schema +input):\n%s", name, diff)
		}
	}
}

// schemaPaths lists the leaves of a schema as "user.name string".
func schemaPaths(at string, definition any) []string {
	d := definition.(map[string]any)
	properties, ok := d["properties"].(map[string]any)
	if !ok {
		kind := d["type"].(string)
		if kind == "integer" {
			kind = "number"
		}
		return []string{at + " " + kind}
	}
	var paths []string
	for field, x := range properties {
		paths = append(paths, schemaPaths(strings.TrimPrefix(at+"."+field, "."), x)...)
	}
	slices.Sort(paths)
	return paths
}

// valuePaths lists the leaves of a value in the same way.
func valuePaths(at string, v ast.Value) []string {
	o, ok := v.(ast.Object)
	if !ok {
		return []string{at + " " + ast.ValueName(v)}
	}
	var paths []string
	o.Foreach(func(k, x *ast.Term) {
		field := string(k.Value.(ast.String))
		paths = append(paths, valuePaths(strings.TrimPrefix(at+"."+field, "."), x.Value)...)
	})
	slices.Sort(paths)
	return paths
}

func TestCapabilitiesForOPAAreThoseOfTheBroker(t *testing.T) {
	c, err := ast.LoadCapabilitiesJSON(strings.NewReader(string(CapabilitiesJSON())))
	if err != nil {
		t.Fatal(err)
	}
	if c.AllowNet == nil {
		t.Error("allow_net is absent, so that OPA would fetch schemas from anywhere")
	}
	for _, name := range []string{
		"http.send", "net.lookup_ip_addr", "opa.runtime", "rand.intn", "time.now_ns", "uuid.rfc4122",
		"io.jwt.decode_verify", "crypto.x509.parse_and_verify_certificates",
	} {
		if c.ContainsBuiltin(name) {
			t.Errorf("%s is there", name)
		}
	}
	for _, name := range []string{"net.cidr_contains", "time.parse_rfc3339_ns", "regex.match", "sprintf"} {
		if !c.ContainsBuiltin(name) {
			t.Errorf("%s is missing", name)
		}
	}
	compiler := ast.NewCompiler().WithCapabilities(c).WithStrict(true).WithUseTypeCheckAnnotations(true)
	if compiler.Compile(sources(t, "x2go_lib/*.rego", "shim/*.rego")); compiler.Failed() {
		t.Error(compiler.Errors)
	}
}
