package policy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"pgregory.net/rapid"

	"github.com/x2broker/x2broker/schema"
)

func samePrefix(a, b netip.Prefix) bool { return a == b }

func TestAnAnswerIsRememberedForWhatItDependsOnOnly(t *testing.T) {
	cat := site(t, map[string]schema.Access{"staff": {Groups: []string{"staff"}, From: []string{"campus"}}})
	for _, tt := range []struct {
		name   string
		files  map[string][]byte
		change func(*Request)
		again  bool // decided again
	}{
		{name: "the same", change: func(*Request) {}},
		{name: "groups in another order, and twice", change: func(r *Request) { r.Groups = []string{"all", "staff", "all"} }},
		{name: "another address of the same networks", change: from("10.1.2.4")},
		{name: "an hour later", change: func(r *Request) { r.Time = r.Time.Add(time.Hour) }},
		{name: "another task", change: func(r *Request) { r.Task = "select" }},
		{name: "another group", change: func(r *Request) { r.Groups = []string{"staff", "interns"} }, again: true},
		{name: "fewer groups", change: func(r *Request) { r.Groups = []string{"staff"} }, again: true},
		{name: "another network", change: from("10.9.0.1"), again: true},
		{name: "another user, where no names count", change: func(r *Request) { r.User = "bob" }},
		{
			name: "another user", files: own("visible contains id if {\n\tlib.access.visible[id]\n\tinput.user.name != \"zoe\"\n}"),
			change: func(r *Request) { r.User = "bob" }, again: true,
		},
		{
			name: "an hour later, where hours count", files: own("visible contains id if {\n\tlib.access.visible[id]\n\tinput.time.hour < 23\n}"),
			change: func(r *Request) { r.Time = r.Time.Add(time.Hour) }, again: true,
		},
		{
			name: "a minute later, where hours count", files: own("visible contains id if {\n\tlib.access.visible[id]\n\tinput.time.hour < 23\n}"),
			change: func(r *Request) { r.Time = r.Time.Add(time.Minute) },
		},
		{
			name: "another task, where tasks count", files: own("visible contains id if {\n\tlib.access.visible[id]\n\tinput.task != \"x\"\n}"),
			change: func(r *Request) { r.Task = "select" }, again: true,
		},
		{
			name: "another task, where an overlay reads it", files: own("overlay[id].dpi contains 100 if {\n\tsome id, _ in data.site.profiles\n\tinput.task == \"list\"\n}"),
			change: func(r *Request) { r.Task = "select" }, again: true,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := engine(t, cat, tt.files)
			first := e.Visible(t.Context(), alice())
			if len(first.Profiles) != 1 {
				t.Fatalf("Visible = %v", first)
			}
			if again := e.Visible(t.Context(), alice(tt.change)) != first; again != tt.again {
				t.Errorf("decided again: %v, want %v", again, tt.again)
			}
		})
	}
}

// at gives what is at a path below an input.
func at(input ast.Object, path string) ast.Value {
	v := ast.Value(input)
	for part := range strings.SplitSeq(path, ".") {
		if part != "" {
			v = field(v.(ast.Object), part)
		}
	}
	return v
}

// TestRequestsThatDifferHaveDifferentKeys is what keeps answers apart.
func TestRequestsThatDifferHaveDifferentKeys(t *testing.T) {
	e := engine(t, site(t, nil), nil)
	tricky := rapid.SampledFrom([]string{"", "a", "b", "ab", "\x00", "\x01a", "a\x01b", "staff", "\x05staff"})
	request := func(rt *rapid.T) Request {
		r := randomRequest(rt)
		r.User, r.Account, r.Frontend, r.Task = tricky.Draw(rt, "user"), tricky.Draw(rt, "account"), tricky.Draw(rt, "frontend"), tricky.Draw(rt, "task")
		r.Groups = rapid.SliceOfN(tricky, 0, 3).Draw(rt, "groups")
		return r
	}
	rapid.Check(t, func(rt *rapid.T) {
		a, b := request(rt), request(rt)
		addressA, _ := a.address()
		addressB, _ := b.address()
		inputA, inputB := e.inputFrom(a, addressA), e.inputFrom(b, addressB)
		for path, f := range fieldPaths {
			same := bytes.Equal(e.appendKey(nil, f, a, addressA), e.appendKey(nil, f, b, addressB))
			if want := at(inputA, path).Compare(at(inputB, path)) == 0; same != want {
				rt.Errorf("input.%s: keys are equal: %v; %v and %v", path, same, at(inputA, path), at(inputB, path))
			}
		}
	})
}

