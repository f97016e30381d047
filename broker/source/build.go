package source

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
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

// FromFS reads a tree from a file system, such as the embedded demo site.
// Symbolic links are not followed. Errors name the file.
func FromFS(fsys fs.FS) (*Tree, error) {
	return fromFS(context.Background(), fsys)
}

func fromFS(ctx context.Context, fsys fs.FS) (*Tree, error) {
	b := newBuilder()
	if err := b.addFS(ctx, fsys, "."); err != nil {
		return nil, err
	}
	return b.finish(), nil
}

// FromFiles makes a tree of files, path to content, as if they lay in a
// directory. It takes over the contents, which must not be changed afterwards.
// Errors name the file.
func FromFiles(files map[string][]byte) (*Tree, error) {
	b := newBuilder()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if !fs.ValidPath(name) || name == "." {
			return nil, fmt.Errorf("%q: not a path inside a site", name)
		}
		inside, err := b.addParents(path.Dir(name))
		if err != nil {
			return nil, err
		}
		if !inside {
			continue
		}
		err = b.addFile(name, func() ([]byte, error) {
			if len(files[name]) > MaxFileBytes {
				return nil, errTooLong
			}
			return files[name], nil
		})
		if err != nil {
			return nil, err
		}
	}
	return b.finish(), nil
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
	for _, name := range slices.Sorted(maps.Keys(t.nodes)) {
		n := t.nodes[name]
		if n.IsDir() || n.mode.IsRegular() && !n.kept {
			continue
		}
		field([]byte(name))
		field([]byte(n.mode.Type().String()))
		field(n.data)
	}
	return "files-" + hex.EncodeToString(h.Sum(nil)[:6])
}

// hidden reports whether a name belongs to the site's tools and not to the
// site: such directories are not descended into.
func hidden(name string) bool { return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") }

// keeps reports whether a regular file's bytes are kept.
func keeps(name string) bool {
	return strings.HasSuffix(name, ".cue") || strings.HasSuffix(name, ".rego")
}

// builder collects the entries of a tree and holds the limits.
type builder struct {
	tree *Tree
	kept int // bytes
}

func newBuilder() *builder {
	return &builder{tree: &Tree{nodes: map[string]*node{".": {name: ".", mode: fs.ModeDir | 0o555}}}}
}

// finish hands the tree over; the builder must not be used again.
func (b *builder) finish() *Tree {
	for _, n := range b.tree.nodes {
		slices.SortFunc(n.children, func(a, b fs.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
	}
	return b.tree
}

// addFS adds the directory dir of fsys and all below it.
func (b *builder) addFS(ctx context.Context, fsys fs.FS, dir string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	entries, err := fs.ReadDir(fsys, dir)
	if err != nil {
		return fmt.Errorf("%q: %w", dir, err)
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		switch {
		case e.IsDir():
			err = b.add(name, &node{mode: fs.ModeDir | 0o555})
			if err == nil && !hidden(e.Name()) {
				err = b.addFS(ctx, fsys, name)
			}
		case !e.Type().IsRegular():
			err = b.add(name, &node{mode: e.Type() | 0o444})
		default:
			err = b.addFile(name, func() ([]byte, error) { return readFile(fsys, name) })
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// errTooLong is what a reader of kept files returns beyond its limit.
var errTooLong = fmt.Errorf("more than %d bytes: split the file", MaxFileBytes)

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

// addFile adds a regular file. read is called only when the content is to be
// kept, and gives errTooLong for more than MaxFileBytes.
func (b *builder) addFile(name string, read func() ([]byte, error)) error {
	n := &node{mode: 0o444, kept: keeps(name)}
	if err := b.add(name, n); err != nil || !n.kept {
		return err
	}
	data, err := read()
	if err != nil {
		return fmt.Errorf("%q: %w", name, err)
	}
	n.data = data
	if b.kept += len(data); b.kept > MaxTreeBytes {
		return fmt.Errorf("%q: with this file the site has more than %d bytes of *.cue and *.rego: make it smaller", name, MaxTreeBytes)
	}
	return nil
}

// add puts a node into the tree, below a directory that is there already.
func (b *builder) add(name string, n *node) error {
	dir, base := path.Split(name)
	if err := checkName(name, base); err != nil {
		return err
	}
	if len(b.tree.nodes) > MaxEntries { // the root does not count
		return fmt.Errorf("%q: the site has more than %d files and directories: make it smaller", name, MaxEntries)
	}
	if _, twice := b.tree.nodes[name]; twice {
		return fmt.Errorf("%q: there twice in one directory: the tree is damaged", name)
	}
	parent := b.tree.nodes[path.Clean(dir)]
	if !parent.IsDir() {
		return fmt.Errorf("%q: %q is a file, not a directory", name, path.Clean(dir))
	}
	n.name = base
	parent.children = append(parent.children, n)
	b.tree.nodes[name] = n
	return nil
}

// addParents adds a directory and those above it, as far as they are missing.
// It reports whether files in it belong to the tree: not below a hidden one.
func (b *builder) addParents(dir string) (inside bool, err error) {
	if dir == "." {
		return true, nil
	}
	inside, err = b.addParents(path.Dir(dir))
	if err != nil || !inside {
		return false, err
	}
	if b.tree.nodes[dir] == nil {
		err = b.add(dir, &node{mode: fs.ModeDir | 0o555})
	}
	return !hidden(path.Base(dir)), err
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
