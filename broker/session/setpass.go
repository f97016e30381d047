package session

import (
	"context"
	"errors"
	"log/slog"

	"github.com/x2broker/x2broker/broker/identity"
)

// errNoChange is for all who ask where no password can be changed.
var errNoChange = &RefusedError{identity.ErrCannotChange.Error(), RefusedTask}

// SetPassword changes the password of the user. The old one is needed; a ticket
// does not stand for it, and whoever the site's policy denies a login cannot
// change his password from there either. All his tickets end. Where no password
// can be changed it refuses without looking at the credentials.
func (s *Service) SetPassword(ctx context.Context, req Request, newPassword string) (out Grant, err error) {
	defer s.done("setpass", req, s.now(), &out, &err)
	if !s.gate.CanChangePassword() {
		return Grant{}, errNoChange
	}
	snap, err := s.snapshot(ctx)
	if err != nil {
		return Grant{}, err
	}
	req.Account = ""
	var d *door
	err = s.gate.ChangePassword(ctx, req.Credentials, newPassword, func(id identity.Identity) (err error) {
		d, err = s.admit(ctx, req, "login", snap, &identity.Login{Identity: id})
		return err
	})
	var notChanged *identity.NotChangedError
	switch {
	case errors.As(err, &notChanged):
		if d != nil {
			d.note(ctx, slog.LevelInfo, "password not changed", slog.String("reason", notChanged.Text))
		}
		return Grant{}, &RefusedError{"the password was not changed: " + notChanged.Text, RefusedTask}
	case errors.Is(err, identity.ErrCannotChange):
		return Grant{}, errNoChange
	case err != nil:
		return Grant{}, err
	case d == nil:
		return Grant{}, errors.New("a password was changed without asking the policy")
	}
	d.note(ctx, slog.LevelInfo, "password changed")
	return d.recognised(), nil
}
