// Package admin tells operators how the broker is doing.
package admin

import (
	"io"
	"net/http"

	"github.com/x2broker/x2broker/broker/session"
)

// Healthz answers 200 as long as the process answers at all.
func Healthz() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { line(w, http.StatusOK, "ok\n") })
}

// Readyz answers 200 once there is a snapshot to answer from, and 503 before.
func Readyz(snapshots session.Snapshots) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if snapshots.Current() == nil {
			line(w, http.StatusServiceUnavailable, session.ErrNotReady.Error()+"\n")
			return
		}
		line(w, http.StatusOK, "ready\n")
	})
}

func line(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text) // the client has gone: nothing to do about it
}
