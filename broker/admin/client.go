package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"

	"github.com/x2broker/x2broker/broker/snapshot"
)

// Client asks the broker that has a state directory.
type Client struct {
	stateDir string
	http     *http.Client
}

// NewClient returns a Client; it connects with each call.
func NewClient(stateDir string) *Client {
	return &Client{stateDir: stateDir, http: &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			path, release, err := socketPath(stateDir)
			if err != nil {
				return nil, err
			}
			defer release()
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
	}}}
}

// A RejectedError is the answer of a broker that does not do what was asked.
type RejectedError struct {
	Text        string
	Diagnostics []string // why a commit is refused
}

// Error gives the text.
func (e *RejectedError) Error() string { return e.Text }

// Status gives the state of the broker.
func (c *Client) Status(ctx context.Context) (r Report, err error) {
	return r, c.ask(ctx, controlRead, http.MethodGet, "status", nil, &r)
}

// Wait waits until the commit, or the only one that begins so, serves or is
// refused, at most that long.
func (c *Client) Wait(ctx context.Context, commit string, timeout time.Duration) (waited Waited, err error) {
	query := url.Values{"commit": {commit}, "timeout": {timeout.String()}}
	return waited, c.ask(ctx, timeout+controlRead, http.MethodGet, "wait?"+query.Encode(), nil, &waited)
}

// Pin, Rollback, Freeze and Lift give orders; until may be zero for 24 hours
// from now. A commit that does not pass the gates is a *[RejectedError] with
// diagnostics.
func (c *Client) Pin(ctx context.Context, commit, reason string, until time.Time) (*snapshot.Hold, error) {
	return c.order(ctx, "pin", orderRequest{Commit: commit, Reason: reason, Until: until})
}

// Rollback pins what served before.
func (c *Client) Rollback(ctx context.Context, reason string, until time.Time) (*snapshot.Hold, error) {
	return c.order(ctx, "rollback", orderRequest{Reason: reason, Until: until})
}

// Freeze keeps what serves.
func (c *Client) Freeze(ctx context.Context, reason string, until time.Time) (*snapshot.Hold, error) {
	return c.order(ctx, "freeze", orderRequest{Reason: reason, Until: until})
}

// Lift ends a hold of that kind.
func (c *Client) Lift(ctx context.Context, kind, reason string) error {
	_, err := c.order(ctx, "un"+kind, orderRequest{Reason: reason})
	return err
}

func (c *Client) order(ctx context.Context, name string, q orderRequest) (*snapshot.Hold, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	var r orderReply
	err = c.ask(ctx, pinTime+controlRead, http.MethodPost, name, body, &r)
	return r.Hold, err
}

func (c *Client) ask(ctx context.Context, timeout time.Duration, method, path string, body []byte, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://x2broker/v1/"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.explain(err)
	}
	defer resp.Body.Close()
	const longest = 16 << 20
	d := json.NewDecoder(io.LimitReader(resp.Body, longest))
	if resp.StatusCode != http.StatusOK {
		var f failure
		if err := d.Decode(&f); err != nil || f.Error == "" {
			return fmt.Errorf("the broker answers %s: is it of the same version as this program?", resp.Status)
		}
		return &RejectedError{Text: f.Error, Diagnostics: f.Diagnostics}
	}
	if err := d.Decode(answer); err != nil {
		return fmt.Errorf("read the broker's answer: %w", err)
	}
	return nil
}

// explain says what an operator can do about it.
func (c *Client) explain(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no broker runs with the state directory %s: start it with x2broker serve, or name its directory with --state-dir or --config", c.stateDir)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("the state directory %s is not yours: only root and the user that the broker runs as may do this (sudo)", c.stateDir)
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return fmt.Errorf("the broker hung up: it stopped, or you are neither root nor the user that it runs as")
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err // without the made up URL
	}
	return fmt.Errorf("ask the broker of %s: %w", c.stateDir, err)
}
