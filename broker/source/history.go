package source

import (
	"context"
	"fmt"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
)

// minPrefix is how many hex digits name a commit at least; maxHistory is how
// many commits are looked at.
const (
	minPrefix  = 7
	maxHistory = 200_000
)

// Find gives a commit of the ref's history by its id, or by the first 7 or more
// hex digits of it. It asks the store and not the repository: a commit that was
// never fetched is not found.
func (g *Git) Find(ctx context.Context, id string) (found Revision, err error) {
	id = strings.ToLower(id)
	if len(id) < minPrefix || len(id) > 40 || strings.Trim(id, "0123456789abcdef") != "" {
		return Revision{}, fmt.Errorf("%q is not a commit: give %d to 40 hex digits", id, minPrefix)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	err = withStore(g.dir, false, func(s *store) error {
		ref, err := s.Reference(siteRef)
		if err != nil {
			return &damageError{err}
		}
		tip, err := s.revision(ref.Hash()) // behind tags
		if err != nil {
			return err
		}
		match, err := s.find(ctx, plumbing.NewHash(tip.ID), id)
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

// find walks the history of tip for the one commit that begins with id.
func (s *store) find(ctx context.Context, tip plumbing.Hash, id string) (match plumbing.Hash, err error) {
	seen := map[plumbing.Hash]bool{tip: true}
	for next := []plumbing.Hash{tip}; len(next) > 0 && len(seen) <= maxHistory; {
		hash := next[0]
		next = next[1:]
		if strings.HasPrefix(hash.String(), id) {
			switch {
			case len(id) == 40:
				return hash, nil
			case !match.IsZero():
				return match, fmt.Errorf("%s and %s both begin so: give more digits", match, hash)
			}
			match = hash
		}
		if err := ctx.Err(); err != nil {
			return match, err
		}
		c, err := s.commit(hash)
		if err != nil {
			return match, err
		}
		for _, parent := range c.ParentHashes {
			if !seen[parent] {
				seen[parent] = true
				next = append(next, parent)
			}
		}
	}
	if match.IsZero() {
		return match, fmt.Errorf("not found: the newest commit that was fetched is %s", tip)
	}
	return match, nil
}
