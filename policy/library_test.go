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
	"github.com/open-policy-agent/opa/v1/rego"
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
	if ran < 130 {
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
		"sessions.rego":  "package x2go.sessions\nfoo if input.session.s1\n",
		"running.rego":   "package x2go.placement\nfoo if input.sessions.s1\n", // sessions' only
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

// TestConditionsLeaveAtoms: what is known when a site is compiled is worked out
// then, and what is left of a condition is as short as if a site had written it.
func TestConditionsLeaveAtoms(t *testing.T) {
	modules := sources(t, "x2go_lib/*.rego")
	maps.DeleteFunc(modules, func(name string, _ *ast.Module) bool { return isTest(name) })
	modules["site.rego"] = ast.MustParseModule(`package x2go.site.try
		import data.x2go.lib
		next := {"labels": {"stage": "test"}}
		group if lib.user.in_group("staff")
		groups if lib.user.in_any_group(["staff", "labs"])
		names if lib.user.is_any_of(["alice"])
		network if lib.client.in_network("campus")
		weekday if lib.time.on_weekdays(["mon"])
		span if lib.time.between("08:00", "18:00")
		night if lib.time.between("22:00", "06:00")
		days if lib.time.during("2026-01-01", "2026-01-06")
		no_date if lib.time.before("2026-02-30")
		other_label if lib.labels.has(next, "stage", "new")
		same_label if lib.labels.has(next, "stage", "test")
		groups_of_label if lib.labels.allows(next, "stage", input.user.groups)`)
	compiler := ast.NewCompiler()
	if compiler.Compile(modules); compiler.Failed() {
		t.Fatal(compiler.Errors)
	}
	const clock = `sprintf("%02d:%02d", [input.time.hour, input.time.minute])`
	for name, want := range map[string][]string{
		"group":           {`"staff" in input.user.groups`},
		"groups":          {`"staff" in input.user.groups`, `"labs" in input.user.groups`},
		"names":           {`input.user.name in ["alice"]`},
		"network":         {`"campus" in input.client.networks`},
		"weekday":         {`input.time.weekday in ["mon"]`},
		"span":            {clock + ` >= "08:00"; ` + clock + ` < "18:00"`},
		"night":           {clock + ` >= "22:00"`, clock + ` < "06:00"`},
		"days":            {`input.time.date >= "2026-01-01"; input.time.date <= "2026-01-06"`},
		"no_date":         nil,
		"other_label":     nil,
		"same_label":      {""},
		"groups_of_label": {`"test" in input.user.groups`},
	} {
		pq, err := rego.New(
			rego.Query("data.x2go.site.try."+name), rego.Compiler(compiler), rego.Unknowns([]string{"input"}),
		).Partial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, q := range pq.Queries {
			text, err := format.Ast(q)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", "; "))
		}
		if diff := cmp.Diff(want, got); diff != "" || len(pq.Support) > 0 {
			t.Errorf("%s: support %v (-want +got):\n%s", name, pq.Support, diff)
		}
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

// inputSchemas gives the properties of input by the file that says them.
func inputSchemas(t *testing.T) map[string]map[string]any {
	schemas := map[string]map[string]any{}
	for name, m := range sources(t, "x2go_lib/*.rego") {
		for _, a := range m.Annotations {
			for _, s := range a.Schemas {
				schemas[filepath.Base(name)] = (*s.Definition).(map[string]any)["properties"].(map[string]any)
			}
		}
	}
	return schemas
}

// TestInputSchemasAgree: an annotation of a package replaces those above it, so
// that packages with more input repeat the rest.
func TestInputSchemasAgree(t *testing.T) {
	schemas := inputSchemas(t)
	for _, pair := range [][2]string{{"placement.rego", "placement_input.rego"}, {"sessions.rego", "sessions_input.rego"}} {
		if diff := cmp.Diff(schemas[pair[0]], schemas[pair[1]]); diff != "" {
			t.Errorf("library and site see different inputs (-%s +%s):\n%s", pair[0], pair[1], diff)
		}
	}
	for _, more := range []struct {
		than, file string
		fields     []string
	}{
		{"input.rego", "placement_input.rego", []string{"profile_id", "servers"}},
		{"placement_input.rego", "sessions_input.rego", []string{"sessions"}},
	} {
		rest := maps.Clone(schemas[more.file])
		for _, field := range more.fields {
			if rest[field] == nil {
				t.Errorf("%s has no %s", more.file, field)
			}
			delete(rest, field)
		}
		if diff := cmp.Diff(schemas[more.than], rest); diff != "" {
			t.Errorf("(-%s +%s):\n%s", more.than, more.file, diff)
		}
	}
	if len(schemas) != 5 {
		t.Errorf("%d schemas, want 5: compare the new one, too", len(schemas))
	}
}

func TestSessionsFitTheirSchema(t *testing.T) {
	sessions := inputSchemas(t)["sessions_input.rego"]["sessions"].(map[string]any)
	fields := sessions["additionalProperties"].(map[string]any)["properties"].(map[string]any)
	if diff := cmp.Diff(slices.Sorted(slices.Values(sessionFields())), slices.Sorted(maps.Keys(fields))); diff != "" {
		t.Errorf("(-known +schema):\n%s", diff)
	}
}

func TestFactsFitTheirSchema(t *testing.T) {
	servers := inputSchemas(t)["placement_input.rego"]["servers"].(map[string]any)
	want := schemaPaths("", servers["additionalProperties"])
	if diff := cmp.Diff(want, valuePaths("", factsData(factKeys(), Facts{}))); diff != "" {
		t.Errorf("(-schema +facts):\n%s", diff)
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
