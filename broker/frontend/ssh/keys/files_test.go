package keys

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// Mallory may choose her name in a directory, and wants that of a file elsewhere.
func TestNamesThatLeadElsewhere(t *testing.T) {
	w := newWorld(t)
	w.write("keys/alice", line("", key("mallory")))
	w.write("elsewhere", line("", key("mallory")))
	w.write("keys/.hidden", line("", key("mallory")))
	w.write("keys/-rf", line("", key("mallory")))
	w.write("keys/sub/alice", line("", key("mallory")))
	w.write("keys/a..b", line("", key("mallory")))
	c := w.checker()
	allows(t, c, "alice", key("mallory")) // so that the others fail for their names
	for _, name := range []string{
		"../elsewhere", "..", ".", "alice/../alice", "sub/alice", "/" + w.dir + "/elsewhere", "./alice", ".hidden", "-rf", "a..b",
		"alice\x00", "alice\n", `..\elsewhere`, `sub\alice`, "alice/",
	} {
		refuses(t, c, name, key("mallory"), "cannot be part of a file's name")
	}
	for _, name := range []string{strings.Repeat("a", 255), "keys", "sub", "ALICE", "alice "} {
		if err := c.Authorized(t.Context(), name, key("mallory"), here); err == nil {
			t.Errorf("%q gets in", name)
		}
	}
}

// Whatever the name, the file is in the user's place below the directory.
func TestEveryNameStaysInItsPlace(t *testing.T) {
	dir := private(t)
	rapid.Check(t, func(rt *rapid.T) {
		tmpl, err := parseTemplate(dir + rapid.SampledFrom([]string{"/{user}", "/{user}.pub", "/a/{user}/b", "/x{user}y/{user}"}).Draw(rt, "template"))
		if err != nil {
			rt.Fatal(err)
		}
		name := rapid.OneOf(rapid.String(), rapid.StringMatching(`[./\\a\x00-]{0,6}`)).Draw(rt, "name")
		if !fileName(name) {
			return
		}
		place, _, _ := tmpl.read(name, passwd)
		rel, err := filepath.Rel(tmpl.fixed, place)
		if err != nil || place != filepath.Clean(place) || strings.Count(rel, "/") != len(tmpl.below)-1 || strings.HasPrefix(rel, "..") || !strings.Contains(rel, name) {
			rt.Fatalf("%q has the file %q", name, place)
		}
	})
}

// Whoever shares the machine must not be able to write a key into a file of
// alice's, or put another file in its place.
func TestFilesThatOthersCouldHaveWritten(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(w *world) error
		why    string
	}{
		"nothing":                  {func(*world) error { return nil }, ""},
		"readable by nobody else":  {func(w *world) error { return os.Chmod(w.dir+"/home/alice/.ssh/authorized_keys", 0o600) }, ""},
		"file, world":              {func(w *world) error { return os.Chmod(w.dir+"/home/alice/.ssh/authorized_keys", 0o666) }, "authorized_keys can be written by others: chmod go-w"},
		"file, group":              {func(w *world) error { return os.Chmod(w.dir+"/home/alice/.ssh/authorized_keys", 0o664) }, "can be written by others"},
		"directory, group":         {func(w *world) error { return os.Chmod(w.dir+"/home/alice/.ssh", 0o775) }, "/home/alice/.ssh can be written by others"},
		"directory, even sticky":   {func(w *world) error { return os.Chmod(w.dir+"/home/alice", 0o777|os.ModeSticky) }, "/home/alice can be written by others"},
		"shared, even sticky":      {func(w *world) error { return os.Chmod(w.dir+"/home", 0o777|os.ModeSticky) }, "/home can be written by others"},
		"above the shared, sticky": {func(w *world) error { return os.Chmod(w.dir, 0o777|os.ModeSticky) }, ""},
		"above the shared":         {func(w *world) error { return os.Chmod(w.dir, 0o777) }, "can be written by others"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.opts.Files = []string{w.dir + "/home/{user}/.ssh/authorized_keys"}
			w.write("home/alice/.ssh/authorized_keys", line("", key("alice")))
			w.mkdir("home/alice")
			w.mkdir("home")
			c := w.checker()
			allows(t, c, "alice", key("alice"))
			w.must(tc.change(w))
			if tc.why == "" {
				allows(t, c, "alice", key("alice"))
			} else {
				refuses(t, c, "alice", key("alice"), tc.why)
			}
		})
	}
}

