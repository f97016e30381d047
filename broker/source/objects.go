package source

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-git/go-git/v5/plumbing"
)

// Objects reads raw objects of a store, for the length of one call of
// Config.Verify.
type Objects struct {
	store *store // nil when the call has ended
}

var errCallEnded = errors.New("the store may be read during the call of Verify only")

// Object gives the content of an object, without header, if it is of that kind
// and has at most [MaxObject] bytes. The content was found to have the hash.
func (o *Objects) Object(kind plumbing.ObjectType, hash plumbing.Hash) ([]byte, error) {
	if o.store == nil {
		return nil, errCallEnded
	}
	found, err := o.store.meta(kind, hash)
	if err != nil {
		return nil, err
	}
	return found.data, nil
}

// Descends is [Git.Descends] during the call.
func (o *Objects) Descends(ctx context.Context, ancestor, commit plumbing.Hash) (bool, error) {
	if o.store == nil {
		return false, errCallEnded
	}
	return o.store.descends(ctx, ancestor, commit)
}

// ErrTolerated is what Config.Verify returns of a commit that may serve all the
// same and is not to be taken for verified: where later ones begin stays.
var ErrTolerated = errors.New("not verified")

// UnverifiedError is in the chain of the error of Fetch when Config.Verify
// refuses the newest commit.
type UnverifiedError struct {
	Commit string // its id
	Err    error  // what Verify said
}

func (e *UnverifiedError) Error() string {
	return fmt.Sprintf("commit %s is refused: %v", e.Commit, e.Err)
}
func (e *UnverifiedError) Unwrap() error { return e.Err }

func isRefused(err error) bool {
	refused := new(UnverifiedError)
	return errors.As(err, &refused)
}
