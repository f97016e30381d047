package frontend

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/x2broker/x2broker/broker/session"
)

// A Dialect is how clients of one kind ask and what they read. Frontends with
// forms differ in nothing else.
type Dialect interface {
	// Name is what policies and metrics see of the frontend.
	Name() string
	// ContentType is that of the answers.
	ContentType() string

	// Asked gives the task, by its name in plain, and the profile it is about.
	Asked(Form) (task, profile string)

	// Granted writes the answer to a request that only logs in.
	Granted(*bytes.Buffer, Form, session.Grant)
	Listed(*bytes.Buffer, session.Listing)
	Selected(*bytes.Buffer, session.Selection)
	// Tested writes the answer to a connection test.
	Tested(*bytes.Buffer)

	// PasswordSet writes the answer to a change of the password.
	PasswordSet(*bytes.Buffer, session.Grant)

	// Denied says how a login is refused, Refused how somebody who proved who
	// he is does not get what he asked for. Without a body it is the page of
	// the status.
	Denied(*session.DeniedError) (status int, body string)
	Refused(*session.RefusedError) (status int, body string)
}

// Options are what frontends with forms share.
type Options struct {
	Service  *session.Service
	Path     string           // that all requests begin with, such as /plain/; "" if it is cut off already
	Zeroconf bool             // answer below zeroconf
	Bad      func(status int) // told of requests that are none; nil for nobody
	Log      *slog.Logger
}

// Tasks is an http.Handler for all paths of one frontend.
type Tasks struct {
	Options
	dialect Dialect
	buffers sync.Pool // of *bytes.Buffer, for replies
}

// NewTasks returns a Tasks that speaks the dialect.
func NewTasks(d Dialect, o Options) *Tasks {
	return &Tasks{Options: o, dialect: d, buffers: sync.Pool{New: func() any { return new(bytes.Buffer) }}}
}

// ServeHTTP answers one request.
func (t *Tasks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, t.Path) // http.StripPrefix would copy the request
	name, _, _ := strings.Cut(path, "/")           // what follows does not count
	zeroconf, ok := Backend(name, t.Zeroconf)
	if !ok || name == "" && path != "" {
		NotFound(w, r)
		return
	}
	if !Allow(w, r, http.MethodPost) {
		return
	}
	form, err := ParseForm(w, r)
	if err != nil {
		t.fail(w, r, err)
		return
	}
	b := t.buffers.Get().(*bytes.Buffer)
	defer t.keep(b)
	if err := t.answer(r, b, form, zeroconf); err != nil {
		t.fail(w, r, err)
		return
	}
	Send(w, http.StatusOK, t.dialect.ContentType(), b.Bytes())
}

// Backend tells what the names mean that sites have in the URLs of their clients
// from the reference broker: inifile and "" are the site, zeroconf is a profile
// of its own if it is switched on, and all others are unknown.
func Backend(name string, withZeroconf bool) (zeroconf, ok bool) {
	switch name {
	case "", "inifile":
		return false, true
	case "zeroconf":
		return true, withZeroconf
	}
	return false, false
}

// keep lets a later reply use the buffer, unless it is unusually large.
func (t *Tasks) keep(b *bytes.Buffer) {
	const most = 1 << 20
	if b.Cap() <= most {
		b.Reset()
		t.buffers.Put(b)
	}
}

// answer does one task and writes the reply to b.
func (t *Tasks) answer(r *http.Request, b *bytes.Buffer, form Form, zeroconf bool) error {
	ctx := r.Context()
	return Answer(ctx, t.Service, t.dialect, b, form, session.Request{
		Credentials: session.Credentials{
			Name: form["user"], Password: form["password"], Ticket: form["authid"], Address: Address(ctx),
		},
		Account:  form["login"],
		Frontend: t.dialect.Name(),
		Zeroconf: zeroconf,
	})
}

// Answer does the task of the form for whoever the request is from, and writes
// the reply to b. The error is one of broker/session.
func Answer(ctx context.Context, s *session.Service, d Dialect, b *bytes.Buffer, form Form, req session.Request) error {
	switch task, profile := d.Asked(form); task {
	case "listsessions":
		list, err := s.List(ctx, req)
		if err != nil {
			return err
		}
		d.Listed(b, list)
	case "selectsession":
		selected, err := s.Select(ctx, req, profile)
		if err != nil {
			return err
		}
		d.Selected(b, selected)
	case "testcon":
		// X2Go Client asks before anybody has logged in, and measures how long
		// the answer takes.
		if req.Name != "" || req.Proof != nil {
			if _, err := s.Verify(ctx, req); err != nil {
				return err
			}
		}
		d.Tested(b)
	case "clientevent":
		grant, err := s.Event(ctx, req)
		if err != nil {
			return err
		}
		d.Granted(b, form, grant)
	case "setpass":
		grant, err := s.SetPassword(ctx, req, form["newpass"])
		if err != nil {
			return err
		}
		d.PasswordSet(b, grant)
	default:
		grant, err := s.Login(ctx, req)
		if err != nil {
			return err
		}
		d.Granted(b, form, grant)
	}
	return nil
}

// fail answers what cannot be granted.
func (t *Tasks) fail(w http.ResponseWriter, r *http.Request, err error) {
	if bad := (*FormError)(nil); errors.As(err, &bad) {
		t.Log.DebugContext(r.Context(), "bad request", "address", Address(r.Context()).String(), "reason", bad.Reason)
		if t.Bad != nil {
			t.Bad(bad.Status)
		}
		Fail(w, bad.Status, bad.Reason)
		return
	}
	status, body, ok := Refusal(t.dialect, err)
	if denied := (*session.DeniedError)(nil); errors.As(err, &denied) {
		RetryAfter(w, denied.RetryAfter)
	}
	switch {
	case !ok:
		FailService(w, r, t.Log, err)
	case body == "":
		Fail(w, status, "")
	default:
		Send(w, status, t.dialect.ContentType(), []byte(body))
	}
}

// Refusal says how a request is refused; ok is false for errors that are no
// refusal. Without a body it is the page of the status.
func Refusal(d Dialect, err error) (status int, body string, ok bool) {
	var (
		denied  *session.DeniedError
		refused *session.RefusedError
	)
	switch {
	case errors.As(err, &denied):
		status, body = d.Denied(denied)
	case errors.As(err, &refused):
		status, body = d.Refused(refused)
	default:
		return 0, "", false
	}
	return status, body, true
}

// RetryAfter says when to come again, unless that is at once.
func RetryAfter(w http.ResponseWriter, d time.Duration) {
	if d > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(d/time.Second)))
	}
}

// FailService answers an error of broker/session that is no refusal.
func FailService(w http.ResponseWriter, r *http.Request, log *slog.Logger, err error) {
	if errors.Is(err, session.ErrNotReady) {
		RetryAfter(w, 5*time.Second)
		Fail(w, http.StatusServiceUnavailable, session.ErrNotReady.Error())
		return
	}
	log.ErrorContext(r.Context(), "request failed", "error", err)
	Fail(w, http.StatusInternalServerError, "")
}
