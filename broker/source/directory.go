package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"
)

// Directory reads the files of a directory as they lie; a .git in it is never
// looked at. Nothing outside the directory is read, whatever links say. Only
// what has changed since the last Fetch is read again.
type Directory struct {
	path string // absolute

	mu   sync.Mutex
	tree *Tree    // as the last Fetch found it
	rev  Revision // its revision
}

// String gives the directory's absolute path.
func (d *Directory) String() string { return d.path }

// Fetch looks at all files. The revision's id is their digest, its time that of
// the newest file, so it may go back when that file is deleted.
func (d *Directory) Fetch(ctx context.Context) (Revision, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.read(ctx)
}

// Tree gives the files that Fetch found, or, if there was another Fetch since,
// the files of now; those must still be the same.
func (d *Directory) Tree(ctx context.Context, rev Revision) (*Tree, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.rev.ID != rev.ID {
		if _, err := d.read(ctx); err != nil {
			return nil, err
		}
	}
	if d.rev.ID != rev.ID {
		return nil, fmt.Errorf("site directory %q: no longer as in %s: fetch again", d.path, rev.ID)
	}
	return d.tree, nil
}

func (d *Directory) read(ctx context.Context) (Revision, error) {
	root, err := os.OpenRoot(d.path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return Revision{}, fmt.Errorf("site directory %q not found: create it, or correct the site's url", d.path)
		}
		return Revision{}, fmt.Errorf("site directory %q: %w", d.path, err)
	}
	defer root.Close()
	if looksBare(root) {
		return Revision{}, fmt.Errorf("site directory %q: looks like a bare Git repository: write file://%s", d.path, d.path)
	}
	// Whoever names a directory by mistake should not wait until all below it
	// has been read.
	if names, err := fs.Glob(root.FS(), "*.cue"); err != nil || len(names) == 0 {
		return Revision{}, fmt.Errorf("site directory %q has no CUE file: is it the root of a site?", d.path)
	}
	tree, err := d.readSettled(ctx, root.FS())
	if err != nil {
		return Revision{}, fmt.Errorf("site directory %q: %w", d.path, err)
	}
	if tree == d.tree {
		return d.rev, nil
	}
	if id := tree.Digest(); id != d.rev.ID {
		d.rev = Revision{ID: id, Time: newest(root, tree)}
	}
	d.tree = tree
	return d.rev, nil
}

// readSettled reads again when a file vanished between being listed and being
// opened, as happens while an editor or a checkout replaces files.
func (d *Directory) readSettled(ctx context.Context, fsys fs.FS) (tree *Tree, err error) {
	for range 3 {
		now := time.Now()
		stamp := func(info fs.FileInfo) origin { return stampOf(info, now) }
		if tree, err = fromFS(ctx, fsys, d.tree, stamp); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return tree, err
}

// looksBare reports whether the directory is what `git init --bare` makes.
func looksBare(root *os.Root) bool {
	head, err := root.Stat("HEAD")
	if err != nil || !head.Mode().IsRegular() {
		return false
	}
	for _, name := range []string{"objects", "refs"} {
		if info, err := root.Stat(name); err != nil || !info.IsDir() {
			return false
		}
	}
	return true
}

func newest(root *os.Root, t *Tree) time.Time {
	var newest time.Time
	for name := range t.Files() {
		if info, err := root.Stat(name); err == nil && info.ModTime().After(newest) {
			newest = info.ModTime()
		}
	}
	return newest.UTC()
}
