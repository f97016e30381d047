package snapshot

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/x2broker/x2broker/broker/source"
	"github.com/x2broker/x2broker/schema"
)

// A Person is somebody who was given what he asked for lately, with the
// circumstances of the last time.
type Person struct {
	Name    string
	Groups  []string
	Address netip.Addr
	Time    time.Time
}

// The lock-out guard refuses a revision that takes everything from more than a
// fifth of the people of late, and from at least five.
const (
	maxPeople   = 2000 // that are looked at
	guardTime   = 5 * time.Second
	leastLosers = 5
	lossShare   = 5 // one in so many
	namedLosers = 5
)

// hints says for sets of groups which profile somebody with them saw: to ask
// for one profile is much cheaper than to ask for all, and it is enough to know
// of one.
type hints map[string]string

const maxHints = 10_000

// guard compares what serves with what would. The diagnostic is an error if the
// revision locks out too many, and a warning if it locks out anybody at all;
// nil for nobody. People of whom the time does not suffice to know are left out.
func guard(ctx context.Context, old, next *Snapshot, people []Person, known hints) *schema.Diagnostic {
	ctx, cancel := context.WithTimeout(ctx, guardTime)
	defer cancel()
	total := 0
	var losers []string
	for _, p := range people[:min(len(people), maxPeople)] {
		loses := !known.sees(ctx, next, p) && known.sees(ctx, old, p)
		if ctx.Err() != nil {
			break
		}
		total++
		if loses {
			losers = append(losers, p.Name)
		}
	}
	if len(losers) == 0 {
		return nil
	}
	d := &schema.Diagnostic{Severity: schema.Warning, Pos: schema.Position{File: "."}, Message: loss(losers, total)}
	if len(losers) >= leastLosers && len(losers)*lossShare > total {
		d.Severity = schema.Error
		d.Message = fmt.Sprintf("locks out too many: %s. If that is meant: x2broker pin %s", d.Message, next.Revision.ID)
	}
	return d
}

// loss says in words who loses everything.
func loss(losers []string, total int) string {
	slices.Sort(losers)
	shown := strings.Join(losers[:min(len(losers), namedLosers)], ", ")
	if more := len(losers) - namedLosers; more > 0 {
		shown += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Sprintf("of %d users of the last 7 days %d would see nothing any more, where they saw something: %s", total, len(losers), shown)
}

// sees reports whether a person may log in and would see a profile at all, as
// it was when he came last. A policy that fails shows nothing, here as there.
func (h hints) sees(ctx context.Context, s *Snapshot, p Person) bool {
	r := p.request()
	login, err := s.Policy.Login(ctx, r)
	if err != nil || len(login.Deny) > 0 || !slices.Contains(login.Accounts, p.Name) {
		return false
	}
	groups := strings.Join(p.Groups, "\x00")
	if id := h[groups]; s.Catalog.Profiles[id] != nil {
		if profile, err := s.Policy.Sees(ctx, r, id); err == nil && profile != nil {
			return true
		}
	}
	seen := s.Policy.Visible(ctx, r).Profiles
	if len(seen) == 0 {
		return false
	}
	if len(h) >= maxHints {
		clear(h)
	}
	h[groups] = seen[0].ID
	return true
}

// protect asks the guard about a revision that passed all other gates.
func (k *Keeper) protect(ctx context.Context, rev source.Revision, next *Snapshot) schema.Diagnostics {
	serving := k.Current()
	if k.audience == nil || serving == nil {
		return nil
	}
	d := guard(ctx, serving, next, k.audience(), k.hints)
	switch {
	case d == nil || ctx.Err() != nil:
		return nil
	case d.Severity == schema.Error:
		return schema.Diagnostics{*d}
	}
	k.revision(rev).Warn("revision takes everything from some users", "loss", d.Message)
	return nil
}
