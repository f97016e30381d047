package snapshot_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/x2broker/x2broker/broker/snapshot"
	"github.com/x2broker/x2broker/broker/source"
	"github.com/x2broker/x2broker/broker/source/gittest"
	"github.com/x2broker/x2broker/schema"
)

// clock is a time that a test moves.
type clock struct{ now atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.now.Store(time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) Now() time.Time          { return time.Unix(0, c.now.Load()).UTC() }
func (c *clock) advance(d time.Duration) { c.now.Add(int64(d)) }
func (c *clock) option(o *snapshot.Options) {
	o.Now = c.Now
}

// A pinnable is a broker whose repository has three good commits.
type pinnable struct {
	repo    *gittest.Repo
	src     source.Source
	dir     string
	clock   *clock
	log     *logs
	commits [3]string
	*snapshot.Keeper
}

func newPinnable(t *testing.T) *pinnable {
	t.Helper()
	p := &pinnable{repo: gittest.New(t), dir: t.TempDir(), clock: newClock()}
	p.src = openGit(t, p.repo)
	p.restart()
	for i, name := range []string{"one", "two", "three"} {
		p.commits[i] = p.repo.Commit(gittest.Commit{Files: site(name)})
		refresh(t, p.Keeper)
	}
	return p
}

func (p *pinnable) restart() {
	p.log = &logs{}
	p.Keeper = newKeeper(p.src, p.log, stateDir(p.dir), p.clock.option)
}

func (p *pinnable) order(d time.Duration) snapshot.Order {
	return snapshot.Order{By: "ada", UID: 1000, Reason: "test", Until: p.clock.Now().Add(d)}
}

// audited gives action and commit of each line of operator.log.
func (p *pinnable) audited(t *testing.T) (lines [][2]string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(p.dir, "operator.log"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		var l struct{ Time, Action, By, Commit, Reason string }
		if err := json.Unmarshal([]byte(line), &l); err != nil || l.By == "" || l.Time == "" {
			t.Fatalf("%v: %s", err, line)
		}
		lines = append(lines, [2]string{l.Action, l.Commit})
	}
	return lines
}

func TestAPinHoldsOneCommitAcrossRestartsUntilItExpires(t *testing.T) {
	p := newPinnable(t)
	hold, err := p.Pin(t.Context(), p.commits[0][:8], p.order(time.Hour))
	if err != nil || hold.Revision.ID != p.commits[0] {
		t.Fatal(hold, err)
	}
	serves(t, p.Keeper, "one")
	newest := p.repo.Commit(gittest.Commit{Files: site("four")})
	refresh(t, p.Keeper)
	serves(t, p.Keeper, "one")
	s := p.Status()
	if s.Fetched.Revision.ID != newest || s.Serving.Reason != "pinned" || s.Hold == nil || s.Hold.By != "ada" {
		t.Errorf("status %+v", s)
	}

	p.restart()
	refresh(t, p.Keeper)
	serves(t, p.Keeper, "one")
	if n := len(p.log.find("operator holds the site")); n != 1 {
		t.Errorf("after the restart the hold is logged %d times", n)
	}

	p.clock.advance(time.Hour)
	refresh(t, p.Keeper)
	serves(t, p.Keeper, "four")
	if p.Status().Hold != nil {
		t.Error("status still has a hold")
	}
	want := [][2]string{{"pin", p.commits[0]}, {"expire", p.commits[0]}}
	if diff := cmp.Diff(want, p.audited(t)); diff != "" {
		t.Errorf("operator.log (-want +got):\n%s", diff)
	}
}

func TestAHoldServesWithoutTheKeptSite(t *testing.T) {
	p := newPinnable(t)
	if _, err := p.Pin(t.Context(), p.commits[1], p.order(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(p.dir, keptName)); err != nil {
		t.Fatal(err)
	}
	p.restart()
	refresh(t, p.Keeper)
	serves(t, p.Keeper, "two")
}

func TestUnpinFollowsTheSourceAgain(t *testing.T) {
	p := newPinnable(t)
	if _, err := p.Pin(t.Context(), p.commits[0], p.order(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := p.Lift(snapshot.Freeze, p.order(0)); err == nil || !strings.Contains(err.Error(), "x2broker unpin lifts") {
		t.Errorf("unfreeze of a pin: %v", err)
	}
	if err := p.Lift(snapshot.Pin, p.order(0)); err != nil {
		t.Fatal(err)
	}
	refresh(t, p.Keeper)
	serves(t, p.Keeper, "three")
	if err := p.Lift(snapshot.Pin, p.order(0)); err == nil {
		t.Error("a pin was lifted twice")
	}
	p.restart()
	refresh(t, p.Keeper)
	serves(t, p.Keeper, "three")
}

func TestEachRollbackGoesOneFurtherBack(t *testing.T) {
	p := newPinnable(t)
	for _, want := range []string{"two", "one"} {
		if _, err := p.Rollback(t.Context(), p.order(time.Hour)); err != nil {
			t.Fatal(err)
		}
		serves(t, p.Keeper, want)
		p.restart() // the history survives
		refresh(t, p.Keeper)
	}
	if _, err := p.Rollback(t.Context(), p.order(time.Hour)); err == nil || !strings.Contains(err.Error(), "x2broker pin COMMIT") {
		t.Errorf("rollback behind the first: %v", err)
	}
	serves(t, p.Keeper, "one")
}

func TestAPinThatDoesNotPassTheGatesChangesNothing(t *testing.T) {
	p := newPinnable(t)
	for name, files := range map[string]map[string]string{
		snapshot.Compiled: {"site.cue": "broken"},
		snapshot.Tested:   site("x", "cases.cue", "package site\n\ncases: c: {user: name: \"u\", address: \"10.0.0.1\", sees: [\"office\"]}\n"),
	} {
		bad := p.repo.Commit(gittest.Commit{Files: files})
		refused := new(snapshot.RefusedError)
		if err := p.Refresh(t.Context()); !errors.As(err, &refused) || refused.Gate != name {
			t.Fatalf("%s: %v", name, err)
		}
		if s := p.Status(); s.Refused.Gate != name {
			t.Errorf("%s: status %+v", name, s.Refused)
		}
		_, err := p.Pin(t.Context(), bad, p.order(time.Hour))
		if !errors.As(err, &refused) || refused.Gate != name || refused.Revision.ID != bad {
			t.Errorf("%s: %v", name, err)
		}
		serves(t, p.Keeper, "three")
		if p.Status().Hold != nil {
			t.Errorf("%s: there is a hold", name)
		}
	}
}

func TestARefusedCommitIsNotForgottenWhilePinned(t *testing.T) {
	p := newPinnable(t)
	bad := p.repo.Commit(gittest.Commit{Files: map[string]string{"site.cue": "broken"}})
	if p.Refresh(t.Context()) == nil {
		t.Fatal("broken commit accepted")
	}
	if _, err := p.Pin(t.Context(), p.commits[0], p.order(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if s := p.Status(); s.Refused == nil || s.Refused.Revision.ID != bad {
		t.Errorf("refused: %+v", s.Refused)
	}
	p.repo.Branch("main", p.commits[2])
	refresh(t, p.Keeper)
	if s := p.Status(); s.Refused != nil {
		t.Errorf("the source has another commit, and still refused: %+v", s.Refused)
	}
}

func TestUnknownCommitsCannotBePinned(t *testing.T) {
	p := newPinnable(t)
	for _, id := range []string{"", "main", p.commits[0][:6], strings.Repeat("0", 40), p.commits[0] + "0"} {
		if _, err := p.Pin(t.Context(), id, p.order(time.Hour)); err == nil {
			t.Errorf("%q was pinned", id)
		}
	}
	p.repo.Commit(gittest.Commit{Branch: "feature", Files: site("feature")})
	feature := p.repo.Run("rev-parse", "feature")
	if _, err := p.Pin(t.Context(), feature, p.order(time.Hour)); err == nil {
		t.Error("a commit of another branch was pinned")
	}
}

func TestAFreezeStopsARevisionThatIsBeingCompiled(t *testing.T) {
	src, clock := &fake{}, newClock()
	src.set("one", tree(t, site("one")))
	var k *snapshot.Keeper
	freeze := false
	k = newKeeper(src, &logs{}, stateDir(t.TempDir()), clock.option, compiler(compile(func(ctx context.Context, tree fs.FS) (*schema.Catalog, schema.Diagnostics) {
		if freeze {
			if _, err := k.Freeze(snapshot.Order{By: "ada", Until: clock.Now().Add(time.Hour)}); err != nil {
				t.Error(err)
			}
		}
		return schema.NewCompiler().Compile(ctx, tree)
	})))
	if _, err := k.Freeze(snapshot.Order{}); err == nil {
		t.Error("nothing was frozen")
	}
	refresh(t, k)
	freeze = true
	src.set("two", tree(t, site("two")))
	refresh(t, k)
	serves(t, k, "one")
	freeze = false
	clock.advance(time.Hour)
	refresh(t, k)
	serves(t, k, "two")
}

func TestADirectoryCanBeFrozenButNotPinned(t *testing.T) {
	src := &fake{}
	src.set("one", tree(t, site("one")))
	k := newKeeper(src, &logs{}, stateDir(t.TempDir()))
	refresh(t, k)
	if _, err := k.Pin(t.Context(), "one", snapshot.Order{}); !errors.Is(err, snapshot.ErrNoHistory) {
		t.Errorf("pin: %v", err)
	}
	if _, err := k.Rollback(t.Context(), snapshot.Order{}); !errors.Is(err, snapshot.ErrNoHistory) {
		t.Errorf("rollback: %v", err)
	}
	if _, err := k.Freeze(snapshot.Order{By: "ada"}); err != nil {
		t.Fatal(err)
	}
	src.set("two", tree(t, site("two")))
	refresh(t, k)
	serves(t, k, "one")
}

func TestAnOrderThatCannotBeWrittenDownIsNotFollowed(t *testing.T) {
	for _, name := range []string{"operator.json.new", "operator.log"} {
		p := newPinnable(t)
		if err := os.MkdirAll(filepath.Join(p.dir, name, "x"), 0o700); err != nil { // where a file should be
			t.Fatal(err)
		}
		if _, err := p.Pin(t.Context(), p.commits[0], p.order(time.Hour)); err == nil {
			t.Errorf("%s: pinned", name)
		}
		if _, err := p.Freeze(p.order(time.Hour)); err == nil {
			t.Errorf("%s: frozen", name)
		}
		serves(t, p.Keeper, "three")
		if p.Status().Hold != nil {
			t.Errorf("%s: there is a hold", name)
		}
	}
}

func TestADamagedHoldHoldsWhatServes(t *testing.T) {
	for name, text := range map[string]string{"garbage": "{", "empty": "", "nothing": "{}", "no revision": `{"hold": {"kind": "pin"}}`} {
		p := newPinnable(t)
		if err := os.WriteFile(filepath.Join(p.dir, "operator.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		p.repo.Commit(gittest.Commit{Files: site("four")})
		p.restart()
		refresh(t, p.Keeper)
		serves(t, p.Keeper, "three")
		if err := p.Lift(snapshot.Freeze, p.order(0)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		refresh(t, p.Keeper)
		serves(t, p.Keeper, "four")
	}
}

func TestAHoldOfAnotherSourceIsIgnored(t *testing.T) {
	p := newPinnable(t)
	if _, err := p.Pin(t.Context(), p.commits[0], p.order(time.Hour)); err != nil {
		t.Fatal(err)
	}
	src := &fake{}
	src.set("x", tree(t, site("other")))
	k := newKeeper(src, &logs{}, stateDir(p.dir), p.clock.option)
	refresh(t, k)
	serves(t, k, "other")
	if k.Status().Hold != nil {
		t.Error("held")
	}
}

func TestANudgeLooksAtOnceButNotTwiceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &fake{}
		looks := 0
		src.hook = func(context.Context) { looks++ }
		src.set("one", tree(t, site("one")))
		k := newKeeper(src, &logs{}, poll(time.Hour))
		run(t, k)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if looks != 1 {
			t.Fatalf("%d looks before the nudge", looks)
		}
		k.Nudge()
		synctest.Wait()
		if looks != 2 {
			t.Fatalf("%d looks after the nudge, want 2", looks)
		}
		for range 1000 { // a flood, for five seconds
			k.Nudge()
			time.Sleep(5 * time.Millisecond)
		}
		synctest.Wait()
		if looks > 8 || looks < 6 {
			t.Errorf("%d looks after a flood of five seconds", looks)
		}
	})
}

func TestWhatAnOrderStoppedIsTakenUpAgainAlsoIfTheOrderFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &fake{}
		src.set("one", tree(t, site("one")))
		k := newKeeper(src, &logs{}, poll(time.Hour), stateDir(t.TempDir()))
		run(t, k)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		serves(t, k, "one")
		src.set("two", tree(t, site("two")))
		looks := 0
		src.hook = func(ctx context.Context) {
			if looks++; looks == 1 {
				<-ctx.Done()
			}
		}
		k.Nudge()
		synctest.Wait() // it fetches
		if _, err := k.Pin(t.Context(), "1234567", snapshot.Order{By: "ada"}); err == nil {
			t.Fatal("pinned what is not there")
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		serves(t, k, "two")
	})
}

func TestTheEndOfAHoldIsNotMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &fake{}
		src.set("one", tree(t, site("one")))
		k := newKeeper(src, &logs{}, poll(time.Hour), stateDir(t.TempDir()))
		run(t, k)
		time.Sleep(10 * time.Second) // it rests
		synctest.Wait()
		if _, err := k.Freeze(snapshot.Order{By: "ada", Until: time.Now().Add(10 * time.Minute)}); err != nil {
			t.Fatal(err)
		}
		src.set("two", tree(t, site("two")))
		time.Sleep(9 * time.Minute)
		synctest.Wait()
		serves(t, k, "one")
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		serves(t, k, "two")
	})
}

func TestAKeptSiteThatIsNotTheHeldOneDoesNotServe(t *testing.T) {
	p := newPinnable(t)
	file := filepath.Join(p.dir, keptName)
	three, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Pin(t.Context(), p.commits[0], p.order(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, three, 0o600); err != nil { // a crash came between
		t.Fatal(err)
	}
	p.restart()
	refresh(t, p.Keeper)
	serves(t, p.Keeper, "one")
	if r := p.log.find("revision serves"); len(r) != 1 {
		t.Errorf("served %d revisions, one of them for a moment", len(r))
	}
}
