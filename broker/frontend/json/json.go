// Package json answers python-x2go, the library of pyhoca-cli and PyHoca-GUI:
// form requests, and JSON as x2gobroker 0.0.4.3 writes it.
//
// It parses, calls broker/session and renders. What differs from the reference
// broker, because the real library needs it:
//
//   - values have the types that the library gives their keys, and texts under
//     keys that it does not know are left out: one of them costs it the list;
//   - a throttled login is answered 429 with Retry-After;
//   - testcon consumes no ticket, and its answer says "Access granted".
//
// Clients look at the status of a refusal and at nothing else.
package json

import (
	"bytes"
	"net/http"
	"strconv"

	"github.com/x2broker/x2broker/broker/frontend"
	"github.com/x2broker/x2broker/broker/session"
)

// New returns a handler for everything below /json/.
func New(o frontend.Options) http.Handler { return frontend.NewTasks(dialect{}, o) }

// dialect implements frontend.Dialect.
type dialect struct{}

// Name returns "json".
func (dialect) Name() string { return "json" }

// ContentType must begin with text/json: after any other python-x2go takes a
// list for empty.
func (dialect) ContentType() string { return "text/json; charset=utf-8" }

// Asked reads the form. A sid that is there counts, even an empty one; nothing
// is selected by an empty one.
func (dialect) Asked(f frontend.Form) (task, profile string) {
	profile, ok := f["sid"]
	if !ok {
		profile = f["profile-id"]
	}
	switch task = f["task"]; {
	case task == "listprofiles":
		task = "listsessions"
	case task == "selectsession" && profile == "":
		task = ""
	}
	return task, profile
}

// Granted writes the grant. A select that selects nothing gets nothing.
func (dialect) Granted(b *bytes.Buffer, f frontend.Form, g session.Grant) {
	reply := granted(g, f["task"])
	if f["task"] == "selectsession" {
		reply["selected_session"] = map[string]string{}
	}
	write(b, reply)
}

// Listed writes the profiles. The task is listprofiles whatever was asked: the
// library reads no others.
func (dialect) Listed(b *bytes.Buffer, l session.Listing) {
	textOf(l.Offer, l.Ticket != "").write(b, l.Grant)
}

// Selected writes the server; its port is a text.
func (dialect) Selected(b *bytes.Buffer, s session.Selection) {
	writeServer(b, s.Grant, s.Address, s.Port)
}

// Tested grants.
func (dialect) Tested(b *bytes.Buffer) { write(b, granted(session.Grant{}, "testcon")) }

// PasswordSet grants; no client of this kind asks for it.
func (dialect) PasswordSet(b *bytes.Buffer, g session.Grant) { write(b, granted(g, "setpass")) }

// Denied is the page of a status.
func (dialect) Denied(err *session.DeniedError) (int, string) {
	if err.RetryAfter > 0 {
		return http.StatusTooManyRequests, ""
	}
	return http.StatusUnauthorized, ""
}

// Refused names a server that cannot be reached where a profile is refused: the
// library expects one, and its users read in the message why there is none.
func (dialect) Refused(err *session.RefusedError) (int, string) {
	switch err.What {
	case session.RefusedProfile:
		b := &bytes.Buffer{}
		writeServer(b, session.Grant{}, "no-server-available", 22)
		return http.StatusOK, b.String()
	case session.RefusedLogin:
		return http.StatusUnauthorized, ""
	}
	return http.StatusForbidden, ""
}

func writeServer(b *bytes.Buffer, g session.Grant, address string, port int) {
	reply := granted(g, "selectsession")
	reply["selected_session"] = map[string]string{"server": address, "port": strconv.Itoa(port)}
	write(b, reply)
}

// granted is what all answers have.
func granted(g session.Grant, task string) map[string]any {
	reply := map[string]any{"auth-status": "Access granted", "task": task}
	if g.Ticket != "" {
		reply["next-authid"] = g.Ticket
	}
	return reply
}

func write(b *bytes.Buffer, reply map[string]any) { frontend.WriteJSON(b, reply, "    ") }
