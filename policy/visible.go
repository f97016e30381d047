package policy

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
)

// leastShare is what a single profile may take when profiles are asked about
// one by one and time is short. An ordinary rule needs a hundredth of it.
const leastShare = 10 * time.Millisecond

// Visible gives the ids of the profiles that the user may list and select,
// sorted. A profile whose decision ends in an error or not in time is hidden,
// and failed says why; the others are not affected.
//
// All profiles are asked about at once, in half of the time at most. Only when
// that fails is each asked about for itself, in an equal share of what is left:
// one endless rule then hides its profile alone.
func (e *Engine) Visible(ctx context.Context, r Request) (ids []string, failed map[string]error) {
	all := slices.Sorted(maps.Keys(e.catalog.Profiles))
	input, err := e.input(r)
	if err != nil {
		return nil, failAll(all, err)
	}
	deadline := time.Now().Add(e.deadline)
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()

	half, cancelHalf := context.WithTimeout(ctx, e.deadline/2)
	defer cancelHalf()
	v, err := e.eval(half, e.visible, input)
	if err == nil {
		if ids, err = names(v); err == nil {
			return ids, nil
		}
	}

	failed = make(map[string]error)
	for i, id := range all {
		share := max(leastShare, time.Until(deadline)/time.Duration(len(all)-i))
		visible, err := e.seesWithin(ctx, share, input, id)
		switch {
		case err != nil:
			failed[id] = fmt.Errorf("decide profile %q: %w", id, err)
		case visible:
			ids = append(ids, id)
		}
	}
	return ids, failed
}

// Sees reports whether the user may list and select the profile. An error means
// no. A profile that the site does not have is not seen.
func (e *Engine) Sees(ctx context.Context, r Request, id string) (bool, error) {
	if _, ok := e.catalog.Profiles[id]; !ok {
		return false, nil
	}
	input, err := e.input(r)
	if err != nil {
		return false, fmt.Errorf("decide profile %q: %w", id, err)
	}
	visible, err := e.seesWithin(ctx, e.deadline, input, id)
	if err != nil {
		return false, fmt.Errorf("decide profile %q: %w", id, err)
	}
	return visible, nil
}

// seesWithin asks about one profile.
func (e *Engine) seesWithin(ctx context.Context, limit time.Duration, input ast.Object, id string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	v, err := e.eval(ctx, e.sees, object("id", id, "request", input))
	return v != nil && err == nil, err
}

func failAll(ids []string, err error) map[string]error {
	failed := make(map[string]error, len(ids))
	for _, id := range ids {
		failed[id] = fmt.Errorf("decide profile %q: %w", id, err)
	}
	return failed
}
