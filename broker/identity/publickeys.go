package identity

import (
	"context"
	"fmt"
)

// A KeyHolder is a [Lookuper] that has public SSH keys of its users, each one or
// several lines of an authorized_keys file. It returns ErrUnknownUser where
// Lookup does.
type KeyHolder interface {
	PublicKeys(ctx context.Context, name string) ([]string, error)
}

// PublicKeys gives the keys that the member has which vouches for a canonical
// name, as [Chain.Find] has it, and no other member: the same name may be
// somebody else there. A member that holds no keys gives none.
func (c *Chain) PublicKeys(ctx context.Context, name string) ([]string, error) {
	id, err := c.Find(ctx, name)
	if err != nil {
		return nil, err
	}
	if id.Name != name {
		return nil, ErrUnknownUser
	}
	for _, m := range c.members {
		h, ok := m.(KeyHolder)
		if !ok || m.Name() != id.Authenticator {
			continue
		}
		keys, err := h.PublicKeys(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("authenticator %q: %w", m.Name(), err)
		}
		return keys, nil
	}
	return nil, nil
}
