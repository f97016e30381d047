package snapshot_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/x2broker/x2broker/broker/snapshot"
	"github.com/x2broker/x2broker/broker/source/gittest"
	"github.com/x2broker/x2broker/schema"
)

const (
	keptName  = "last-good.1.site" // the first that is written
	readyName = "last-good.compiled"
)

// kept makes a state directory as a broker leaves it that served a site from
// the source.
func kept(t *testing.T, src *fake, name string) (dir, file string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "state", "site")
	src.set(name, tree(t, site(name, "policy/notes.rego", "package x2go.site.notes\n")))
	refresh(t, newKeeper(src, &logs{}, stateDir(dir)))
	return dir, filepath.Join(dir, keptName)
}

func away() *fake {
	src := &fake{}
	src.fail(errors.New("git is away"))
	return src
}

func TestTheKeptSiteServesWithGitAway(t *testing.T) {
	repo := gittest.New(t)
	id := repo.Commit(gittest.Commit{Files: site("one", "profiles/staff/defaults.cue", "package site\n"), Subject: "Open the lab"})
	dir := t.TempDir()
	src := openGit(t, repo)
	refresh(t, newKeeper(src, &logs{}, stateDir(dir)))
	repo.Commit(gittest.Commit{Files: map[string]string{"site.cue": "broken"}})
	k := newKeeper(src, &logs{}, stateDir(dir))
	if err := k.Refresh(t.Context()); err == nil {
		t.Error("broken commit accepted")
	}
	serves(t, k, "one") // the broken one was not kept

	moved := repo.Dir + ".moved"
	if err := os.Rename(repo.Dir, moved); err != nil {
		t.Fatal(err)
	}
	log := &logs{}
	k = newKeeper(openGit(t, repo), log, stateDir(dir))
	run(t, k)
	snap := wait(t, k)
	if snap.Revision.ID != id || snap.Revision.Subject != "Open the lab" || snap.Catalog.Site.Name != "one" {
		t.Errorf("serves %v of %q", snap.Revision, snap.Catalog.Site.Name)
	}
	log.await(t, "site cannot be read, trying again", map[string]string{"serving": id})
	if s := k.Status(); s.Serving.Reason != "kept on disk" || !strings.Contains(s.Fetched.Reason, "repository not found") {
		t.Errorf("status %+v", s)
	}
	if err := os.Rename(moved, repo.Dir); err != nil {
		t.Fatal(err)
	}
	next := repo.Commit(gittest.Commit{Files: site("two")})
	log.await(t, "revision serves", map[string]string{"revision": next, "before": id})
}

func TestTheKeptSiteServesBeforeTheSourceIsAsked(t *testing.T) {
	src := &fake{}
	dir, _ := kept(t, src, "one")
	asked := make(chan struct{})
	src.hook = func(ctx context.Context) {
		close(asked)
		<-ctx.Done()
	}
	k := newKeeper(src, &logs{}, stateDir(dir))
	run(t, k)
	<-asked
	serves(t, k, "one")
}

func TestAnUnchangedSourceIsNotCompiledAgainAfterARestart(t *testing.T) {
	src := &fake{}
	dir, _ := kept(t, src, "one")
	compiled := 0
	k := newKeeper(src, &logs{}, stateDir(dir), compiler(compile(func(ctx context.Context, tree fs.FS) (*schema.Catalog, schema.Diagnostics) {
		compiled++
		return schema.NewCompiler().Compile(ctx, tree)
	})))
	refresh(t, k)
	serves(t, k, "one")
	if compiled != 0 { // what it came to is on disk, too
		t.Errorf("compiled %d times", compiled)
	}
}

func TestTheKeptSiteIsPrivate(t *testing.T) {
	dir, file := kept(t, &fake{}, "one")
	for path, want := range map[string]fs.FileMode{dir: fs.ModeDir | 0o700, file: 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v; want %v", path, info.Mode(), err, want)
		}
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 4 { // the others spare work, or say what served
		t.Errorf("state directory has %v", entries)
	}
}

