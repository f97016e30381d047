package source_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/x2broker/x2broker/broker/source"
	"github.com/x2broker/x2broker/broker/source/gittest"
)

func site(content string) map[string]string {
	return map[string]string{"site.cue": content, "policy/access.rego": "package x2go.access", "README.md": "read me"}
}

func openGit(t *testing.T, repo *gittest.Repo, ref string) source.Source {
	t.Helper()
	return open(t, source.Config{URL: repo.URL(), Ref: ref, StoreDir: t.TempDir()})
}

func TestGitReadsACommit(t *testing.T) {
	repo := gittest.New(t)
	id := repo.Commit(gittest.Commit{
		Subject: "Open the lab\n\nIt was closed.",
		Files: map[string]string{
			"site.cue": "one", "README.md": "read me", "profiles/staff/a.cue": "a", "policy/access.rego": "r",
			"cue.mod/module.cue": "m", "_old/x.cue": "x", ".ci/x.cue": "x", "bücher.cue": "b", "empty.cue": "",
		},
		Links:      map[string]string{"link.cue": "site.cue"},
		Submodules: []string{"profiles/vendor"},
	})
	src := openGit(t, repo, "")
	rev, tree := fetch(t, src)
	want := source.Revision{ID: id, Subject: "Open the lab", Author: "Ada Admin", Time: time.Date(2026, 1, 5, 11, 0, 0, 0, time.UTC)}
	if diff := gocmp.Diff(want, rev); diff != "" {
		t.Errorf("revision (-want +got):\n%s", diff)
	}
	kept := map[string]string{
		"site.cue": "one", "profiles/staff/a.cue": "a", "policy/access.rego": "r", "cue.mod/module.cue": "m",
		"bücher.cue": "b", "empty.cue": "",
	}
	if diff := gocmp.Diff(kept, contents(tree)); diff != "" {
		t.Errorf("kept files (-want +got):\n%s", diff)
	}
	for path, want := range map[string]fs.FileMode{
		"README.md": 0, "link.cue": fs.ModeSymlink, "profiles/vendor": fs.ModeIrregular, "_old": fs.ModeDir, "profiles": fs.ModeDir,
	} {
		if info, err := tree.Stat(path); err != nil || info.Mode().Type() != want {
			t.Errorf("%s: %v, %v; want type %v", path, info, err, want)
		}
	}
	if want := repo.URL() + " refs/heads/main"; src.String() != want {
		t.Errorf("source is called %q, want %q", src, want)
	}
}

func TestGitFollowsTheRef(t *testing.T) {
	repo := gittest.New(t)
	src := openGit(t, repo, "main")
	var trees []*source.Tree
	for i := range 3 {
		want := repo.Commit(gittest.Commit{Files: site(fmt.Sprint(i))})
		rev, tree := fetch(t, src)
		if rev.ID != want {
			t.Fatalf("fetched %s, want %s", rev.ID, want)
		}
		if again, err := src.Fetch(t.Context()); err != nil || again != rev {
			t.Fatalf("nothing changed, but %v is now %v, %v", rev, again, err)
		}
		trees = append(trees, tree)
	}
	for i, tree := range trees {
		if got := contents(tree)["site.cue"]; got != fmt.Sprint(i) {
			t.Errorf("tree %d has %q", i, got)
		}
	}
}

func TestGitFollowsARewrittenHistory(t *testing.T) {
	repo := gittest.New(t)
	first := repo.Commit(gittest.Commit{Files: site("1")})
	repo.Commit(gittest.Commit{Files: site("2")})
	src := openGit(t, repo, "main")
	fetch(t, src)
	for name, want := range map[string]string{
		"new root": repo.Commit(gittest.Commit{Files: site("3"), Subject: "new root", Orphan: true}),
		"back":     first,
	} {
		repo.Branch("main", want)
		if rev, _ := fetch(t, src); rev.ID != want {
			t.Errorf("%s: fetched %s, want %s", name, rev.ID, want)
		}
	}
}

