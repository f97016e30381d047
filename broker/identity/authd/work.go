package authd

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// A Backend is what decides: PAM and NSS, in cmd/x2broker-authd. It serves one
// request and may crash or hang, which is why it has a process of its own.
type Backend interface {
	// Authenticate asks talk for what it wants to know.
	Authenticate(r Request, talk Talk) Result
	// Lookup says who a user is whose account is valid, without a password.
	Lookup(name string) Result
	// Change checks the old password, asks confirm, and sets the new one unless
	// confirm says no.
	Change(r Request, confirm func(User) bool) Result
}

// Talk answers a prompt. An error ends the conversation.
type Talk func(style Style, text string) (string, error)

// ErrNeedsMore is what [Talk] says when PAM asks for more than the password
// that came with the request, and nobody is there to answer.
var ErrNeedsMore = errors.New("more is asked for than a password")

// errGone means that the broker has ended the conversation.
var errGone = errors.New("the broker ended the conversation")

// maxPrompts bounds a conversation: a module that asks for ever is ended.
const maxPrompts = 64

// Work serves one request on the connection, which must end by the deadline.
// The error is for a log.
func Work(conn net.Conn, deadline time.Time, b Backend) error {
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	message, err := read(conn)
	if err != nil {
		return fmt.Errorf("read the request: %w", err)
	}
	r, ok := message.(Request)
	if !ok {
		return errors.New("read the request: it is none")
	}
	result := serve(conn, r, b)
	if result.Code != OK {
		result.User = User{}
	}
	err = write(conn, result)
	if err == nil {
		return nil
	}
	// The user does not fit into a message, perhaps: nothing was sent then.
	if err := write(conn, Result{Code: Failed, Text: clip(err.Error())}); err != nil {
		return fmt.Errorf("send the result: %w", err)
	}
	return err
}

func serve(conn net.Conn, r Request, b Backend) Result {
	switch r.kind {
	case kindLookup:
		return b.Lookup(r.Name)
	case kindChange:
		return b.Change(r, func(u User) bool {
			if err := write(conn, confirm(u)); err != nil {
				return false
			}
			message, err := read(conn)
			said, _ := message.(goOn)
			return err == nil && bool(said)
		})
	}
	t := talker{conn: conn, password: r.Password, converse: r.Converse}
	return b.Authenticate(r, t.talk)
}

// A talker answers the prompts of an authentication: the first one that asks for
// a secret with the password of the request, others by asking the broker.
type talker struct {
	conn     net.Conn
	password string
	converse bool
	prompts  int
}

func (t *talker) talk(style Style, text string) (string, error) {
	if t.prompts++; t.prompts > maxPrompts {
		return "", fmt.Errorf("more than %d prompts", maxPrompts)
	}
	if style == EchoOff && t.password != "" {
		password := t.password
		t.password = ""
		return password, nil
	}
	if !t.converse {
		if style.asks() {
			return "", ErrNeedsMore
		}
		return "", nil
	}
	if err := write(t.conn, prompt{style, clip(text)}); err != nil {
		return "", errGone
	}
	if !style.asks() {
		return "", nil
	}
	message, err := read(t.conn)
	if a, ok := message.(answer); err == nil && ok && a.ok {
		return a.text, nil
	}
	return "", errGone
}

// clip makes text that can be sent of what a module says.
func clip(text string) string {
	text = strings.ReplaceAll(text, "\x00", "")
	if len(text) > maxText {
		text = text[:maxText]
	}
	return strings.ToValidUTF8(text, "")
}
