package source_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/x2broker/x2broker/broker/source"
	"github.com/x2broker/x2broker/broker/source/gittest"
)

// bulk is content that no compression makes smaller than half of n bytes.
func bulk(n int) string {
	b := make([]byte, n/2)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

// served gives, for each way over a network, the settings that read the
// repository through a proxy.
func served(t *testing.T, repo *gittest.Repo) map[string]func(*testing.T) (source.Config, *gittest.Proxy) {
	t.Helper()
	https, ssh := repo.ServeHTTPS(), repo.ServeSSH()
	return map[string]func(*testing.T) (source.Config, *gittest.Proxy){
		"https": func(t *testing.T) (source.Config, *gittest.Proxy) {
			u, _ := url.Parse(https.URL)
			proxy := gittest.NewProxy(t, u.Host)
			u.Host = proxy.Addr
			return source.Config{URL: u.String(), StoreDir: t.TempDir(), Auth: source.Auth{CAFile: https.CAFile}}, proxy
		},
		"ssh": func(t *testing.T) (source.Config, *gittest.Proxy) {
			proxy := gittest.NewProxy(t, ssh.Addr)
			known := gittest.WriteFile(t, "known_hosts", []byte(ssh.KnownHost(proxy.Addr)))
			return source.Config{
				URL: "ssh://git@" + proxy.Addr + repo.Dir, StoreDir: t.TempDir(),
				Auth: source.Auth{KeyFile: ssh.KeyFile, KnownHostsFile: known},
			}, proxy
		},
	}
}

// fails fetches, which must fail with an error of that kind and with that text,
// and leave the revision before readable from disk.
func fails(t *testing.T, cfg source.Config, src source.Source, before source.Revision, kind source.Kind, want string) *source.FetchError {
	t.Helper()
	_, err := src.Fetch(t.Context())
	fetch := new(source.FetchError)
	if !errors.As(err, &fetch) || !strings.Contains(err.Error(), want) {
		t.Fatalf("got %v, want an error with %q", err, want)
	}
	if fetch.Kind != kind {
		t.Errorf("error %q is of kind %d, want %d", err, fetch.Kind, kind)
	}
	if before.ID != "" {
		if tree, err := open(t, cfg).Tree(t.Context(), before); err != nil || len(contents(tree)) == 0 {
			t.Errorf("the revision before cannot be read: %v", err)
		}
	}
	return fetch
}

func TestSitesAreReadOverANetwork(t *testing.T) {
	repo := gittest.New(t)
	for name, setup := range served(t, repo) {
		t.Run(name, func(t *testing.T) {
			cfg, _ := setup(t)
			src := open(t, cfg)
			for i := range 3 {
				id := repo.Commit(gittest.Commit{
					Files:      site(name + fmt.Sprint(i) + bulk(50_000)),
					Links:      map[string]string{"link.cue": "site.cue"},
					Submodules: []string{"profiles/vendor"},
				})
				rev, tree := fetch(t, src)
				if rev.ID != id || !strings.HasPrefix(contents(tree)["site.cue"], name+fmt.Sprint(i)) {
					t.Errorf("read %v, want %s", rev, id)
				}
				for path, want := range map[string]fs.FileMode{"link.cue": fs.ModeSymlink, "profiles/vendor": fs.ModeIrregular} {
					if info, err := tree.Stat(path); err != nil || info.Mode().Type() != want {
						t.Errorf("%s: %v, %v; want type %v", path, info, err, want)
					}
				}
				if again, _ := fetch(t, src); again != rev {
					t.Errorf("nothing changed, but %v is now %v", rev, again)
				}
			}
			if want := cfg.URL + " refs/heads/main"; src.String() != want {
				t.Errorf("source is called %q, want %q", src, want)
			}
		})
	}
}

func TestAServerThatFailsOnTheWayIsGivenUpAndComesBack(t *testing.T) {
	repo := gittest.New(t)
	repo.Commit(gittest.Commit{Files: site("1")})
	for name, setup := range served(t, repo) {
		for fault, c := range map[string]struct {
			fault gittest.Fault
			after int
			want  string
		}{
			"accepts and never answers": {gittest.Hang, 0, "no answer in time (at most 300ms)"},
			"hangs mid-transfer":        {gittest.Hang, 50_000, "no answer in time (at most 300ms)"},
			"trickles":                  {gittest.Trickle, 50_000, "no answer in time (at most 300ms)"},
			"hangs up at once":          {gittest.Cut, 0, ""},
			"sends half a pack":         {gittest.Cut, 50_000, "answer breaks off"},
		} {
			t.Run(name+" "+fault, func(t *testing.T) {
				t.Parallel()
				cfg, proxy := setup(t)
				before, _ := fetch(t, open(t, cfg))
				branch := strings.ReplaceAll(t.Name(), " ", "-")
				want := repo.Commit(gittest.Commit{Branch: branch, Files: site(bulk(300_000))})
				cfg.Ref = branch
				hasty := cfg
				if c.fault != gittest.Cut {
					hasty.Timeout = 300 * time.Millisecond
				}
				proxy.Fail(c.fault, c.after)
				fails(t, cfg, open(t, hasty), before, source.Passing, c.want)
				proxy.Fail(gittest.None, 0)
				if rev, _ := fetch(t, open(t, cfg)); rev.ID != want {
					t.Errorf("after the fault is gone: %v, want %s", rev, want)
				}
			})
		}
	}
}

func TestAStoppedBrokerDoesNotWaitForAServer(t *testing.T) {
	repo := gittest.New(t)
	repo.Commit(gittest.Commit{Files: site("1")})
	for name, setup := range served(t, repo) {
		t.Run(name, func(t *testing.T) {
			cfg, proxy := setup(t)
			proxy.Fail(gittest.Hang, 0)
			ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, nil)
			defer cancel()
			if _, err := open(t, cfg).Fetch(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		})
	}
}

// An object that was changed on the way, or on the server's disk, must never
// become a file of the site.
func TestACorruptObjectIsRefused(t *testing.T) {
	repo := gittest.New(t)
	repo.Commit(gittest.Commit{Files: site("1")})
	server := repo.ServeHTTPS()
	cfg := source.Config{URL: server.URL, StoreDir: t.TempDir(), Auth: source.Auth{CAFile: server.CAFile}}
	src := open(t, cfg)
	before, _ := fetch(t, src)
	want := repo.Commit(gittest.Commit{Files: site(bulk(100_000))})
	server.Instead(func(w http.ResponseWriter, r *http.Request, git http.Handler) {
		answer := httptest.NewRecorder()
		git.ServeHTTP(answer, r)
		w.Header().Set("Content-Type", answer.Header().Get("Content-Type"))
		body := answer.Body.Bytes()
		if r.Method == http.MethodPost {
			body[len(body)/2] ^= 1
		}
		_, _ = w.Write(body)
	})
	fails(t, cfg, src, before, source.Passing, "the repository sends a damaged pack")
	server.Instead(nil)
	if rev, _ := fetch(t, src); rev.ID != want {
		t.Errorf("fetched %v, want %s", rev, want)
	}
	eachFile(t, cfg.StoreDir, func(path string, _ int64) {
		if strings.Contains(path, "tmp_") {
			t.Errorf("%s is left", path)
		}
	})
}

// allocated gives how many bytes f allocates, living or not.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestABlobOf100MBIsRefusedByNameInLittleMemory(t *testing.T) {
	repo := gittest.New(t)
	first := repo.Commit(gittest.Commit{Files: site("1")})
	server := repo.ServeHTTPS()
	cfg := source.Config{URL: server.URL, StoreDir: t.TempDir(), Auth: source.Auth{CAFile: server.CAFile}}
	src := open(t, cfg)
	before, _ := fetch(t, src)
	large := site("2")
	large["images/wall paper.iso"] = strings.Repeat("\x00", 100<<20)
	repo.Commit(gittest.Commit{Files: large})
	used := allocated(func() {
		fails(t, cfg, src, before, source.Refused, `large object: file "wall paper.iso", of 104857600 bytes; at most 16777216 are possible`)
	})
	if used > 32<<20 {
		t.Errorf("refusing it took %d bytes of memory", used)
	}
	packs := 0
	server.Instead(func(w http.ResponseWriter, r *http.Request, git http.Handler) {
		if r.Method == http.MethodPost {
			packs++
		}
		git.ServeHTTP(w, r)
	})
	fails(t, cfg, src, before, source.Refused, "wall paper.iso")
	if packs > 0 {
		t.Error("what is known to be too large is fetched again at each poll")
	}
	repo.Branch("main", first)
	want := repo.Commit(gittest.Commit{Files: site("3")})
	if rev, _ := fetch(t, src); rev.ID != want {
		t.Errorf("fetched %v, want %s", rev, want)
	}
}

