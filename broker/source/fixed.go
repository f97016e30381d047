package source

import (
	"context"
	"fmt"
)

// Fixed is a source of one tree that never changes: the site that is built
// into the binary.
type Fixed struct {
	name string
	tree *Tree
	rev  Revision
}

// NewFixed gives a source of that tree, under that name.
func NewFixed(name string, tree *Tree) *Fixed {
	return &Fixed{name: name, tree: tree, rev: Revision{ID: tree.Digest()}}
}

// String gives the name.
func (f *Fixed) String() string { return f.name }

// Fetch gives the only revision; its time is zero.
func (f *Fixed) Fetch(context.Context) (Revision, error) { return f.rev, nil }

// Tree gives the only tree.
func (f *Fixed) Tree(_ context.Context, rev Revision) (*Tree, error) {
	if rev.ID != f.rev.ID {
		return nil, fmt.Errorf("%s: no revision %q", f.name, rev.ID)
	}
	return f.tree, nil
}
