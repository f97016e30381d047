package identity

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// Reason says why a login was denied. It is for logs and audit: a client must
// not be able to tell ReasonUnknownUser from ReasonWrongPassword.
type Reason string

// The reasons.
const (
	ReasonNoAddress     Reason = "no client address" // no header to trust, or garbage in it
	ReasonMalformed     Reason = "malformed"         // control characters, not UTF-8, too long
	ReasonNoPassword    Reason = "no password"       // nor a good ticket
	ReasonThrottled     Reason = "throttled"
	ReasonUnknownUser   Reason = "unknown user"
	ReasonWrongPassword Reason = "wrong password"
	ReasonAddress       Reason = "address not allowed" // by [None]
	ReasonNotTried      Reason = "password not looked at"
	ReasonError         Reason = "authenticator failed"
)

// level keeps what anybody can cause without limit out of the log, unless it
// is asked for.
func (r Reason) level() slog.Level {
	switch r {
	case ReasonUnknownUser, ReasonWrongPassword, ReasonAddress:
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

// GateConfig is what a [Gate] is made of. Chain, Throttle and Logger are
// required; without Tickets there are none.
type GateConfig struct {
	Chain    *Chain
	Tickets  *Tickets
	Throttle *Throttle
	Logger   *slog.Logger
}

// Gate lets users in, by ticket or by password.
type Gate struct {
	chain    *Chain
	tickets  *Tickets
	throttle *Throttle
	log      *slog.Logger
}

// NewGate returns a Gate.
func NewGate(c GateConfig) *Gate {
	return &Gate{chain: c.Chain, tickets: c.Tickets, throttle: c.Throttle, log: c.Logger}
}

// Login is a request that was let in.
type Login struct {
	Identity Identity
	ByTicket bool // else by password, or by an open door

	renew func() string
}

// Renew records the login and returns the ticket for the client's next
// request: a new one after a password, the successor after a ticket. Call it
// when the request is going to be answered as asked; not at all for requests
// that leave the ticket as it is (events, connection tests). It returns ""
// when the client shall be told nothing about tickets. Later calls return the
// same.
func (l *Login) Renew() string { return l.renew() }

// Login decides whether these credentials open the door. A good ticket does,
// whatever the password, and is never throttled; any other is as none, and the
// password decides. The error is always a *[DeniedError].
func (g *Gate) Login(ctx context.Context, c Credentials) (*Login, error) {
	switch {
	case !c.Address.IsValid():
		return nil, g.deny(ctx, c, ReasonNoAddress)
	case !validName(c.Name), !validPassword(c.Password):
		return nil, g.deny(ctx, c, ReasonMalformed)
	}
	if login := g.byTicket(ctx, c); login != nil {
		return login, nil
	}

	open := g.chain.Open()
	switch {
	case !open && c.Name == "":
		return nil, g.deny(ctx, c, ReasonMalformed)
	case !open && c.Password == "":
		return nil, g.deny(ctx, c, ReasonNoPassword)
	}
	c.Ticket = ""
	authenticate := g.byPassword
	if open {
		authenticate = g.chain.Authenticate // there is nothing to guess
	}
	id, err := authenticate(ctx, c)
	if err != nil {
		return nil, g.refuse(ctx, c, err)
	}
	return &Login{Identity: id, renew: sync.OnceValue(func() string {
		if g.tickets == nil || !g.chain.CanLookup(id.Authenticator) {
			return ""
		}
		return g.tickets.Issue(id, c)
	})}, nil
}

func (g *Gate) byTicket(ctx context.Context, c Credentials) *Login {
	if g.tickets == nil || c.Ticket == "" {
		return nil
	}
	use, err := g.tickets.Check(ctx, c, g.chain.Lookup)
	if err != nil {
		g.log.DebugContext(ctx, "ticket not good, the password decides", "address", c.Address, "error", err)
		return nil
	}
	return &Login{Identity: use.Identity, ByTicket: true, renew: sync.OnceValue(use.Turn)}
}

// byPassword asks the chain about each name that may be meant, unless the
// throttle is against one of them. Which one is known must not show.
func (g *Gate) byPassword(ctx context.Context, c Credentials) (Identity, error) {
	names := possibleNames(c)
	attempts := make([]*Attempt, 0, len(names))
	for _, name := range names {
		attempt, retryAfter, ok := g.throttle.Begin(name, c.Address)
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
		id, err = g.chain.Authenticate(ctx, c)
		switch {
		case err == nil:
			attempt.Done(true)
			cancel(attempts) // who always types his domain does not fail each time
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
		names := possibleNames(c) // the last one is known, or it would be ErrUnknownUser
		return g.deny(ctx, c, ReasonWrongPassword, "user", names[len(names)-1])
	case errors.Is(err, ErrNoPassword):
		return g.deny(ctx, c, ReasonNoPassword)
	case errors.Is(err, ErrAddress):
		return g.deny(ctx, c, ReasonAddress)
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
