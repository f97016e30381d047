package policy

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/x2broker/x2broker/schema"
)

// decisions asks every question and writes the answers down.
func decisions(ctx context.Context, e *Engine) string {
	login, err := e.Login(ctx, alice())
	if err != nil {
		return err.Error()
	}
	ids, failed := shown(e.Visible(ctx, alice()))
	if len(failed) > 0 {
		return fmt.Sprint(failed)
	}
	p, err := e.Place(ctx, alice(), "office", map[string]Facts{"full": {Sessions: 9}})
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint("deny ", login.Deny, " accounts ", login.Accounts, " visible ", ids, " excluded ", p.Excluded, " scores ", p.Scores)
}

func TestASiteReplacesOneRuleAtATime(t *testing.T) {
	for _, tt := range []struct{ name, file, source, want string }{
		{
			name: "nothing",
			want: "deny [] accounts [alice] visible [open staff] excluded map[full:full: 9 of 9 sessions] scores map[full:10 ts01:1]",
		},
		{
			name: "visible", file: "access.rego",
			source: `package x2go.access
				visible contains "office"`,
			want: "deny [] accounts [alice] visible [office] excluded map[full:full: 9 of 9 sessions] scores map[full:10 ts01:1]",
		},
		{
			name: "visible, by extending the library", file: "access.rego",
			source: `package x2go.access
				import data.x2go.lib
				visible contains id if {
					lib.access.visible[id]
					not id == "open"
				}
				visible contains "office"`,
			want: "deny [] accounts [alice] visible [office staff] excluded map[full:full: 9 of 9 sessions] scores map[full:10 ts01:1]",
		},
		{
			name: "visible, in a folder", file: "faculty/whatever.rego",
			source: `package x2go.access
				visible contains "staff"`,
			want: "deny [] accounts [alice] visible [staff] excluded map[full:full: 9 of 9 sessions] scores map[full:10 ts01:1]",
		},
		{
			name: "deny", file: "login.rego",
			source: `package x2go.login
				deny contains "the pool is closed" if input.time.hour == 9`,
			want: "deny [the pool is closed] accounts [alice] visible [open staff] excluded map[full:full: 9 of 9 sessions] scores map[full:10 ts01:1]",
		},
		{
			name: "accounts", file: "login.rego",
			source: `package x2go.login
				accounts contains sprintf("%s-%s", [group, input.user.name]) if some group in input.user.groups`,
			want: "deny [] accounts [all-alice staff-alice] visible [open staff] excluded map[full:full: 9 of 9 sessions] scores map[full:10 ts01:1]",
		},
		{
			name: "excluded", file: "placement.rego",
			source: `package x2go.placement
				excluded.ts01 := "not on Mondays" if input.time.weekday == "mon"`,
			want: "deny [] accounts [alice] visible [open staff] excluded map[ts01:not on Mondays] scores map[full:10 ts01:1]",
		},
		{
			name: "scores", file: "placement.rego",
			source: `package x2go.placement
				scores[id] := input.servers[id].load1 if some id, _ in input.servers`,
			want: "deny [] accounts [alice] visible [open staff] excluded map[full:full: 9 of 9 sessions] scores map[full:0 ts01:0]",
		},
		{
			name: "scores, as a whole", file: "placement.rego",
			source: `package x2go.placement
				scores := {"full": 5, "ts01": 7}`,
			want: "deny [] accounts [alice] visible [open staff] excluded map[full:full: 9 of 9 sessions] scores map[full:5 ts01:7]",
		},
		{
			name: "tests do not count", file: "access_test.rego",
			source: `package x2go.access
				visible contains "office"`,
			want: "deny [] accounts [alice] visible [open staff] excluded map[full:full: 9 of 9 sessions] scores map[full:10 ts01:1]",
		},
		{
			name: "helpers of another name do not count", file: "access.rego",
			source: `package x2go.access
				visibly contains "office"
				visible_to(id) := id`,
			want: "deny [] accounts [alice] visible [open staff] excluded map[full:full: 9 of 9 sessions] scores map[full:10 ts01:1]",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cat := site(t, map[string]schema.Access{
				"open": {Everyone: true}, "staff": {Groups: []string{"staff"}}, "office": {},
			}, server("ts01"), server("full", func(s *schema.Server) { s.Sessions = 9 }))
			files := map[string][]byte{}
			if tt.file != "" {
				files = modules(tt.file, tt.source)
			}
			e, ds := Compile(t.Context(), cat, files)
			if e == nil { // there may be warnings
				t.Fatal(ds)
			}
			if diff := cmp.Diff(tt.want, decisions(t.Context(), e)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAnEmptyOwnRuleHidesEverything(t *testing.T) {
	cat := site(t, map[string]schema.Access{"open": {Everyone: true}})
	e := engine(t, cat, modules("access.rego", `package x2go.access
		visible contains id if {
			some id, _ in data.site.profiles
			input.user.name == "root"
		}`))
	if ids, failed := shown(e.Visible(t.Context(), alice())); len(ids)+len(failed) > 0 {
		t.Errorf("Visible = %v, %v; want nothing", ids, failed)
	}
}

func TestTheSitesCopyOfTheLibraryServesWhenItIsTheBuiltInOne(t *testing.T) {
	cat := site(t, map[string]schema.Access{"open": {Everyone: true}})
	e := engine(t, cat, Library())
	if ids, _ := shown(e.Visible(t.Context(), alice())); !slices.Equal(ids, []string{"open"}) {
		t.Errorf("Visible = %v, want open", ids)
	}
}

func TestACopyOfTheLibraryMayBringTests(t *testing.T) {
	files := Library()
	files["policy/x2go_lib/access_test.rego"] = []byte("package x2go.lib.access_test\n\ntest_it if true\n")
	engine(t, site(t, nil), files)
}

func TestADifferentCopyOfTheLibraryIsRefused(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(map[string][]byte)
		file   string
	}{
		{"a rule more", func(f map[string][]byte) {
			f["policy/x2go_lib/access.rego"] = append(f["policy/x2go_lib/access.rego"], "\nvisible contains \"x\"\n"...)
		}, "policy/x2go_lib/access.rego"},
		{"a file more", func(f map[string][]byte) {
			f["policy/x2go_lib/sub/more.rego"] = []byte("package x2go.lib.more\n")
		}, "policy/x2go_lib/sub/more.rego"},
		{"a file less", func(f map[string][]byte) { delete(f, "policy/x2go_lib/login.rego") }, "policy/x2go_lib/login.rego"},
		{"other line ends", func(f map[string][]byte) {
			f["policy/x2go_lib/input.rego"] = bytes.ReplaceAll(f["policy/x2go_lib/input.rego"], []byte("\n"), []byte("\r\n"))
		}, "policy/x2go_lib/input.rego"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files := Library()
			tt.change(files)
			e, ds := Compile(t.Context(), site(t, nil), files)
			if e != nil || len(ds) != 1 || ds[0].Pos.File != tt.file || !strings.Contains(ds[0].Message, "x2broker vendor") {
				t.Errorf("engine %v, diagnostics %v", e != nil, ds)
			}
		})
	}
}

func TestFilesThatAreNoPoliciesAreIgnored(t *testing.T) {
	engine(t, site(t, nil), map[string][]byte{
		"policy/README.md":    []byte("{"),
		"policy/data.json":    []byte("{"),
		"access.rego":         []byte("{"),
		"elsewhere/x.rego":    []byte("{"),
		"policy/backup.rego~": []byte("{"),
	})
}
