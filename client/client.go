// Package client talks to a session broker as X2Go Client does at /plain/ and over
// SSH, and as python-x2go does at /json/. It serves `x2broker login` and `rehearse`
// and tests, and works against any broker.
package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/crypto/ssh"
)

// maxReply bounds the reply of a broker in bytes.
const maxReply = 64 << 20

// grant is what lets a client in, anywhere in a reply.
const grant = "Access granted"

// ErrDenied means that the broker refused; it may be wrapped with its words.
var ErrDenied = errors.New("access denied")

// ErrThrottled means that the broker looks at no password of this user now,
// because too many were wrong. It wraps ErrDenied.
var ErrThrottled = fmt.Errorf("%w for a while", ErrDenied)

// Client is one user at one broker. It keeps the ticket between requests and
// is not safe for concurrent use.
type Client struct {
	URL      string // as clients take it: http://host:port/plain/ or /json/, ssh://host:port/path
	User     string
	Password string
	Ticket   string // the authid of the last reply
	Account  string // login= of Select; "" leaves it out

	HTTP *http.Client // nil for http.DefaultClient
	SSH  SSH          // for ssh:// only
	conn *ssh.Client  // nil when there is none
}

// Profile is a session profile of a list: its keys as X2Go Client reads them.
type Profile struct {
	ID   string            `json:"id"`
	Keys map[string]string `json:"keys"` // lists keep their commas
	Raw  map[string]string `json:"-"`    // the same keys with the text as sent
}

// Name is what X2Go Client shows.
func (p Profile) Name() string { return p.Keys["name"] }

// Server is what a broker chose.
type Server struct {
	Address string `json:"address"`
	Port    int    `json:"port"`              // 22 when the broker gave none
	Session string `json:"session,omitempty"` // the session to resume, a line of x2golistsessions
	Key     bool   `json:"key,omitempty"`     // a private key to log in with came along
}

// List logs in and gives the profiles, in the broker's order.
func (c *Client) List(ctx context.Context) ([]Profile, error) {
	reply, err := c.ask(ctx, form("task", "listsessions"))
	if err != nil {
		return nil, fmt.Errorf("list session profiles: %w", err)
	}
	if reply.json != nil {
		return reply.json.list(), nil
	}
	return parseList(reply.text), nil
}

// Select asks for a server for the profile.
func (c *Client) Select(ctx context.Context, profileID string) (Server, error) {
	fields := form("task", "selectsession", "sid", profileID)
	if c.Account != "" {
		fields.Set("login", c.Account)
	}
	reply, err := c.ask(ctx, fields)
	if err != nil {
		return Server{}, fmt.Errorf("select %q: %w", profileID, err)
	}
	if reply.json != nil {
		server, err := reply.json.server()
		if err != nil {
			err = fmt.Errorf("select %q: %w", profileID, err)
		}
		return server, err
	}
	_, rest, ok := strings.Cut(reply.text, "SERVER:")
	line, _, _ := strings.Cut(rest, "\n")
	if !ok || line == "" {
		return Server{}, fmt.Errorf("select %q: the reply names no server", profileID)
	}
	// IPv6 addresses have no brackets here: the last colon separates the port.
	server := Server{Address: line, Port: 22}
	if i := strings.LastIndexByte(line, ':'); i >= 0 {
		port, err := strconv.ParseUint(line[i+1:], 10, 16)
		if err != nil {
			return Server{}, fmt.Errorf("select %q: the reply names no port in %q", profileID, line)
		}
		server = Server{Address: line[:i], Port: int(port)}
	}
	server.Key = strings.Contains(rest, "-----BEGIN ") && strings.Contains(rest, " PRIVATE KEY-----")
	if _, info, ok := strings.Cut(rest, "SESSION_INFO:"); ok {
		server.Session, _, _ = strings.Cut(info, "\n")
	}
	return server, nil
}

func form(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v
}

// A granted reply.
type granted struct {
	text string
	json *jsonReply // nil: the text is that of /plain/
}

// ask sends one request and checks the reply for the grant.
func (c *Client) ask(ctx context.Context, fields url.Values) (granted, error) {
	if strings.HasPrefix(c.URL, "ssh://") {
		return c.run(ctx, fields)
	}
	return c.post(ctx, fields)
}

func (c *Client) post(ctx context.Context, fields url.Values) (granted, error) {
	fields.Set("user", c.User)
	fields.Set("password", c.Password)
	fields.Set("authid", c.Ticket)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL, strings.NewReader(fields.Encode()))
	if err != nil {
		return granted{}, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	httpClient := c.HTTP
	if httpClient == nil {
		httpClient = http.DefaultClient
	}
	resp, err := httpClient.Do(req)
	if err != nil {
		return granted{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxReply))
	if err != nil {
		return granted{}, err
	}
	text := string(body)
	first := firstLine(text)
	wait := resp.Header.Get("Retry-After")
	switch {
	case wait != "" && (resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusTooManyRequests):
		return granted{}, fmt.Errorf("%w: too many failed logins, try again in %s s", ErrThrottled, Printable(firstLine(wait)))
	case resp.StatusCode == http.StatusUnauthorized:
		return granted{}, ErrDenied
	case resp.StatusCode != http.StatusOK:
		return granted{}, fmt.Errorf("the broker answered %s: %q", resp.Status, first)
	}
	if strings.Contains(text, grant) && isJSON(resp.Header.Get("Content-Type")) {
		reply, err := parseJSON(text)
		if err != nil {
			return granted{}, err
		}
		if reply.Ticket != "" {
			c.Ticket = reply.Ticket
		}
		return granted{text, reply}, nil
	}
	return c.plain(text, wait != "")
}

// plain looks for the grant in a text for X2Go Client, and for a ticket.
func (c *Client) plain(text string, wait bool) (granted, error) {
	if !strings.Contains(text, grant) {
		return granted{}, denied(text, wait)
	}
	if _, rest, ok := strings.Cut(text, "AUTHID:"); ok {
		c.Ticket, _, _ = strings.Cut(rest, "\n")
	}
	return granted{text: text}, nil
}

// refusal is how a refusal begins that says why.
const refusal = "Access denied: "

// denied is the refusal that a text is, with its reason if it has one. wait is
// whether the broker asked to come again later; without HTTP only the words do.
func denied(text string, wait bool) error {
	reason, ok := strings.CutPrefix(firstLine(text), refusal)
	err := ErrDenied
	if wait || ok && strings.HasPrefix(reason, "too many failed logins") {
		err = ErrThrottled
	}
	if !ok {
		return err
	}
	return fmt.Errorf("%w: %s", err, reason)
}

// firstLine is the start of a text, short and without control characters.
func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
	return s[:min(len(s), 200)]
}

// Printable keeps what a broker says from controlling the terminal.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}
