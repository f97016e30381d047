package frontend

import (
	"html"
	"net/http"
	"strconv"
	"strings"
)

// Fail answers with an error page of the reference broker's form; clients look
// at the status alone. The reason, "" for none, is for people who look at the
// page: it must be fit to be seen by anybody.
func Fail(w http.ResponseWriter, status int, reason string) {
	text := strconv.Itoa(status) + ": " + http.StatusText(status)
	more := ""
	if reason != "" {
		more = ": " + html.EscapeString(reason)
	}
	Send(w, status, "text/html; charset=UTF-8", []byte("<html><title>"+text+"</title><body>"+text+more+"</body></html>"))
}

// NotFound answers 404.
func NotFound(w http.ResponseWriter, _ *http.Request) { Fail(w, http.StatusNotFound, "") }

// Allow reports whether the method is one of these, and answers 405 if not.
func Allow(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	for _, m := range methods {
		if r.Method == m {
			return true
		}
	}
	for _, m := range methods {
		w.Header().Add("Allow", m)
	}
	Fail(w, http.StatusMethodNotAllowed, "")
	return false
}

// Index is the page for people who open the broker's address in a browser.
func Index(w http.ResponseWriter, r *http.Request) {
	if Allow(w, r, http.MethodGet, http.MethodHead) {
		Send(w, http.StatusOK, "text/html; charset=UTF-8", []byte(index))
	}
}

const index = `<!DOCTYPE html>
<html lang="en">
<title>X2Go Session Broker</title>
<h1>X2Go Session Broker</h1><p>It works...</p>
</html>
`

// PublicKeys answers with the SSH keys with which the broker comes to the
// servers, a line of authorized_keys each. This version never comes: it has none.
// Its path is /pubkeys, with any number of slashes behind it.
func PublicKeys(w http.ResponseWriter, r *http.Request) {
	if strings.Trim(strings.TrimPrefix(r.URL.Path, "/pubkeys"), "/") != "" {
		NotFound(w, r)
		return
	}
	if Allow(w, r, http.MethodGet, http.MethodHead) {
		Send(w, http.StatusOK, "text/plain; charset=utf-8", nil)
	}
}

// Send answers with a text that is for this client only.
func Send(w http.ResponseWriter, status int, contentType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client has gone: nothing to do about it
}