// Mallory replaces her file by a link to bob's, so that bob's key opens her
// account and she is not the one who did it; or her directory; or somebody puts
// what is no file there and has the broker wait.
func TestLinksAndWhatIsNoFile(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(file, other string) error
		why    string
	}{
		"a link to another's file": {func(file, other string) error { return os.Symlink(other, file) }, "is a symbolic link"},
		"a link to his own":        {func(file, other string) error { return os.Symlink(filepath.Base(other), file) }, "is a symbolic link"},
		"a link to nothing":        {func(file, _ string) error { return os.Symlink("/nowhere", file) }, "is a symbolic link"},
		"a directory":              {func(file, _ string) error { return os.Mkdir(file, 0o755) }, "is no file"},
		"a pipe":                   {func(file, _ string) error { return unix.Mkfifo(file, 0o644) }, "is no file"},
		"a linked directory": {func(file, other string) error {
			if err := os.Remove(filepath.Dir(file)); err != nil {
				return err
			}
			return os.Symlink(filepath.Dir(other), filepath.Dir(file))
		}, "is a symbolic link"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.opts.Files = []string{w.keys + "/{user}/authorized_keys"}
			other := w.write("keys/bob/authorized_keys", line("", key("bob")))
			w.mkdir("keys/mallory")
			w.must(tc.change(w.keys+"/mallory/authorized_keys", other))
			c := w.checker()
			allows(t, c, "bob", key("bob"))
			refuses(t, c, "mallory", key("bob"), tc.why)
		})
	}
}

// The directory that all share may be reached by a link: only root and the
// broker's user can have made it.
func TestTheSharedDirectoryMayBeALink(t *testing.T) {
	w := newWorld(t)
	w.write("keys/alice", line("", key("alice")))
	w.must(os.Symlink(w.keys, w.dir+"/link"))
	w.opts.Files = []string{w.dir + "/link/{user}"}
	c := w.checker()
	allows(t, c, "alice", key("alice"))
	w.must(os.Chmod(w.keys, 0o777))
	refuses(t, c, "alice", key("alice"), "/keys can be written by others")
}

// A file of somebody else in alice's place would be of whoever put it there.
func TestOwners(t *testing.T) {
	const stranger, alice = 54321, 54322
	for name, tc := range map[string]struct {
		uid  uint32
		mode uint32
		want string
	}{
		"root":                  {0, 0o644, ""},
		"the broker":            {uint32(os.Geteuid()), 0o600, ""},
		"alice":                 {alice, 0o640, ""},
		"a stranger":            {stranger, 0o600, "x belongs to the user 54321"},
		"alice, world-writable": {alice, 0o602, "chmod go-w it"},
	} {
		s := unix.Stat_t{Uid: tc.uid, Mode: tc.mode}
		err := checkOwner("x", &s, owner("alice", func(name string) (uint32, bool) { return alice, name == "alice" }))
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
	s := unix.Stat_t{Uid: alice, Mode: 0o600}
	if err := checkOwner("x", &s, owner("bob", func(name string) (uint32, bool) { return alice, name == "alice" })); err == nil {
		t.Error("a file of alice's counts for bob, whom the machine does not know")
	}
	if err := checkOwner("x", &s, ours); err == nil {
		t.Error("a file of alice's counts as the machine's")
	}
}

// The same with real files, for which it takes root.
func TestOwnersOfFiles(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("not root: TestOwners alone says it")
		return
	}
	w := newWorld(t)
	w.opts.UID = func(name string) (uint32, bool) { return 54322, name == "alice" }
	w.opts.Files = []string{w.keys + "/{user}/authorized_keys"}
	for _, name := range []string{"alice", "bob"} {
		file := w.write("keys/"+name+"/authorized_keys", line("", key(name)))
		w.must(os.Chown(file, 54322, 0))
		w.must(os.Chown(filepath.Dir(file), 54322, 0))
	}
	c := w.checker()
	allows(t, c, "alice", key("alice"))
	refuses(t, c, "bob", key("bob"), "keys/bob belongs to the user 54322")
	w.must(os.Chown(w.keys, 54322, 0))
	refuses(t, c, "alice", key("alice"), "keys belongs to the user 54322")
}

func TestAFileThatIsTooLong(t *testing.T) {
	w := newWorld(t)
	good := line("", key("alice"))
	filler := strings.Repeat("#", maxFile-len(good)-2)
	w.write("keys/alice", good, filler)
	c := w.checker()
	allows(t, c, "alice", key("alice"))
	w.write("keys/alice", good, filler+"#")
	refuses(t, c, "alice", key("alice"), "is longer than 64 KiB")
}
