package source

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What one tree may hold. A tree beyond a limit is refused as a whole.
const (
	MaxEntries   = 100_000   // files, directories, links and submodules together
	MaxFileBytes = 1 << 20   // of one *.cue or *.rego file
	MaxTreeBytes = 256 << 20 // of all of them
	MaxPathBytes = 1024      // of one path from the root
	MaxDepth     = 64        // elements of one path
)

// FromFiles makes a tree of files, path to content, as if they lay in a
// directory. It takes over the contents, which must not be changed afterwards.
// Errors name the file.
func FromFiles(files map[string][]byte) (*Tree, error) {
	b := &builder{}
	made := map[string]*node{".": newDir(".")}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if !fs.ValidPath(name) || name == "." {
			return nil, fmt.Errorf("%q: not a path inside a site", name)
		}
		inside, err := b.addParents(made, path.Dir(name))
		if err != nil {
			return nil, fmt.Errorf("%q: %w", name, err)
		}
		if !inside {
			continue
		}
		n := &node{path: name, mode: 0o444}
		made[name] = n
		err = b.addFile(made[path.Dir(name)], n, func() ([]byte, error) {
			if len(files[name]) > MaxFileBytes {
				return nil, errTooLong
			}
			return files[name], nil
		})
		if err != nil {
			return nil, err
		}
	}
	if err := finishAll(made["."]); err != nil {
		return nil, err
	}
	return &Tree{made["."]}, nil
}

// finishAll finishes a directory and all below it.
func finishAll(dir *node) error {
	for _, e := range dir.children {
		if e.IsDir() {
			if err := finishAll(e.(*node)); err != nil {
				return err
			}
		}
	}
	return dir.finish()
}

// Digest gives "files-" and 12 hex digits of a SHA-256 over the paths and
// contents of the kept files and over the paths and types of links and the
// like. Files that are not kept do not count.
func (t *Tree) Digest() string {
	h := sha256.New()
	field := func(b []byte) {
		var size [8]byte // lengths go first, so that no two trees give the same bytes
		binary.BigEndian.PutUint64(size[:], uint64(len(b)))
		h.Write(size[:])
		h.Write(b)
	}
	t.root.walk(func(n *node) bool {
		if n.kept || !n.mode.IsRegular() {
			field([]byte(n.path))
			field([]byte(n.mode.Type().String()))
			field(n.data)
		}
		return true
	})
	return "files-" + hex.EncodeToString(h.Sum(nil)[:6])
}

// hidden reports whether a name belongs to the site's tools and not to the
// site: such directories are not descended into.
func hidden(name string) bool { return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") }

// keeps reports whether a regular file's bytes are kept.
func keeps(name string) bool {
	return strings.HasSuffix(name, ".cue") || strings.HasSuffix(name, ".rego")
}

// rootNode gives the root; of no tree, nil.
func (t *Tree) rootNode() *node {
	if t == nil {
		return nil
	}
	return t.root
}

// builder holds the limits while nodes are put together to a tree. A directory
// is finished when all that it has was added; then it may be shared.
type builder struct {
	entries int
	kept    int // bytes
}

func newDir(name string) *node { return &node{path: name, mode: fs.ModeDir | 0o555} }

// finish makes n, a directory whose children are finished, fit to be read.
func (n *node) finish() error {
	slices.SortFunc(n.children, func(a, b fs.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
	for i, e := range n.children {
		child := e.(*node)
		if i > 0 && n.children[i-1].Name() == e.Name() {
			return fmt.Errorf("%q: there twice in one directory: the tree is damaged", child.path)
		}
		n.entries += 1 + child.entries
		n.bytes += child.bytes + len(child.data)
	}
	return nil
}

// sameDir reports whether two finished directories have the very same children.
func sameDir(a, b *node) bool { return b.IsDir() && slices.Equal(a.children, b.children) }

// old gives what an older tree has in the place of dir's child with this path.
// dir, in the older tree, may be nil or no directory.
func (n *node) old(name string) *node {
	if n == nil {
		return nil
	}
	return n.child(path.Base(name))
}

// errTooLong is what a reader of kept files returns beyond its limit.
var errTooLong = fmt.Errorf("more than %d bytes: split the file", MaxFileBytes)

// lfsPointer is how a file begins that Git LFS has put in the place of another.
var lfsPointer = []byte("version https://git-lfs.github.com/spec/")

var errLFS = errors.New("a pointer of Git LFS, not the file itself: take it out of LFS with git lfs untrack, and commit the file")

// addFile adds a regular file. read is called only when the content is to be
// kept, and gives errTooLong for more than MaxFileBytes.
func (b *builder) addFile(dir, n *node, read func() ([]byte, error)) error {
	n.kept = keeps(n.path)
	if err := b.add(dir, n); err != nil || !n.kept {
		return err
	}
	data, err := read()
	if err == nil && bytes.HasPrefix(data, lfsPointer) {
		err = errLFS
	}
	if err != nil {
		return fmt.Errorf("%q: %w", n.path, err)
	}
	n.data = data
	return b.keep(n, len(data))
}

// share adds a finished node of an older tree, which had it at the same path.
func (b *builder) share(dir, n *node) error {
	b.entries += n.entries
	if err := b.add(dir, n); err != nil {
		return err
	}
	return b.keep(n, n.bytes+len(n.data))
}

// keep counts the bytes of what is below n, or of n itself.
func (b *builder) keep(n *node, bytes int) error {
	if b.kept += bytes; b.kept > MaxTreeBytes {
		return fmt.Errorf("%q: with this the site has more than %d bytes of *.cue and *.rego: make it smaller", n.path, MaxTreeBytes)
	}
	return nil
}

// add puts a node into a directory.
func (b *builder) add(dir, n *node) error {
	if err := checkName(n.path, path.Base(n.path)); err != nil {
		return err
	}
	if b.entries++; b.entries > MaxEntries {
		return fmt.Errorf("%q: the site has more than %d files and directories: make it smaller", n.path, MaxEntries)
	}
	dir.children = append(dir.children, n)
	return nil
}

// addParents adds a directory and those above it, as far as they are not made
// yet. It reports whether files in it belong to the tree: not below a hidden one.
func (b *builder) addParents(made map[string]*node, name string) (inside bool, err error) {
	if name == "." {
		return true, nil
	}
	inside, err = b.addParents(made, path.Dir(name))
	if err != nil || !inside {
		return false, err
	}
	switch n := made[name]; {
	case n == nil:
		n = newDir(name)
		made[name] = n
		err = b.add(made[path.Dir(name)], n)
	case !n.IsDir():
		err = fmt.Errorf("%q is a file, not a directory", name)
	}
	return !hidden(path.Base(name)), err
}

// checkName refuses what an fs.FS cannot say and what would garble a terminal.
func checkName(name, base string) error {
	bad := func(r rune) bool { return unicode.IsControl(r) || r == '\\' }
	switch {
	case len(name) > MaxPathBytes:
		return fmt.Errorf("%q...: path of more than %d bytes: use shorter names", name[:80], MaxPathBytes)
	case strings.Count(name, "/") >= MaxDepth:
		return fmt.Errorf("%q: more than %d directories deep: use fewer", name, MaxDepth)
	case !utf8.ValidString(base):
		return fmt.Errorf("%q: file name is not UTF-8: rename it", name)
	case strings.ContainsFunc(base, bad):
		return fmt.Errorf("%q: file name with a control character or backslash: rename it", name)
	case !fs.ValidPath(name):
		return fmt.Errorf("%q: not a file name", name)
	}
	return nil
}
