package source

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-git/go-git/v5/plumbing"
)

// MaxSteps is how many commits are looked at to find an ancestor.
const MaxSteps = 100_000

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

// accept asks Verify, if there is one, about a commit, and remembers across
// restarts and clones which one it accepted last.
func (g *Git) accept(ctx context.Context, s *store, commit plumbing.Hash) error {
	if g.verify == nil {
		return nil
	}
	if g.verified.IsZero() {
		g.verified = g.lastVerified(s)
	}
	objects := &Objects{store: s}
	err := g.verify(ctx, objects, g.verified, commit)
	objects.store = nil
	if errors.Is(err, ErrTolerated) {
		return nil
	}
	if damage := new(damageError); errors.As(err, &damage) {
		// A commit that is not there may be one of a history that was rewritten
		// before a clone; another clone would not bring it back.
		err = fmt.Errorf("%s", damage)
	}
	if err != nil {
		return &UnverifiedError{commit.String(), err}
	}
	if err := s.SetReference(plumbing.NewHashReference(verifiedRef, commit)); err != nil {
		return &damageError{err}
	}
	g.verified = commit
	return nil
}

// lastVerified gives the commit that the store says was accepted last; a new
// store, that of which it takes the place.
func (g *Git) lastVerified(s *store) (commit plumbing.Hash) {
	if ref, err := s.Reference(verifiedRef); err == nil {
		return ref.Hash()
	}
	_ = withStore(g.dir, false, func(old *store) error { // none, or damaged
		if ref, err := old.Reference(verifiedRef); err == nil {
			commit = ref.Hash()
		}
		return nil
	})
	return commit
}

// descends looks for ancestor among commit and those before it, the nearest
// first.
func (s *store) descends(ctx context.Context, ancestor, commit plumbing.Hash) (bool, error) {
	if _, err := s.commit(ancestor); err != nil {
		return false, err
	}
	seen := map[plumbing.Hash]bool{commit: true}
	for queue := []plumbing.Hash{commit}; len(queue) > 0; queue = queue[1:] {
		if queue[0] == ancestor {
			return true, nil
		}
		if err := ctx.Err(); err != nil {
			return false, err
		}
		c, err := s.commit(queue[0])
		if err != nil {
			return false, err
		}
		for _, parent := range c.ParentHashes {
			if !seen[parent] {
				seen[parent] = true
				queue = append(queue, parent)
			}
		}
		if len(seen) > MaxSteps {
			return false, fmt.Errorf("%s is not among the %d commits before %s", ancestor, MaxSteps, commit)
		}
	}
	return false, nil
}
