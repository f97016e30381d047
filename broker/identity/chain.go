package identity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// maxAuthenticatorName keeps the name within its field of a ticket.
const maxAuthenticatorName = 64

// Chain asks authenticators in order: the first that knows the name decides.
type Chain struct {
	members []Authenticator
	open    bool // its one member lets people in without a password
	groups  []moreGroups
	lookups map[string]*recent[Identity] // by name of the authenticator
}

// NewChain checks that there is at least one member, that their names are
// different (a ticket names the one that issued it), and that a [None] stands
// alone.
func NewChain(members ...Authenticator) (*Chain, error) {
	if len(members) == 0 {
		return nil, errors.New("authenticators: none configured, nobody could log in")
	}
	c := &Chain{members: slices.Clone(members), lookups: map[string]*recent[Identity]{}}
	seen := make(map[string]bool)
	for _, m := range members {
		name := m.Name()
		if name == "" || len(name) > maxAuthenticatorName || !printable(name) {
			return nil, fmt.Errorf("authenticators: name %q: want 1 to %d bytes without control characters", name, maxAuthenticatorName)
		}
		if seen[name] {
			return nil, fmt.Errorf("authenticators: two are named %q, give each a name of its own", name)
		}
		seen[name] = true
		if _, ok := m.(*None); ok {
			c.open = true
		}
	}
	if c.open && len(members) > 1 {
		return nil, errors.New(`authenticators: "none" lets everybody in and must be the only one`)
	}
	return c, nil
}

// Open reports whether people get in without a password, so that there is
// nothing to guess.
func (c *Chain) Open() bool { return c.open }

// Authenticate returns whose credentials these are; their ticket is ignored.
// The errors are those of [Authenticator]: ErrUnknownUser when no member knows
// the name. An empty password is refused here, before any member sees it,
// because to some directories an empty password is a successful anonymous
// bind (RFC 4513 section 5.1.2).
func (c *Chain) Authenticate(ctx context.Context, cred Credentials) (Identity, error) {
	return c.decide(ctx, cred, func(m Authenticator, cred Credentials) (Identity, error) {
		return m.Authenticate(ctx, cred)
	})
}

// decide asks each member until one knows the name.
func (c *Chain) decide(ctx context.Context, cred Credentials, ask func(Authenticator, Credentials) (Identity, error)) (Identity, error) {
	if cred.Password == "" && !c.open {
		return Identity{}, ErrNoPassword
	}
	cred.Ticket = ""
	for i, m := range c.members {
		asked := c.asked(m.Name())
		id, err := ask(m, cred)
		switch {
		case err == nil && id.Name == "" && !c.open:
			return Identity{}, fmt.Errorf("authenticator %q: gave no name", m.Name())
		case err == nil:
			id = id.normalized(m.Name())
			if kept := c.lookups[m.Name()]; kept != nil {
				kept.put(id.Name, id, asked)
			}
			return c.complete(ctx, id)
		case errors.Is(err, ErrUnknownUser):
			continue
		case errors.Is(err, ErrWrongPassword), errors.Is(err, ErrExpired), errors.Is(err, ErrMustChange):
			c.decoys(ctx, i+1, cred.Password)
		}
		return Identity{}, fmt.Errorf("authenticator %q: %w", m.Name(), err)
	}
	return Identity{}, ErrUnknownUser
}

// decoys spends the time that the members from i on would have taken for an
// unknown name; without it the clock tells which names the earlier ones know.
func (c *Chain) decoys(ctx context.Context, i int, password string) {
	for _, m := range c.members[i:] {
		if d, ok := m.(Decoy); ok {
			d.Decoy(ctx, password)
		}
	}
}

// asked is the time that an answer of the authenticator is as old as.
func (c *Chain) asked(authenticator string) time.Time {
	if kept := c.lookups[authenticator]; kept != nil {
		return kept.clock()
	}
	return time.Time{}
}

// complete checks what an authenticator said and adds the groups of the others.
func (c *Chain) complete(ctx context.Context, id Identity) (Identity, error) {
	if err := id.check(); err != nil {
		return Identity{}, fmt.Errorf("authenticator %q: %w", id.Authenticator, err)
	}
	return c.withGroups(ctx, id)
}

// CanLookup reports whether the named authenticator exists and is a
// [Lookuper].
func (c *Chain) CanLookup(authenticator string) bool {
	_, ok := c.lookuper(authenticator)
	return ok
}

// Lookup asks one authenticator, and no other, for a canonical name. It
// returns ErrUnknownUser also when that authenticator is gone from the chain
// or cannot look up.
func (c *Chain) Lookup(ctx context.Context, authenticator, name string) (Identity, error) {
	l, ok := c.lookuper(authenticator)
	if !ok {
		return Identity{}, fmt.Errorf("authenticator %q cannot look up: %w", authenticator, ErrUnknownUser)
	}
	ask := func() (Identity, error) { return l.Lookup(ctx, name) }
	var id Identity
	var err error
	if kept := c.lookups[authenticator]; kept != nil {
		id, err = kept.get(name, ask)
	} else {
		id, err = ask()
	}
	if err != nil {
		return Identity{}, fmt.Errorf("authenticator %q: %w", authenticator, err)
	}
	return c.complete(ctx, id.normalized(authenticator))
}

func (c *Chain) lookuper(authenticator string) (Lookuper, bool) {
	for _, m := range c.members {
		if m.Name() == authenticator {
			l, ok := m.(Lookuper)
			return l, ok
		}
	}
	return nil, false
}
