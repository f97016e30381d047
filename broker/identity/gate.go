package identity

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"
)

// Reason says why a login was denied. It is for logs and audit: a client must
// not be able to tell ReasonUnknownUser from ReasonWrongPassword.
type Reason string

// The reasons.
const (
	ReasonNoAddress     Reason = "no client address"       // no header to trust, or garbage in it
	ReasonMalformed     Reason = "malformed"               // control characters, not UTF-8, too long
	ReasonNoPassword    Reason = "no password"             // nor a good ticket
	ReasonNoTicket      Reason = "no good ticket"          // for an event
	ReasonOtherUser     Reason = "says to be another user" // than the one who connected
	ReasonProofEnded    Reason = "login has ended"         // of a connection
	ReasonThrottled     Reason = "throttled"
	ReasonUnknownUser   Reason = "unknown user"
	ReasonWrongPassword Reason = "wrong password"
	ReasonAddress       Reason = "address not allowed" // by [None]
	ReasonNotTried      Reason = "password not looked at"
	ReasonExpired       Reason = "account expired"            // told by a right password only
	ReasonMustChange    Reason = "password has to be changed" // told by a right password only
	ReasonError         Reason = "authenticator failed"
)

// level keeps what anybody can cause without limit out of the log, unless it
// is asked for.
func (r Reason) level() slog.Level {
	switch r {
	case ReasonUnknownUser, ReasonWrongPassword, ReasonAddress, ReasonExpired, ReasonMustChange, ReasonOtherUser, ReasonProofEnded:
		return slog.LevelInfo
	case ReasonError, ReasonNotTried:
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

// DeniedError is the only error of [Gate.Login].
type DeniedError struct {
	Reason     Reason
	RetryAfter time.Duration // with ReasonThrottled, above 0; else 0
}

// Error tells no more than a client may know.
func (e *DeniedError) Error() string {
	if e.Reason == ReasonThrottled {
		return "access denied: too many failed logins"
	}
	return "access denied"
}

// Advice is what may be told to whoever gave the right password and is denied
// nevertheless: what to do. It is "" for all others.
func (e *DeniedError) Advice() string {
	switch e.Reason {
	case ReasonExpired:
		return "this account has expired or is locked"
	case ReasonMustChange:
		return "your password has expired, change it first"
	}
	return ""
}

// authenticateFunc is [Chain.Authenticate], or does more.
type authenticateFunc = func(context.Context, Credentials) (Identity, error)

// GateConfig is what a [Gate] is made of. Chain, Throttle and Logger are
// required; without Tickets there are none, and without Shared no authid that
// clients bring along.
type GateConfig struct {
	Chain     *Chain
	Tickets   *Tickets
	Shared    *Shared
	Throttle  *Throttle
	ProofTime time.Duration    // how long a [Proof] is good; 0 for 10 h
	Clock     func() time.Time // nil for time.Now
	Logger    *slog.Logger
}

// Gate lets users in, by ticket or by password.
type Gate struct {
	chain     *Chain
	tickets   *Tickets
	shared    *Shared
	throttle  *Throttle
	proofTime time.Duration
	clock     func() time.Time
	changed   passwordChanges
	log       *slog.Logger
}

// NewGate returns a Gate. Tickets of static users whose password is not what it
// was at the last start end here.
func NewGate(c GateConfig) *Gate {
	if c.Tickets != nil {
		c.Tickets.rememberHashes(c.Chain)
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	return &Gate{
		chain: c.Chain, tickets: c.Tickets, shared: c.Shared, throttle: c.Throttle,
		proofTime: cmp.Or(c.ProofTime, defaultProofTime), clock: c.Clock, log: c.Logger,
	}
}

// GateStatus says how logins are doing.
type GateStatus struct {
	Tickets  TicketStatus // zero without tickets
	Throttle ThrottleStatus
}

// Status gives the present state. It names nobody.
func (g *Gate) Status() GateStatus {
	s := GateStatus{Throttle: g.throttle.Status()}
	if g.tickets != nil {
		s.Tickets = g.tickets.Status()
	}
	return s
}

// PasswordChanged ends the tickets of a user, as an authenticator names him, and
// his proofs: they stand for a password that is none any more.
func (g *Gate) PasswordChanged(id Identity) {
	g.changed.note(id, g.clock(), g.proofTime)
	if g.tickets != nil {
		g.tickets.PasswordChanged(id.Authenticator, id.Name)
	}
}

// Login is a request that was let in.
type Login struct {
	Identity Identity
	ByTicket bool // else by password, or by an open door

	renew func() string // nil once it was called
	next  string        // what it gave
}

// Renew records the login and returns the ticket for the client's next
// request: a new one after a password, the successor after a ticket. Call it
// when the request is going to be answered as asked; not at all for requests
// that leave the ticket as it is (events, connection tests). It returns ""
// when the client shall be told nothing about tickets. Later calls return the
// same. It is for one goroutine.
func (l *Login) Renew() string {
	if renew := l.renew; renew != nil {
		l.renew = nil
		l.next = renew()
	}
	return l.next
}

// Login decides whether these credentials open the door. A proof does, or does
// not, by itself. Else a good ticket does, whatever the password, and is never
// throttled; any other is as none, and the password decides. The error is always
// a *[DeniedError].
func (g *Gate) Login(ctx context.Context, c Credentials) (*Login, error) {
	return g.login(ctx, c, g.chain.Authenticate)
}

// login asks authenticate, if no ticket will do.
func (g *Gate) login(ctx context.Context, c Credentials, authenticate authenticateFunc) (*Login, error) {
	switch {
	case !c.Address.IsValid():
		return nil, g.deny(ctx, c, ReasonNoAddress)
	case !ValidName(c.Name), !validPassword(c.Password):
		return nil, g.deny(ctx, c, ReasonMalformed)
	}
	if c.Proof != nil {
		return g.byProof(ctx, c)
	}
	login, unproven := g.byTicket(ctx, c)
	if login != nil {
		return login, nil
	}
	if login := g.byShared(ctx, c); login != nil {
		return login, nil
	}
	typed := c

	open := g.chain.Open()
	switch {
	case !open && c.Name == "":
		return nil, g.deny(ctx, c, ReasonMalformed)
	case !open && c.Password == "":
		return nil, g.deny(ctx, c, ReasonNoPassword)
	case !open && !g.mayTry(c):
		return nil, g.deny(ctx, c, ReasonNoTicket)
	}
	c.Ticket = ""
	var (
		id  Identity
		err error
	)
	if open {
		id, err = authenticate(ctx, c) // there is nothing to guess
	} else {
		id, err = g.byPassword(ctx, c, authenticate)
	}
	if err != nil {
		return nil, g.refuse(ctx, c, err)
	}
	return &Login{Identity: id, renew: func() string {
		if g.tickets == nil || !g.chain.CanLookup(id.Authenticator) {
			return ""
		}
		if unproven {
			if next := g.tickets.Resume(ctx, id, typed); next != "" {
				return next
			}
		}
		return g.tickets.Issue(id, c)
	}}, nil
}

// Event decides about a message of a client during a session. A good ticket is
// enough and stays as it is, and a password is not looked at: these messages
// come by themselves, for hours. One with an expired ticket that is right in all
// else is to be granted, or the client tells its user that his login failed, but
// without effect: live is false. The error is always a *[DeniedError].
func (g *Gate) Event(ctx context.Context, c Credentials) (id Identity, live bool, err error) {
	c.Password = ""
	if g.chain.Open() || c.Proof != nil {
		login, err := g.Login(ctx, c)
		if err != nil {
			return Identity{}, false, err
		}
		return login.Identity, true, nil
	}
	switch {
	case !c.Address.IsValid():
		return Identity{}, false, g.deny(ctx, c, ReasonNoAddress)
	case c.Name == "", !ValidName(c.Name):
		return Identity{}, false, g.deny(ctx, c, ReasonMalformed)
	}
	if login := g.byShared(ctx, c); login != nil {
		return login.Identity, true, nil
	}
	if g.tickets == nil || c.Ticket == "" {
		return Identity{}, false, g.deny(ctx, c, ReasonNoTicket)
	}
	use, err := g.tickets.Check(ctx, c, g.chain.Lookup)
	switch {
	case err == nil:
		return use.Identity, true, nil
	case errors.Is(err, ErrTicketExpired):
		return Identity{}, false, nil
	}
	return Identity{}, false, g.deny(ctx, c, ReasonNoTicket, "error", err)
}

// byTicket lets in by ticket. If it does not, unproven says that the ticket may
// go on if the password turns out to be right.
func (g *Gate) byTicket(ctx context.Context, c Credentials) (login *Login, unproven bool) {
	if g.tickets == nil || c.Ticket == "" {
		return nil, false
	}
	use, err := g.tickets.Check(ctx, c, g.chain.Lookup)
	if err != nil {
		g.log.DebugContext(ctx, "ticket not good, the password decides", "address", c.Address, "error", err)
		return nil, errors.Is(err, ErrTicketUnproven)
	}
	return &Login{Identity: use.Identity, ByTicket: true, renew: use.Turn}, false
}

// byPassword asks the chain about each name that may be meant, unless the
// throttle is against one of them. Which one is known must not show.
func (g *Gate) byPassword(ctx context.Context, c Credentials, authenticate authenticateFunc) (Identity, error) {
	names := possibleNames(c)
	attempts := make([]*Attempt, 0, len(names))
	for _, name := range names {
		attempt, retryAfter, ok := g.throttle.Begin(ctx, name, c.Address)
		if !ok {
			cancel(attempts)
			return Identity{}, &DeniedError{Reason: ReasonThrottled, RetryAfter: wholeSeconds(retryAfter)}
		}
		defer attempt.Done(false) // also in a panic; does nothing to an attempt that has ended
		attempts = append(attempts, attempt)
	}
	var (
		id  Identity
		err error
	)
	for i, attempt := range attempts {
		c.Name = names[i]
		others := attempts[i+1:]
		id, err = authenticate(ctx, c)
		switch {
		case err == nil:
			attempt.Done(true)
			cancel(attempts) // who always types his domain does not fail each time
		case errors.Is(err, ErrMustChange), errors.Is(err, ErrExpired):
			attempt.Done(true) // no guess: it was the right password
			cancel(attempts)
		case errors.Is(err, ErrNotTried):
			cancel(attempts)
		case errors.Is(err, ErrUnknownUser) && len(others) > 0:
			// A failure unless the other name is let in, as if this one were known.
		default:
			attempt.Done(false)
		}
		if !errors.Is(err, ErrUnknownUser) && !errors.Is(err, ErrWrongPassword) {
			cancel(others)
			break
		}
	}
	return id, err
}

func cancel(attempts []*Attempt) {
	for _, a := range attempts {
		a.Cancel()
	}
}

// possibleNames are the name as typed, and what is before its domain where that
// may count.
func possibleNames(c Credentials) []string {
	if local, _, found := strings.Cut(c.Name, "@"); found && c.Domain && local != "" {
		return []string{c.Name, local}
	}
	return []string{c.Name}
}

// knownName is what may be logged of a name that an authenticator knows: the last
// of those that may be meant, because what is behind the @ may be a password.
func knownName(c Credentials) string {
	names := possibleNames(c)
	return names[len(names)-1]
}

// refuse turns what authentication said into what the caller gets.
func (g *Gate) refuse(ctx context.Context, c Credentials, err error) *DeniedError {
	var denied *DeniedError
	switch {
	case errors.As(err, &denied):
		g.log.Log(ctx, denied.Reason.level(), "login denied", "reason", denied.Reason, "address", c.Address)
		return denied
	case errors.Is(err, ErrUnknownUser):
		return g.deny(ctx, c, ReasonUnknownUser)
	case errors.Is(err, ErrWrongPassword):
		return g.deny(ctx, c, ReasonWrongPassword, "user", knownName(c))
	case errors.Is(err, ErrNoPassword):
		return g.deny(ctx, c, ReasonNoPassword)
	case errors.Is(err, ErrAddress):
		return g.deny(ctx, c, ReasonAddress)
	case errors.Is(err, ErrExpired):
		return g.deny(ctx, c, ReasonExpired, "user", knownName(c))
	case errors.Is(err, ErrMustChange):
		return g.deny(ctx, c, ReasonMustChange, "user", knownName(c))
	case errors.Is(err, ErrNotTried):
		return g.deny(ctx, c, ReasonNotTried, "error", err)
	}
	return g.deny(ctx, c, ReasonError, "error", err)
}

// deny logs the reason. The name is logged only where an authenticator knows
// it: people type their password into the wrong field.
func (g *Gate) deny(ctx context.Context, c Credentials, reason Reason, attrs ...any) *DeniedError {
	g.log.Log(ctx, reason.level(), "login denied", append([]any{"reason", reason, "address", c.Address}, attrs...)...)
	return &DeniedError{Reason: reason}
}

// wholeSeconds rounds up, as people are told "try again in N s".
func wholeSeconds(d time.Duration) time.Duration {
	return (d + time.Second - 1).Truncate(time.Second)
}