func TestGitReadsBranchesAndTags(t *testing.T) {
	repo := gittest.New(t)
	id := repo.Commit(gittest.Commit{Files: site("1")})
	repo.Commit(gittest.Commit{Files: site("2")})
	repo.Branch("feature/a", id)
	repo.Run("tag", "light", id)
	repo.Run("tag", "-a", "-m", "first", "v1", id)
	repo.Run("tag", "-a", "-m", "a tag of a tag", "v1-final", "v1")
	repo.Run("tag", "-a", "-m", "a file", "file", id+":site.cue")
	for _, ref := range []string{"feature/a", "refs/heads/feature/a", "refs/tags/light", "refs/tags/v1", "refs/tags/v1-final"} {
		rev, tree := fetch(t, openGit(t, repo, ref))
		if rev.ID != id || contents(tree)["site.cue"] != "1" {
			t.Errorf("%s: %v, want %s", ref, rev, id)
		}
	}
	_, err := openGit(t, repo, "refs/tags/file").Fetch(t.Context())
	if err == nil || !strings.Contains(err.Error(), "points to a blob, not to a commit") {
		t.Errorf("tag of a file: %v", err)
	}
}

func TestGitErrorsNameUrlRefAndRemedy(t *testing.T) {
	empty := gittest.New(t)
	repo := gittest.New(t)
	id := repo.Commit(gittest.Commit{Files: site("1"), Branch: "b0"})
	onlyTags := gittest.New(t)
	onlyTags.Commit(gittest.Commit{Files: site("1")})
	onlyTags.Run("tag", "v1", "main")
	onlyTags.Run("update-ref", "-d", "refs/heads/main")
	few := gittest.New(t)
	few.Commit(gittest.Commit{Files: site("1"), Branch: "master"})
	few.Run("tag", "v1", "master")
	for i := range 7 {
		repo.Branch(fmt.Sprint("b", i), id)
	}
	sha256 := filepath.Join(t.TempDir(), "sha256.git")
	empty.Run("init", "--quiet", "--bare", "--object-format=sha256", sha256)
	object := empty.Run("-C", sha256, "hash-object", "-t", "tree", "-w", os.DevNull)
	empty.Run("-C", sha256, "update-ref", "refs/heads/main", empty.Run("-C", sha256, "commit-tree", "-m", "x", object))
	for _, c := range []struct {
		name, url, ref string
		want           []string
	}{
		{"missing", "file:///nowhere/site.git", "", []string{"file:///nowhere/site.git", "repository not found: check the url"}},
		{"no repository", "file://" + t.TempDir(), "", []string{"repository not found"}},
		{"empty", empty.URL(), "", []string{"the repository is empty: push a first commit"}},
		{"many branches", repo.URL(), "", []string{"no ref refs/heads/main", "7 branches, among them b0, b1, b2, b3, b4"}},
		{"few branches", few.URL(), "", []string{"no ref refs/heads/main", "the branches are master"}},
		{"a tag", few.URL(), "v1", []string{"no ref refs/heads/v1, but a tag: write refs/tags/v1"}},
		{"no branches", onlyTags.URL(), "", []string{"no branches at all"}},
		{"sha256", "file://" + sha256, "", []string{"uses SHA-256 object ids"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := open(t, source.Config{URL: c.url, Ref: c.ref, StoreDir: t.TempDir()}).Fetch(t.Context())
			if err == nil {
				t.Fatal("no error")
			}
			for _, part := range append(c.want, c.url, "refs/heads/"+cmp.Or(c.ref, "main")) {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q lacks %q", err, part)
				}
			}
		})
	}
}

