package source

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// readTree reads the files of a commit. What old, which may be nil, has under
// the same hash at the same path is taken from there: of a commit of one file
// only that file is read, and the directories above it.
func readTree(ctx context.Context, dir string, commit plumbing.Hash, old *Tree) (*Tree, error) {
	root := newDir(".")
	err := withStore(dir, false, func(s *store) error {
		c, err := s.commit(commit)
		if err != nil {
			return err
		}
		r := &gitReader{&builder{}, s}
		return r.fill(ctx, root, c.TreeHash, old.rootNode())
	})
	if err != nil {
		return nil, err
	}
	return &Tree{root}, nil
}

// gitReader adds what a commit has. The origin of its nodes is their hash.
type gitReader struct {
	*builder
	*store
}

// fill reads the tree object, which is dir, and all below it. before is the
// same directory in an older tree, or nil.
func (r *gitReader) fill(ctx context.Context, dir *node, hash plumbing.Hash, before *node) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	o, err := r.meta(plumbing.TreeObject, hash)
	if err != nil {
		return err
	}
	tree := &object.Tree{}
	if err := tree.Decode(o.encoded()); err != nil {
		return fmt.Errorf("tree %s: %w", hash, err)
	}
	for _, e := range tree.Entries {
		if e.Name == "" || e.Name == "." || e.Name == ".." || strings.Contains(e.Name, "/") {
			return fmt.Errorf("%q in %q: not a file name: run git fsck on the repository", e.Name, dir.path)
		}
		if err := r.entry(ctx, dir, e, before.old(e.Name)); err != nil {
			return err
		}
	}
	return dir.finish()
}

func (r *gitReader) entry(ctx context.Context, dir *node, e object.TreeEntry, before *node) error {
	n := &node{path: path.Join(dir.path, e.Name), mode: modeOf(e.Mode), origin: e.Hash}
	if before != nil && before.mode == n.mode && before.origin == n.origin {
		return r.share(dir, before)
	}
	switch {
	case n.IsDir():
		if err := r.add(dir, n); err != nil || hidden(e.Name) {
			return err
		}
		return r.fill(ctx, n, e.Hash, before)
	case n.mode.IsRegular():
		return r.addFile(dir, n, func() ([]byte, error) {
			o, err := r.read(plumbing.BlobObject, e.Hash, MaxFileBytes)
			if err != nil {
				return nil, err
			}
			return o.data, nil
		})
	}
	return r.add(dir, n)
}

func modeOf(mode filemode.FileMode) fs.FileMode {
	switch mode {
	case filemode.Dir:
		return fs.ModeDir | 0o555
	case filemode.Regular, filemode.Executable, filemode.Deprecated:
		return 0o444
	case filemode.Symlink:
		return fs.ModeSymlink | 0o444
	}
	return fs.ModeIrregular | 0o444 // a submodule, or what only a broken tree has
}
