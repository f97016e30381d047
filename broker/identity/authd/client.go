package authd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/x2broker/x2broker/broker/identity"
)

// How long the client waits, unless its context ends before.
const (
	lookupTime       = 10 * time.Second
	authenticateTime = 40 * time.Second
	conversationTime = 2 * time.Minute
	dialTime         = 5 * time.Second

	// A refused password is told of so long after it was sent, as PAM wants it.
	minDelay = time.Second
	maxDelay = 10 * time.Second
)

// How many conversations the client has at once, so that none of these can use
// up all processes of the helper: people at prompts, modules that hang while
// they look at a password, and tickets.
const (
	maxPasswords     = 32
	maxConversations = 16
	maxLookups       = 16
)

// Client asks the helper. It is safe for concurrent use.
type Client struct {
	socket    string
	passwords chan struct{}
	talks     chan struct{}
	lookups   chan struct{}
	wait      func(context.Context, time.Time) error // tests do not
}

var (
	_ identity.Authenticator   = (*Client)(nil)
	_ identity.Lookuper        = (*Client)(nil)
	_ identity.UIDLookuper     = (*Client)(nil)
	_ identity.GroupSource     = (*Client)(nil)
	_ identity.Converser       = (*Client)(nil)
	_ identity.PasswordChanger = (*Client)(nil)
	_ identity.Decoy           = (*Client)(nil)
)

// NewClient returns a client of the helper at the socket. It connects for each
// request, so that the helper may come and go.
func NewClient(socket string) *Client {
	return &Client{
		socket:    socket,
		passwords: make(chan struct{}, maxPasswords),
		talks:     make(chan struct{}, maxConversations),
		lookups:   make(chan struct{}, maxLookups),
		wait:      waitUntil,
	}
}

// Name returns "pam".
func (*Client) Name() string { return "pam" }

// Authenticate asks PAM about name and password. It returns ErrNotTried when the
// helper cannot be reached or has too much to do, ErrExpired and ErrMustChange
// after a right password, ErrUnknownUser when NSS does not know the name, and
// any other error when the helper fails, or PAM asks for more than a password.
func (c *Client) Authenticate(ctx context.Context, cred identity.Credentials) (identity.Identity, error) {
	if cred.Password == "" {
		return identity.Identity{}, identity.ErrNoPassword
	}
	return c.decide(ctx, c.passwords, authenticateTime, requestOf(kindAuthenticate, cred), dialogue{})
}

// Converse does so with somebody who can answer prompts. Without a password PAM
// asks for one.
func (c *Client) Converse(ctx context.Context, cred identity.Credentials, ask identity.Ask) (identity.Identity, error) {
	r := requestOf(kindAuthenticate, cred)
	r.Converse = true
	return c.decide(ctx, c.talks, conversationTime, r, dialogue{ask: ask})
}

// Lookup asks NSS for the user and PAM whether his account is valid: not
// expired or locked, and no new password due.
func (c *Client) Lookup(ctx context.Context, name string) (identity.Identity, error) {
	u, err := c.lookup(ctx, name)
	return identityOf(u), err
}

// LookupUID is Lookup if the name is that of the numeric user id, which NSS may
// know under several names.
func (c *Client) LookupUID(ctx context.Context, name string, uid uint32) (identity.Identity, error) {
	u, err := c.lookup(ctx, name)
	if err == nil && u.UID != uid {
		return identity.Identity{}, fmt.Errorf("%w: %q is another user's name", identity.ErrUnknownUser, name)
	}
	return identityOf(u), err
}

func (c *Client) lookup(ctx context.Context, name string) (User, error) {
	u, err := c.user(ctx, c.lookups, lookupTime, Request{kind: kindLookup, Name: name}, dialogue{})
	if errors.Is(err, identity.ErrExpired) || errors.Is(err, identity.ErrMustChange) {
		return User{}, fmt.Errorf("%w: %w", identity.ErrUnknownUser, err)
	}
	return u, err
}

// Groups gives the groups that the machine has for a user whom somebody else let
// in, identity.ErrUnknownUser if it does not have him. An account that has
// expired there is an error, which denies the login.
func (c *Client) Groups(ctx context.Context, name string) ([]string, error) {
	id, err := c.decide(ctx, c.lookups, lookupTime, Request{kind: kindLookup, Name: name}, dialogue{})
	return id.Groups, err
}

// ChangePassword has PAM check the password of the credentials and set the new
// one, as passwd(1) does for the user himself. A new password that PAM does not
// want is an *identity.NotChangedError.
func (c *Client) ChangePassword(ctx context.Context, cred identity.Credentials, newPassword string, allow func(identity.Identity) error) (identity.Identity, error) {
	if cred.Password == "" || newPassword == "" {
		return identity.Identity{}, identity.ErrNoPassword
	}
	r := requestOf(kindChange, cred)
	r.New = newPassword
	// Who hangs up shall not leave a change half done.
	return c.decide(context.WithoutCancel(ctx), c.passwords, authenticateTime, r, dialogue{allow: func(u User) error { return allow(identityOf(u)) }})
}

// Decoy has PAM refuse somebody who is not there. The password is another one:
// that of somebody else is none of PAM's business.
func (c *Client) Decoy(ctx context.Context, _ string) {
	const nobody = "x2broker-decoy-6f1c0e9b"
	_, _ = c.Authenticate(ctx, identity.Credentials{Name: nobody, Password: nobody}) // refused, which is all that it is for
}

