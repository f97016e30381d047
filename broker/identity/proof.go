package identity

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/user"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// defaultProofTime is how long a proof is good.
	defaultProofTime = 10 * time.Hour

	// askedOnceTime is how long a proof is good whose authenticator cannot say
	// whether it still knows the user.
	askedOnceTime = 15 * time.Minute

	// passwordTime is how long a password is kept that may be wanted once more,
	// to change it.
	passwordTime = 15 * time.Minute
)

// A Proof is what somebody proved when he connected, such as with an SSH key. It
// stands for a password in each request on that connection, see
// [Credentials.Proof], and is checked anew in each: it ends with the time that
// tickets live, with a change of the password, and when the authenticator does
// not vouch for the user any more.
type Proof struct {
	id       Identity
	typed    string // the name
	address  netip.Addr
	at       time.Time
	password atomic.Pointer[string] // nil for none, or not any more
	keeping  *time.Timer            // ends the password; nil for none
}

// End forgets the password, when the connection has ended.
func (p *Proof) End() {
	p.password.Store(nil)
	if p.keeping != nil {
		p.keeping.Stop()
	}
}

// User is the canonical name.
func (p *Proof) User() string { return p.id.Name }

// Address is where the connection comes from.
func (p *Proof) Address() netip.Addr { return p.address }

// is reports whether the proof is of whoever a request says it is from.
func (p *Proof) is(c Credentials) bool {
	return c.Address == p.address && (c.Name == "" || c.Name == p.typed || c.Name == p.id.Name)
}

// A UIDLookuper is a [Lookuper] of users of this machine. LookupUID is Lookup for
// the name if it is that of the numeric user id, and ErrUnknownUser else.
type UIDLookuper interface {
	LookupUID(ctx context.Context, name string, uid uint32) (Identity, error)
}

// Open reports whether people get in without a password.
func (g *Gate) Open() bool { return g.chain.Open() }

// Connect lets somebody in for as long as he is connected, by password, or by
// what ask is told; a nil ask is nobody who could answer. The ticket does not
// count. The error is always a *[DeniedError].
func (g *Gate) Connect(ctx context.Context, c Credentials, ask Ask) (*Proof, error) {
	c.Ticket, c.Proof = "", nil
	began := g.clock() // what changes while the password is looked at counts
	var (
		login *Login
		err   error
	)
	if ask == nil {
		login, err = g.Login(ctx, c)
	} else {
		first := func(ctx context.Context, p Prompt) (string, error) {
			answer, err := ask(ctx, p)
			if c.Password == "" {
				c.Password, began = answer, g.clock()
			}
			return answer, err
		}
		login, err = g.Converse(ctx, c, first)
	}
	if err != nil {
		return nil, err
	}
	p := prove(login.Identity, c, began)
	if password := c.Password; password != "" && g.CanChangePassword() {
		p.password.Store(&password)
		p.keeping = time.AfterFunc(passwordTime, func() { p.password.Store(nil) })
	}
	return p, nil
}

// ConnectAs lets in whoever proved in another way, as with a key, that he has the
// name of the credentials. The error is always a *[DeniedError].
func (g *Gate) ConnectAs(ctx context.Context, c Credentials) (*Proof, error) {
	return g.connectAs(ctx, c, func() (Identity, error) {
		id, err := g.chain.Find(ctx, c.Name)
		if err != nil || id.Name == c.Name {
			return id, err
		}
		// Whoever asks knows the keys of users by their canonical names, and that
		// may be one of somebody else, too.
		named, err := g.chain.Find(ctx, id.Name)
		if err == nil && named.Authenticator != id.Authenticator {
			err = ErrUnknownUser
		}
		return named, err
	})
}

// overflowUID is the number that the kernel gives to a user whom it cannot name
// here, because he is outside of the user namespace of the broker's container. It
// is that of the account nobody, too.
const overflowUID = 65534

// ConnectUID lets in a user of this machine. The name is what he says; it counts
// where an authenticator knows that it is his. The error is always a
// *[DeniedError].
func (g *Gate) ConnectUID(ctx context.Context, uid uint32, name string, address netip.Addr) (*Proof, error) {
	c := Credentials{Name: name, Address: address}
	if !ValidName(name) {
		c.Name = "" // says nothing
	}
	if uid == overflowUID {
		return nil, g.deny(ctx, c, ReasonUnknownUser, "uid", uid)
	}
	his := true
	p, err := g.connectAs(ctx, c, func() (Identity, error) {
		id, err := g.chain.findUID(ctx, uid, c.Name)
		if !errors.Is(err, ErrUnknownUser) {
			return id, err
		}
		his = false
		return g.chain.findNumber(ctx, uid)
	})
	if err == nil && !his {
		p.typed = p.id.Name // what he says names somebody else, perhaps
	}
	if denied := new(DeniedError); errors.As(err, &denied) && denied.Reason == ReasonUnknownUser {
		g.log.InfoContext(ctx, "login denied: no authenticator knows this user of the machine", "uid", uid)
	}
	return p, err
}