// program puts a shell script in the place of a program, before or instead of all others.
func program(t *testing.T, name, script string, others bool) {
	t.Helper()
	dir := t.TempDir()
	if name != "" {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if others {
		dir += string(os.PathListSeparator) + os.Getenv("PATH")
	}
	t.Setenv("PATH", dir)
}

func TestWithoutGitTheErrorSaysSo(t *testing.T) {
	src := open(t, source.Config{URL: "file:///srv/site.git", StoreDir: t.TempDir()})
	program(t, "", "", false)
	_, err := src.Fetch(t.Context())
	if err == nil || !strings.Contains(err.Error(), "file:// needs the git program: install git") {
		t.Error(err)
	}
}

func TestDubiousOwnershipIsPassedOn(t *testing.T) {
	src := open(t, source.Config{URL: "file:///srv/site.git", StoreDir: t.TempDir()})
	program(t, "git", `echo "fatal: detected dubious ownership in repository at '$2'" >&2; exit 128`, true)
	_, err := src.Fetch(t.Context())
	want := "git: detected dubious ownership in repository at '/srv/site.git': make this user its owner, or run git config --system --add safe.directory"
	if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "unknown") {
		t.Error(err)
	}
}

func TestARepositoryThatHangsIsGivenUp(t *testing.T) {
	for name, script := range map[string]string{
		"the program":         "exec sleep 3600",
		"a child of it":       "sleep 3600; true",
		"a child that stays":  "sleep 30 & exit 1",
		"it wants more input": "exec cat",
	} {
		t.Run(name, func(t *testing.T) {
			program(t, "git", script, true)
			src := open(t, source.Config{URL: "file:///srv/site.git", StoreDir: t.TempDir(), Timeout: 10 * time.Millisecond})
			_, err := src.Fetch(t.Context())
			if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no answer in time (at most 10ms)") {
				t.Error(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := src.Fetch(ctx); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}
}

func TestGitNamesThatAreNotUTF8AreRefused(t *testing.T) {
	repo := gittest.New(t)
	repo.Commit(gittest.Commit{Files: map[string]string{"site.cue": "1", "b\xfcro.cue": "2"}})
	src := openGit(t, repo, "")
	rev, err := src.Fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tree, err := src.Tree(t.Context(), rev)
	if tree != nil || err == nil || !strings.Contains(err.Error(), `"b\xfcro.cue": file name is not UTF-8`) {
		t.Errorf("%v, %v", tree, err)
	}
}

func TestGitLimits(t *testing.T) {
	for path, want := range map[string]string{"big.cue": `"big.cue": more than 1048576 bytes`, "big.iso": ""} {
		repo := gittest.New(t)
		repo.Commit(gittest.Commit{Files: map[string]string{path: strings.Repeat("a", source.MaxFileBytes+1)}})
		src := openGit(t, repo, "")
		rev, err := src.Fetch(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, err = src.Tree(t.Context(), rev)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

func TestACommitThatIsGoneIsAnError(t *testing.T) {
	repo := gittest.New(t)
	repo.Commit(gittest.Commit{Files: site("1")})
	src := openGit(t, repo, "")
	fetch(t, src)
	for _, id := range []string{strings.Repeat("1", 40), "main", ""} {
		if _, err := src.Tree(t.Context(), source.Revision{ID: id}); err == nil {
			t.Errorf("revision %q was read", id)
		}
	}
	fetch(t, src)
}

func TestSubjectsAndAuthorsAreOnePlainLine(t *testing.T) {
	repo := gittest.New(t)
	repo.Commit(gittest.Commit{Files: site("1"), Subject: "\x1b[2J\xff" + strings.Repeat("ä", 200) + "\nlevel=ERROR"})
	rev, _ := fetch(t, openGit(t, repo, ""))
	if want := "[2J\uFFFD" + strings.Repeat("ä", 96) + "..."; rev.Subject != want {
		t.Errorf("subject %q, want %q", rev.Subject, want)
	}
}

func TestGitMayBeReadFromManyGoroutines(t *testing.T) {
	repo := gittest.New(t)
	repo.Commit(gittest.Commit{Files: site("1")})
	src := openGit(t, repo, "")
	errs := make(chan error)
	for range 8 {
		go func() {
			rev, err := src.Fetch(t.Context())
			if err == nil {
				_, err = src.Tree(t.Context(), rev)
			}
			errs <- err
		}()
	}
	for range 8 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}
