package source_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/x2broker/x2broker/broker/source"
)

func files(pairs ...string) map[string][]byte {
	m := map[string][]byte{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = []byte(pairs[i+1])
	}
	return m
}

func mustTree(t *testing.T, files map[string][]byte) *source.Tree {
	t.Helper()
	tree, err := source.FromFiles(files)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// contents gives what a tree keeps.
func contents(tree *source.Tree) map[string]string {
	m := map[string]string{}
	for path, data := range tree.Files() {
		m[path] = string(data)
	}
	return m
}

func TestTreeIsAFileSystem(t *testing.T) {
	tree := mustTree(t, files(
		"site.cue", "site: name: \"a\"", "empty.cue", "",
		"profiles/staff/one.cue", "1", "profiles/staff/two.cue", "22",
		"policy/access.rego", "package x", "profiles-old/a.cue", "3",
	))
	err := fstest.TestFS(tree, "site.cue", "empty.cue", "profiles/staff/one.cue", "profiles/staff/two.cue",
		"policy/access.rego", "profiles-old/a.cue")
	if err != nil {
		t.Error(err)
	}
	if err := fstest.TestFS(mustTree(t, nil)); err != nil {
		t.Error("empty tree:", err)
	}
}

func TestTreeOfManyFilesIsAFileSystem(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		element := rapid.StringMatching(`[a-zäß0-9-]{1,3}`)
		paths := rapid.MapOfN(rapid.Custom(func(rt *rapid.T) string {
			return strings.Join(rapid.SliceOfN(element, 1, 4).Draw(rt, "dirs"), "/") + ".cue"
		}), rapid.SliceOf(rapid.Byte()), 0, 20).Draw(rt, "files")
		tree, err := source.FromFiles(paths)
		if err != nil {
			rt.Fatal(err)
		}
		var names []string
		for path, data := range paths {
			names = append(names, path)
			if got, err := tree.ReadFile(path); err != nil || string(got) != string(data) {
				rt.Fatalf("ReadFile(%q) = %q, %v; want %q", path, got, err, data)
			}
		}
		if err := fstest.TestFS(tree, names...); err != nil {
			rt.Fatal(err)
		}
		again, err := source.FromFS(tree)
		if err != nil || again.Digest() != tree.Digest() {
			rt.Fatalf("read back: %v", err)
		}
	})
}

func TestTreeCannotBeChangedThroughWhatItGives(t *testing.T) {
	tree := mustTree(t, files("a.cue", "old", "b.cue", "b"))
	data, _ := tree.ReadFile("a.cue")
	copy(data, "new")
	entries, _ := tree.ReadDir(".")
	entries[0] = entries[1]
	f, _ := tree.Open(".")
	entries, _ = f.(fs.ReadDirFile).ReadDir(-1)
	entries[0] = entries[1]
	if data, _ := tree.ReadFile("a.cue"); string(data) != "old" {
		t.Errorf("content is now %q", data)
	}
	if entries, _ := tree.ReadDir("."); entries[0].Name() != "a.cue" {
		t.Errorf("first entry is now %q", entries[0].Name())
	}
}

