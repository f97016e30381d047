package ldap

import (
	"context"
	"fmt"

	"github.com/go-ldap/ldap/v3"

	"github.com/x2broker/x2broker/broker/identity"
)

// PublicKeys gives the public SSH keys that the entry of a user has, none if the
// configuration names no attribute for them. It returns identity.ErrUnknownUser
// for a name that is not canonical here, or whose account is not valid.
func (d *Directory) PublicKeys(ctx context.Context, name string) ([]string, error) {
	if d.keys == "" {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	u, err := d.find(ctx, name)
	if err != nil {
		return nil, err
	}
	if u.name != name {
		return nil, identity.ErrUnknownUser
	}
	valid, err := d.isValid(ctx, u.dn)
	if err != nil {
		return nil, err
	}
	if !valid {
		return nil, fmt.Errorf("%w: the account is not valid", identity.ErrUnknownUser)
	}
	entries, _, err := d.pool.search(ctx, query{
		base: u.dn, scope: ldap.ScopeBaseObject, filter: "(objectClass=*)", attributes: []string{d.keys}, limit: 1,
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", d.keys, err)
	}
	if len(entries) != 1 {
		return nil, fmt.Errorf("read %s: the entry %q cannot be read", d.keys, u.dn)
	}
	values, whole := attribute(entries[0], d.keys)
	if !whole {
		return nil, fmt.Errorf("read %s: the directory does not tell all values of %q", d.keys, u.dn)
	}
	return values, nil
}
