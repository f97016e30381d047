package source

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// MaxSteps is how many commits are looked at to find one.
const MaxSteps = 200_000

// minPrefix is how many hex digits name a commit at least.
const minPrefix = 7

// Find gives a commit by its id, or by the first 7 or more hex digits of it. It
// must be one of those revisions, which Fetch gave some time, or in the history
// of one: so nothing is found that Fetch would not have given. Find asks the
// store and not the repository.
func (g *Git) Find(ctx context.Context, id string, from ...Revision) (found Revision, err error) {
	id = strings.ToLower(id)
	if len(id) < minPrefix || len(id) > 40 || strings.Trim(id, "0123456789abcdef") != "" {
		return Revision{}, fmt.Errorf("%q is not a commit: give %d to 40 hex digits", id, minPrefix)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	err = withStore(g.dir, false, func(s *store) error {
		var tips []plumbing.Hash
		for _, rev := range from {
			hash := plumbing.NewHash(rev.ID)
			if _, err := s.commit(hash); err == nil {
				tips = append(tips, hash) // else gone, with a history that was rewritten
			}
		}
		match, err := s.find(ctx, tips, id)
		if err != nil {
			return err
		}
		found, err = s.revision(match)
		return err
	})
	if err != nil {
		return Revision{}, fmt.Errorf("find commit %s in the history of %s: %w", id, g, err)
	}
	return found, nil
}

// find walks the history of the tips for the one commit that begins with id.
func (s *store) find(ctx context.Context, tips []plumbing.Hash, id string) (match plumbing.Hash, err error) {
	for hash, err := range s.ancestors(ctx, tips...) {
		switch {
		case err != nil:
			return match, err
		case !strings.HasPrefix(hash.String(), id):
		case len(id) == 40:
			return hash, nil
		case !match.IsZero():
			return match, fmt.Errorf("%s and %s both begin so: give more digits", match, hash)
		default:
			match = hash
		}
	}
	if match.IsZero() {
		return match, errors.New("not found among the commits that were fetched: is it on the branch that the broker follows?")
	}
	return match, nil
}

// descends looks for ancestor among commit and those before it.
func (s *store) descends(ctx context.Context, ancestor, commit plumbing.Hash) (bool, error) {
	if _, err := s.commit(ancestor); err != nil {
		return false, err
	}
	for hash, err := range s.ancestors(ctx, commit) {
		if err != nil || hash == ancestor {
			return err == nil, err
		}
	}
	return false, nil
}

// ancestors gives the tips and all commits before them, each once, the nearest
// first. An error is the last that it gives.
func (s *store) ancestors(ctx context.Context, tips ...plumbing.Hash) iter.Seq2[plumbing.Hash, error] {
	return func(yield func(plumbing.Hash, error) bool) {
		seen := map[plumbing.Hash]bool{}
		var queue []plumbing.Hash
		add := func(hashes []plumbing.Hash) {
			for _, hash := range hashes {
				if !seen[hash] {
					seen[hash], queue = true, append(queue, hash)
				}
			}
		}
		for add(tips); len(queue) > 0; queue = queue[1:] {
			if !yield(queue[0], nil) {
				return
			}
			err := context.Cause(ctx)
			if err == nil && len(seen) > MaxSteps {
				err = fmt.Errorf("more than %d commits: begin the site's repository anew", MaxSteps)
			}
			var c *object.Commit
			if err == nil {
				c, err = s.commit(queue[0])
			}
			if err != nil {
				yield(plumbing.ZeroHash, err)
				return
			}
			add(c.ParentHashes)
		}
	}
}