func (g *Gate) connectAs(ctx context.Context, c Credentials, find func() (Identity, error)) (*Proof, error) {
	c.Password, c.Ticket, c.Proof = "", "", nil
	switch {
	case !c.Address.IsValid():
		return nil, g.deny(ctx, c, ReasonNoAddress)
	case !ValidName(c.Name):
		return nil, g.deny(ctx, c, ReasonMalformed)
	}
	began := g.clock()
	if g.chain.Open() {
		find = func() (Identity, error) { return g.chain.Authenticate(ctx, c) }
	}
	id, err := find()
	switch {
	case errors.Is(err, ErrUnknownUser):
		// Whoever asks about a key may name anybody, as often as he likes.
		g.log.DebugContext(ctx, "login denied", "reason", ReasonUnknownUser, "address", c.Address)
		return nil, &DeniedError{Reason: ReasonUnknownUser}
	case err != nil:
		return nil, g.refuse(ctx, c, err)
	}
	return prove(id, c, began), nil
}

func prove(id Identity, c Credentials, at time.Time) *Proof {
	return &Proof{id: id, typed: c.Name, address: c.Address, at: at}
}

// byProof lets in whoever is connected still.
func (g *Gate) byProof(ctx context.Context, c Credentials) (*Login, error) {
	p := c.Proof
	if !p.is(c) {
		return nil, g.deny(ctx, c, ReasonOtherUser, "user", p.id.Name)
	}
	id, err := g.still(ctx, p)
	if err != nil {
		return nil, g.deny(ctx, c, ReasonProofEnded, "user", p.id.Name, "error", err)
	}
	c.Name, c.Password = p.typed, ""
	return &Login{Identity: id, renew: sync.OnceValue(func() string {
		if g.tickets == nil || !g.chain.CanLookup(id.Authenticator) {
			return ""
		}
		if c.Ticket != "" {
			if next := g.tickets.Resume(ctx, id, c); next != "" {
				return next
			}
		}
		return g.tickets.Issue(id, c)
	})}, nil
}

// still gives who the proof is of, as his authenticator knows him now.
func (g *Gate) still(ctx context.Context, p *Proof) (Identity, error) {
	age := g.clock().Sub(p.at)
	most := g.proofTime
	known := g.chain.CanLookup(p.id.Authenticator)
	if !known && !g.chain.Open() {
		most = min(most, askedOnceTime)
	}
	switch {
	case age > most:
		return Identity{}, errors.New("it is too old")
	case g.changed.since(p.id, p.at):
		return Identity{}, errors.New("the password was changed since")
	case !known:
		return p.id, nil
	}
	id, err := g.chain.Lookup(ctx, p.id.Authenticator, p.id.Name)
	if err == nil && id.Name != p.id.Name {
		err = fmt.Errorf("authenticator %q has another name for him now", p.id.Authenticator)
	}
	return id, err
}

// Find gives the user of a name without a password. The first member that knows
// the name decides, as with one, also if his account is not valid there; a member
// that could know it and cannot say so denies.
func (c *Chain) Find(ctx context.Context, name string) (Identity, error) {
	if name == "" {
		return Identity{}, ErrUnknownUser
	}
	for _, m := range c.members {
		if !c.CanLookup(m.Name()) {
			return Identity{}, fmt.Errorf("authenticator %q cannot say without a password whom it knows", m.Name())
		}
		id, err := c.Lookup(ctx, m.Name(), name)
		if !errors.Is(err, ErrUnknownUser) || errors.Is(err, ErrExpired) || errors.Is(err, ErrMustChange) {
			return id, err
		}
	}
	return Identity{}, ErrUnknownUser
}

// findUID gives a user of this machine whom a member knows by name and number.
func (c *Chain) findUID(ctx context.Context, uid uint32, name string) (Identity, error) {
	for _, m := range c.members {
		l, ok := m.(UIDLookuper)
		if !ok || name == "" {
			continue
		}
		id, err := l.LookupUID(ctx, name, uid)
		switch {
		case err == nil:
			return c.complete(ctx, id.normalized(m.Name()))
		case !errors.Is(err, ErrUnknownUser):
			return Identity{}, fmt.Errorf("authenticator %q: %w", m.Name(), err)
		}
	}
	return Identity{}, ErrUnknownUser
}

// findNumber gives the user of the name that /etc/passwd has for a number.
func (c *Chain) findNumber(ctx context.Context, uid uint32) (Identity, error) {
	u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	if unknown := user.UnknownUserIdError(0); errors.As(err, &unknown) {
		return Identity{}, ErrUnknownUser
	} else if err != nil {
		return Identity{}, fmt.Errorf("look up user id %d: %w", uid, err)
	}
	return c.Find(ctx, u.Username)
}

// passwordChanges says whose password was changed lately.
type passwordChanges struct {
	mu sync.Mutex
	at map[userID]time.Time
}

// note forgets what is older than any proof.
func (p *passwordChanges) note(id Identity, now time.Time, proofTime time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for user, at := range p.at {
		if now.Sub(at) > proofTime {
			delete(p.at, user)
		}
	}
	if p.at == nil {
		p.at = map[userID]time.Time{}
	}
	p.at[newUserID(id.Authenticator, id.Name)] = now
}

func (p *passwordChanges) since(id Identity, t time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, changed := p.at[newUserID(id.Authenticator, id.Name)]
	return changed && !at.Before(t)
}
