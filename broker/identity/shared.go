package identity

import (
	"bytes"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// A shared authid has at least so many letters, and its file at most so many
// bytes.
const (
	minShared     = 20
	maxSharedFile = 4096
)

// SharedConfig describes a [Shared]. File and Logger are required.
type SharedConfig struct {
	File            string // has the secret: the first word of the first line that is neither empty nor a comment
	WithoutPassword bool   // it stands for the password of any user, from From
	From            []netip.Prefix
	Logger          *slog.Logger
}

// Shared is an authid that many clients have in a file and send as their first
// one (X2Go Client: --auth-id=FILE). It says which clients may try at all: a
// password is looked at only if it comes with the secret, or with a ticket that
// was once given to somebody who had it. With WithoutPassword it lets in under
// any name that an authenticator knows, without a password; who has the secret
// may then be anybody.
//
// The file is read at each use, so that a new secret counts at once. Without a
// secret to be read nothing matches.
type Shared struct {
	c SharedConfig
}

// NewShared reads the file once, so that a mistake is known at the start.
func NewShared(c SharedConfig) (*Shared, error) {
	if c.WithoutPassword && len(c.From) == 0 {
		return nil, errors.New("shared authid: without a password it needs the networks that it is good from")
	}
	c.From = slices.Clone(c.From)
	s := &Shared{c}
	_, err := s.secret()
	return s, err
}

// secret reads the file. No error has anything of it.
func (s *Shared) secret() (string, error) {
	wrap := func(err error) error { return fmt.Errorf("shared authid: %w", err) }
	f, err := os.Open(s.c.File)
	if err != nil {
		return "", wrap(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", wrap(err)
	}
	if !info.Mode().IsRegular() || info.Mode()&0o037 != 0 {
		return "", wrap(fmt.Errorf("%s has mode %v, want a file of mode 0640 or less", s.c.File, info.Mode()))
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSharedFile+1))
	if err != nil {
		return "", wrap(err)
	}
	for line := range bytes.Lines(data) {
		fields := strings.Fields(string(line))
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		word := fields[0]
		if len(data) > maxSharedFile || len(word) < minShared || strings.Trim(word, "x-") == "" || strings.ContainsFunc(word, func(r rune) bool {
			return r > 0x7f || !isTicketLetter(byte(r))
		}) {
			break
		}
		return word, nil
	}
	return "", wrap(fmt.Errorf("%s has no word of at least %d letters, digits, - and _ to use", s.c.File, minShared))
}

// matches reports whether the authid is the secret.
func (s *Shared) matches(authid string) bool {
	secret, err := s.secret()
	if err != nil {
		s.c.Logger.Error("no shared authid matches", "error", err)
		return false
	}
	return subtle.ConstantTimeCompare([]byte(authid), []byte(secret)) == 1
}

// byShared lets in by a shared authid alone. A password that comes along
// decides itself.
func (g *Gate) byShared(ctx context.Context, c Credentials) *Login {
	s := g.shared
	if s == nil || !s.c.WithoutPassword || c.Name == "" || c.Password != "" || c.Ticket == "" {
		return nil
	}
	addr := c.Address.Unmap().WithZone("")
	if !slices.ContainsFunc(s.c.From, func(p netip.Prefix) bool { return p.Contains(addr) }) || !s.matches(c.Ticket) {
		return nil
	}
	id, err := g.chain.Find(ctx, c.Name)
	if err != nil {
		g.log.DebugContext(ctx, "a shared authid for nobody", "address", c.Address, "error", err)
		return nil
	}
	return &Login{Identity: id, ByTicket: true, renew: func() string { return c.Ticket }}
}

// mayTry reports whether a password is to be looked at.
func (g *Gate) mayTry(c Credentials) bool {
	s := g.shared
	return s == nil || s.c.WithoutPassword || g.tickets != nil && g.tickets.wasGiven(c) || s.matches(c.Ticket)
}

// wasGiven reports whether the ticket is one of ours, of whomever and however
// old, and from its address.
func (ts *Tickets) wasGiven(c Credentials) bool {
	t, err := decodeTicket(c.Ticket)
	if err != nil {
		return false
	}
	key, known := ts.keys.Load().find(t.key)
	return known && t.authentic(key) && (!ts.verifyAddress || clientNet(c.Address) == t.network)
}
