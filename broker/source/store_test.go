package source_test

import (
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/x2broker/x2broker/broker/source"
	"github.com/x2broker/x2broker/broker/source/gittest"
)

// eachFile calls f for every regular file below dir.
func eachFile(t *testing.T, dir string, f func(path string, size int64)) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		f(path, info.Size())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A store is a cache. Whatever a crash or a bad disk made of it, the next
// broker reads the right commit from it or from a new one.
func TestADamagedStoreIsReplaced(t *testing.T) {
	repo := gittest.New(t)
	repo.Commit(gittest.Commit{Files: site(strings.Repeat("first ", 50))})
	store := t.TempDir()
	cfg := source.Config{URL: repo.URL(), StoreDir: store}
	fetch(t, open(t, cfg))
	want := repo.Commit(gittest.Commit{Files: site(strings.Repeat("second ", 50))})
	fetch(t, open(t, cfg))
	next := repo.Commit(gittest.Commit{Files: site(strings.Repeat("third ", 50))})

	var paths []string
	eachFile(t, store, func(path string, _ int64) {
		rel, _ := filepath.Rel(store, path)
		paths = append(paths, rel)
	})
	damages := map[string]func(data []byte) []byte{
		"gone":      nil,
		"empty":     func([]byte) []byte { return nil },
		"half":      func(b []byte) []byte { return b[:len(b)/2] },
		"last byte": func(b []byte) []byte { return b[:max(0, len(b)-1)] },
		"garbage":   func(b []byte) []byte { return bytes.Repeat([]byte{0xff}, len(b)) },
		"one bit": func(b []byte) []byte {
			b = bytes.Clone(b)
			if len(b) > 0 {
				b[len(b)/2] ^= 1
			}
			return b
		},
	}
	for name, damage := range damages {
		for _, path := range paths {
			for ref, id := range map[string]string{"refs/heads/old": want, "refs/heads/main": next} {
				t.Run(name+" "+path+" "+ref, func(t *testing.T) {
					copied := t.TempDir()
					if err := os.CopyFS(copied, os.DirFS(store)); err != nil {
						t.Fatal(err)
					}
					repo.Branch("old", want)
					file := filepath.Join(copied, path)
					data, err := os.ReadFile(file)
					if err != nil {
						t.Fatal(err)
					}
					if err := os.Remove(file); err != nil {
						t.Fatal(err)
					}
					if damage != nil {
						if err := os.WriteFile(file, damage(data), 0o600); err != nil {
							t.Fatal(err)
						}
					}
					rev, tree := fetch(t, open(t, source.Config{URL: repo.URL(), Ref: ref, StoreDir: copied}))
					word := map[string]string{want: "second ", next: "third "}[id]
					if rev.ID != id || contents(tree)["site.cue"] != strings.Repeat(word, 50) {
						t.Errorf("read %v", rev)
					}
				})
			}
		}
	}
}

// go-git does not compare what it reads with the hash that it was asked for.
func TestAForgedObjectInTheStoreIsNotBelieved(t *testing.T) {
	repo := gittest.New(t)
	id := repo.Commit(gittest.Commit{Files: site("right")})
	store := t.TempDir()
	cfg := source.Config{URL: repo.URL(), StoreDir: store}
	fetch(t, open(t, cfg))
	blob := repo.Run("rev-parse", id+":site.cue")
	var forged bytes.Buffer
	w := zlib.NewWriter(&forged)
	_, _ = w.Write([]byte("blob 5\x00wrong"))
	_ = w.Close()
	// Packs come first: have each object in a file of its own.
	objects := filepath.Join(store, "site.git", "objects")
	if err := os.RemoveAll(objects); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(objects, os.DirFS(filepath.Join(repo.Dir, "objects"))); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(objects, blob[:2], blob[2:])); err != nil {
		t.Fatal(err)
	}
	write(t, store, "site.git/objects/"+blob[:2]+"/"+blob[2:], forged.String())
	if _, tree := fetch(t, open(t, cfg)); contents(tree)["site.cue"] != "right" {
		t.Errorf("read %v", contents(tree))
	}
}

func TestWhatAKilledFetchLeftDoesNoHarm(t *testing.T) {
	repo := gittest.New(t)
	want := repo.Commit(gittest.Commit{Files: site("1")})
	store := t.TempDir()
	leftover := write(t, store, "site.git/objects/pack/tmp_pack_123", "half a pack")
	write(t, store, "site.git.new/objects/pack/tmp_pack_123", "half a clone")
	write(t, store, "site.git/refs/x2broker/site", "")
	write(t, store, "site.git/refs/x2broker/site.lock", "")
	if rev, _ := fetch(t, open(t, source.Config{URL: repo.URL(), StoreDir: store})); rev.ID != want {
		t.Errorf("fetched %v", rev)
	}
	if _, err := os.Stat(leftover); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("leftover is still there: %v", err)
	}
}

