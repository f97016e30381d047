package snapshot_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/x2broker/x2broker/broker/snapshot"
	"github.com/x2broker/x2broker/broker/source"
	"github.com/x2broker/x2broker/broker/source/gittest"
	"github.com/x2broker/x2broker/schema"
)

func TestAPushedCommitServes(t *testing.T) {
	repo := gittest.New(t)
	first := repo.Commit(gittest.Commit{Files: site("one")})
	log := &logs{}
	k := newKeeper(openGit(t, repo), log)
	if k.Current() != nil {
		t.Error("serves before Run")
	}
	run(t, k)
	if got := wait(t, k); got.Revision.ID != first || got.Catalog.Site.Name != "one" {
		t.Errorf("first snapshot is %v of %q", got.Revision, got.Catalog.Site.Name)
	}
	author := gittest.New(t)
	author.Run("fetch", "--quiet", repo.URL(), "main:main")
	second := author.Commit(gittest.Commit{Files: site("two")})
	author.Run("push", "--quiet", repo.URL(), "main")
	log.await(t, "revision serves", map[string]string{"revision": second, "before": first, "from": "fetched"})
	serves(t, k, "two")
}

func TestARewrittenHistoryIsFollowed(t *testing.T) {
	repo := gittest.New(t)
	first := repo.Commit(gittest.Commit{Files: site("one")})
	repo.Commit(gittest.Commit{Files: site("two")})
	k := newKeeper(openGit(t, repo), &logs{})
	refresh(t, k)
	repo.Commit(gittest.Commit{Files: site("three"), Orphan: true})
	refresh(t, k)
	serves(t, k, "three")
	repo.Branch("main", first)
	refresh(t, k)
	serves(t, k, "one")
}

func TestABrokenCommitChangesNothingAndIsLoggedOnce(t *testing.T) {
	repo := gittest.New(t)
	good := repo.Commit(gittest.Commit{Files: site("good")})
	log := &logs{}
	k := newKeeper(openGit(t, repo), log)
	refresh(t, k)

	bad := repo.Commit(gittest.Commit{
		Subject: "bad\nlevel=ERROR", // must not get into the log but as an attribute
		Files:   site("bad", "profiles/a.cue", "package site\n\nprofiles: lab: {nome: \"Lab\"}\n"),
	})
	for range 3 {
		err := k.Refresh(t.Context())
		refused := new(snapshot.RefusedError)
		if !errors.As(err, &refused) || refused.Revision.ID != bad || !refused.Diagnostics.HasErrors() || !strings.Contains(err.Error(), "profiles/a.cue:3") {
			t.Fatalf("broken commit: %v", err)
		}
		serves(t, k, "good")
	}
	records := log.find("revision refused, the last good one serves on")
	if len(records) != 1 || records[0].attrs["revision"] != bad || records[0].attrs["serving"] != good || records[0].attrs["subject"] != "bad" {
		t.Errorf("refusal logged as %v", records)
	}
	status := k.Status()
	if n := len(log.find("diagnostic")); n == 0 || n != len(status.Refused.Diagnostics) || n != status.Refused.Total {
		t.Errorf("%d diagnostics logged, status has %d of %d", n, len(status.Refused.Diagnostics), status.Refused.Total)
	}
	if status.Fetched.Revision.ID != bad || status.Compiled.Revision.ID != bad || status.Compiled.Reason == "" ||
		status.Serving.Revision.ID != good || status.Refused.Revision.ID != bad {
		t.Errorf("status %+v", status)
	}

	fixed := repo.Commit(gittest.Commit{Files: site("fixed")})
	refresh(t, k)
	serves(t, k, "fixed")
	if status := k.Status(); status.Refused != nil || status.Compiled.Reason != "" || status.Serving.Revision.ID != fixed {
		t.Errorf("status %+v", status)
	}
}

func TestAfterARefusalTheServingRevisionIsGoodAgain(t *testing.T) {
	src, log := &fake{}, &logs{}
	src.set("good", tree(t, site("good")))
	k := newKeeper(src, log)
	refresh(t, k)
	for range 2 { // refused, taken back, refused again: logged each time
		src.set("bad", tree(t, nil))
		if err := k.Refresh(t.Context()); err == nil {
			t.Error("an empty site is good")
		}
		src.set("good", tree(t, site("good")))
		refresh(t, k)
		if k.Status().Refused != nil {
			t.Error("still refused")
		}
	}
	if n := len(log.find("revision refused, the last good one serves on")); n != 2 {
		t.Errorf("logged %d times, want 2", n)
	}
	if n := len(log.find("revision serves")); n != 1 {
		t.Errorf("the same revision was swapped in %d times", n)
	}
}

