package identity

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// MaxLookupAge is how old the answer may be on which a ticket stands.
const MaxLookupAge = 60 * time.Second

// A GroupSource knows the groups of users whom somebody else has let in. Groups
// takes a canonical name; it returns ErrUnknownUser for one that it does not
// know, who then has no groups from it. Any other error denies the login: a
// group that is missing may be one that is denied something.
type GroupSource interface {
	Name() string
	Groups(ctx context.Context, name string) ([]string, error)
}

// moreGroups is a GroupSource whose answers are kept for a while.
type moreGroups struct {
	source GroupSource
	recent *recent[[]string]
}

// AddGroups makes everybody who is let in have the groups of the source too. Its
// answers are kept until they are maxAge old; 0 asks each time. It must be
// called before the chain is used, and not for one that is open: whoever gives
// a name without a password must not get its groups.
func (c *Chain) AddGroups(source GroupSource, maxAge time.Duration, clock func() time.Time) error {
	if c.open {
		return errors.New(`groups: with "none" anybody could give himself the groups of any name`)
	}
	c.groups = append(c.groups, moreGroups{source, newRecent[[]string](maxAge, clock)})
	return nil
}

// KeepLookups makes the answers of one authenticator by name, and of its logins,
// serve for lookups until they are maxAge old, at most MaxLookupAge. It must be
// called before the chain is used.
func (c *Chain) KeepLookups(authenticator string, maxAge time.Duration, clock func() time.Time) {
	c.lookups[authenticator] = newRecent[Identity](min(maxAge, MaxLookupAge), clock)
}

// withGroups adds the groups of the other sources. Its error is none of those
// of an Authenticator: the password was right, and what follows must not look
// as if it had not been tried.
func (c *Chain) withGroups(ctx context.Context, id Identity) (Identity, error) {
	for _, g := range c.groups {
		more, err := g.recent.get(id.Name, func() ([]string, error) {
			more, err := g.source.Groups(ctx, id.Name)
			if errors.Is(err, ErrUnknownUser) {
				return nil, nil
			}
			return more, err
		})
		if err != nil {
			return Identity{}, fmt.Errorf("groups from %q: %v", g.source.Name(), err)
		}
		id.Groups = append(id.Groups, more...)
	}
	id = id.normalized(id.Authenticator)
	if err := id.check(); err != nil {
		return Identity{}, fmt.Errorf("groups: %w", err)
	}
	return id, nil
}

// check refuses what cannot be handed on: names that no request, log line or
// policy should meet.
func (id Identity) check() error {
	if !ValidName(id.Name) {
		return errors.New("gave a name that is too long, not UTF-8, or has control characters")
	}
	for _, g := range id.Groups {
		if g == "" || !printable(g) {
			return fmt.Errorf("user %q: gave the group %q: want a name in UTF-8 without control characters", id.Name, g)
		}
	}
	return nil
}
