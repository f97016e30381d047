package ldap

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/x2broker/x2broker/broker/identity"
)

// Directory is a directory of users and groups. It is safe for concurrent use.
type Directory struct {
	name          string
	base          string
	users         template
	nameAttribute string
	valid         string // "": every account
	groups        *groupRules
	keys          string // attribute with public keys, "" for none
	timeout       time.Duration

	dialer *dialer
	pool   *pool
	binds  chan struct{} // connections in use for binds
}

var (
	_ identity.Authenticator = (*Directory)(nil)
	_ identity.Lookuper      = (*Directory)(nil)
	_ identity.Decoy         = (*Directory)(nil)
	_ identity.GroupSource   = (*Directory)(nil)
	_ identity.KeyHolder     = (*Directory)(nil)
)

// user is an entry of the directory.
type user struct {
	dn       string
	name     string // canonical
	memberOf []string
}

// Name returns the name given in the configuration.
func (d *Directory) Name() string { return d.name }

// Authenticate finds the user's entry and binds under its name. Whatever goes
// wrong before the password is sent is an identity.ErrNotTried; a good password
// of an account that is not valid is an identity.ErrExpired.
//
// A name that is not there costs as many exchanges with the directory as one
// that is. How long the directory itself takes to hash is its own affair.
func (d *Directory) Authenticate(ctx context.Context, c identity.Credentials) (identity.Identity, error) {
	if c.Password == "" {
		return identity.Identity{}, identity.ErrNoPassword
	}
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	u, err := d.find(ctx, c.Name)
	if errors.Is(err, identity.ErrUnknownUser) {
		d.pretend(ctx)
		return identity.Identity{}, err
	}
	if err != nil {
		return identity.Identity{}, fmt.Errorf("%w: %w", identity.ErrNotTried, err)
	}
	valid, err := d.isValid(ctx, u.dn)
	if err != nil {
		return identity.Identity{}, fmt.Errorf("%w: %w", identity.ErrNotTried, err)
	}
	if err := d.bind(ctx, u.dn, c.Password); err != nil {
		return identity.Identity{}, err
	}
	if !valid {
		return identity.Identity{}, identity.ErrExpired
	}
	return d.identity(ctx, u)
}

// Lookup gives a user by his canonical name as long as his account is valid.
func (d *Directory) Lookup(ctx context.Context, name string) (identity.Identity, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	u, err := d.find(ctx, name)
	if err != nil {
		return identity.Identity{}, err
	}
	if u.name != name {
		return identity.Identity{}, identity.ErrUnknownUser // found by another of his names
	}
	valid, err := d.isValid(ctx, u.dn)
	if err != nil {
		return identity.Identity{}, err
	}
	if !valid {
		return identity.Identity{}, fmt.Errorf("%w: %w", identity.ErrUnknownUser, identity.ErrExpired)
	}
	return d.identity(ctx, u)
}

// Groups gives the groups of a user that somebody else may have let in,
// identity.ErrUnknownUser if the directory does not have him.
func (d *Directory) Groups(ctx context.Context, name string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	u, err := d.find(ctx, name)
	if err != nil {
		return nil, err
	}
	return d.groupsOf(ctx, u)
}

// Decoy costs what the login of an unknown user costs.
func (d *Directory) Decoy(ctx context.Context, _ string) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	if _, err := d.find(ctx, decoyName); errors.Is(err, identity.ErrUnknownUser) {
		d.pretend(ctx)
	}
}

// decoyName is nobody's name, and nobody's password.
const decoyName = "x2broker-decoy-6f1c0e9b"

// pretend does what follows on finding a user. The real password is not sent:
// it may be another's.
func (d *Directory) pretend(ctx context.Context) {
	dn := "cn=" + decoyName + "," + d.base
	if _, err := d.isValid(ctx, dn); err == nil {
		_ = d.bind(ctx, dn, decoyName)
	}
}

func (d *Directory) identity(ctx context.Context, u user) (identity.Identity, error) {
	groups, err := d.groupsOf(ctx, u)
	if err != nil {
		return identity.Identity{}, err
	}
	return identity.Identity{Name: u.name, Groups: groups, Authenticator: d.name}, nil
}

// find searches for the one entry of a name.
func (d *Directory) find(ctx context.Context, name string) (user, error) {
	attributes := []string{d.nameAttribute}
	if d.groups != nil && d.groups.memberOf {
		attributes = append(attributes, memberOf)
	}
	entries, more, err := d.pool.search(ctx, query{
		base: d.base, scope: ldap.ScopeWholeSubtree, filter: d.users.with(name, ""), attributes: attributes, limit: 2,
	})
	switch {
	case err != nil:
		return user{}, fmt.Errorf("search for the user: %w", err)
	case len(entries) == 0 && !more:
		return user{}, identity.ErrUnknownUser
	case len(entries) != 1 || more:
		return user{}, errors.New("search for the user: the filter finds more than one entry, so that nobody can say which of them it is")
	}
	e := entries[0]
	names := e.GetEqualFoldAttributeValues(d.nameAttribute)
	if len(names) != 1 || names[0] == "" || !identity.ValidName(names[0]) {
		return user{}, fmt.Errorf("entry %q: want one value of %s that can be a user's name, it has %d", e.DN, d.nameAttribute, len(names))
	}
	u := user{dn: e.DN, name: names[0]}
	if len(attributes) > 1 {
		if u.memberOf, err = wholeGroups(e); err != nil {
			return user{}, err
		}
	}
	return u, nil
}

func (d *Directory) isValid(ctx context.Context, dn string) (bool, error) {
	if d.valid == "" {
		return true, nil
	}
	entries, _, err := d.pool.search(ctx, query{
		base: dn, scope: ldap.ScopeBaseObject, filter: d.valid, attributes: []string{"1.1"}, limit: 1,
	})
	if ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("check the account: %w", err)
	}
	return len(entries) == 1, nil
}

// bind checks a password over a connection of its own.
func (d *Directory) bind(ctx context.Context, dn, password string) error {
	if err := acquire(ctx, d.binds); err != nil {
		return fmt.Errorf("%w: %w", identity.ErrNotTried, err)
	}
	defer func() { <-d.binds }()
	s, err := d.dialer.dial(ctx, nil)
	if err != nil {
		return fmt.Errorf("%w: %w", identity.ErrNotTried, err)
	}
	defer s.close()
	err = s.bind(ctx, dn, password)
	if ldap.IsErrorAnyOf(err, ldap.LDAPResultInvalidCredentials, ldap.LDAPResultInappropriateAuthentication) {
		return identity.ErrWrongPassword
	}
	if err != nil {
		return fmt.Errorf("check the password: %w", err)
	}
	return nil
}