func TestOnlyTheFirst20DiagnosticsAreLoggedErrorsFirst(t *testing.T) {
	var diags schema.Diagnostics
	for i := range 30 {
		d := schema.Diagnostic{Severity: schema.Warning, Pos: schema.Position{File: "a.cue", Line: i + 1}, Message: "m"}
		if i >= 10 {
			d.Severity = schema.Error
		}
		diags = append(diags, d)
	}
	src, log := &fake{}, &logs{}
	src.set("bad", tree(t, nil))
	k := newKeeper(src, log, compiler(compile(func(context.Context, fs.FS) (*schema.Catalog, schema.Diagnostics) {
		return nil, slices.Clone(diags)
	})))
	err := k.Refresh(t.Context())
	if refused := new(snapshot.RefusedError); !errors.As(err, &refused) || len(refused.Diagnostics) != 30 {
		t.Errorf("refused with %v", err)
	}
	records := log.find("diagnostic")
	if len(records) != 20 || records[0].attrs["at"] != "a.cue:11" || records[19].attrs["at"] != "a.cue:30" {
		t.Errorf("%d records: %v", len(records), records)
	}
	if n := len(log.find("revision refused, and there is no good one to serve")); n != 1 {
		t.Errorf("refusal logged %d times", n)
	}
}

func TestADirectoryIsFollowed(t *testing.T) {
	dir := t.TempDir()
	write := func(name string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "site.cue"), []byte(site(name)["site.cue"]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("one")
	src, err := source.Open(source.Config{URL: dir})
	if err != nil {
		t.Fatal(err)
	}
	log := &logs{}
	k := newKeeper(src, log)
	run(t, k)
	first := wait(t, k).Revision.ID
	write("two")
	log.await(t, "revision serves", map[string]string{"before": first})
	serves(t, k, "two")
}

func TestWithNothingToServeItStaysUpAndRetries(t *testing.T) {
	src, log := &fake{}, &logs{}
	src.fail(errors.New("git is away"))
	k := newKeeper(src, log)
	run(t, k)
	log.await(t, "site cannot be read, trying again", map[string]string{"err": "git is away"})
	src.set("a", tree(t, site("one")))
	wait(t, k)
	log.await(t, "site can be read again", nil)
	serves(t, k, "one")
	if s := k.Status(); s.Failures != 0 || s.Fetched.Reason != "" {
		t.Errorf("status %+v", s)
	}
}

func TestFailuresAreLoggedOncePerReason(t *testing.T) {
	src, log := &fake{}, &logs{}
	k := newKeeper(src, log)
	for _, reason := range []string{"a", "a", "a", "b", "b", "a"} {
		src.fail(errors.New(reason))
		if err := k.Refresh(t.Context()); err == nil || err.Error() != reason {
			t.Fatal(err)
		}
	}
	var got []string
	for _, r := range log.find("site cannot be read, trying again") {
		got = append(got, r.attrs["err"])
	}
	if diff := cmp.Diff([]string{"a", "b", "a"}, got); diff != "" {
		t.Error(diff)
	}
	if s := k.Status(); s.Failures != 6 || s.Fetched.Reason != "a" {
		t.Errorf("status %+v", s)
	}
}

func TestATreeThatCannotBeReadIsAFailure(t *testing.T) {
	src, log := &fake{}, &logs{}
	src.set("a", nil)
	k := newKeeper(src, log)
	if err := k.Refresh(t.Context()); err == nil || err.Error() != "no revision a" {
		t.Error(err)
	}
	src.set("a", tree(t, site("one")))
	refresh(t, k)
	serves(t, k, "one")
}

func TestAPanicInTheSourceIsAFailure(t *testing.T) {
	src := &fake{hook: func(context.Context) { panic("bad pack") }}
	k := newKeeper(src, &logs{})
	err := k.Refresh(t.Context())
	if err == nil || !strings.Contains(err.Error(), "panic: bad pack") || !strings.Contains(err.Error(), "snapshot_test") {
		t.Error(err)
	}
}

func TestStoppingIsNeitherFailureNorRefusal(t *testing.T) {
	src, log := &fake{}, &logs{}
	src.set("a", tree(t, site("one")))
	ctx, cancel := context.WithCancel(t.Context())
	k := newKeeper(src, log, compiler(compile(func(context.Context, fs.FS) (*schema.Catalog, schema.Diagnostics) {
		cancel()
		return nil, schema.Diagnostics{{Severity: schema.Error, Message: "gave up"}}
	})))
	if err := k.Refresh(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := k.Refresh(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if s := k.Status(); s.Refused != nil || s.Failures != 0 || len(log.find("diagnostic")) != 0 {
		t.Errorf("status %+v", s)
	}
	if _, err := k.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestReadersSeeWholeSnapshotsDuringSwaps(t *testing.T) {
	src := &fake{}
	trees := map[string]*source.Tree{}
	for i := range 8 {
		trees[fmt.Sprint(i)] = tree(t, site(fmt.Sprint(i)))
	}
	src.set("0", trees["0"])
	k := newKeeper(src, &logs{}, stateDir(t.TempDir()))
	refresh(t, k)
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if snap := k.Current(); snap.Revision.ID != snap.Catalog.Site.Name || snap.Policy == nil || snap.Compiled.IsZero() {
					t.Errorf("revision %s with the site of %s", snap.Revision.ID, snap.Catalog.Site.Name)
					return
				}
				if s := k.Status(); s.Serving.Revision.ID == "" {
					t.Error("status has nothing serving")
					return
				}
			}
		})
	}
	for i := range 24 {
		id := fmt.Sprint(i % len(trees))
		src.set(id, trees[id])
		refresh(t, k)
	}
	close(done)
	readers.Wait()
}

