package source

import (
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"path"
	"slices"
)

// Entry is one entry of a Tree, without its name.
type Entry struct {
	Mode fs.FileMode
	Data []byte // of a kept file
}

// Entries gives the path of every entry but the root, directories before what
// is in them. The contents are the tree's own and must not be changed.
func (t *Tree) Entries() iter.Seq2[string, Entry] {
	return func(yield func(string, Entry) bool) { t.root.each(yield) }
}

func (n *node) each(yield func(string, Entry) bool) bool {
	for _, e := range n.children {
		child := e.(*node)
		if !yield(child.path, Entry{Mode: child.mode, Data: child.data}) || !child.each(yield) {
			return false
		}
	}
	return true
}

// FromEntries makes a tree of what Entries gave. It takes over the contents.
// The limits are those of every tree; errors name the entry.
func FromEntries(entries map[string]Entry) (*Tree, error) {
	b := &builder{}
	made := map[string]*node{".": newDir(".")}
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		e, dir := entries[name], path.Dir(name)
		if e.Mode.IsDir() {
			dir = name
		}
		inside, err := b.addParents(made, dir)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", name, err)
		}
		if !inside || e.Mode.IsDir() {
			continue
		}
		n := &node{path: name, mode: e.Mode}
		if e.Mode.IsRegular() {
			err = b.addFile(made[dir], n, func() ([]byte, error) { return e.Data, nil })
		} else {
			err = b.add(made[dir], n)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := finishAll(made["."]); err != nil {
		return nil, err
	}
	return &Tree{made["."]}, nil
}
