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
//   - testcon consumes no ticket, and its answer says "Access granted";
//   - setpass changes the password, where that can be done, and is never
//     granted: the client would wait for ever.
package plain

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/x2broker/x2broker/broker/frontend"
	"github.com/x2broker/x2broker/broker/session"
)

const granted = "Access granted\n"

// New returns a handler for everything below /plain/. deniedStatus is the HTTP
// status of refused logins.
func New(o frontend.Options, deniedStatus int) http.Handler {
	return frontend.NewTasks(Dialect(deniedStatus), o)
}

// Dialect is how X2Go Client asks and what it reads, over whatever.
func Dialect(deniedStatus int) frontend.Dialect { return dialect{deniedStatus} }

// dialect implements frontend.Dialect.
type dialect struct{ deniedStatus int }

// Name returns "plain".
func (dialect) Name() string { return "plain" }

// ContentType is that of the answers.
func (dialect) ContentType() string { return "text/plain; charset=utf-8" }

// Asked reads the form.
func (dialect) Asked(f frontend.Form) (task, profile string) { return f["task"], f["sid"] }

// Granted writes the ticket and the grant.
func (dialect) Granted(b *bytes.Buffer, _ frontend.Form, g session.Grant) { writeGrant(b, g) }

// Listed writes the profiles in INI form.
func (dialect) Listed(b *bytes.Buffer, l session.Listing) {
	text := textOf(l.Offer)
	b.Grow(256 + text.size(l.User))
	writeGrant(b, l.Grant)
	text.write(b, l.User)
}

// Selected writes the server.
func (dialect) Selected(b *bytes.Buffer, s session.Selection) {
	writeGrant(b, s.Grant)
	writeServer(b, s)
}

// Tested writes enough to time.
func (dialect) Tested(b *bytes.Buffer) {
	b.WriteString("OK\n" + granted)
	b.WriteString(testconPadding)
}

// PasswordSet does not say "Access granted": that leaves the window of X2Go Client
// 4.1.2.2 disabled for ever. Without it the client says "Login failed" and shows
// its login form, where the new password is wanted anyway.
func (dialect) PasswordSet(b *bytes.Buffer, _ session.Grant) {
	b.WriteString("PASSWORD CHANGED: OK\nLog in with the new password.\n")
}

// Denied lets X2Go Client ask again.
func (d dialect) Denied(err *session.DeniedError) (int, string) {
	if advice := err.Advice(); advice != "" {
		return d.deniedStatus, "Access denied: " + advice + "\n"
	}
	if err.RetryAfter > 0 {
		return d.deniedStatus, fmt.Sprintf("Access denied: too many failed logins, try again in %d s\n", err.RetryAfter/time.Second)
	}
	return d.deniedStatus, "Access denied\n"
}

// Refused is always 200: he proved who he is, and any other status ends his
// client. Reasons come from policies and must neither grant nor break lines.
func (dialect) Refused(err *session.RefusedError) (int, string) {
	return http.StatusOK, "Access denied: " + refusalText(err.Reason) + "\n"
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
