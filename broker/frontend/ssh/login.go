package ssh

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/x2broker/x2broker/broker/frontend/ssh/command"
	"github.com/x2broker/x2broker/broker/session"
)

// Limits of a conversation.
const (
	maxPrompts  = 16
	maxMessages = 16
	maxMessage  = 4 << 10 // bytes, of all messages before a prompt

	maxConversations = 3 // about more than a password, that fail on one connection
)

// Keys says whose keys count.
type Keys interface {
	// Authorized returns nil for a key with which this user may log in from the
	// address; user is a canonical name, or one that nobody has.
	Authorized(ctx context.Context, user string, key ssh.PublicKey, address netip.Addr) error
}

// A login is that of one connection. It keeps nothing of what a client has only
// tried, but that it failed: who he is goes from the step that succeeded to the
// connection, with the permissions of that step.
type login struct {
	server  *Server
	ctx     context.Context // ends with the time for it
	wire    *wire
	address netip.Addr

	wrong  string // name and password that were denied last
	failed int    // conversations about more than a password
}

// proven is what a login has proved.
type proven struct {
	proof  *session.Proof
	method string
	key    string // fingerprint, "" without
}

// provenKey is that of the *proven in the permissions of a step.
type provenKey struct{}

func permit(p *proven) *ssh.Permissions {
	return &ssh.Permissions{ExtraData: map[any]any{provenKey{}: p}}
}

// provenBy gives what a step has proved, nil for nothing.
func provenBy(permissions *ssh.Permissions) *proven {
	if permissions == nil {
		return nil
	}
	p, _ := permissions.ExtraData[provenKey{}].(*proven)
	return p
}

// algorithms are those without known weaknesses.
func algorithms() (ssh.Config, []string) {
	a := ssh.SupportedAlgorithms()
	var macs []string
	for _, mac := range a.MACs {
		if mac != ssh.HMACSHA1 {
			macs = append(macs, mac)
		}
	}
	return ssh.Config{KeyExchanges: a.KeyExchanges, Ciphers: a.Ciphers, MACs: macs}, a.PublicKeyAuths
}

// config is what a connection is opened with. The method "none" never succeeds,
// also where nobody needs a password: X2Go Client would take it for a failure. It
// is let in by a conversation without prompts.
func (l *login) config() *ssh.ServerConfig {
	o := l.server.o
	c := &ssh.ServerConfig{
		ServerVersion: version, MaxAuthTries: maxTries,
		PreAuthConnCallback: l.wire.adopt,
	}
	c.Config, c.PublicKeyAuthAlgorithms = algorithms()
	for _, key := range o.HostKeys.signers() {
		c.AddHostKey(key)
	}
	if o.Banner != "" {
		c.BannerCallback = func(ssh.ConnMetadata) string { return o.Banner }
	}
	if o.Keys != nil {
		c.PublicKeyCallback, c.VerifiedPublicKeyCallback = l.publicKey, l.signed
	}
	if o.KeyAndPassword {
		return c
	}
	steps := l.passwords(nil)
	c.PasswordCallback, c.KeyboardInteractiveCallback = steps.PasswordCallback, steps.KeyboardInteractiveCallback
	return c
}

// passwords are the steps that prove more than a key. After a key they must prove
// that the same user is there.
func (l *login) passwords(key *proven) ssh.ServerAuthCallbacks {
	steps := ssh.ServerAuthCallbacks{
		KeyboardInteractiveCallback: func(meta ssh.ConnMetadata, challenge ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
			return l.converse(meta, challenge, key)
		},
	}
	if l.server.o.Conversation {
		// Where a code may be asked for, X2Go Client would try the bare password
		// behind each wrong code, and count as guessing.
		return steps
	}
	steps.PasswordCallback = func(meta ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
		c := l.credentials(meta)
		c.Password = text(password)
		// Whoever offers both methods is tried with both.
		if l.wrong != "" && l.wrong == attempt(c) {
			return nil, errDenied
		}
		proof, err := l.server.o.Service.Connect(l.ctx, c, nil)
		return l.decide("password", key, proof, err)
	}
	return steps
}

