package source

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
)

// minPrefix is how many hex digits name a commit at least; maxHistory is how
// many commits are looked at.
const (
	minPrefix  = 7
	maxHistory = 200_000
)

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
	seen := map[plumbing.Hash]bool{}
	for _, tip := range tips {
		seen[tip] = true
	}
	for next := slices.Collect(maps.Keys(seen)); len(next) > 0 && len(seen) <= maxHistory; {
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
		return match, errors.New("not found among the commits that were fetched: is it on the branch that the broker follows?")
	}
	return match, nil
}