func requestOf(k kind, cred identity.Credentials) Request {
	r := Request{kind: k, Name: cred.Name, Password: cred.Password}
	if cred.Address.IsValid() {
		r.Address = cred.Address.Unmap().String()
	}
	return r
}

func identityOf(u User) identity.Identity {
	return identity.Identity{Name: u.Name, Groups: u.Groups}
}

// dialogue is what the client answers before there is a result.
type dialogue struct {
	ask   identity.Ask
	allow func(User) error
}

// decide makes an identity or one of identity's errors of a result.
func (c *Client) decide(ctx context.Context, slots chan struct{}, limit time.Duration, r Request, d dialogue) (identity.Identity, error) {
	u, err := c.user(ctx, slots, limit, r, d)
	return identityOf(u), err
}

// user makes a user or one of identity's errors of a result.
func (c *Client) user(ctx context.Context, slots chan struct{}, limit time.Duration, r Request, d dialogue) (User, error) {
	res, began, err := c.request(ctx, slots, limit, r, d)
	if err != nil {
		return User{}, err
	}
	if r.kind != kindLookup && (res.Code == Wrong || res.Code == Unknown) {
		if err := c.refuse(ctx, began, res.Delay); err != nil {
			return User{}, err
		}
	}
	switch res.Code {
	case OK:
		if res.User.Name == "" {
			return User{}, errors.New("x2broker-authd: named nobody")
		}
		return res.User, nil
	case Wrong:
		return User{}, identity.ErrWrongPassword
	case Unknown:
		return User{}, identity.ErrUnknownUser
	case Expired:
		return User{}, identity.ErrExpired
	case MustChange:
		return User{}, identity.ErrMustChange
	case Refused:
		return User{}, &identity.NotChangedError{Text: res.Text}
	case Busy:
		return User{}, fmt.Errorf("%w: x2broker-authd has too much to do", identity.ErrNotTried)
	case NeedsMore:
		return User{}, errors.New("PAM asks for more than a password, which this way in cannot pass on")
	}
	return User{}, fmt.Errorf("x2broker-authd: %s", res.Text)
}

// refuse waits until a refusal may be told. The delay of pam_fail_delay(3) is
// waited for here, where it costs a goroutine; in the helper it would cost a
// process. It counts from the beginning: pam_unix hashes nothing for a name that
// it does not know, and is done 60 ms earlier.
func (c *Client) refuse(ctx context.Context, began time.Time, microseconds uint32) error {
	delay := min(time.Duration(microseconds)*time.Microsecond, maxDelay)
	return c.wait(ctx, began.Add(max(delay, minDelay)))
}

func waitUntil(ctx context.Context, end time.Time) error {
	timer := time.NewTimer(time.Until(end))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// request holds one conversation, and says when it began. Its error is
// ErrNotTried as long as no password has been sent.
func (c *Client) request(ctx context.Context, slots chan struct{}, limit time.Duration, r Request, d dialogue) (res Result, began time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		return res, began, fmt.Errorf("%w: %w", identity.ErrNotTried, ctx.Err())
	}
	dialer := net.Dialer{Timeout: dialTime}
	conn, err := dialer.DialContext(ctx, "unix", c.socket)
	if err != nil {
		return res, began, fmt.Errorf("%w: cannot reach x2broker-authd, is x2broker-authd.socket started? %w", identity.ErrNotTried, err)
	}
	defer conn.Close()
	// The helper ends its process when the connection is closed.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()

	began = time.Now()
	res, err = d.hold(ctx, conn, r)
	if ctx.Err() != nil {
		err = fmt.Errorf("x2broker-authd: no answer in time: %w", ctx.Err())
	}
	return res, began, err
}

// hold sends the request and answers until there is a result.
func (d dialogue) hold(ctx context.Context, conn net.Conn, r Request) (Result, error) {
	// A helper that is busy says so and hangs up: what it said counts, whether
	// the request was sent or not.
	sendErr := write(conn, r)
	for prompts := 0; prompts <= maxPrompts; {
		message, err := read(conn)
		if err != nil {
			if sendErr != nil {
				err = sendErr
			}
			return Result{}, fmt.Errorf("x2broker-authd hung up, see its log: %w", err)
		}
		switch m := message.(type) {
		case Result:
			return m, nil
		case prompt:
			prompts++
			if err := d.answer(ctx, conn, m); err != nil {
				return Result{}, err
			}
		case confirm:
			if d.allow == nil {
				return Result{}, errMalformed
			}
			if err := d.allow(User(m)); err != nil {
				_ = write(conn, goOn(false)) // hanging up says the same
				return Result{}, err
			}
			d.allow = nil
			if err := write(conn, goOn(true)); err != nil {
				return Result{}, fmt.Errorf("x2broker-authd hung up, see its log: %w", err)
			}
		default:
			return Result{}, errMalformed
		}
	}
	return Result{}, fmt.Errorf("x2broker-authd: more than %d prompts", maxPrompts)
}

func (d dialogue) answer(ctx context.Context, conn net.Conn, p prompt) error {
	if d.ask == nil {
		return errMalformed
	}
	said, err := d.ask(ctx, identity.Prompt{Text: p.text, Echo: p.style == EchoOn, Message: !p.style.asks()})
	if err != nil {
		return err
	}
	if !p.style.asks() {
		return nil
	}
	if err := write(conn, answer{ok: true, text: said}); err != nil {
		return fmt.Errorf("x2broker-authd hung up, see its log: %w", err)
	}
	return nil
}