func TestPollsComeAtTheirTimes(t *testing.T) {
	const second = time.Second
	synctest.Test(t, func(t *testing.T) {
		src := &fake{}
		src.set("a", tree(t, site("one")))
		start := time.Now()
		var polls []time.Duration
		away := errors.New("away")
		src.hook = func(context.Context) {
			polls = append(polls, time.Since(start))
			switch len(polls) {
			case 3:
				src.fail(away)
			case 9:
				src.fail(nil)
			}
		}
		k := newKeeper(src, &logs{}, poll(20*second), func(o *snapshot.Options) { o.Rand = func() float64 { return 0.5 } })
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour/2)
		defer cancel()
		k.Run(ctx)
		var gaps []time.Duration
		for i := 1; i < len(polls) && i < 12; i++ {
			gaps = append(gaps, polls[i]-polls[i-1])
		}
		// Poll 20 s, jitter 0.5 of a tenth: later when all is well, earlier after failures; at most 10 polls.
		want := []time.Duration{
			21 * second, 21 * second, 38 * second, 76 * second, 152 * second,
			190 * second, 190 * second, 190 * second, 21 * second, 21 * second, 21 * second,
		}
		if diff := cmp.Diff(want, gaps); diff != "" {
			t.Errorf("time between polls (-want +got):\n%s", diff)
		}
	})
}

func TestRefusedCommitsDoNotSlowThePoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &fake{}
		src.set("bad", tree(t, nil))
		polls := 0
		src.hook = func(context.Context) { polls++ }
		k := newKeeper(src, &logs{}, poll(time.Second), func(o *snapshot.Options) { o.Rand = func() float64 { return 0 } })
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second-1)
		defer cancel()
		k.Run(ctx)
		if polls != 10 {
			t.Errorf("%d polls in 10 s", polls)
		}
	})
}

// synctest fails when a goroutine of the bubble outlives its test, so the fake
// source shows it for the keeper; this is for what go-git starts.
func TestNoGoroutineIsLeftAfterRun(t *testing.T) {
	repo := gittest.New(t)
	repo.Commit(gittest.Commit{Files: site("one")})
	log := &logs{}
	k := newKeeper(openGit(t, repo), log)
	stop := run(t, k)
	first := wait(t, k).Revision.ID
	repo.Commit(gittest.Commit{Files: site("two")})
	log.await(t, "revision serves", map[string]string{"before": first})
	stop()
	// The last frames of a goroutine that is done may still show: look again.
	buf := make([]byte, 1<<20)
	for {
		stacks := string(buf[:runtime.Stack(buf, true)])
		if !strings.Contains(stacks, "go-git") && !strings.Contains(stacks, "snapshot.(*Keeper)") {
			return
		}
		if t.Context().Err() != nil {
			t.Fatal(stacks)
		}
		runtime.Gosched()
	}
}

func BenchmarkKeeper(b *testing.B) {
	repo := gittest.New(b)
	repo.Commit(gittest.Commit{Files: site("0")})
	k := newKeeper(openGit(b, repo), &logs{}, stateDir(b.TempDir()))
	if err := k.Refresh(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Run("poll of nothing", func(b *testing.B) {
		for b.Loop() {
			if err := k.Refresh(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("one commit, fetch to serving and kept", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			b.StopTimer()
			repo.Commit(gittest.Commit{Files: site(fmt.Sprint(i))})
			b.StartTimer()
			if err := k.Refresh(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func TestACommitWhoseRegoTestFailsChangesNothing(t *testing.T) {
	rule := "package x2go.login\n\ndeny contains \"closed\" if input.time.hour %s 18\n"
	test := "package x2go.login_test\n\nimport data.x2go.login\n\ntest_closed if login.deny.closed with input.time.hour as 18\n"
	policies := func(name, operator string) *source.Tree {
		return tree(t, site(name, "policy/login.rego", fmt.Sprintf(rule, operator), "policy/login_test.rego", test))
	}
	src, log := &fake{}, &logs{}
	src.set("good", policies("good", ">="))
	k := newKeeper(src, log)
	refresh(t, k)
	serves(t, k, "good")

	src.set("bad", policies("bad", ">"))
	err := k.Refresh(t.Context())
	refused := new(snapshot.RefusedError)
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "policy/login_test.rego:5:1: x2go.login_test.test_closed: the test fails: `login.deny.closed") {
		t.Fatalf("got %v", err)
	}
	serves(t, k, "good")

	// The same policies are not good because they have been tried before.
	src.set("bad again", policies("bad again", ">"))
	if err := k.Refresh(t.Context()); !errors.As(err, &refused) {
		t.Errorf("got %v", err)
	}
	src.set("better", policies("better", ">="))
	refresh(t, k)
	serves(t, k, "better")
}
