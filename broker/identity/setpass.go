package identity

import (
	"context"
	"errors"
)

// A PasswordChanger is an Authenticator that can change passwords. After it has
// found the password of the credentials right, and before it changes anything,
// it asks allow, whose error it returns. Its other errors are those of
// Authenticate, but never ErrMustChange, and *[NotChangedError].
type PasswordChanger interface {
	ChangePassword(ctx context.Context, c Credentials, newPassword string, allow func(Identity) error) (Identity, error)
}

// ErrCannotChange says that the password is right, and that whoever keeps it
// cannot change it.
var ErrCannotChange = errors.New("passwords cannot be changed here")

// NotChangedError says why a new password is not good enough. It is made to be
// shown to the user.
type NotChangedError struct{ Text string }

// Error gives the reason.
func (e *NotChangedError) Error() string { return e.Text }

// CanChangePassword reports whether there is a [PasswordChanger].
func (c *Chain) CanChangePassword() bool {
	for _, m := range c.members {
		if _, ok := m.(PasswordChanger); ok {
			return true
		}
	}
	return false
}

// ChangePassword has the first member that knows the name change his password;
// if it cannot, the error is ErrCannotChange. See [PasswordChanger].
func (c *Chain) ChangePassword(ctx context.Context, cred Credentials, newPassword string, allow func(Identity) error) (Identity, error) {
	if newPassword == "" {
		return Identity{}, ErrNoPassword
	}
	return c.decide(ctx, cred, func(m Authenticator, cred Credentials) (Identity, error) {
		if changer, ok := m.(PasswordChanger); ok {
			return changer.ChangePassword(ctx, cred, newPassword, func(id Identity) error {
				id, err := c.complete(ctx, id.normalized(m.Name()))
				if err != nil {
					return err
				}
				return allow(id)
			})
		}
		if _, err := m.Authenticate(ctx, cred); err != nil {
			return Identity{}, err
		}
		return Identity{}, ErrCannotChange
	})
}

// CanChangePassword reports whether the password of anybody can be changed.
func (g *Gate) CanChangePassword() bool { return g.chain.CanChangePassword() }

// ChangePassword changes the password of whoever these credentials are of; it is
// throttled as a login is, and a ticket counts for nothing. A proof will do for
// some minutes after a login with the password. allow is asked before anything
// is changed. All tickets and proofs of the user end. The error is a
// *[DeniedError], a *[NotChangedError], ErrCannotChange, or that of allow.
func (g *Gate) ChangePassword(ctx context.Context, c Credentials, newPassword string, allow func(Identity) error) error {
	c.Ticket, c.Domain = "", false
	if p := c.Proof; p != nil {
		if _, err := g.byProof(ctx, c); err != nil {
			return err
		}
		password := p.password.Load()
		if password == nil {
			return &NotChangedError{Text: "log in again with your password, and change it then"}
		}
		c.Name, c.Password, c.Proof = p.typed, *password, nil
	}
	switch {
	case !validPassword(newPassword):
		return &NotChangedError{Text: "the new password is too long, or has control characters in it"}
	case newPassword == "":
		return &NotChangedError{Text: "the new password is empty"}
	}
	var refused error
	login, err := g.login(ctx, c, func(ctx context.Context, c Credentials) (Identity, error) {
		id, err := g.chain.ChangePassword(ctx, c, newPassword, func(id Identity) error {
			refused = allow(id)
			return refused
		})
		if notChanged := (*NotChangedError)(nil); errors.As(err, &notChanged) {
			refused = notChanged
		} else if errors.Is(err, ErrCannotChange) {
			refused = ErrCannotChange
		}
		if refused != nil {
			return Identity{}, nil // the password was right
		}
		return id, err
	})
	switch {
	case err != nil:
		return err
	case refused != nil:
		return refused
	}
	g.PasswordChanged(login.Identity)
	return nil
}