func TestReplacingAStoreIsSaidInTheLog(t *testing.T) {
	repo := gittest.New(t)
	repo.Commit(gittest.Commit{Files: site("1")})
	store := t.TempDir()
	var log bytes.Buffer
	cfg := source.Config{URL: repo.URL(), StoreDir: store, Log: slog.New(slog.NewTextHandler(&log, nil))}
	src := open(t, cfg)
	rev, err := src.Fetch(t.Context())
	if err != nil || log.Len() > 0 {
		t.Fatalf("%v, log %q", err, &log)
	}
	eachFile(t, store, func(path string, size int64) {
		if strings.HasSuffix(path, ".pack") {
			_ = os.Remove(path)
		}
	})
	if _, err := src.Tree(t.Context(), rev); err != nil {
		t.Error(err)
	}
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "cloning anew") || !strings.Contains(got, repo.URL()) {
		t.Errorf("log:\n%s", got)
	}
}

func TestAStoreOfAnotherRepositoryIsOfNoConsequence(t *testing.T) {
	store := t.TempDir()
	for _, content := range []string{"one", "two"} {
		repo := gittest.New(t)
		repo.Commit(gittest.Commit{Files: site(content), Subject: content})
		if _, tree := fetch(t, open(t, source.Config{URL: repo.URL(), StoreDir: store})); contents(tree)["site.cue"] != content {
			t.Errorf("read %v, want %q", contents(tree), content)
		}
	}
}

func TestAStoreOfManyPacksIsClonedAnew(t *testing.T) {
	repo := gittest.New(t)
	repo.Commit(gittest.Commit{Files: site("1")})
	store := t.TempDir()
	src := open(t, source.Config{URL: repo.URL(), StoreDir: store})
	fetch(t, src)
	for i := range 100 {
		write(t, store, fmt.Sprintf("site.git/objects/pack/pack-%040d.pack", i), "")
	}
	want := repo.Commit(gittest.Commit{Files: site("2")})
	if rev, _ := fetch(t, src); rev.ID != want {
		t.Errorf("fetched %v", rev)
	}
	packs := 0
	eachFile(t, store, func(path string, _ int64) {
		if strings.HasSuffix(path, ".pack") {
			packs++
		}
	})
	if packs != 1 {
		t.Errorf("%d packs left", packs)
	}
}

func TestATransferThatBreaksOffAnywhereDoesNoHarm(t *testing.T) {
	git, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	repo := gittest.New(t)
	repo.Commit(gittest.Commit{Files: site("first")})
	store := t.TempDir()
	cfg := source.Config{URL: repo.URL(), StoreDir: store}
	first, _ := fetch(t, open(t, cfg))
	second := repo.Commit(gittest.Commit{Files: site("second")})
	path := os.Getenv("PATH")
	for n := 0; ; n += 11 {
		t.Setenv("PATH", path)
		program(t, "git", fmt.Sprintf(`%s upload-pack "$2" 2>/dev/null | { dd bs=1 count=%d 2>/dev/null; kill -9 $$; }`, git, n), true)
		src := open(t, cfg)
		if rev, err := src.Fetch(t.Context()); err == nil {
			if rev.ID != second || n < 300 {
				t.Errorf("fetched %v with %d bytes", rev, n)
			}
			break
		}
		if tree, err := src.Tree(t.Context(), first); err != nil || contents(tree)["site.cue"] != "first" {
			t.Fatalf("after %d bytes the old commit cannot be read: %v", n, err)
		}
	}
	t.Setenv("PATH", path)
	if _, tree := fetch(t, open(t, cfg)); contents(tree)["site.cue"] != "second" {
		t.Errorf("read %v", contents(tree))
	}
	if entries, _ := os.ReadDir(store); len(entries) != 1 {
		t.Errorf("left in the store: %v", entries)
	}
}

// What the store has is not asked for again: not by the next process, and not
// when the branch goes back to a commit or on to one that was there before.
func TestACommitIsFetchedOnce(t *testing.T) {
	repo := gittest.New(t)
	server := repo.ServeHTTPS()
	packs := 0
	server.Instead(func(w http.ResponseWriter, r *http.Request, git http.Handler) {
		if strings.HasSuffix(r.URL.Path, "/git-upload-pack") && r.Method == http.MethodPost {
			packs++
		}
		git.ServeHTTP(w, r)
	})
	cfg := source.Config{URL: server.URL, StoreDir: t.TempDir(), Auth: source.Auth{CAFile: server.CAFile}}
	src := open(t, cfg)
	var commits []string
	for i := range 3 {
		commits = append(commits, repo.Commit(gittest.Commit{Files: site(fmt.Sprint(i))}))
		fetch(t, src)
	}
	if packs != 3 {
		t.Fatalf("%d packs for 3 commits", packs)
	}
	for i, tip := range []string{commits[2], commits[0], commits[2], commits[1]} {
		repo.Branch("main", tip)
		for range 2 {
			if rev, _ := fetch(t, src); rev.ID != tip {
				t.Fatalf("fetched %s, want %s", rev.ID, tip)
			}
		}
		if i == 1 {
			src = open(t, cfg)
		}
	}
	if packs != 3 {
		t.Errorf("%d packs were fetched of what the store had", packs-3)
	}
}
