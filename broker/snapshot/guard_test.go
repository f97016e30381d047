package snapshot_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/x2broker/x2broker/broker/snapshot"
	"github.com/x2broker/x2broker/broker/source/gittest"
	"github.com/x2broker/x2broker/policy"
)

// people are so many of each group.
func people(staff, students, strangers int) (out []snapshot.Person) {
	for group, n := range map[string]int{"staff": staff, "students": students, "strangers": strangers} {
		for i := range n {
			out = append(out, snapshot.Person{
				Name: fmt.Sprintf("%s%02d", group, i), Groups: []string{group}, Address: netip.MustParseAddr("10.0.0.1"),
				Time: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC),
			})
		}
	}
	return out
}

// twoGroups is a site where each group has a profile; without are left out.
func twoGroups(without string, more ...string) map[string]string {
	text := `package site

site: name: "without ` + without + `"
servers: ts01: {}
profiles: {
	hall: {name: "Hall", hosts: ids: ["ts01"], access: groups: ["nobody"]}
`
	for _, group := range []string{"staff", "students"} {
		if group != without {
			text += fmt.Sprintf("\t%s: {name: %q, hosts: ids: [\"ts01\"], access: groups: [%q]}\n", group, group, group)
		}
	}
	files := site("", more...)
	files["site.cue"] = text + "}\n"
	return files
}

func TestALockOutIsRefusedByBreadth(t *testing.T) {
	for name, c := range map[string]struct {
		staff, students, strangers int
		refused                    bool
	}{
		"everybody":                          {10, 0, 0, true},
		"nobody":                             {0, 10, 0, false},
		"one of many":                        {1, 30, 0, false},
		"all four":                           {4, 0, 0, false},
		"five of five":                       {5, 0, 0, true},
		"a fifth":                            {5, 20, 0, false},
		"more than a fifth":                  {5, 19, 0, true},
		"who saw nothing before dilutes":     {5, 0, 20, false},
		"who saw nothing before cannot lose": {0, 0, 50, false},
		"nobody came in the last days, all may go": {0, 0, 0, false},
	} {
		src, log := &fake{}, &logs{}
		k := newKeeper(src, log, func(o *snapshot.Options) {
			o.Audience = func() []snapshot.Person { return people(c.staff, c.students, c.strangers) }
		})
		src.set("one", tree(t, twoGroups("nobody")))
		refresh(t, k)
		src.set("two", tree(t, twoGroups("staff")))
		err := k.Refresh(t.Context())
		refused := new(snapshot.RefusedError)
		if got := errors.As(err, &refused); got != c.refused {
			t.Errorf("%s: refused is %v: %v", name, got, err)
		}
		if c.refused {
			want := fmt.Sprintf("of %d users of the last 7 days %d would see nothing any more", c.staff+c.students+c.strangers, c.staff)
			if refused.Gate != snapshot.Tested || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "staff00, staff01") ||
				!strings.Contains(err.Error(), "x2broker pin two") {
				t.Errorf("%s: %v", name, err)
			}
		} else if notes := log.find("revision takes everything from some users"); len(notes) != min(1, c.staff) {
			t.Errorf("%s: %d notes", name, len(notes))
		}
	}
}

func TestALoginPolicyThatDeniesEverybodyIsALockOut(t *testing.T) {
	for name, policy := range map[string]string{
		"denies":            "package x2go.login\n\ndeny contains \"no\"\n",
		"gives no accounts": "package x2go.login\n\naccounts contains \"root\"\n",
		"hides all":         "package x2go.access\n\nvisible contains \"hall\" if input.user.name == \"x\"\n",
	} {
		src := &fake{}
		k := newKeeper(src, &logs{}, func(o *snapshot.Options) {
			o.Audience = func() []snapshot.Person { return people(5, 0, 0) }
		})
		src.set("one", tree(t, twoGroups("nobody")))
		refresh(t, k)
		src.set("two", tree(t, twoGroups("nobody", "policy/site.rego", policy)))
		refused := new(snapshot.RefusedError)
		if err := k.Refresh(t.Context()); !errors.As(err, &refused) || !strings.Contains(err.Error(), "locks out too many") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAPinPassesTheGuard(t *testing.T) {
	p := &pinnable{repo: gittest.New(t), dir: t.TempDir(), clock: newClock(), log: &logs{}}
	p.src = openGit(t, p.repo)
	p.Keeper = newKeeper(p.src, p.log, stateDir(p.dir), p.clock.option, func(o *snapshot.Options) {
		o.Audience = func() []snapshot.Person { return people(5, 0, 0) }
	})
	p.repo.Commit(gittest.Commit{Files: twoGroups("nobody")})
	refresh(t, p.Keeper)
	meant := p.repo.Commit(gittest.Commit{Files: twoGroups("staff")})
	if p.Refresh(t.Context()) == nil {
		t.Fatal("a lock-out is accepted")
	}
	if _, err := p.Pin(t.Context(), meant, p.order(time.Hour)); err != nil {
		t.Fatal(err)
	}
	serves(t, p.Keeper, "without staff")
	if r := p.Status().Refused; r != nil {
		t.Errorf("it serves, and is still refused: %+v", r)
	}
	p.clock.advance(time.Hour)
	refresh(t, p.Keeper) // it stays when the pin has ended
	serves(t, p.Keeper, "without staff")
}

// A context that has ended gets what is remembered, and nothing else.
func TestWhoCameLastIsAnsweredFromMemoryAfterASwap(t *testing.T) {
	src, clock := &fake{}, newClock()
	came := people(2, 0, 0)
	k := newKeeper(src, &logs{}, clock.option, func(o *snapshot.Options) {
		o.Audience = func() []snapshot.Person { return came }
	})
	src.set("one", tree(t, twoGroups("nobody")))
	refresh(t, k)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	ask := policy.Request{
		User: "staff00", Groups: []string{"staff"}, Account: "staff00", Address: came[0].Address, Frontend: "plain", Time: clock.Now(), Task: "list",
	}
	l := k.Current().Policy.Visible(ended, ask)
	if len(l.Profiles) != 1 || len(l.Failed) > 0 {
		t.Errorf("%d profiles, %v", len(l.Profiles), l.Failed)
	}
	ask.Groups = []string{"students"} // nobody of these came
	if l := k.Current().Policy.Visible(ended, ask); len(l.Failed) == 0 {
		t.Errorf("an ended context gets %d profiles of what was not asked before", len(l.Profiles))
	}
}
