package source_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/x2broker/x2broker/broker/source"
)

func write(t *testing.T, dir, name, data string) string {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t *testing.T, cfg source.Config) source.Source {
	t.Helper()
	src, err := source.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func fetch(t *testing.T, src source.Source) (source.Revision, *source.Tree) {
	t.Helper()
	rev, err := src.Fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tree, err := src.Tree(t.Context(), rev)
	if err != nil {
		t.Fatal(err)
	}
	return rev, tree
}

func TestDirectoryIsReadAsItLies(t *testing.T) {
	dir := t.TempDir()
	changed := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	if err := os.Chtimes(write(t, dir, "site.cue", "one"), changed, changed); err != nil {
		t.Fatal(err)
	}
	write(t, dir, ".git/HEAD.cue", "not mine")
	src := open(t, source.Config{URL: dir})
	rev, tree := fetch(t, src)
	if want := (source.Revision{ID: tree.Digest(), Time: changed}); !cmp.Equal(want, rev) {
		t.Errorf("revision %+v, want %+v", rev, want)
	}
	if diff := cmp.Diff(map[string]string{"site.cue": "one"}, contents(tree)); diff != "" {
		t.Error(diff)
	}
	if again, _ := fetch(t, src); again != rev {
		t.Errorf("nothing changed, but %v is now %v", rev, again)
	}

	write(t, dir, "site.cue", "two")
	if _, err := src.Tree(t.Context(), source.Revision{ID: "files-000000000000"}); err == nil {
		t.Error("gave a revision that never was")
	}
	rev2, tree2 := fetch(t, src)
	if rev2.ID == rev.ID || contents(tree2)["site.cue"] != "two" {
		t.Errorf("change not seen: %v", rev2)
	}
	if contents(tree)["site.cue"] != "one" {
		t.Error("the old tree changed")
	}
	if _, err := src.Tree(t.Context(), rev); err == nil || !strings.Contains(err.Error(), "fetch again") {
		t.Errorf("an old revision of a directory: %v", err)
	}
}

func TestDirectoryFollowsNoLinks(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	write(t, outside, "secret.cue", "secret")
	for name, target := range map[string]string{
		"file.cue": filepath.Join(outside, "secret.cue"), "folder": outside, "self": ".", "gone.cue": "nowhere",
	} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	_, tree := fetch(t, open(t, source.Config{URL: dir}))
	if got := contents(tree); len(got) > 0 {
		t.Errorf("kept %v", got)
	}
	for _, name := range []string{"file.cue", "folder", "self", "gone.cue"} {
		if info, err := tree.Stat(name); err != nil || info.Mode().Type() != os.ModeSymlink {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

func TestDirectoryErrorsNameTheRemedy(t *testing.T) {
	dir := t.TempDir()
	bare := filepath.Join(dir, "bare.git")
	for _, d := range []string{"objects", "refs"} {
		if err := os.MkdirAll(filepath.Join(bare, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, bare, "HEAD", "ref: refs/heads/main")
	for path, want := range map[string]string{
		filepath.Join(dir, "missing"): "not found: create it",
		write(t, dir, "file", ""):     "not a directory",
		bare:                          "write file://" + bare,
		filepath.Dir(write(t, dir, "x/\xff.cue", "")): `"\xff.cue": file name is not UTF-8`,
	} {
		_, err := open(t, source.Config{URL: path}).Fetch(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

func TestOpenSaysWhatIsPossible(t *testing.T) {
	const possible = "a site is a directory, or a Git repository as file:///path/site.git, https://host/site.git or ssh://git@host/site.git"
	token := source.Auth{TokenFile: "token"}
	key := source.Auth{KeyFile: "key", KnownHostsFile: "known_hosts"}
	for _, c := range []struct {
		url  string
		auth source.Auth
		want string // "" for no error
	}{
		{"", source.Auth{}, possible},
		{"git://git.example.edu/site.git", source.Auth{}, possible},
		{"file:/srv/site.git", source.Auth{}, possible},
		{"file://site.git", source.Auth{}, "absolute path"},
		{"file://host/srv/site.git", source.Auth{}, "absolute path"},
		{"file:///srv/site.git?x", source.Auth{}, "no ? and no #"},
		{"file:///srv/100%.git", source.Auth{}, "%25"},
		{"file:///srv/site.git", token, "site.auth is for https:// and ssh:// only"},
		{"site", key, "site.auth is for https:// and ssh:// only"},

		{"https://git.example.edu/site.git", source.Auth{}, ""},
		{"HTTPS://git.example.edu:8443/site.git/", token, ""},
		{"https://git.example.edu/site.git", source.Auth{User: "deploy"}, "site.auth.user without tokenFile"},
		{"https://git.example.edu/site.git", source.Auth{TokenFile: "t", User: "a:b"}, "no colon"},
		{"https://git.example.edu/site.git", key, "keyFile and knownHostsFile are for ssh"},
		{"https://ada@git.example.edu/site.git", token, "name it as site.auth.tokenFile"},
		{"https:///site.git", source.Auth{}, "a host and a path"},
		{"http://git.example.edu/site.git", token, "anybody on the way could read and change the site: write https://"},

		{"ssh://git@git.example.edu/site.git", key, ""},
		{"ssh://git@git.example.edu:2222/~git/site.git", key, ""},
		{"git@git.example.edu:x2go/site.git", key, ""},
		{"git@git.example.edu:-x", key, `"-x" is no path`},
		{"git@git.example.edu:", key, "user, host and path"},
		{"ssh://git.example.edu/site.git", key, "say as whom to log in"},
		{"ssh://git:geheim@git.example.edu/site.git", key, "no password can be given"},
		{"ssh://git@git.example.edu/site.git", token, "an ssh site has keyFile and knownHostsFile"},
		{"ssh://git@git.example.edu/site.git", source.Auth{KnownHostsFile: "k"}, "needs site.auth.keyFile"},
		{"ssh://git@git.example.edu:2222/site.git", source.Auth{KeyFile: "k"}, "needs site.auth.knownHostsFile, with the server's host key in it: ssh-keyscan -p 2222 git.example.edu >FILE"},
	} {
		_, err := source.Open(source.Config{URL: c.url, Auth: c.auth, StoreDir: "store"})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("Open(%q): %v, want %q", c.url, err, c.want)
		}
	}
	for _, ref := range []string{"a b", "refs/heads/*", "a:b", "../x", "-x", "refs/", "main^"} {
		if _, err := source.Open(source.Config{URL: "file:///srv/site.git", Ref: ref, StoreDir: "store"}); err == nil {
			t.Errorf("ref %q accepted", ref)
		}
	}
	if _, err := source.Open(source.Config{URL: "file:///srv/site.git"}); err == nil {
		t.Error("Git without a store accepted")
	}
}

func TestPasswordsStayOutOfNamesAndErrors(t *testing.T) {
	for _, url := range []string{
		"https://ada:geheim@git.example.edu/site.git", "https://geheim@git.example.edu/site.git",
		"ssh://ada:geheim@git.example.edu/site.git", "http://ada:geheim@git.example.edu/%zz.git",
		"file://ada:geheim@/srv/%zz.git", "file://ada:geheim@host/srv/site.git",
		"https://ada:geheim@git.example.edu/%zz.git", "https://git.example.edu/site.git?token=geheim",
	} {
		_, err := source.Open(source.Config{URL: url, StoreDir: "store"})
		if err == nil || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: %v", url, err)
		}
	}
	src := open(t, source.Config{URL: "file://ada:geheim@/nowhere/site.git", StoreDir: t.TempDir()})
	_, err := src.Fetch(t.Context())
	if err == nil || strings.Contains(src.String()+err.Error(), "geheim") {
		t.Errorf("%s: %v", src, err)
	}
}

func TestFixedIsOneTree(t *testing.T) {
	tree := mustTree(t, files("site.cue", "x"))
	src := source.NewFixed("the demo site", tree)
	rev, got := fetch(t, src)
	if got != tree || rev.ID != tree.Digest() || src.String() != "the demo site" {
		t.Errorf("%v %v", rev, src)
	}
	if _, err := src.Tree(t.Context(), source.Revision{ID: "other"}); err == nil {
		t.Error("gave another revision")
	}
}
