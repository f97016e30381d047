package source

import (
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

// Entries gives the path of every entry but the root, sorted by path. The
// contents are the tree's own and must not be changed.
func (t *Tree) Entries() iter.Seq2[string, Entry] {
	return func(yield func(string, Entry) bool) {
		for _, name := range slices.Sorted(maps.Keys(t.nodes)) {
			if n := t.nodes[name]; name != "." && !yield(name, Entry{Mode: n.mode, Data: n.data}) {
				return
			}
		}
	}
}

// FromEntries makes a tree of what Entries gave. It takes over the contents.
// The limits are those of every tree; errors name the entry.
func FromEntries(entries map[string]Entry) (*Tree, error) {
	b := newBuilder()
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		e := entries[name]
		inside, err := b.addParents(path.Dir(name))
		if err != nil {
			return nil, err
		}
		if !inside {
			continue // as in a hidden directory, which gives no entries
		}
		if e.Mode.IsRegular() {
			err = b.addFile(name, func() ([]byte, error) { return e.Data, nil })
		} else {
			err = b.add(name, &node{mode: e.Mode})
		}
		if err != nil {
			return nil, err
		}
	}
	return b.finish(), nil
}
