package verify

import (
	"errors"
	"fmt"
	"io"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/storer"
)

// maxObject is how many bytes an object of a [Storage] may have.
const maxObject = 16 << 20

// Storage reads objects of a repository that go-git has opened, and finds out
// whether they have their hash, which go-git does not.
func Storage(s storer.EncodedObjectStorer) Objects { return storage{s} }

type storage struct{ s storer.EncodedObjectStorer }

// Object implements [Objects].
func (s storage) Object(kind plumbing.ObjectType, hash plumbing.Hash) ([]byte, error) {
	o, err := s.s.EncodedObject(plumbing.AnyObject, hash)
	if err != nil {
		return nil, fmt.Errorf("object %s: %w", hash, err)
	}
	if o.Type() != kind {
		return nil, fmt.Errorf("object %s is a %s, not a %s", hash, o.Type(), kind)
	}
	if o.Size() > maxObject {
		return nil, fmt.Errorf("object %s has more than %d bytes", hash, maxObject)
	}
	r, err := o.Reader()
	if err != nil {
		return nil, fmt.Errorf("object %s: %w", hash, err)
	}
	data, err := io.ReadAll(io.LimitReader(r, maxObject+1))
	if err := errors.Join(err, r.Close()); err != nil {
		return nil, fmt.Errorf("object %s: %w", hash, err)
	}
	if plumbing.ComputeHash(kind, data) != hash {
		return nil, fmt.Errorf("object %s does not have this hash: run git fsck on the repository", hash)
	}
	return data, nil
}
