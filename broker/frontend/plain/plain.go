// Package plain answers X2Go Client: form requests, and text with session
// profiles in INI form, as x2gobroker 0.0.4.3 does.
//
// It parses, calls broker/session and renders. What differs from the reference
// broker, because the real client needs it:
//
//   - a refused login is answered 200 "Access denied": the client ends itself
//     on 401, and asks again on this;
//   - a select that offers nothing has no "Access granted": a granted reply
//     without SERVER: crashes X2Go Client 4.1.2.2;
//   - values are written for QSettings, with which the client reads the list;
//   - testcon consumes no ticket, and its answer says "Access granted".
package plain

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/x2broker/x2broker/broker/frontend"
	"github.com/x2broker/x2broker/broker/session"
)

const granted = "Access granted\n"

// Frontend is an http.Handler for everything below /plain/.
type Frontend struct {
	service      *session.Service
	deniedStatus int
	log          *slog.Logger
	buffers      sync.Pool // of *bytes.Buffer, for replies
}

// New returns a Frontend. deniedStatus is the HTTP status of refused logins.
func New(service *session.Service, deniedStatus int, log *slog.Logger) *Frontend {
	return &Frontend{
		service: service, deniedStatus: deniedStatus, log: log,
		buffers: sync.Pool{New: func() any { return new(bytes.Buffer) }},
	}
}

// backends are the path elements behind /plain/ that sites have in their
// clients; all mean the same here. Others are unknown.
var backends = map[string]bool{"inifile": true, "zeroconf": true}

// ServeHTTP answers one request. Its path is what follows /plain/.
func (f *Frontend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if backend, _, _ := strings.Cut(r.URL.Path, "/"); r.URL.Path != "" && !backends[backend] {
		http.NotFound(w, r)
		return
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "405 method not allowed: clients POST a form here", http.StatusMethodNotAllowed)
		return
	}
	form, err := frontend.ParseForm(w, r)
	if err != nil {
		f.fail(w, r, err)
		return
	}
	req := session.Request{
		Credentials: session.Credentials{
			Name: form["user"], Password: form["password"], Ticket: form["authid"],
			Address: frontend.Address(r.Context()),
		},
		Account:  form["login"],
		Frontend: "plain",
	}
	b := f.buffers.Get().(*bytes.Buffer)
	defer f.keep(b)
	if err := f.answer(r, b, form, req); err != nil {
		f.fail(w, r, err)
		return
	}
	send(w, http.StatusOK, b.Bytes())
}

// keep lets a later reply use the buffer, unless it is unusually large.
func (f *Frontend) keep(b *bytes.Buffer) {
	const most = 1 << 20
	if b.Cap() <= most {
		b.Reset()
		f.buffers.Put(b)
	}
}

// answer does one task and writes the reply to b.
func (f *Frontend) answer(r *http.Request, b *bytes.Buffer, form frontend.Form, req session.Request) error {
	ctx := r.Context()
	switch form["task"] {
	case "listsessions":
		list, err := f.service.List(ctx, req)
		if err != nil {
			return err
		}
		text := textOf(list.Offer)
		b.Grow(256 + text.size(list.User))
		writeGrant(b, list.Grant)
		text.write(b, list.User)
	case "selectsession":
		selected, err := f.service.Select(ctx, req, form["sid"])
		if err != nil {
			return err
		}
		writeGrant(b, selected.Grant)
		writeServer(b, selected)
	case "testcon":
		// X2Go Client asks before anybody has logged in, and measures how long
		// the answer takes.
		if req.Name != "" {
			if _, err := f.service.Verify(ctx, req); err != nil {
				return err
			}
		}
		b.WriteString("OK\n" + granted)
		b.WriteString(testconPadding)
	case "clientevent":
		// Not asked for by this version, and nothing to do; a client must not
		// lose its ticket by it.
		if _, err := f.service.Verify(ctx, req); err != nil {
			return err
		}
		b.WriteString(granted)
	case "setpass":
		// A granted reply would freeze the client's window.
		return &session.RefusedError{Reason: "passwords cannot be changed here"}
	default:
		grant, err := f.service.Login(ctx, req)
		if err != nil {
			return err
		}
		writeGrant(b, grant)
	}
	return nil
}

