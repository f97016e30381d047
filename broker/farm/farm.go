// Package farm chooses servers for new sessions.
//
// It knows what the brokers themselves placed; measured facts come with the
// agents. It never talks to a server: a select must not wait for one.
package farm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/x2broker/x2broker/policy"
	"github.com/x2broker/x2broker/schema"
)

// ErrNoServer means that no server may take a new session of the profile now.
var ErrNoServer = errors.New("no server is available")

// A Farm places sessions. It is safe for concurrent use.
type Farm struct {
	draw   func(n int) int
	ledger *ledger
}

// New returns a Farm without placements. draw(n) gives a random number from 0
// to n-1 and decides between equally good servers.
func New(now func() time.Time, draw func(n int) int) *Farm {
	return &Farm{draw: draw, ledger: newLedger(now)}
}

// A Choice is the outcome of a placement, with all that is needed to repeat it.
type Choice struct {
	Server    *schema.Server
	Placement policy.Placement
	Draw      int // index into Placement.Winners
}

// Place is Choose, and counts the session at the server.
func (f *Farm) Place(ctx context.Context, cat *schema.Catalog, engine *policy.Engine, req policy.Request, profile *schema.Profile) (Choice, error) {
	choice, err := f.Choose(ctx, cat, engine, req, profile)
	if err == nil {
		f.ledger.record(req.Account, profile.ID, choice.Server.ID)
	}
	return choice, err
}

// Choose decides by the policy which server takes a new session of the profile
// for the request's account. It fails with ErrNoServer when the policy leaves
// none, and on any error of the policy.
func (f *Farm) Choose(ctx context.Context, cat *schema.Catalog, engine *policy.Engine, req policy.Request, profile *schema.Profile) (Choice, error) {
	facts := make(map[string]policy.Facts, len(profile.Servers))
	for id, n := range f.ledger.counts(profile.Servers, req.Account, profile.ID) {
		facts[id] = policy.Facts{Inflight: n}
	}
	placement, err := engine.Place(ctx, req, profile.ID, facts)
	if err != nil {
		return Choice{}, fmt.Errorf("place %q: %w", profile.ID, err)
	}
	if len(placement.Winners) == 0 {
		return Choice{Placement: placement}, fmt.Errorf("place %q: %w", profile.ID, ErrNoServer)
	}
	draw := 0
	if n := len(placement.Winners); n > 1 {
		draw = f.draw(n)
	}
	return Choice{Server: cat.Servers[placement.Winners[draw]], Placement: placement, Draw: draw}, nil
}