func TestTreeKeepsOnlyWhatTheBrokerReads(t *testing.T) {
	tree, err := source.FromFS(fstest.MapFS{
		"site.cue":            {Data: []byte("x")},
		"_draft.cue":          {Data: []byte("x")},
		"cue.mod/module.cue":  {Data: []byte("x")},
		"policy/a.rego":       {Data: []byte("x")},
		"README.md":           {Data: []byte("long")},
		"link.cue":            {Data: []byte("site.cue"), Mode: fs.ModeSymlink},
		"pipe.cue":            {Mode: fs.ModeNamedPipe},
		".git/config.cue":     {Data: []byte("x")},
		"profiles/_old/a.cue": {Data: []byte("x")},
		"profiles/.tmp/a.cue": {Data: []byte("x")},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"site.cue": "x", "_draft.cue": "x", "cue.mod/module.cue": "x", "policy/a.rego": "x"}
	if diff := cmp.Diff(want, contents(tree)); diff != "" {
		t.Errorf("kept files (-want +got):\n%s", diff)
	}
	for path, want := range map[string]fs.FileMode{
		"README.md": 0, "link.cue": fs.ModeSymlink, "pipe.cue": fs.ModeNamedPipe, ".git": fs.ModeDir, "profiles/_old": fs.ModeDir,
	} {
		info, err := tree.Stat(path)
		if err != nil || info.Mode().Type() != want {
			t.Errorf("%s: mode %v, %v; want type %v", path, info, err, want)
		}
	}
	for _, path := range []string{"README.md", "link.cue", "pipe.cue"} {
		if data, err := tree.ReadFile(path); err == nil || !strings.Contains(err.Error(), path+": content not kept") {
			t.Errorf("ReadFile(%s) = %q, %v", path, data, err)
		}
		f, err := tree.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(f); err == nil || !strings.Contains(err.Error(), "content not kept") {
			t.Errorf("read %s: %v", path, err)
		}
	}
	if entries, err := tree.ReadDir(".git"); err != nil || len(entries) > 0 {
		t.Errorf(".git has %v, %v", entries, err)
	}
}

func TestFromFilesGivesWhatADirectoryWouldGive(t *testing.T) {
	paths := []string{"a.cue", "b/c.cue", "b/_d/e.cue", "b/_d/f/g.cue", ".h/i.cue", "b/_j.cue", "k.txt"}
	fsys, data := fstest.MapFS{}, map[string][]byte{}
	for _, path := range paths {
		fsys[path], data[path] = &fstest.MapFile{Data: []byte(path)}, []byte(path)
	}
	want, err := source.FromFS(fsys)
	if err != nil {
		t.Fatal(err)
	}
	list := func(tree *source.Tree) (names []string) {
		_ = fs.WalkDir(tree, ".", func(path string, e fs.DirEntry, err error) error {
			names = append(names, path)
			return err
		})
		return names
	}
	if diff := cmp.Diff(list(want), list(mustTree(t, data))); diff != "" {
		t.Errorf("entries (-FromFS +FromFiles):\n%s", diff)
	}
}

func TestTreeErrors(t *testing.T) {
	tree := mustTree(t, files("a/b.cue", "x"))
	for _, name := range []string{"", "/a", "a/", "a//b.cue", "../a", "a\xff"} {
		if _, err := tree.Open(name); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("Open(%q): %v", name, err)
		}
	}
	if _, err := tree.Open("a/c.cue"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, err := tree.ReadDir("a/b.cue"); !errors.Is(err, fs.ErrExist) && err == nil {
		t.Error("a file was listed as a directory")
	}
	if _, err := tree.ReadFile("a"); err == nil {
		t.Error("a directory was read as a file")
	}
}

func TestTreeLimits(t *testing.T) {
	many := map[string][]byte{}
	for i := range source.MaxEntries + 1 {
		many[fmt.Sprintf("%06d.txt", i)] = nil
	}
	big := map[string][]byte{}
	block := make([]byte, source.MaxFileBytes)
	for i := range source.MaxTreeBytes/source.MaxFileBytes + 1 {
		big[fmt.Sprintf("%03d.cue", i)] = block
	}
	deep := strings.Repeat("d/", source.MaxDepth-1)
	long := strings.Repeat("l", source.MaxPathBytes-4)
	for _, c := range []struct {
		name  string
		files map[string][]byte
		want  []string // parts of the error; none: no error
	}{
		{"one file too long", map[string][]byte{"a/big.cue": append(block, 0)}, []string{`"a/big.cue"`, "1048576 bytes"}},
		{"a file just short enough", map[string][]byte{"a/big.cue": block}, nil},
		{"a long file that is not kept", map[string][]byte{"a/big.iso": append(block, 0)}, nil},
		{"all files too long together", big, []string{`"256.cue"`, "268435456 bytes"}},
		{"too many entries", many, []string{`"100000.txt"`, "100000 files"}},
		{"too deep", files(deep+"d/x.cue", ""), []string{`"d/d/`, "64 directories"}},
		{"just shallow enough", files(deep+"x.cue", ""), nil},
		{"path too long", files(long+"x.cue", ""), []string{`"lll`, "1024 bytes"}},
		{"path just short enough", files(long+".cue", ""), nil},
		{"control character", files("a\x1b[2J.cue", ""), []string{`"a\x1b[2J.cue"`, "control character"}},
		{"backslash", files(`a\b.cue`, ""), []string{`"a\\b.cue"`, "backslash"}},
		{"not UTF-8", files("b\xfcro.cue", ""), []string{`"b\xfcro.cue"`, "not a path"}},
		{"outside", files("../x.cue", ""), []string{`"../x.cue"`}},
		{"file and directory", files("a", "", "a/b.cue", ""), []string{`"a/b.cue"`, `"a" is a file`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tree, err := source.FromFiles(c.files)
			if len(c.want) == 0 {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || tree != nil {
				t.Fatalf("accepted (%v, %v)", tree, err)
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q lacks %q", err, part)
				}
			}
		})
	}
}

func TestDigestTellsTreesApart(t *testing.T) {
	seen := map[string]string{}
	for name, fsys := range map[string]fstest.MapFS{
		"empty":            {},
		"a file":           {"a.cue": {Data: []byte("bc")}},
		"run together":     {"a.cue": {Data: []byte("bc.cuec")}},
		"other name":       {"b.cue": {Data: []byte("bc")}},
		"two files":        {"a.cue": {Data: []byte("b")}, "c.cue": {Data: []byte("c")}},
		"a link":           {"a.cue": {Mode: fs.ModeSymlink}},
		"a pipe":           {"a.cue": {Mode: fs.ModeNamedPipe}},
		"an empty file":    {"a.cue": {}},
		"file in a folder": {"a/a.cue": {Data: []byte("bc")}},
	} {
		tree, err := source.FromFS(fsys)
		if err != nil {
			t.Fatal(err)
		}
		digest := tree.Digest()
		if len(digest) != len("files-")+12 {
			t.Errorf("%s: digest %q", name, digest)
		}
		if other, ok := seen[digest]; ok {
			t.Errorf("%q and %q have the digest %s", name, other, digest)
		}
		seen[digest] = name
	}
	with, _ := source.FromFS(fstest.MapFS{"a.cue": {}, "README.md": {Data: []byte("x")}})
	without, _ := source.FromFS(fstest.MapFS{"a.cue": {}})
	if with.Digest() != without.Digest() {
		t.Error("a file that is not read changes the digest")
	}
}

func TestATreeSurvivesBeingTakenApart(t *testing.T) {
	want, err := source.FromFS(fstest.MapFS{
		"site.cue":         {Data: []byte("package site\n")},
		"a/b/c.cue":        {Data: []byte("package site\n")},
		"a/README.md":      {Data: []byte("not kept")},
		"a/link.cue":       {Mode: fs.ModeSymlink},
		"policy/x.rego":    {Data: []byte("package x2go.site.x\n")},
		".git/config":      {Data: []byte("hidden")},
		"_drafts/old.cue":  {Data: []byte("hidden")},
		"empty":            {Mode: fs.ModeDir},
		"a/submodule/seen": {Mode: fs.ModeIrregular},
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := source.FromEntries(maps.Collect(want.Entries()))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(maps.Collect(want.Entries()), maps.Collect(got.Entries())); diff != "" || want.Digest() != got.Digest() {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
