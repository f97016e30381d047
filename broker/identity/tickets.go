package identity

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/netip"
	"sync"
	"sync/atomic"
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
	ErrTicketUnproven = errors.New("ticket: sent with a password that was not checked since the broker started")
	ErrTicketUnknown  = errors.New("ticket: of a login that was revoked or displaced")
	ErrTicketLookup   = errors.New("ticket: the authenticator does not vouch for the user now")
	ErrTicketReplay   = errors.New("ticket: used again after its successor, chain revoked")
)

// TicketConfig describes [Tickets]. Clock, Rand and Logger are required.
type TicketConfig struct {
	StateDir      string        // for ticket.key and ticket.marks; "" keeps both in memory only
	KeyFile       string        // keys that several brokers share, never written; "" for a key of our own
	KeyRotation   time.Duration // how long a key of our own signs; 0 for ever
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
// What has been used is written to the state directory before the reply, and
// [Tickets.Run] makes the machine keep it each second. So tickets live across
// restarts, and one that was used up stays so. Where that file is missing or
// damaged, nobody can tell what was used: a new key ends all tickets, which
// costs each user one password. With keys that are shared a ticket may be of a
// login at another broker; there, all logins from before the start have ended.
type Tickets struct {
	lifetime      time.Duration
	rotate        bool
	verifyAddress bool
	keyRotation   time.Duration
	stateDir      string
	keyFile       string
	clock         func() time.Time
	rand          io.Reader
	log           *slog.Logger
	keys          atomic.Pointer[keyring]

	// proof makes the digests of passwords, which never leave this process.
	proof [sha256.Size]byte

	counts ticketCounts

	mu sync.Mutex
	chainTable
	marks *markWriter // nil: memory only
}

// NewTickets reads the keys and the marks of the last run. The error says that
// keys or marks can be neither read nor written.
func NewTickets(c TicketConfig) (*Tickets, error) {
	return newTicketsWith(c, newChainTable(MaxChainsPerUser, MaxChains))
}

func newTicketsWith(c TicketConfig, empty chainTable) (*Tickets, error) {
	if c.Lifetime <= 0 {
		return nil, fmt.Errorf("tickets: lifetime %v: want a positive duration", c.Lifetime)
	}
	ts := &Tickets{
		lifetime:      c.Lifetime,
		rotate:        c.Rotate,
		verifyAddress: c.VerifyAddress,
		keyRotation:   c.KeyRotation,
		stateDir:      c.StateDir,
		keyFile:       c.KeyFile,
		clock:         c.Clock,
		rand:          c.Rand,
		log:           c.Logger,
		chainTable:    empty,
	}
	if _, err := io.ReadFull(c.Rand, ts.proof[:]); err != nil {
		return nil, fmt.Errorf("make a key for digests of passwords: %w", err)
	}
	err := ts.load()
	if errors.Is(err, syscall.EROFS) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		// With a key of its own: what is used now cannot be written down, and must
		// not be good again after the next start.
		ts.log.Warn("tickets are in memory only, and old ones do not count before the next start", "error", err)
		ts.stateDir, ts.keyFile, ts.marks = "", "", nil
		ts.chainTable = newChainTable(ts.maxPerUser, ts.maxTotal)
		err = ts.load()
	}
	if err != nil {
		return nil, err
	}
	return ts, nil
}