// Neither a cut nor a flipped bit anywhere may serve, or do worse.
func TestNoDamagedKeptSiteServes(t *testing.T) {
	dir, file := kept(t, &fake{}, "one")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	try := func(what string, at int, damaged []byte) {
		t.Helper()
		if err := os.WriteFile(file, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		k := newKeeper(away(), &logs{}, stateDir(dir))
		if err := k.Refresh(t.Context()); err == nil || k.Current() != nil {
			t.Fatalf("%s at byte %d of %d serves", what, at, len(data))
		}
	}
	for i := range data {
		try("cut", i, data[:i])
		flipped := bytes.Clone(data)
		flipped[i] ^= 1 << (i % 8)
		try("flipped", i, flipped)
	}
	try("more", len(data), append(bytes.Clone(data), 0))
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	k := newKeeper(away(), &logs{}, stateDir(dir))
	if err := k.Refresh(t.Context()); err == nil {
		t.Fatal("no error from a source that is away")
	}
	serves(t, k, "one")
}

type other struct{ *fake }

func (other) String() string { return "another source" }

func TestTheKeptSiteOfAnotherSourceIsIgnored(t *testing.T) {
	dir, _ := kept(t, &fake{}, "one")
	log := &logs{}
	k := newKeeper(other{away()}, log, stateDir(dir))
	if err := k.Refresh(t.Context()); err == nil {
		t.Error("no error from a source that is away")
	}
	serves(t, k, "")
	if r := log.find("kept site is of another source, ignoring it"); len(r) != 1 || r[0].attrs["kept"] != "fake" {
		t.Errorf("said %v", r)
	}
}

func TestAKeptSiteThatNoLongerCompilesIsIgnored(t *testing.T) {
	src := &fake{}
	dir, _ := kept(t, src, "one")
	src.set("two", tree(t, site("two")))
	if err := flip(filepath.Join(dir, readyName), 0); err != nil { // as another version finds it
		t.Fatal(err)
	}
	log := &logs{}
	old := compile(func(ctx context.Context, tree fs.FS) (*schema.Catalog, schema.Diagnostics) {
		cat, diags := schema.NewCompiler().Compile(ctx, tree)
		if cat != nil && cat.Site.Name == "one" {
			return nil, schema.Diagnostics{{Severity: schema.Error, Pos: schema.Position{File: "site.cue"}, Message: "gone in this version"}}
		}
		return cat, diags
	})
	k := newKeeper(src, log, stateDir(dir), compiler(old))
	refresh(t, k)
	serves(t, k, "two")
	if n := len(log.find("kept site does not compile with this version, ignoring it")); n != 1 {
		t.Errorf("said %d times", n)
	}
	if r := log.find("diagnostic"); len(r) != 1 || r[0].attrs["message"] != "gone in this version" {
		t.Errorf("diagnostics %v", r)
	}
}

func TestAStateDirThatCannotBeWrittenCostsAWarningPerRevision(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(dir, nil, 0o600); err != nil { // a file where the directory should be
		t.Fatal(err)
	}
	src, log := &fake{}, &logs{}
	k := newKeeper(src, log, stateDir(dir))
	for _, id := range []string{"one", "two"} {
		src.set(id, tree(t, site(id)))
		for range 3 {
			refresh(t, k)
			serves(t, k, id)
		}
	}
	if n := len(log.find("site cannot be kept on disk: a restart will need its source")); n != 2 {
		t.Errorf("warned %d times for 2 revisions", n)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	refresh(t, k) // nothing new, but now it can be written
	k = newKeeper(away(), &logs{}, stateDir(dir))
	if err := k.Refresh(t.Context()); err == nil {
		t.Error("no error from a source that is away")
	}
	serves(t, k, "two")
}

func TestAnInterruptedWriteLeavesTheOldSite(t *testing.T) {
	src := &fake{}
	dir, file := kept(t, src, "one")
	if err := os.WriteFile(file+".new", []byte("half"), 0o400); err != nil {
		t.Fatal(err)
	}
	k := newKeeper(src, &logs{}, stateDir(dir))
	refresh(t, k)
	serves(t, k, "one")
	src.set("two", tree(t, site("two")))
	refresh(t, k)
	if entries, _ := os.ReadDir(dir); len(entries) != 5 { // two sites; the others spare work, or say what served
		t.Errorf("state directory has %v", entries)
	}
}

var _ snapshot.Compiler = (*schema.Compiler)(nil)

func TestWhatOnlySparesWorkMayBeDamaged(t *testing.T) {
	src := &fake{}
	dir, _ := kept(t, src, "one")
	ready := filepath.Join(dir, readyName)
	for _, name := range []string{readyName, "compiled.cache"} {
		file := filepath.Join(dir, name)
		if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
			t.Fatalf("%v, %v", info, err)
		}
		for _, damage := range []struct {
			name string
			said bool
			do   func() error
		}{
			{"whole", false, func() error { return nil }},
			{"cut off", true, func() error { return os.Truncate(file, 100) }},
			{"empty", true, func() error { return os.Truncate(file, 0) }},
			{"of another program", true, func() error { return flip(file, 0) }},
			{"damaged", true, func() error { return flip(file, 70) }},
			{"gone", false, func() error { return os.Remove(file) }},
		} {
			if err := damage.do(); err != nil {
				t.Fatal(err)
			}
			if file != ready {
				if err := os.Remove(ready); err != nil { // so that the site is compiled
					t.Fatal(err)
				}
			}
			log := &logs{}
			k := newKeeper(src, log, stateDir(dir))
			refresh(t, k)
			serves(t, k, "one")
			if said := len(log.find("site is compiled from its sources")) > 0; said != damage.said {
				t.Errorf("%s, %s: said so: %v", name, damage.name, said)
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s, %s: not kept again: %v", name, damage.name, err)
			}
		}
	}
}

// flip changes one bit of a file.
func flip(file string, at int) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	data[at] ^= 1
	return os.WriteFile(file, data, 0o600)
}
