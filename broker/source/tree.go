package source

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"time"
)

// Tree holds the files of one revision. It is an [fs.FS] that never changes
// and may be read from any number of goroutines.
//
// Only *.cue and *.rego files are kept with their bytes. All other entries are
// there with their type, so that a compiler can refuse what it must (symbolic
// links have [fs.ModeSymlink], submodules [fs.ModeIrregular]), but reading one
// is an error and its size is 0. Directories whose name begins with "." or "_"
// are there and look empty. No entry has a modification time.
//
// Trees of one source share what they have in common: a file that is the same
// in two revisions has the same bytes in memory.
type Tree struct {
	root *node
}

// node is one entry; it is its own fs.FileInfo and fs.DirEntry. Once its tree
// is finished it never changes, so that later trees may have it too.
type node struct {
	path     string // from the root, "." for the root
	mode     fs.FileMode
	kept     bool
	data     []byte
	children []fs.DirEntry // of a directory, sorted by name
	entries  int           // of a directory: what is below it
	bytes    int           // of a directory: of all kept files below it
	origin   origin
}

// origin says what a node was made of, as far as its source can tell without
// reading it: the same path of the same origin is the same node. It is
// comparable, and nil where nothing can be told.
type origin any

var (
	errNotKept = errors.New("content not kept: only regular *.cue and *.rego files are read")
	errIsDir   = errors.New("is a directory")
	errNotDir  = errors.New("not a directory")
	errOffset  = errors.New("offset before the start of the file")
)

var (
	_ fs.ReadDirFS  = (*Tree)(nil)
	_ fs.ReadFileFS = (*Tree)(nil)
	_ fs.StatFS     = (*Tree)(nil)
)

// Files gives the path and content of every kept file, sorted by path. The
// contents are the tree's own and must not be changed.
func (t *Tree) Files() iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		t.root.walk(func(n *node) bool { return !n.kept || yield(n.path, n.data) })
	}
}

// walk calls f for all below n that is no directory, sorted by path, until f
// gives false; it reports whether that never happened.
func (n *node) walk(f func(*node) bool) bool {
	// In the order of paths a directory comes where its name and a slash would.
	key := func(e fs.DirEntry) string {
		if e.IsDir() {
			return e.Name() + "/"
		}
		return e.Name()
	}
	byPath := func(a, b fs.DirEntry) int { return strings.Compare(key(a), key(b)) }
	children := n.children
	if slices.ContainsFunc(children, fs.DirEntry.IsDir) && !slices.IsSortedFunc(children, byPath) {
		children = slices.SortedFunc(slices.Values(children), byPath)
	}
	for _, e := range children {
		child := e.(*node)
		if child.IsDir() && !child.walk(f) || !child.IsDir() && !f(child) {
			return false
		}
	}
	return true
}

// Open implements [fs.FS].
func (t *Tree) Open(name string) (fs.File, error) {
	n, err := t.find("open", name)
	if err != nil {
		return nil, err
	}
	if n.IsDir() {
		return &openDir{node: n, path: name}, nil
	}
	return &openFile{node: n, path: name}, nil
}

// ReadDir implements [fs.ReadDirFS].
func (t *Tree) ReadDir(name string) ([]fs.DirEntry, error) {
	n, err := t.find("readdir", name)
	if err != nil {
		return nil, err
	}
	if !n.IsDir() {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: errNotDir}
	}
	return slices.Clone(n.children), nil
}

// ReadFile implements [fs.ReadFileFS]; the caller owns the bytes.
func (t *Tree) ReadFile(name string) ([]byte, error) {
	n, err := t.find("read", name)
	if err != nil {
		return nil, err
	}
	if err := n.readable(); err != nil {
		return nil, &fs.PathError{Op: "read", Path: name, Err: err}
	}
	return append(make([]byte, 0, len(n.data)), n.data...), nil
}

// Stat implements [fs.StatFS]. Symbolic links are never followed.
func (t *Tree) Stat(name string) (fs.FileInfo, error) {
	return t.find("stat", name)
}

func (t *Tree) find(op, name string) (*node, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	n := t.root
	for rest := name; n != nil && rest != "." && rest != ""; {
		var base string
		base, rest, _ = strings.Cut(rest, "/")
		n = n.child(base)
	}
	if n == nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	return n, nil
}

// child gives the entry of a finished directory with that name, or nil.
func (n *node) child(name string) *node {
	i, ok := slices.BinarySearchFunc(n.children, name, func(e fs.DirEntry, name string) int {
		return strings.Compare(e.Name(), name)
	})
	if !ok {
		return nil
	}
	return n.children[i].(*node)
}

func (n *node) readable() error {
	switch {
	case n.IsDir():
		return errIsDir
	case !n.kept:
		return errNotKept
	}
	return nil
}

func (n *node) Name() string               { return n.path[strings.LastIndexByte(n.path, '/')+1:] }
func (n *node) Size() int64                { return int64(len(n.data)) }
func (n *node) Mode() fs.FileMode          { return n.mode }
func (n *node) Type() fs.FileMode          { return n.mode.Type() }
func (n *node) ModTime() time.Time         { return time.Time{} }
func (n *node) IsDir() bool                { return n.mode.IsDir() }
func (n *node) Sys() any                   { return nil }
func (n *node) Info() (fs.FileInfo, error) { return n, nil }
func (n *node) String() string             { return fs.FormatDirEntry(n) }

type openFile struct {
	node   *node
	path   string
	offset int64
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.node, nil }
func (f *openFile) Close() error               { return nil }

func (f *openFile) Read(b []byte) (int, error) {
	n, err := f.ReadAt(b, f.offset)
	f.offset += int64(n)
	if n > 0 {
		err = nil
	}
	return n, err
}

func (f *openFile) ReadAt(b []byte, offset int64) (int, error) {
	if err := f.node.readable(); err != nil {
		return 0, &fs.PathError{Op: "read", Path: f.path, Err: err}
	}
	n, err := bytes.NewReader(f.node.data).ReadAt(b, offset)
	if err != nil && !errors.Is(err, io.EOF) {
		err = &fs.PathError{Op: "read", Path: f.path, Err: errOffset}
	}
	return n, err
}

func (f *openFile) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += f.offset
	case io.SeekEnd:
		offset += f.node.Size()
	}
	if offset < 0 {
		return 0, &fs.PathError{Op: "seek", Path: f.path, Err: errOffset}
	}
	f.offset = offset
	return offset, nil
}

type openDir struct {
	node *node
	path string
	next int
}

func (d *openDir) Stat() (fs.FileInfo, error) { return d.node, nil }
func (d *openDir) Close() error               { return nil }

func (d *openDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.path, Err: errIsDir}
}

func (d *openDir) ReadDir(count int) ([]fs.DirEntry, error) {
	rest := d.node.children[d.next:]
	if count > 0 {
		if len(rest) == 0 {
			return nil, io.EOF
		}
		rest = rest[:min(count, len(rest))]
	}
	d.next += len(rest)
	return slices.Clone(rest), nil
}
