package identity

import (
	"container/list"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// ticketGrace is how long the ticket before the newest stays good: replies
	// get lost, and X2Go Client has two requests with one authid in flight.
	ticketGrace = 60 * time.Second

	// clockSkew is how far in the future a login may lie: clocks are set back
	// a little now and then, but a ticket must not live on because of it.
	clockSkew = time.Minute

	// MaxChainsPerUser is how many password logins of one user have live
	// tickets at a time; one more ends the oldest.
	MaxChainsPerUser = 64

	// MaxChains is how many have for all users together, some 60 MB.
	MaxChains = 1 << 17
)

// Why a ticket is not good, for logs. To a client they are all the same: as if
// there had been no ticket.
var (
	ErrTicketForm     = errors.New("ticket: malformed")
	ErrTicketForged   = errors.New("ticket: not signed with our key")
	ErrTicketUser     = errors.New("ticket: of another user")
	ErrTicketAddress  = errors.New("ticket: from another address")
	ErrTicketExpired  = errors.New("ticket: expired")
	ErrTicketPassword = errors.New("ticket: sent with another password than its login")
	ErrTicketUnknown  = errors.New("ticket: of a login that was revoked or displaced")
	ErrTicketLookup   = errors.New("ticket: the authenticator does not vouch for the user now")
	ErrTicketReplay   = errors.New("ticket: used again after its successor, chain revoked")
)

// TicketConfig describes [Tickets]. Clock, Rand and Logger are required.
type TicketConfig struct {
	StateDir      string        // where the key is kept as ticket.key; "" keeps it in memory only
	Lifetime      time.Duration // from the password login, never extended
	Rotate        bool          // each use gives a new ticket; else one ticket serves its whole life
	VerifyAddress bool          // good only from the address (IPv6: the /64) of the login
	Clock         func() time.Time
	Rand          io.Reader // a cryptographic random source
	Logger        *slog.Logger
}

// LookupFunc asks an authenticator for a canonical name without a password,
// as [Chain.Lookup] does.
type LookupFunc func(ctx context.Context, authenticator, name string) (Identity, error)

// Tickets issues and checks tickets. Each password login starts a chain; using
// ticket n of a chain yields n+1, the same for simultaneous requests. The
// highest generation h and everything above it are good, h-1 is good for 60 s
// after h was made, and an older one, all else right, revokes the chain: it was
// used twice, and nobody can tell by whom.
//
// What has been used is kept in memory only. Every start therefore makes a new
// key, and costs each user one password.
type Tickets struct {
	lifetime      time.Duration
	rotate        bool
	verifyAddress bool
	clock         func() time.Time
	rand          io.Reader
	log           *slog.Logger
	key           ticketKey

	maxPerUser int
	maxTotal   int

	mu     sync.Mutex
	chains map[chainID]*chainState
	byAge  *list.List             // of *chainState, oldest login first
	byUser map[userKey]*list.List // the same for each user
}

type userKey struct{ authenticator, canonical string }

// chainState is what is remembered of a chain.
type chainState struct {
	id     chainID
	user   userKey
	login  time.Time
	newest uint32    // the highest generation made
	minted time.Time // when newest was made first

	// password is a keyed digest of the password of the login, which never
	// leaves this process.
	password [sha256.Size]byte

	inAge, inUser *list.Element
}

// NewTickets makes a key and writes it to the state directory.
func NewTickets(c TicketConfig) (*Tickets, error) {
	if c.Lifetime <= 0 {
		return nil, fmt.Errorf("tickets: lifetime %v: want a positive duration", c.Lifetime)
	}
	key, err := newTicketKey(c.Rand)
	if err != nil {
		return nil, err
	}
	if c.StateDir != "" {
		switch err := writeKeyFile(c.StateDir, key); {
		case errors.Is(err, syscall.EROFS), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
			c.Logger.Warn("ticket key is in memory only", "error", err) // as the rest of what tickets need
		case err != nil:
			return nil, err
		}
	}
	return &Tickets{
		lifetime:      c.Lifetime,
		rotate:        c.Rotate,
		verifyAddress: c.VerifyAddress,
		clock:         c.Clock,
		rand:          c.Rand,
		log:           c.Logger,
		key:           key,
		maxPerUser:    MaxChainsPerUser,
		maxTotal:      MaxChains,
		chains:        make(map[chainID]*chainState),
		byAge:         list.New(),
		byUser:        make(map[userKey]*list.List),
	}, nil
}

// Issue starts a chain after a login with the credentials and returns its first
// ticket. It returns "" when there can be no ticket: the name is empty or too
// long, the address unknown, or the random source broken.
func (ts *Tickets) Issue(id Identity, c Credentials) string {
	now := ts.clock()
	t := ticket{
		authenticator: id.Authenticator,
		canonical:     id.Name,
		typed:         c.Name,
		network:       clientNet(c.Address),
		login:         now.Unix(),
	}
	if !t.fits() {
		return ""
	}

	ts.mu.Lock()
	defer ts.mu.Unlock()
	// Under the lock because an io.Reader need not be safe for concurrent use.
	if _, err := io.ReadFull(ts.rand, t.chain[:]); err != nil {
		ts.log.Error("no ticket issued: the random source failed", "error", err)
		return ""
	}
	if _, exists := ts.chains[t.chain]; exists {
		ts.log.Error("no ticket issued: the random source repeats itself")
		return ""
	}
	ts.purge(now)
	ts.add(&chainState{
		id: t.chain,
		// The name may be a piece of a request's body, which has the password
		// in it and must not be kept alive for hours.
		user:     userKey{id.Authenticator, strings.Clone(id.Name)},
		login:    now,
		password: ts.passwordMark(t.chain, c.Password),
		minted:   now,
	})
	t.sign(ts.key)
	return t.encode()
}

