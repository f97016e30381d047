// Package endpoint asks a program of the site's own who somebody is: JSON over
// HTTPS. docs/authentication.md describes request and reply for whoever writes
// such a program.
//
// # What it promises
//
//   - Passwords go to a server whose certificate was checked, in the body of a
//     POST, and to no other: redirects are not followed, proxies of the
//     environment are not used.
//   - Only a reply that is what it should be lets anybody in; all else is a
//     denial. An error page of a web server is an error, and never "unknown
//     user".
//   - A reply is bounded in time and bytes.
package endpoint

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/x2broker/x2broker/broker/identity"
)

// Defaults of a [Config].
const (
	DefaultName        = "https"
	DefaultTimeout     = 10 * time.Second
	DefaultConnections = 8
)

const (
	maxReply  = 1 << 20 // bytes
	maxHeader = 64 << 10
)

// Config describes an endpoint.
type Config struct {
	Name        string        // of the authenticator, "" for "https"
	URL         string        // asked for logins
	LookupURL   string        // asked for users by name; "" for none, then nobody gets tickets
	CAFile      string        // PEM certificates to trust, "" for those of the system
	TokenFile   string        // one line that tells the endpoint that the broker asks, "" for none; read anew each time
	Timeout     time.Duration // of one question, 0 for 10 s
	Connections int           // at once, 0 for 8
}

// Endpoint is an endpoint without a URL for lookups. It is safe for concurrent
// use.
type Endpoint struct {
	name      string
	url       string
	tokenFile string
	timeout   time.Duration
	client    *http.Client
}

// Lookup is an endpoint with a URL for lookups.
type Lookup struct {
	*Endpoint
	url string
}

var (
	_ identity.Authenticator = (*Endpoint)(nil)
	_ identity.Decoy         = (*Endpoint)(nil)
	_ identity.Lookuper      = (*Lookup)(nil)
)

// New returns an *Endpoint, or a *Lookup if there is a LookupURL. It reads the
// CA file and asks nothing yet. Errors name the field.
func New(c Config) (identity.Authenticator, error) {
	if c.Name == "" {
		c.Name = DefaultName
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Connections == 0 {
		c.Connections = DefaultConnections
	}
	e := &Endpoint{name: c.Name, url: c.URL, tokenFile: c.TokenFile, timeout: c.Timeout}
	fail := func(err error) (identity.Authenticator, error) {
		return nil, fmt.Errorf("authenticator %q: %w", c.Name, err)
	}
	if err := checkURL("url", c.URL); err != nil {
		return fail(err)
	}
	roots, err := identity.ReadCAs(c.CAFile)
	if err != nil {
		return fail(fmt.Errorf("caFile: %w", err))
	}
	if _, err := e.token(); err != nil {
		return fail(fmt.Errorf("tokenFile: %w", err))
	}
	e.client = &http.Client{
		Transport: &http.Transport{
			TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			MaxConnsPerHost:        c.Connections,
			MaxIdleConnsPerHost:    c.Connections,
			IdleConnTimeout:        time.Minute,
			MaxResponseHeaderBytes: maxHeader,
			DisableCompression:     true, // a small reply could become a large one
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if c.LookupURL == "" {
		return e, nil
	}
	if err := checkURL("lookupURL", c.LookupURL); err != nil {
		return fail(err)
	}
	return &Lookup{Endpoint: e, url: c.LookupURL}, nil
}

func checkURL(field, s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" {
		return fmt.Errorf("%s: %q is no https URL, like \"https://accounts.example.org/x2broker/login\"", field, s)
	}
	return nil
}

// question is the body of a request.
type question struct {
	User     string `json:"user"`
	Password string `json:"password,omitempty"`
	Address  string `json:"address,omitempty"` // of the client
}

// Name returns the name given in the configuration.
func (e *Endpoint) Name() string { return e.name }

// Authenticate sends name, password and the client's address. An endpoint that
// could not be reached is an identity.ErrNotTried.
func (e *Endpoint) Authenticate(ctx context.Context, c identity.Credentials) (identity.Identity, error) {
	if c.Password == "" {
		return identity.Identity{}, identity.ErrNoPassword
	}
	q := question{User: c.Name, Password: c.Password}
	if c.Address.IsValid() {
		q.Address = c.Address.String()
	}
	id, sent, err := e.ask(ctx, e.url, q)
	if err != nil && !sent {
		err = fmt.Errorf("%w: %w", identity.ErrNotTried, err)
	}
	return id, err
}

// Lookup asks for a user by his canonical name.
func (l *Lookup) Lookup(ctx context.Context, name string) (identity.Identity, error) {
	id, _, err := l.ask(ctx, l.url, question{User: name})
	if errors.Is(err, identity.ErrExpired) {
		err = fmt.Errorf("%w: %w", identity.ErrUnknownUser, err)
	}
	return id, err
}

// Decoy asks for a user that nobody is, with a password that nobody has.
func (e *Endpoint) Decoy(ctx context.Context, _ string) {
	const nobody = "x2broker-decoy-6f1c0e9b"
	_, _, _ = e.ask(ctx, e.url, question{User: nobody, Password: nobody})
}

// ask sends a question and reads the reply. sent says whether the question may
// have gone out.
func (e *Endpoint) ask(ctx context.Context, to string, q question) (id identity.Identity, sent bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	var connected atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	})
	body, err := json.Marshal(q)
	if err != nil {
		return id, false, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return id, false, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "x2broker")
	token, err := e.token()
	if err != nil {
		return id, false, err
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	reply, err := e.client.Do(r)
	if err != nil {
		return id, connected.Load(), err
	}
	defer reply.Body.Close()
	id, err = read(reply)
	if err != nil {
		return identity.Identity{}, true, err
	}
	id.Authenticator = e.name
	return id, true, nil
}

// read tells what a reply says. Its type must be JSON also where the status
// says all: web servers and proxies have error pages of their own.
func read(reply *http.Response) (identity.Identity, error) {
	kind, _, _ := mime.ParseMediaType(reply.Header.Get("Content-Type"))
	if kind != "application/json" {
		return identity.Identity{}, fmt.Errorf("the endpoint answers %s with Content-Type %q, want application/json", reply.Status, kind)
	}
	switch reply.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized:
		return identity.Identity{}, identity.ErrWrongPassword
	case http.StatusForbidden:
		return identity.Identity{}, identity.ErrExpired
	case http.StatusNotFound:
		return identity.Identity{}, identity.ErrUnknownUser
	default:
		return identity.Identity{}, fmt.Errorf("the endpoint answers %s, want 200, 401, 403 or 404", reply.Status)
	}
	body, err := io.ReadAll(io.LimitReader(reply.Body, maxReply+1))
	if err != nil {
		return identity.Identity{}, fmt.Errorf("read the endpoint's answer: %w", err)
	}
	if len(body) > maxReply {
		return identity.Identity{}, fmt.Errorf("the endpoint's answer is longer than %d bytes", maxReply)
	}
	id, err := parse(body)
	if err != nil {
		return identity.Identity{}, fmt.Errorf("the endpoint's answer is not {\"user\": \"...\", \"groups\": [...]}: %w", err)
	}
	return id, nil
}

// token gives the line of the token file, "" if there is none.
func (e *Endpoint) token() (string, error) {
	if e.tokenFile == "" {
		return "", nil
	}
	text, err := os.ReadFile(e.tokenFile)
	if err != nil {
		return "", err
	}
	token := strings.TrimRight(string(text), "\r\n")
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("%s: want a token on one line, without blanks", e.tokenFile)
	}
	return token, nil
}
