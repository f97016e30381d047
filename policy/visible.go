package policy

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/x2broker/x2broker/schema"
)

// leastShare is what a single profile may take when profiles are asked about
// one by one and time is short. An ordinary rule needs a hundredth of it.
const leastShare = 10 * time.Millisecond

// Visible gives the profiles that the user may list and select. A profile whose
// decision ends in an error or not in time is hidden, and Failed says why; the
// others are not affected. A profile that no answer of the policy could show is
// not asked about, so that an error in its decision may not be reported.
//
// All profiles are asked about at once, in half of the time at most. Only when
// that fails is each asked about for itself, in an equal share of what is left:
// one endless rule then hides its profile alone.
//
// Answers are remembered by the parts of the request that the policy reads,
// errors too, as the policy would make them again; those out of time are not.
func (e *Engine) Visible(ctx context.Context, r Request) *Listing {
	address, err := r.address()
	if err != nil {
		return &Listing{Failed: failAll(slices.Sorted(maps.Keys(e.catalog.Profiles)), err)}
	}
	var room [512]byte
	key := e.appendKey(room[:0], e.listingReads, r, address)
	if l, ok := e.listings.get(key); ok {
		return l
	}
	l := e.list(ctx, r, address)
	if l.lasting() {
		e.listings.put(string(key), l, l.bytes())
	}
	return l
}

// Sees gives the profile as the user may list and select it, with the overlay
// applied; nil if he may not. An error means no. A profile that the site does
// not have is not seen.
func (e *Engine) Sees(ctx context.Context, r Request, id string) (*schema.Profile, error) {
	if e.catalog.Profiles[id] == nil {
		return nil, nil
	}
	address, err := r.address()
	if err != nil {
		return nil, failure(id, err)
	}
	var room [512]byte
	if l, ok := e.listings.get(e.appendKey(room[:0], e.listingReads, r, address)); ok {
		return l.find(id), l.Failed[id]
	}
	return e.decide(ctx, e.deadline, e.inputFrom(r, address), id)
}

// list makes a listing.
func (e *Engine) list(ctx context.Context, r Request, address netip.Addr) *Listing {
	ids := e.index.candidates(r, address, networksOf(e.places, address))
	if len(ids) == 0 {
		return &Listing{}
	}
	input := e.inputFrom(r, address)
	deadline := time.Now().Add(e.deadline)
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()

	half, cancelHalf := context.WithTimeout(ctx, e.deadline/2)
	defer cancelHalf()
	if visible, err := e.askVisible(half, input, ids); err == nil {
		if l, err := e.listed(half, input, visible); err == nil {
			return l
		}
	}

	l := &Listing{Failed: make(map[string]error)}
	for i, id := range ids {
		share := max(leastShare, time.Until(deadline)/time.Duration(len(ids)-i))
		switch p, err := e.decide(ctx, share, input, id); {
		case err != nil:
			l.Failed[id] = err
		case p != nil:
			l.Profiles = append(l.Profiles, p)
		}
	}
	return l
}

// decide asks about one profile.
func (e *Engine) decide(ctx context.Context, limit time.Duration, input ast.Value, id string) (*schema.Profile, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	visible, err := e.askVisible(ctx, input, []string{id})
	if err != nil {
		return nil, failure(id, err)
	}
	l, err := e.listed(ctx, input, visible)
	if err != nil {
		return nil, failure(id, err)
	}
	return l.find(id), l.Failed[id]
}

// askVisible asks which of the profiles are visible.
func (e *Engine) askVisible(ctx context.Context, input ast.Value, ids []string) ([]string, error) {
	v, err := e.visible.askAbout(ctx, ids, input)
	if err != nil {
		return nil, err
	}
	return names(v)
}

// listed makes a listing of profiles that are visible unless their overlay is
// wrong. The error is of the evaluation as a whole.
func (e *Engine) listed(ctx context.Context, input ast.Value, visible []string) (*Listing, error) {
	changes, err := e.askOverlay(ctx, input, visible)
	if err != nil {
		return nil, err
	}
	l := &Listing{Profiles: make([]*schema.Profile, 0, len(visible))}
	for _, id := range visible {
		p, err := e.overlaid(e.catalog.Profiles[id], changes)
		if err != nil {
			if l.Failed == nil {
				l.Failed = make(map[string]error)
			}
			l.Failed[id] = failure(id, err)
			continue
		}
		l.Profiles = append(l.Profiles, p)
	}
	return l, nil
}

func failure(id string, err error) error { return fmt.Errorf("decide profile %q: %w", id, err) }

func failAll(ids []string, err error) map[string]error {
	failed := make(map[string]error, len(ids))
	for _, id := range ids {
		failed[id] = failure(id, err)
	}
	return failed
}
