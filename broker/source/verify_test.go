package source_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	gocmp "github.com/google/go-cmp/cmp"

	"github.com/x2broker/x2broker/broker/source"
	"github.com/x2broker/x2broker/broker/source/gittest"
)

// judge is a Config.Verify that refuses what has "bad" in its commit, and
// remembers what it was asked.
type judge struct {
	asked   [][2]string // from, to
	objects *source.Objects
}

func (j *judge) verify(_ context.Context, objects *source.Objects, from, to plumbing.Hash) error {
	j.objects = objects
	j.asked = append(j.asked, [2]string{from.String(), to.String()})
	raw, err := objects.Object(plumbing.CommitObject, to)
	if err != nil {
		return err
	}
	if bytes.Contains(raw, []byte("bad")) {
		return errors.New("nobody signed it")
	}
	return nil
}

var noCommit = plumbing.ZeroHash.String()

func TestACommitThatIsRefusedIsNotGiven(t *testing.T) {
	repo := gittest.New(t)
	server := repo.ServeHTTPS()
	j := &judge{}
	cfg := source.Config{
		URL: server.URL, StoreDir: t.TempDir(), Auth: source.Auth{CAFile: server.CAFile}, Verify: j.verify,
	}
	src := open(t, cfg)
	first := repo.Commit(gittest.Commit{Files: site("1")})
	before, _ := fetch(t, src)
	bad := repo.Commit(gittest.Commit{Files: site("2"), Subject: "bad"})
	for range 2 {
		fails(t, cfg, src, before, source.Refused, "commit "+bad+" is refused: nobody signed it")
	}
	third := repo.Commit(gittest.Commit{Files: site("3")})
	if rev, tree := fetch(t, src); rev.ID != third || contents(tree)["site.cue"] != "3" {
		t.Errorf("fetched %v, want %s", rev, third)
	}
	want := [][2]string{{noCommit, first}, {first, bad}, {first, bad}, {first, third}}
	if diff := gocmp.Diff(want, j.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	if _, err := j.objects.Object(plumbing.CommitObject, plumbing.NewHash(first)); err == nil || !strings.Contains(err.Error(), "during the call of Verify only") {
		t.Errorf("the store can be read after the call: %v", err)
	}
}

// A broker that is started anew, or whose store is cloned anew, must go on from
// the commit that was verified, not trust the newest one for want of another.
func TestWhatWasVerifiedIsRememberedAcrossRestartsAndClones(t *testing.T) {
	repo := gittest.New(t)
	first := repo.Commit(gittest.Commit{Files: site("1")})
	cfg := source.Config{URL: repo.URL(), StoreDir: t.TempDir()}
	fetch(t, open(t, cfg)) // without Verify: this is not verified
	j := &judge{}
	cfg.Verify = j.verify
	fetch(t, open(t, cfg))
	second := repo.Commit(gittest.Commit{Files: site("2")})
	fetch(t, open(t, cfg))
	for i := range 100 {
		write(t, cfg.StoreDir, "site.git/objects/pack/pack-"+strings.Repeat("0", 37)+string(rune('0'+i/100))+string(rune('0'+i/10%10))+string(rune('0'+i%10))+".pack", "")
	}
	third := repo.Commit(gittest.Commit{Files: site("3")})
	src := open(t, cfg)
	fetch(t, src)
	if err := os.RemoveAll(cfg.StoreDir + "/site.git"); err != nil { // while the broker runs
		t.Fatal(err)
	}
	fourth := repo.Commit(gittest.Commit{Files: site("4")})
	fetch(t, src)
	if diff := gocmp.Diff([][2]string{{noCommit, first}, {first, second}, {second, third}, {third, fourth}}, j.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

// Else whoever can push had only to have a commit refused, and after a restart
// could take the branch back to any commit that was ever good.
func TestWhatWasVerifiedIsRememberedWhenACloneEndsInARefusal(t *testing.T) {
	repo, j := gittest.New(t), &judge{}
	cfg := source.Config{URL: repo.URL(), StoreDir: t.TempDir(), Verify: j.verify}
	first := repo.Commit(gittest.Commit{Files: site("1")})
	src := open(t, cfg)
	before, _ := fetch(t, src)
	bad := repo.Commit(gittest.Commit{Files: site("2"), Subject: "bad"})
	if err := os.RemoveAll(cfg.StoreDir + "/site.git"); err != nil {
		t.Fatal(err)
	}
	fails(t, cfg, src, before, source.Refused, "is refused")
	third := repo.Commit(gittest.Commit{Files: site("3")})
	fetch(t, open(t, cfg))
	if diff := gocmp.Diff([][2]string{{noCommit, first}, {first, bad}, {first, third}}, j.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

func TestWhatWasVerifiedIsRememberedWhenACrashComesBetweenTwoStores(t *testing.T) {
	repo, j := gittest.New(t), &judge{}
	cfg := source.Config{URL: repo.URL(), StoreDir: t.TempDir(), Verify: j.verify}
	first := repo.Commit(gittest.Commit{Files: site("1")})
	fetch(t, open(t, cfg))
	store := cfg.StoreDir + "/site.git"
	if err := os.Rename(store, store+".new"); err != nil { // as a new store is before it takes the place
		t.Fatal(err)
	}
	second := repo.Commit(gittest.Commit{Files: site("2")})
	fetch(t, open(t, cfg))
	if diff := gocmp.Diff([][2]string{{noCommit, first}, {first, second}}, j.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

func TestADamagedStoreIsReplacedWhileTheNewestCommitIsRefused(t *testing.T) {
	repo := gittest.New(t)
	repo.Commit(gittest.Commit{Files: site("1")})
	cfg := source.Config{URL: repo.URL(), StoreDir: t.TempDir(), Verify: (&judge{}).verify}
	before, _ := fetch(t, open(t, cfg))
	repo.Commit(gittest.Commit{Files: site("2"), Subject: "bad"})
	eachFile(t, cfg.StoreDir, func(path string, _ int64) {
		if strings.HasSuffix(path, ".pack") {
			_ = os.Remove(path)
		}
	})
	tree, err := open(t, cfg).Tree(t.Context(), before)
	if err != nil || contents(tree)["site.cue"] != "1" {
		t.Errorf("the good commit: %v", err)
	}
}

func TestObjectsAreGivenAsTheyAre(t *testing.T) {
	repo := gittest.New(t)
	id := repo.Commit(gittest.Commit{Files: site("1")})
	blob := repo.Run("rev-parse", id+":site.cue")
	calls := 0
	_, err := open(t, source.Config{
		URL: repo.URL(), StoreDir: t.TempDir(),
		Verify: func(ctx context.Context, o *source.Objects, _, to plumbing.Hash) error {
			calls++
			raw, err := o.Object(plumbing.CommitObject, to)
			if err != nil || strings.TrimSpace(string(raw)) != repo.Run("cat-file", "commit", id) {
				t.Errorf("commit: %q, %v", raw, err)
			}
			if data, err := o.Object(plumbing.BlobObject, plumbing.NewHash(blob)); err != nil || string(data) != "1" {
				t.Errorf("blob: %q, %v", data, err)
			}
			if _, err := o.Object(plumbing.TreeObject, to); err == nil {
				t.Error("a commit was given for a tree")
			}
			if yes, err := o.Descends(ctx, to, to); !yes || err != nil {
				t.Errorf("descends from itself: %v, %v", yes, err)
			}
			_, err = o.Object(plumbing.CommitObject, plumbing.NewHash(strings.Repeat("1", 40)))
			return err // what is not there refuses, and is no reason to clone
		},
	}).Fetch(t.Context())
	if err == nil || !strings.Contains(err.Error(), "is refused: object 1111") || calls != 1 {
		t.Errorf("%d calls, %v", calls, err)
	}
}

func TestDescends(t *testing.T) {
	repo := gittest.New(t)
	commit := func(name string) string { return repo.Commit(gittest.Commit{Files: site(name), Subject: name}) }
	a, b := commit("a"), commit("b")
	repo.Branch("side", a)
	side := repo.Commit(gittest.Commit{Branch: "side", Files: site("side")})
	merge := repo.Run("commit-tree", "-m", "merge", "-p", b, "-p", side, b+"^{tree}")
	repo.Branch("main", merge)
	src := openGit(t, repo, "")
	fetch(t, src)
	root := repo.Commit(gittest.Commit{Files: site("root"), Orphan: true})
	fetch(t, src)
	git := src.(*source.Git)
	for name, c := range map[string]struct {
		ancestor, commit string
		want             bool
	}{
		"itself": {a, a, true}, "parent": {a, b, true}, "second parent": {side, merge, true}, "through a merge": {a, merge, true},
		"child": {b, a, false}, "sibling": {b, side, false}, "rewritten": {merge, root, false},
	} {
		if got, err := git.Descends(t.Context(), c.ancestor, c.commit); got != c.want || err != nil {
			t.Errorf("%s: %v, %v, want %v", name, got, err, c.want)
		}
	}
	for _, id := range []string{"", "main", strings.Repeat("1", 40)} {
		if _, err := git.Descends(t.Context(), id, root); err == nil {
			t.Errorf("ancestor %q: no error", id)
		}
	}
}
