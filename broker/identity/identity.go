package identity

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"unicode"
	"unicode/utf8"
)

// MaxName is the longest user name in bytes that anyone may log in with.
const MaxName = 255

// maxPassword bounds in bytes what is handed to an authenticator.
const maxPassword = 1024

// Identity is a user as an authenticator knows him.
type Identity struct {
	Name          string   // canonical: as the authenticator spells it, not as it was typed
	Groups        []string // sorted, each once; nil for none
	Authenticator string   // the name of the authenticator that vouches for all this
}

// Credentials are what one request brings along to prove who it is from.
// They print and log without their secrets.
type Credentials struct {
	Name     string     // as typed
	Password string     // "" for none
	Ticket   string     // the authid, "" for none; only a [Gate] looks at it, authenticators never see one
	Address  netip.Addr // of the client; the zero value when it is not known

	// Proof is that of the connection which the request comes through, nil where
	// each request proves itself. Password and ticket then prove nothing; the
	// name must be that of the proof, or "". Only a [Gate] looks at it.
	Proof *Proof

	// Domain says that the name may have a domain behind an @: if it is not let
	// in, the part before it is tried. Only a [Gate] looks at it.
	Domain bool
}

// String gives the address only: what was typed as a name may be a password.
func (c Credentials) String() string { return "credentials from " + c.Address.String() }

// Format prints String for every verb.
func (c Credentials) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// LogValue keeps slog handlers that walk through fields from the secrets.
func (c Credentials) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalText keeps encoders, JSON among them, from the secrets.
func (c Credentials) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// How an authenticator refuses. Errors may wrap these; no error may contain a
// password.
var (
	// ErrUnknownUser says that the authenticator does not know the name; the
	// next one is asked.
	ErrUnknownUser = errors.New("unknown user")

	// ErrWrongPassword says that the name is known and the password is not
	// his. It ends the search.
	ErrWrongPassword = errors.New("wrong password")

	// ErrNoPassword says that the password is empty, which nobody's password
	// is. It ends the search, nothing is hashed and nothing is counted.
	ErrNoPassword = errors.New("no password")

	// ErrExpired and ErrMustChange say that the password is right, but that the
	// account is expired or locked, or that the user has to choose another
	// password first. They end the search.
	ErrExpired    = errors.New("account expired or locked")
	ErrMustChange = errors.New("the password has to be changed first")

	// ErrNotTried says that the password was not looked at, because no slot
	// was free in time or a directory could not be reached. The attempt is
	// denied but does not count against the user. Wrap it only where the
	// password can have made no difference yet: whoever can tell a right
	// password from a wrong one by an uncounted error has free guesses.
	ErrNotTried = errors.New("password not looked at")
)

// An Authenticator decides whether a password belongs to a name.
//
// Authenticate returns ErrUnknownUser, ErrWrongPassword, ErrNoPassword,
// ErrExpired, ErrMustChange, ErrNotTried, or any other error; each but the first
// ends the search, and all are a denial. It must take as long for a name that it does not know as for
// one that it knows.
type Authenticator interface {
	Name() string
	Authenticate(ctx context.Context, c Credentials) (Identity, error)
}

// A Lookuper is an Authenticator that can also say whether it still knows a
// canonical name, and the groups of today, without a password. Only such an
// authenticator gets tickets. Lookup returns ErrUnknownUser for a name that is
// gone, with ErrExpired or ErrMustChange for one whose account is not valid any
// more; on any error the ticket counts as absent.
type Lookuper interface {
	Lookup(ctx context.Context, name string) (Identity, error)
}

// A Decoy is an Authenticator that can do the work of an unknown name, so
// that a chain takes as long whichever of its members knew the name.
type Decoy interface {
	Decoy(ctx context.Context, password string)
}

// normalized returns the identity as it leaves a chain: signed by the
// authenticator that was asked, its groups sorted and not shared.
func (id Identity) normalized(authenticator string) Identity {
	groups := slices.Clone(id.Groups)
	slices.Sort(groups)
	id.Groups = slices.Compact(groups)
	id.Authenticator = authenticator
	return id
}

// ValidName reports whether a name can be anyone's: UTF-8, within bounds and
// without control characters.
func ValidName(name string) bool {
	return len(name) <= MaxName && printable(name)
}

// validPassword does the same for a password.
func validPassword(password string) bool {
	return len(password) <= maxPassword && printable(password)
}

func printable(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return false
		}
	}
	return true
}