func TestWhatARuleReadsIsFoundInAllItAsks(t *testing.T) {
	for _, tt := range []struct {
		name, rules string
		want        fields
	}{
		{"nothing", `deny contains "x" if data.site.params.closed`, noFields},
		{"a field", `deny contains "x" if input.time.hour == 3`, timeHour},
		{"another rule", "deny contains \"x\" if late\n\nlate if input.time.hour > 20\n\nlate if input.client.frontend == \"ssh\"", timeHour | clientFrontend},
		{"a function", "deny contains \"x\" if of(3)\n\nof(x) if input.time.minute == x", timeMinute},
		{"else", "deny contains \"x\" if level == 2\n\nlevel := 1 if input.user.name == \"a\" else := 2 if input.account == \"b\"", userName | account},
		{"the whole input", "deny contains \"x\" if of(input)\n\nof(x) if x.time.minute == 3", allFields},
		{"a part of it", "deny contains \"x\" if of(input.user)\n\nof(x) if x.name == \"a\"", userName | userGroups},
		{"whatever", "deny contains \"x\" if input[_] == \"a\"", allFields},
		{"a text", "deny contains $\"{input.account} is out\" if data.site.params.closed", account},
		{"a comprehension", "deny contains \"x\" if count({g | some g in input.user.groups}) == 0", userGroups},
		{"every", "deny contains \"x\" if every n in input.client.networks { n == input.account }", clientNetworks | account},
		{"with", "deny contains \"x\" if late with input.account as input.user.name\n\nlate if input.account == \"b\"", account | userName},
		{"a rule by its name", "deny contains \"x\" if data.x2go.login[input.account]\n\nlate if input.time.hour > 20", allFields},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, ds := compileModules(t.Context(), modules("login.rego", "package x2go.login\n\n"+tt.rules))
			if m == nil {
				t.Skip(ds) // the compiler refuses it, as it may
			}
			if got := fieldsOfRule(m.compiler, ruleRef("x2go.login.deny")); got&tt.want != tt.want || got != tt.want && tt.want != allFields {
				t.Errorf("reads %012b, want %012b", got, tt.want)
			}
		})
	}
}

func TestARememberedAnswerCostsNothing(t *testing.T) {
	e := engine(t, campus(t, 100), hours())
	r := alice(func(r *Request) {
		r.Groups = nil
		for i := range 40 {
			r.Groups = append(r.Groups, fmt.Sprint("g", 40-i))
		}
	})
	e.Visible(t.Context(), r)
	if _, err := e.Login(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	for name, ask := range map[string]func(){
		"Visible": func() { e.Visible(t.Context(), r) },
		"Login":   func() { _, _ = e.Login(t.Context(), r) },
		"Sees":    func() { _, _ = e.Sees(t.Context(), r, "p00000") },
	} {
		if n := testing.AllocsPerRun(100, ask); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestWhatWasNotDecidedInTimeIsAskedAgain(t *testing.T) {
	e := engine(t, three(t), nil)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if l := e.Visible(gone, alice()); !errors.Is(l.Failed["a"], context.Canceled) {
		t.Fatalf("failed = %v", l.Failed)
	}
	if ids, failed := shown(e.Visible(t.Context(), alice())); !slices.Equal(ids, []string{"a", "b", "c"}) {
		t.Errorf("Visible = %v, %v", ids, failed)
	}
	if _, err := e.Login(gone, alice()); err == nil {
		t.Fatal("a login was decided for nobody")
	}
	if _, err := e.Login(t.Context(), alice()); err != nil {
		t.Error(err)
	}
}

func TestACacheIsBounded(t *testing.T) {
	var c cache[int]
	for i := range 10 * maxCached {
		c.put(fmt.Sprint(i), i, 1)
		if n := len(c.young) + len(c.old); n > maxCached {
			t.Fatalf("%d answers", n)
		}
	}
	c = cache[int]{}
	for i := range 1000 {
		c.put(fmt.Sprint(i), i, maxCachedBytes/100)
	}
	if n := len(c.young) + len(c.old); n > 100 {
		t.Errorf("%d answers of a hundredth each", n)
	}
	if c.put("large", 1, maxCachedBytes); len(c.young)+len(c.old) > 100 {
		t.Error("an answer larger than the cache is in it")
	}
}

func TestWhatIsUsedStaysRemembered(t *testing.T) {
	var c cache[int]
	c.put("used", 7, 1)
	for i := range 3 * maxCached {
		c.put(fmt.Sprint(i), i, 1)
		if n, ok := c.get([]byte("used")); !ok || n != 7 {
			t.Fatalf("forgotten after %d", i)
		}
	}
	if _, ok := c.get([]byte("0")); ok {
		t.Error("what nobody used is still there")
	}
}
