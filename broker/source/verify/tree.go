package verify

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
)

// leaf is a file, symbolic link or submodule as a tree has it; zero: none.
type leaf struct {
	mode string
	hash plumbing.Hash
}

// folder is the content of a directory; nil: none.
type folder map[string]leaf

const modeFolder = "40000"

// differ compares trees.
type differ struct {
	ctx     context.Context
	objects Objects
	left    int // entries that may still be looked at
	cache   map[plumbing.Hash]folder
	cached  int // entries in cache
}

// maxCached is how many entries a differ keeps: a commit has most directories
// in common with its parents.
const maxCached = 300_000

func newDiffer(ctx context.Context, objects Objects) *differ {
	return &differ{ctx: ctx, objects: objects, left: maxEntries, cache: map[plumbing.Hash]folder{}}
}

// badTreeError is a tree that Git would not have written.
type badTreeError struct{ text string }

func (e *badTreeError) Error() string { return e.text }

// own calls visit with each path, in order, that a commit of the tree changes
// by itself, until visit gives false. A file that was renamed is one that has
// gone and one that is new; a file that became a symbolic link, or executable,
// is changed.
func (d *differ) own(tree plumbing.Hash, parents, bases []plumbing.Hash, visit func(path string) bool) error {
	if len(parents) == 0 {
		parents = []plumbing.Hash{plumbing.ZeroHash} // before the first commit there is nothing
	}
	_, err := d.walk("", tree, parents, bases, visit)
	return err
}

// expect gives what a merge of whole files gives for one path, false for a
// conflict. With one parent that is the parent's version.
func expect[T comparable](parents, bases []T) (want T, ok bool) {
	if len(parents) == 1 {
		return parents[0], true
	}
	ours, theirs := parents[0], parents[1]
	all := func(v T) bool { return !slices.ContainsFunc(bases, func(b T) bool { return b != v }) }
	switch {
	case ours == theirs:
		return ours, true
	case all(ours):
		return theirs, true
	case all(theirs):
		return ours, true
	}
	return want, false
}

// walk goes through a directory as it is in the commit, its parents and their
// bases; a zero hash is a directory that is not there.
func (d *differ) walk(dir string, tree plumbing.Hash, parents, bases []plumbing.Hash, visit func(string) bool) (more bool, err error) {
	if want, ok := expect(parents, bases); ok && want == tree {
		return true, nil
	}
	if strings.Count(dir, "/") > maxDepth {
		return false, &badTreeError{fmt.Sprintf("has directories more than %d deep: make them fewer", maxDepth)}
	}
	folders := make([]folder, 0, 1+len(parents)+len(bases))
	for _, hash := range slices.Concat([]plumbing.Hash{tree}, parents, bases) {
		f, err := d.read(dir, hash)
		if err != nil {
			return false, err
		}
		folders = append(folders, f)
	}
	split := 1 + len(parents)
	for _, name := range differing(folders) {
		leaves := make([]leaf, len(folders))
		trees := make([]plumbing.Hash, len(folders))
		for i, f := range folders {
			if e := f[name]; e.mode == modeFolder {
				trees[i] = e.hash
			} else {
				leaves[i] = e
			}
		}
		if want, ok := expect(leaves[1:split], leaves[split:]); !ok || want != leaves[0] {
			if !visit(dir + name) {
				return false, nil
			}
		}
		if more, err := d.walk(dir+name+"/", trees[0], trees[1:split], trees[split:], visit); !more || err != nil {
			return more, err
		}
	}
	return true, nil
}

// differing gives the names, sorted, that are not the same in all folders.
func differing(folders []folder) []string {
	names := map[string]bool{}
	for _, f := range folders {
		for name, e := range f {
			if slices.ContainsFunc(folders, func(other folder) bool { return other[name] != e }) {
				names[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// read gives a directory.
func (d *differ) read(dir string, hash plumbing.Hash) (folder, error) {
	if hash.IsZero() {
		return nil, nil
	}
	f, ok := d.cache[hash]
	if !ok {
		if err := d.ctx.Err(); err != nil {
			return nil, context.Cause(d.ctx)
		}
		data, err := d.objects.Object(plumbing.TreeObject, hash)
		if err != nil {
			return nil, fmt.Errorf("directory %q: %w", plain(dir), err)
		}
		if f, err = parseTree(dir, data); err != nil {
			return nil, err
		}
		if d.cached += len(f); d.cached > maxCached {
			clear(d.cache)
			d.cached = len(f)
		}
		d.cache[hash] = f
	}
	if d.left -= len(f); d.left < 0 {
		return nil, fmt.Errorf("the commits that are not accepted yet change too much to compare, more than %d entries of directories: look at them, and set verify.since to a later commit", maxEntries)
	}
	return f, nil
}

// parseTree reads a directory strictly: a name that is there twice could be
// one file here and another where it is served.
func parseTree(dir string, data []byte) (folder, error) {
	bad := func(what string) (folder, error) {
		return nil, &badTreeError{fmt.Sprintf("has %s in the directory %q: run git fsck on the repository", what, plain("/"+dir))}
	}
	f := folder{}
	for len(data) > 0 {
		head, rest, ok := bytes.Cut(data, []byte{0})
		mode, name, spaced := strings.Cut(string(head), " ")
		if !ok || !spaced || len(rest) < 20 {
			return bad("an entry without an end")
		}
		switch mode {
		case "100644", "100755", "100664", "120000", "160000", modeFolder:
		default:
			return bad("an entry of no known kind")
		}
		if name == "" || name == "." || name == ".." || strings.EqualFold(name, ".git") || strings.Contains(name, "/") {
			return bad(fmt.Sprintf("the name %q", plain(name)))
		}
		if _, twice := f[name]; twice {
			return bad(fmt.Sprintf("the name %q twice", plain(name)))
		}
		e := leaf{mode: mode, hash: plumbing.Hash(rest[:20])}
		if e.hash.IsZero() {
			return bad(fmt.Sprintf("nothing under the name %q", plain(name)))
		}
		f[name] = e
		data = rest[20:]
	}
	return f, nil
}