// converse passes prompts on.
func (l *login) converse(meta ssh.ConnMetadata, challenge ssh.KeyboardInteractiveChallenge, key *proven) (*ssh.Permissions, error) {
	var talk *conversation
	var waits *stranger
	defer func() {
		if waits != nil {
			l.server.codes.leave(waits)
		}
	}()
	talk = &conversation{challenge: func(name, instruction string, questions []string, echos []bool) ([]string, error) {
		if talk.prompts > 1 && waits == nil {
			waits = l.server.codes.enter(l.address, func() { l.wire.Close() })
		}
		return challenge(name, instruction, questions, echos)
	}}
	c := l.credentials(meta)
	proof, err := l.server.o.Service.Connect(l.ctx, c, talk.ask)
	talk.end()
	if err == nil {
		return l.decide("keyboard-interactive", key, proof, nil)
	}
	c.Password = talk.first
	l.wrong = attempt(c)
	if talk.prompts > 1 {
		// X2Go Client asks for another code again and again, but never for the
		// password, until the connection ends: then it says that the login failed.
		if l.failed++; l.failed >= maxConversations {
			l.wire.Close()
		}
	}
	return l.decide("keyboard-interactive", key, nil, err)
}

// attempt tells one try from another.
func attempt(c session.Credentials) string { return c.Name + "\x00" + c.Password }

// publicKey says whether a key would do, to whoever asks about it. Nothing is
// proved by that. Keys are looked for also under a name that nobody has, so that
// it takes about as long.
func (l *login) publicKey(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
	c := l.credentials(meta)
	proof, err := l.server.o.Service.ConnectAs(l.ctx, c)
	user := c.Name
	if err == nil {
		user = proof.User()
	}
	if e := l.server.o.Keys.Authorized(l.ctx, user, key, l.address); err == nil {
		err = e
	}
	if err != nil {
		l.server.count("publickey", err)
		l.server.o.Log.Debug("SSH key not accepted", "address", l.address, "key", ssh.FingerprintSHA256(key), "err", err)
		return nil, errDenied
	}
	return permit(&proven{proof, "publickey", ssh.FingerprintSHA256(key)}), nil
}

// signed is asked when the client has signed with a key that would do.
func (l *login) signed(_ ssh.ConnMetadata, key ssh.PublicKey, permissions *ssh.Permissions, _ string) (*ssh.Permissions, error) {
	p := provenBy(permissions)
	if p == nil {
		return nil, errDenied
	}
	if l.server.o.KeyAndPassword {
		return nil, &ssh.PartialSuccessError{Next: l.passwords(p)}
	}
	l.server.count("publickey", nil)
	return permissions, nil
}

// errDenied is all that a client is told, in the form of the protocol.
var errDenied = errors.New("denied")

// decide ends a step. key is what was proved before, nil for nothing.
func (l *login) decide(method string, key *proven, proof *session.Proof, err error) (*ssh.Permissions, error) {
	if err == nil && key != nil && proof.User() != key.proof.User() {
		err = errDenied
	}
	l.server.count(method, err)
	if err != nil {
		return nil, explain(err)
	}
	p := &proven{proof: proof, method: method}
	if key != nil {
		p.method, p.key = "publickey and "+method, key.key
	}
	return permit(p), nil
}

// explain adds what a client should show to its user.
func explain(err error) error {
	denied := new(session.DeniedError)
	if !errors.As(err, &denied) {
		return errDenied
	}
	advice := denied.Advice()
	if denied.RetryAfter > 0 {
		advice = fmt.Sprintf("too many failed logins, try again in %d s", denied.RetryAfter/time.Second)
	}
	if advice == "" {
		return errDenied
	}
	return &ssh.BannerError{Err: errDenied, Message: "Access denied: " + advice + "\r\n"}
}

func (l *login) credentials(meta ssh.ConnMetadata) session.Credentials {
	return session.Credentials{Name: text([]byte(meta.User())), Address: l.address}
}

// text is of bytes of X2Go Client, which sends Latin-1.
func text(b []byte) string { return command.Text(string(b)) }
