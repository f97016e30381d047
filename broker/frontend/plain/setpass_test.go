package plain_test

import (
	"context"
	"strings"
	"testing"

	"github.com/x2broker/x2broker/broker/frontend/doortest"
	"github.com/x2broker/x2broker/broker/frontend/plain"
	"github.com/x2broker/x2broker/broker/identity"
)

// changing stands for PAM, which the end-to-end tests have: everybody's password
// is this one.
type changing struct{ password string }

func (*changing) Name() string { return "pam" }

func (c *changing) Authenticate(_ context.Context, cred identity.Credentials) (identity.Identity, error) {
	if cred.Password != c.password {
		return identity.Identity{}, identity.ErrWrongPassword
	}
	switch cred.Name {
	case "due":
		return identity.Identity{}, identity.ErrMustChange
	case "gone":
		return identity.Identity{}, identity.ErrExpired
	}
	return identity.Identity{Name: cred.Name}, nil
}

func (c *changing) ChangePassword(_ context.Context, cred identity.Credentials, next string, allow func(identity.Identity) error) (identity.Identity, error) {
	id := identity.Identity{Name: cred.Name}
	if cred.Password != c.password {
		return id, identity.ErrWrongPassword
	}
	if err := allow(id); err != nil {
		return id, err
	}
	if next == "short" {
		return id, &identity.NotChangedError{Text: "BAD PASSWORD: it is too short\nAccess granted"}
	}
	c.password = next
	return id, nil
}

// Story: after a granted reply the window of X2Go Client 4.1.2.2 says "Connecting
// to broker" for ever. After any other it shows the login form again.
func TestAnAnswerToSetpassNeverGrants(t *testing.T) {
	const setpass = "task=setpass&newpass=n%C3%A9w%20one&authid="
	for name, tt := range map[string]struct{ body, want, password string }{
		"changed":               {"user=maja&password=old&" + setpass, "PASSWORD CHANGED: OK\nLog in with the new password.\n", "néw one"},
		"one that is due":       {"user=due&password=old&" + setpass, "PASSWORD CHANGED: OK\nLog in with the new password.\n", "néw one"},
		"wrong password":        {"user=maja&password=x&" + setpass, "Access denied\n", "old"},
		"no new password":       {"user=maja&password=old&task=setpass", "Access denied: the password was not changed: the new password is empty\n", "old"},
		"not good enough":       {"user=maja&password=old&task=setpass&newpass=short", "Access denied: refused by the policy of the site\n", "old"},
		"denied by policy":      {"user=flip&password=old&" + setpass, "Access denied: the library is closed\n", "old"},
		"a login that is due":   {"user=due&password=old&task=listsessions", "Access denied: your password has expired, change it first\n", "old"},
		"an expired account":    {"user=gone&password=old&task=listsessions", "Access denied: this account has expired or is locked\n", "old"},
		"due, a wrong password": {"user=due&password=x&task=listsessions", "Access denied\n", "old"},
	} {
		t.Run(name, func(t *testing.T) {
			pam := &changing{password: "old"}
			b := doortest.NewWith(t, doortest.Files{"site.cue": site, "policy/login.rego": policy}, pam)
			d := &door{doortest.Open("/plain/", plain.New(b.Options, 200)), t, b.Log}
			if got := d.post(tt.body); got != tt.want || strings.Contains(got, "Access granted") {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
			if pam.password != tt.password {
				t.Errorf("the password is %q now, want %q", pam.password, tt.password)
			}
			if log := b.Log.String(); strings.Contains(log, "néw") || strings.Contains(log, "old") {
				t.Errorf("a password is in the log:\n%s", log)
			}
		})
	}
}
