package policy

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/x2broker/x2broker/schema"
)

// three profiles that everyone sees.
func three(t *testing.T) *schema.Catalog {
	t.Helper()
	open := schema.Access{Everyone: true}
	return site(t, map[string]schema.Access{"a": open, "b": open, "c": open})
}

func TestAProfileThatOnlyAPolicyKnowsIsNotVisible(t *testing.T) {
	e := engine(t, three(t), modules("access.rego", `package x2go.access
		visible contains id if some id in ["b", "ghost", 7]`))
	ids, failed := shown(e.Visible(t.Context(), alice()))
	if !slices.Equal(ids, []string{"b"}) || len(failed) > 0 {
		t.Errorf("Visible = %v, %v", ids, failed)
	}
	if sees, err := seen(e.Sees(t.Context(), alice(), "ghost")); sees || err != nil {
		t.Errorf("Sees(ghost) = %v, %v", sees, err)
	}
}

func TestAnErrorHidesTheOneProfileThatHasIt(t *testing.T) {
	for _, tt := range []struct{ name, condition, message string }{
		{"a function's error", `net.cidr_contains("10.0.0.0/8", address(id)) == false`, "policy/access.rego:5:4: a function was called with"},
		{"a function's error inside not", `not net.cidr_contains("10.0.0.0/8", address(id))`, "policy/access.rego:5:4: a function was called with"},
		{"division by zero inside not", `not 1 / divisor(id) > 2`, "divide by zero"},
		{"two values for one name", `conflict(id) == 1`, "two rules give different values"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := engine(t, three(t), modules("access.rego", `package x2go.access

visible contains id if {
	some id, _ in data.site.profiles
			`+tt.condition+`
}

address("b") := "not an address"

address(id) := "192.0.2.1" if id != "b"

divisor("b") := 0

divisor(id) := 1 if id != "b"

conflict("b") := 2

conflict(_) := 1
`))
			ids, failed := shown(e.Visible(t.Context(), alice()))
			if diff := cmp.Diff([]string{"a", "c"}, ids); diff != "" {
				t.Error(diff)
			}
			if len(failed) != 1 || failed["b"] == nil || !strings.Contains(failed["b"].Error(), tt.message) {
				t.Errorf("failed = %v, want %q for b", failed, tt.message)
			}
			for _, id := range []string{"a", "b", "c"} {
				sees, err := seen(e.Sees(t.Context(), alice(), id))
				if sees != (id != "b") || (err != nil) != (id == "b") {
					t.Errorf("Sees(%s) = %v, %v", id, sees, err)
				}
			}
		})
	}
}

// endless takes longer than anybody waits.
const endless = `count([1 | some _ in numbers.range(1, 1000000); some _ in numbers.range(1, 1000000)]) > 0`

func TestAnEndlessRuleStopsAtTheDeadlineAndHidesItsProfile(t *testing.T) {
	e := engine(t, three(t), modules("access.rego", `package x2go.access
		import data.x2go.lib
		visible contains id if {
			lib.access.visible[id]
			not slow(id)
		}
		slow("a") if `+endless))
	e.deadline = time.Second
	began := time.Now()
	ids, failed := shown(e.Visible(t.Context(), alice()))
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
	if !slices.Equal(ids, []string{"b", "c"}) || len(failed) != 1 || !errors.Is(failed["a"], context.DeadlineExceeded) {
		t.Errorf("Visible = %v, %v; want b and c, and a out of time", ids, failed)
	}
	if sees, err := seen(e.Sees(t.Context(), alice(), "a")); sees || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Sees(a) = %v, %v", sees, err)
	}
}

func TestWhatIsNotDecidedInTimeIsHidden(t *testing.T) {
	e, _ := warned(t, three(t), modules("access.rego", `package x2go.access
		visible contains id if {
			some id, _ in data.site.profiles
			not slow
		}
		slow if `+endless))
	e.deadline = 50 * time.Millisecond
	ids, failed := shown(e.Visible(t.Context(), alice()))
	if len(ids) > 0 || len(failed) != 3 {
		t.Errorf("Visible = %v, %v; want all three out of time", ids, failed)
	}
}

func TestACallerThatLeavesGetsNothing(t *testing.T) {
	e := engine(t, three(t), nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ids, failed := shown(e.Visible(ctx, alice()))
	if len(ids) > 0 || len(failed) != 3 || !errors.Is(failed["a"], context.Canceled) {
		t.Errorf("Visible = %v, %v", ids, failed)
	}
}

func TestNothingIsDecidedWithoutAnAddress(t *testing.T) {
	e := engine(t, three(t), nil)
	nowhere := alice(func(r *Request) { r.Address = netip.Addr{} })
	ids, failed := shown(e.Visible(t.Context(), nowhere))
	if len(ids) > 0 || len(failed) != 3 {
		t.Errorf("Visible = %v, %v", ids, failed)
	}
	if sees, err := seen(e.Sees(t.Context(), nowhere, "a")); sees || err == nil {
		t.Errorf("Sees = %v, %v", sees, err)
	}
	if login, err := e.Login(t.Context(), nowhere); err == nil || len(login.Accounts) > 0 {
		t.Errorf("Login = %v, %v", login, err)
	}
	if p, err := e.Place(t.Context(), nowhere, "a", nil); err == nil || len(p.Winners) > 0 {
		t.Errorf("Place = %v, %v", p, err)
	}
}

func TestFalseIsNotVisible(t *testing.T) {
	e := engine(t, three(t), modules("access.rego", `package x2go.access
		visible contains id if {
			some id, profile in data.site.profiles
			profile.access.everyone == false
		}`))
	if ids, failed := shown(e.Visible(t.Context(), alice())); len(ids)+len(failed) > 0 {
		t.Errorf("Visible = %v, %v", ids, failed)
	}
}
