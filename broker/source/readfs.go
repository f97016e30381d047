package source

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"path"
)

// FromFS reads a tree from a file system, such as the embedded demo site.
// Symbolic links are not followed. Errors name the file.
func FromFS(fsys fs.FS) (*Tree, error) {
	return fromFS(context.Background(), fsys, nil, nil)
}

// fromFS reads what old, which may be nil, does not have already. stamp gives a
// file's origin from what the file system says of it; nil gives none.
func fromFS(ctx context.Context, fsys fs.FS, old *Tree, stamp func(fs.FileInfo) origin) (*Tree, error) {
	b := &builder{}
	r := &fsReader{b, fsys, stamp}
	root := newDir(".")
	if err := r.fill(ctx, root, old.rootNode()); err != nil {
		return nil, err
	}
	if old != nil && sameDir(root, old.root) {
		return old, nil
	}
	return &Tree{root}, nil
}

// fsReader adds what a file system has.
type fsReader struct {
	*builder
	fsys  fs.FS
	stamp func(fs.FileInfo) origin
}

// fill reads the directory dir and all below it. before is the same directory
// in an older tree, or nil.
func (r *fsReader) fill(ctx context.Context, dir, before *node) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	entries, err := fs.ReadDir(r.fsys, dir.path)
	if err != nil {
		return fmt.Errorf("%q: %w", dir.path, err)
	}
	for _, e := range entries {
		name := path.Join(dir.path, e.Name())
		switch {
		case e.IsDir():
			err = r.fillChild(ctx, dir, newDir(name), before.old(name))
		case !e.Type().IsRegular():
			err = r.add(dir, reuse(before.old(name), &node{path: name, mode: e.Type() | 0o444}))
		default:
			err = r.file(dir, name, e, before.old(name))
		}
		if err != nil {
			return err
		}
	}
	return dir.finish()
}

func (r *fsReader) fillChild(ctx context.Context, parent, dir, before *node) error {
	if err := r.add(parent, dir); err != nil {
		return err
	}
	if !hidden(dir.Name()) {
		if err := r.fill(ctx, dir, before); err != nil {
			return err
		}
	}
	if before != nil && sameDir(dir, before) {
		parent.children[len(parent.children)-1] = before
	}
	return nil
}

func (r *fsReader) file(dir *node, name string, e fs.DirEntry, before *node) error {
	n := &node{path: name, mode: 0o444}
	if !keeps(name) {
		return r.add(dir, reuse(before, n))
	}
	if r.stamp != nil {
		info, err := e.Info()
		if err != nil {
			return fmt.Errorf("%q: %w", name, err)
		}
		n.origin = r.stamp(info)
	}
	if before != nil && before.kept && n.origin != nil && before.origin == n.origin {
		return r.share(dir, before)
	}
	return r.addFile(dir, n, func() ([]byte, error) { return readFile(r.fsys, name) })
}

// reuse gives before, if it says the same of an entry without content as n.
func reuse(before, n *node) *node {
	if before != nil && before.mode == n.mode && !before.kept {
		return before
	}
	return n
}

func readFile(fsys fs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxFileBytes+1))
	if len(data) > MaxFileBytes {
		return nil, errTooLong
	}
	return data, err
}
