package source_test

import (
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/x2broker/x2broker/broker/source"
	"github.com/x2broker/x2broker/broker/source/gittest"
)

// memory gives where in memory the content of each file lies.
func memory(tree *source.Tree) map[string]*byte {
	m := map[string]*byte{}
	for path, data := range tree.Files() {
		m[path] = unsafe.SliceData(data)
	}
	return m
}

// changed gives the paths of now whose content is not at the place of before.
func changed(before, now *source.Tree) []string {
	old, paths := memory(before), []string{}
	for path, data := range memory(now) {
		if old[path] != data {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths
}

func TestUnchangedFilesOfACommitAreTheSameBytes(t *testing.T) {
	repo := gittest.New(t)
	all := map[string]string{"site.cue": "s", "a/one.cue": "1", "a/two.cue": "2", "a/b/three.cue": "3", "c/four.cue": "4"}
	repo.Commit(gittest.Commit{Files: all})
	src := openGit(t, repo, "")
	_, first := fetch(t, src)
	if _, again := fetch(t, src); again != first {
		t.Error("the same commit is another tree")
	}
	all["a/two.cue"], all["a/new.cue"] = "two", "new"
	delete(all, "c/four.cue")
	repo.Commit(gittest.Commit{Files: all})
	_, second := fetch(t, src)
	if diff := gocmp.Diff([]string{"a/new.cue", "a/two.cue"}, changed(first, second)); diff != "" {
		t.Errorf("files read (-want +got):\n%s", diff)
	}
	if diff := gocmp.Diff(all, contents(second)); diff != "" {
		t.Errorf("content (-want +got):\n%s", diff)
	}
	if contents(first)["a/two.cue"] != "2" {
		t.Error("the first tree has changed")
	}
}

// Sharing is for speed only: whatever came before, a tree is what it would be
// without.
func TestSharedTreesAreAsIfReadAlone(t *testing.T) {
	repo := gittest.New(t)
	repo.Commit(gittest.Commit{Files: site("1")})
	src, store := openGit(t, repo, ""), t.TempDir()
	fetch(t, src)
	paths := []string{"a.cue", "b.rego", "c.txt", "a/a.cue", "a/b.cue", "a/b/c.cue", "b/a.cue", "_h/a.cue", "b.cue/a.cue", "l"}
	for seed := range uint64(25) {
		chance := rand.New(rand.NewPCG(seed, 0))
		files, links := map[string]string{}, map[string]string{}
		for _, path := range paths {
			switch chance.IntN(5) {
			case 0:
				links[path] = "a.cue"
			case 1, 2, 3:
				files[path] = []string{"a.cue", "other"}[chance.IntN(2)] // the former is a link's content, too
			}
		}
		repo.Commit(gittest.Commit{Files: files, Links: links})
		rev, shared := fetch(t, src)
		id, alone := fetch(t, open(t, source.Config{URL: repo.URL(), StoreDir: store}))
		if id != rev || alone.Digest() != shared.Digest() {
			t.Errorf("seed %d: %v shared, %v alone", seed, rev, id)
		}
		if diff := gocmp.Diff(entries(alone), entries(shared)); diff != "" {
			t.Errorf("seed %d: entries (-alone +shared):\n%s", seed, diff)
		}
		if diff := gocmp.Diff(contents(alone), contents(shared)); diff != "" {
			t.Errorf("seed %d: content (-alone +shared):\n%s", seed, diff)
		}
	}
}

func TestOnlyChangedFilesOfADirectoryAreReadAgain(t *testing.T) {
	dir := t.TempDir()
	src := open(t, source.Config{URL: dir})
	for _, name := range []string{"site.cue", "a/one.cue", "a/two.cue", ".git/x.cue", "README.md"} {
		write(t, dir, name, "old")
	}
	// Files that have just been written may be written again within the tick of
	// the file system's clock, and are read each time.
	_, first := fetch(t, src)
	if _, again := fetch(t, src); len(changed(first, again)) != 3 {
		t.Errorf("read again: %v, want all", changed(first, again))
	}
	rev, first := fetch(t, src)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		again, tree := fetch(t, src)
		if again != rev {
			t.Fatalf("nothing changed, but %v is now %v", rev, again)
		}
		if tree == first {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing changes, but files are read again and again")
		}
		first = tree
	}
	// As long as before, and dated back: only the system's own mark tells.
	two := filepath.Join(dir, "a", "two.cue")
	info, err := os.Stat(two)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "a/two.cue", "new")
	if err := os.Chtimes(two, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	next, second := fetch(t, src)
	if next.ID == rev.ID || contents(second)["a/two.cue"] != "new" {
		t.Errorf("a file of the same length and date was not read: %v", contents(second))
	}
	if diff := gocmp.Diff([]string{"a/two.cue"}, changed(first, second)); diff != "" {
		t.Errorf("files read (-want +got):\n%s", diff)
	}
	if err := os.Remove(two); err != nil {
		t.Fatal(err)
	}
	_, third := fetch(t, src)
	if got := slices.Sorted(maps.Keys(contents(third))); strings.Join(got, " ") != "a/one.cue site.cue" {
		t.Errorf("after one was removed: %v", got)
	}
	if len(changed(second, third)) > 0 {
		t.Errorf("read again: %v", changed(second, third))
	}
}

// entries gives every path of a tree with its type.
func entries(tree *source.Tree) map[string]fs.FileMode {
	m := map[string]fs.FileMode{}
	_ = fs.WalkDir(tree, ".", func(path string, e fs.DirEntry, err error) error {
		m[path] = e.Type()
		return err
	})
	return m
}