// Issue starts a chain after a login with the credentials and returns its first
// ticket. It returns "" when there can be no ticket: the name is empty or too
// long, the address unknown, the random source broken, or the state directory
// takes no marks.
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
	user := newUserID(id.Authenticator, id.Name)

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
	if !ts.record(mark{kind: markChain, chain: t.chain, user: user, login: t.login, minted: roundUp(now)}) {
		return ""
	}
	chain := ts.chains[t.chain]
	if chain == nil {
		return "" // displaced at once by logins from the future: the clock was set back
	}
	chain.minted = now
	if c.Password != "" {
		chain.prove(ts.passwordMark(t.chain, c.Password))
	}
	ts.counts.issued.Add(1)
	return t.issue(ts.keys.Load().signing(now))
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
	if key, known := ts.keys.Load().find(t.key); !known || !t.authentic(key) {
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
	if err := ts.checkChain(&t, c.Password); err != nil {
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
func (ts *Tickets) checkChain(t *ticket, password string) error {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	c := ts.chains[t.chain]
	switch {
	case c == nil && !ts.mayBeElsewhere(t):
		return ErrTicketUnknown
	case password == "":
		return nil
	case c == nil, !c.proven:
		return ErrTicketUnproven
	}
	if mark := ts.passwordMark(t.chain, password); !hmac.Equal(mark[:], c.password[:]) {
		return ErrTicketPassword
	}
	return nil
}

// mayBeElsewhere reports whether a chain that is not known here can be one of
// another broker with the same keys.
func (ts *Tickets) mayBeElsewhere(t *ticket) bool {
	return ts.keyFile != "" && ts.newer(newUserID(t.authenticator, t.canonical), t.login)
}

// passwordMark is a digest of a password that is of use in this chain and this
// process only.
func (ts *Tickets) passwordMark(id chainID, password string) [sha256.Size]byte {
	// A digest that begins with a secret can be continued by whoever sees it,
	// but nobody does; an HMAC would take twice as long, at each request.
	var room [sha256.Size + chainSize + maxPassword]byte
	b := append(append(append(room[:0], ts.proof[:]...), id[:]...), password...)
	defer clear(b)
	return sha256.Sum256(b)
}

// checkGeneration comes after all other checks: it may revoke the chain.
func (ts *Tickets) checkGeneration(t *ticket, addr netip.Addr) error {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	c := ts.chains[t.chain]
	switch {
	case !ts.rotate && t.generation != 0, t.generation == math.MaxUint32:
		return ErrTicketForm // we never made it
	case c == nil && ts.mayBeElsewhere(t):
		return nil
	case c == nil:
		return ErrTicketUnknown
	case t.generation >= c.newest:
		return nil
	case t.generation == c.newest-1 && ts.inGrace(c):
		return nil
	}
	// Also when it cannot be written: at worst the next start forgets it.
	ts.recordAnyhow(mark{kind: markRevoke, chain: c.id, user: c.user.id, login: c.login})
	ts.counts.revoked.Add(1)
	ts.log.Warn("ticket used again after its successor: its chain is revoked, the next login takes a password",
		"user", t.canonical, "authenticator", t.authenticator, "address", addr)
	return ErrTicketReplay
}

// inGrace reports whether the newest ticket of the chain is so young that its
// reply may have been lost. One from the future, after the clock was set back,
// is not young for longer.
func (ts *Tickets) inGrace(c *chainState) bool {
	age := ts.clock().Sub(c.minted)
	return age <= ticketGrace && age >= -clockSkew
}

// Turn records that the ticket was used and returns its successor; the same
// ticket where tickets do not rotate. It returns "" when the client shall keep
// what it has: the chain was ended since Check, a later request of the client
// already got a newer ticket, or the state directory takes no marks.
func (u *Use) Turn() string {
	ts := u.tickets
	next := u.ticket
	if ts.rotate {
		next.generation++
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	now := ts.clock()
	c := ts.chains[next.chain]
	switch {
	case c == nil && !ts.mayBeElsewhere(&next), c != nil && next.generation < c.newest:
		return ""
	case c == nil || next.generation > c.newest:
		m := mark{kind: markChain, chain: next.chain, login: next.login, minted: roundUp(now), generation: next.generation}
		if c != nil {
			m.user = c.user.id
		} else {
			m.user = newUserID(next.authenticator, next.canonical)
		}
		if !ts.record(m) {
			return ""
		}
		if c = ts.chains[next.chain]; c == nil {
			return "" // displaced at once: the user has newer ones enough
		}
		c.minted = now
	}
	ts.counts.turned.Add(1)
	return next.issue(ts.keys.Load().signing(now))
}

// Resume is for a login with a password beside a ticket that was good but for
// [ErrTicketUnproven]: the chain goes on, and knows the password from now on; or
// for one without a password, by a [Proof]. It
// returns "" if a new chain is due.
func (ts *Tickets) Resume(ctx context.Context, id Identity, c Credentials) string {
	password := c.Password
	c.Password = ""
	use, err := ts.Check(ctx, c, func(context.Context, string, string) (Identity, error) { return id, nil })
	if err != nil {
		return ""
	}
	next := use.Turn()
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if chain := ts.chains[use.ticket.chain]; chain != nil && next != "" && password != "" {
		chain.prove(ts.passwordMark(chain.id, password))
	}
	return next
}
