//go:build pam

package main

import (
	"errors"
	"fmt"
	"os/user"
	"strconv"

	"github.com/x2broker/x2broker/broker/identity/authd"
)

var errUnknown = errors.New("NSS does not know the name")

// lookUp asks getpwnam(3) and getgrouplist(3); os/user does so with cgo. A group
// that has no name is left out: no policy can name it.
func lookUp(name string) (authd.User, error) {
	u, err := user.Lookup(name)
	if unknown := user.UnknownUserError(""); errors.As(err, &unknown) {
		return authd.User{}, errUnknown
	}
	if err != nil {
		return authd.User{}, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return authd.User{}, fmt.Errorf("uid %q: %w", u.Uid, err)
	}
	out := authd.User{Name: u.Username, UID: uint32(uid), Home: u.HomeDir}
	ids, err := u.GroupIds()
	if err != nil {
		return authd.User{}, fmt.Errorf("groups: %w", err)
	}
	for _, id := range ids {
		g, err := user.LookupGroupId(id)
		if unknown := user.UnknownGroupIdError(""); errors.As(err, &unknown) {
			continue
		}
		if err != nil {
			return authd.User{}, fmt.Errorf("group %s: %w", id, err)
		}
		out.Groups = append(out.Groups, g.Name)
	}
	return out, nil
}