// A Use is a ticket that was found good. It has changed nothing yet.
type Use struct {
	Identity Identity // as the authenticator gives it now

	tickets *Tickets
	ticket  ticket
}

// Check reports whether the ticket of the credentials stands for a password of
// their name at their address. A password that comes along must be the one of
// the login: X2Go Client keeps its ticket when somebody else sits down, and a
// wrong password must stay wrong. The error says why the ticket is not good and
// is for logs only. Nothing is recorded, except that a replay revokes its chain.
//
// lookup is asked, with the canonical name, for a ticket that is right in
// everything that the broker can tell by itself, and so not for forged ones.
func (ts *Tickets) Check(ctx context.Context, c Credentials, lookup LookupFunc) (*Use, error) {
	t, err := decodeTicket(c.Ticket)
	if err != nil {
		return nil, ErrTicketForm
	}
	if !t.authentic(ts.key) {
		return nil, ErrTicketForged
	}
	if c.Name != t.canonical && c.Name != t.typed {
		return nil, ErrTicketUser
	}
	if ts.verifyAddress && clientNet(c.Address) != t.network {
		return nil, ErrTicketAddress
	}
	if age := ts.clock().Sub(t.loginTime()); age >= ts.lifetime || age < -clockSkew {
		return nil, ErrTicketExpired
	}
	if err := ts.checkChain(t.chain, c.Password); err != nil {
		return nil, err
	}

	id, err := lookup(ctx, t.authenticator, t.canonical)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTicketLookup, err)
	}
	if id.Name != t.canonical || id.Authenticator != t.authenticator {
		return nil, ErrTicketLookup
	}
	if err := ts.checkGeneration(&t, c.Address); err != nil {
		return nil, err
	}
	return &Use{Identity: id, tickets: ts, ticket: t}, nil
}

// checkChain says whether the chain lives and began with this password; an
// empty one is no claim.
func (ts *Tickets) checkChain(id chainID, password string) error {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	c := ts.chains[id]
	switch {
	case c == nil:
		return ErrTicketUnknown
	case password == "":
		return nil
	}
	if mark := ts.passwordMark(id, password); !hmac.Equal(mark[:], c.password[:]) {
		return ErrTicketPassword
	}
	return nil
}

// passwordMark is a digest of a password that is of use in this chain and this
// process only.
func (ts *Tickets) passwordMark(id chainID, password string) [sha256.Size]byte {
	return ts.key.sum("x2broker password of a chain\x00", id[:], []byte(password))
}

// checkGeneration comes after all other checks: it may revoke the chain.
func (ts *Tickets) checkGeneration(t *ticket, addr netip.Addr) error {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	c := ts.chains[t.chain]
	switch {
	case c == nil:
		return ErrTicketUnknown
	case !ts.rotate && t.generation != 0, t.generation == math.MaxUint32:
		return ErrTicketForm // we never made it
	case t.generation >= c.newest:
		return nil
	case t.generation == c.newest-1 && ts.clock().Sub(c.minted) <= ticketGrace:
		return nil
	}
	ts.remove(c)
	ts.log.Warn("ticket used again after its successor: its chain is revoked, the next login takes a password",
		"user", t.canonical, "authenticator", t.authenticator, "address", addr)
	return ErrTicketReplay
}

// Turn records that the ticket was used and returns its successor; the same
// ticket where tickets do not rotate. It returns "" when the client shall keep
// what it has: the chain was ended since Check, or a later request of the
// client already got a newer ticket.
func (u *Use) Turn() string {
	ts := u.tickets
	next := u.ticket
	if ts.rotate {
		next.generation++
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	c := ts.chains[next.chain]
	if c == nil || next.generation < c.newest {
		return ""
	}
	if next.generation > c.newest {
		c.newest = next.generation
		c.minted = ts.clock()
	}
	next.sign(ts.key)
	return next.encode()
}

// add remembers a chain and forgets those that it displaces.
func (ts *Tickets) add(c *chainState) {
	ts.chains[c.id] = c
	c.inAge = ts.byAge.PushBack(c)
	mine := ts.byUser[c.user]
	if mine == nil {
		mine = list.New()
		ts.byUser[c.user] = mine
	}
	c.inUser = mine.PushBack(c)

	for mine.Len() > ts.maxPerUser {
		ts.remove(mine.Front().Value.(*chainState))
	}
	for ts.byAge.Len() > ts.maxTotal {
		ts.remove(ts.byAge.Front().Value.(*chainState))
	}
}

func (ts *Tickets) remove(c *chainState) {
	delete(ts.chains, c.id)
	ts.byAge.Remove(c.inAge)
	mine := ts.byUser[c.user]
	mine.Remove(c.inUser)
	if mine.Len() == 0 {
		delete(ts.byUser, c.user)
	}
}

// purge forgets the chains whose tickets have all expired.
func (ts *Tickets) purge(now time.Time) {
	for e := ts.byAge.Front(); e != nil; e = ts.byAge.Front() {
		c := e.Value.(*chainState)
		if now.Sub(c.login) < ts.lifetime {
			return
		}
		ts.remove(c)
	}
}