func TestASiteOf200000FilesIsRefused(t *testing.T) {
	repo := gittest.New(t)
	repo.Commit(gittest.Commit{Files: site("1")})
	server := repo.ServeHTTPS()
	cfg := source.Config{URL: server.URL, StoreDir: t.TempDir(), Auth: source.Auth{CAFile: server.CAFile}}
	src := open(t, cfg)
	before, _ := fetch(t, src)
	many := site("2")
	for i := range 200_000 {
		many[fmt.Sprintf("profiles/d%03d/p%06d.cue", i/1000, i)] = "package site"
	}
	repo.Commit(gittest.Commit{Files: many})
	rev, err := src.Fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	used := allocated(func() {
		tree, err := src.Tree(t.Context(), rev)
		if want := `"profiles/d099/p099896.cue": the site has more than 100000 files`; tree != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, %v, want %s", tree, err, want)
		}
	})
	if used > 512<<20 {
		t.Errorf("refusing it took %d bytes of memory", used)
	}
	refused := new(source.FetchError)
	again := allocated(func() { _, err = src.Tree(t.Context(), rev) })
	if !errors.As(err, &refused) || refused.Kind != source.Refused || again > 1<<20 {
		t.Errorf("asked again: %v, with %d bytes of memory", err, again)
	}
	if tree, err := src.Tree(t.Context(), before); err != nil || contents(tree)["site.cue"] != "1" {
		t.Errorf("the revision before cannot be read: %v", err)
	}
	want := repo.Commit(gittest.Commit{Files: site("3")})
	if rev, _ := fetch(t, src); rev.ID != want {
		t.Errorf("fetched %v, want %s", rev, want)
	}
}