// testconPadding makes the answer long enough to time: 32 KiB of text.
var testconPadding = strings.Repeat(strings.Repeat(".", 63)+"\n", 512)

func writeGrant(b *bytes.Buffer, g session.Grant) {
	if g.Ticket != "" {
		b.WriteString("AUTHID:")
		b.WriteString(g.Ticket)
		b.WriteByte('\n')
	}
	b.WriteString(granted)
}

func writeLine(b *bytes.Buffer, key, value string) {
	b.WriteString(key)
	b.WriteByte('=')
	writeValue(b, value)
	b.WriteByte('\n')
}

func writeSetting(b *bytes.Buffer, s session.Setting) {
	b.WriteString(s.Key)
	b.WriteByte('=')
	switch v := s.Value.(type) {
	case string:
		writeValue(b, v)
	case int:
		b.Write(strconv.AppendInt(b.AvailableBuffer(), int64(v), 10))
	case bool:
		if v {
			b.WriteByte('1')
		} else {
			b.WriteByte('0')
		}
	case []string: // unquoted commas: the client reads a list
		for i, e := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			writeValue(b, e)
		}
	}
	b.WriteByte('\n')
}

// writeServer writes no brackets around IPv6, as the reference does not: the
// client bears neither form, others split at the last colon.
func writeServer(b *bytes.Buffer, s session.Selection) {
	b.WriteString("SERVER:")
	b.WriteString(s.Address)
	b.WriteByte(':')
	b.WriteString(strconv.Itoa(s.Port))
	b.WriteByte('\n')
}

// fail answers what cannot be granted. Texts of refusals come from policies and
// must neither grant nor break lines.
func (f *Frontend) fail(w http.ResponseWriter, r *http.Request, err error) {
	var (
		form    *frontend.FormError
		denied  *session.DeniedError
		refused *session.RefusedError
	)
	switch {
	case errors.As(err, &form):
		f.log.DebugContext(r.Context(), "bad request", "address", frontend.Address(r.Context()).String(), "reason", form.Reason)
		http.Error(w, "x2broker: "+form.Reason, form.Status)
	case errors.As(err, &denied):
		text := "Access denied\n"
		if denied.RetryAfter > 0 {
			seconds := int(denied.RetryAfter / time.Second)
			text = fmt.Sprintf("Access denied: too many failed logins, try again in %d s\n", seconds)
			w.Header().Set("Retry-After", strconv.Itoa(seconds))
		}
		send(w, f.deniedStatus, []byte(text))
	case errors.As(err, &refused):
		// 200 always: he proved who he is, and any other status ends his client.
		send(w, http.StatusOK, []byte("Access denied: "+refusalText(refused.Reason)+"\n"))
	case errors.Is(err, session.ErrNotReady):
		w.Header().Set("Retry-After", "5")
		http.Error(w, "x2broker: "+session.ErrNotReady.Error(), http.StatusServiceUnavailable)
	default:
		f.log.ErrorContext(r.Context(), "request failed", "error", err)
		http.Error(w, "x2broker: internal error", http.StatusInternalServerError)
	}
}

// refusalText makes one harmless line of a reason.
func refusalText(reason string) string {
	const longest = 200
	text := strings.Join(strings.FieldsFunc(reason, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r)
	}), " ")
	if strings.Contains(text, strings.TrimSpace(granted)) || len(text) > longest || text == "" {
		return "refused by the policy of the site"
	}
	return text
}

// Headers that all replies share.
var (
	textType = []string{"text/plain; charset=utf-8"}
	noStore  = []string{"no-store"}
)

func send(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h["Content-Type"] = textType
	h["Cache-Control"] = noStore
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client has gone: nothing to do about it
}