func TestAnEndlessListOfRefsIsRefused(t *testing.T) {
	repo := gittest.New(t)
	server := repo.ServeHTTPS()
	server.Instead(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
		line := func(text string) error {
			_, err := fmt.Fprintf(w, "%04x%s", len(text)+4, text)
			return err
		}
		_ = line("# service=git-upload-pack\n")
		_, _ = w.Write([]byte("0000"))
		hash := strings.Repeat("1", 40)
		for err := line(hash + " HEAD\x00ofs-delta\n"); err == nil; {
			err = line(hash + " refs/heads/" + strings.Repeat("x", 1000) + "\n")
		}
	})
	cfg := source.Config{URL: server.URL, StoreDir: t.TempDir(), Auth: source.Auth{CAFile: server.CAFile}}
	fails(t, cfg, open(t, cfg), source.Revision{}, source.Refused, "list of refs has more than 16777216 bytes")
}

func TestWhatACompilerCouldNotReadIsNamed(t *testing.T) {
	repo := gittest.New(t)
	ssh := repo.ServeSSH()
	cfg := source.Config{URL: ssh.URL, Auth: source.Auth{KeyFile: ssh.KeyFile, KnownHostsFile: ssh.KnownHostsFile}}
	for name, c := range map[string]struct{ file, content, want string }{
		"LFS pointer":         {"big.rego", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", `"big.rego": a pointer of Git LFS, not the file itself: take it out of LFS`},
		"name is not UTF-8":   {"b\xfcro.cue", "", `"b\xfcro.cue": file name is not UTF-8`},
		"text is passed on":   {"a.cue", "a: \"\xfc\"", ""},
		"pointer, other file": {"big.iso", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			cfg.StoreDir = t.TempDir()
			repo.Commit(gittest.Commit{Files: map[string]string{"site.cue": "1", c.file: c.content}})
			src := open(t, cfg)
			rev, err := src.Fetch(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			_, err = src.Tree(t.Context(), rev)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestALargerStoreThanCanBeClonedIsAddedTo(t *testing.T) {
	repo := gittest.New(t)
	repo.Commit(gittest.Commit{Files: site("1")})
	server := repo.ServeHTTPS()
	var log bytes.Buffer
	cfg := source.Config{
		URL: server.URL, StoreDir: t.TempDir(), Auth: source.Auth{CAFile: server.CAFile},
		Log: slog.New(slog.NewTextHandler(&log, nil)),
	}
	src := open(t, cfg)
	fetch(t, src)
	for i := range 100 {
		write(t, cfg.StoreDir, fmt.Sprintf("site.git/objects/pack/pack-%040d.pack", i), "")
	}
	want := repo.Commit(gittest.Commit{Files: site("2")})
	first := true
	server.Instead(func(w http.ResponseWriter, r *http.Request, git http.Handler) {
		if r.Method == http.MethodPost && first {
			first = false
			http.Error(w, "too much for me", http.StatusInternalServerError)
			return
		}
		git.ServeHTTP(w, r)
	})
	if rev, err := src.Fetch(t.Context()); err != nil || rev.ID != want {
		t.Errorf("fetched %v, %v; want %s", rev, err, want)
	}
	if !strings.Contains(log.String(), "cannot clone the site anew to save space") {
		t.Errorf("log:\n%s", &log)
	}
	if _, err := os.Stat(cfg.StoreDir + "/site.git.new"); !errors.Is(err, fs.ErrNotExist) {
		t.Error("half a clone is left")
	}
	if diff := gocmp.Diff([]string{"site.git"}, names(t, cfg.StoreDir)); diff != "" {
		t.Error(diff)
	}
}

func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}
