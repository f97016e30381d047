package admin

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/x2broker/x2broker/broker/session"
	"github.com/x2broker/x2broker/broker/snapshot"
)

// Healthz answers 200 as long as the process answers at all.
func Healthz(keeper *snapshot.Keeper) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		line(w, http.StatusOK, "ok: "+Line(keeper.Status())+"\n")
	})
}

// Readyz answers 200 once there is a snapshot to answer from, and 503 before.
func Readyz(keeper *snapshot.Keeper) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		state := Line(keeper.Status()) + "\n"
		if keeper.Current() == nil {
			line(w, http.StatusServiceUnavailable, session.ErrNotReady.Error()+": "+state)
			return
		}
		line(w, http.StatusOK, "ready: "+state)
	})
}

// Line says the state of the pipeline in one line. Strangers may read it: it
// has commits and no texts of the site.
func Line(s snapshot.Status) string {
	commit := func(stage snapshot.Stage) string {
		if id := stage.Revision.ID; id != "" {
			return short(id)
		}
		return "nothing"
	}
	parts := []string{snapshot.Serving + " " + commit(s.Serving)}
	if h := s.Hold; h != nil {
		until := ""
		if !h.Until.IsZero() {
			until = " until " + h.Until.Format("2006-01-02 15:04 MST")
		}
		parts = append(parts, held(h.Kind)+until)
	}
	if r := s.Refused; r != nil {
		parts = append(parts, fmt.Sprintf("%s refused %s", r.Gate, short(r.Revision.ID)))
	}
	switch {
	case s.Failures > 0:
		parts = append(parts, fmt.Sprintf("%s fails (%s)", snapshot.Fetched, times(s.Failures)))
	case s.Fetched.Revision.ID == "":
		parts = append(parts, snapshot.Fetched+" nothing yet")
	case s.Fetched.Revision.ID != s.Serving.Revision.ID && s.Refused == nil:
		parts = append(parts, snapshot.Fetched+" "+commit(s.Fetched))
	}
	if s.Unkept != "" {
		parts = append(parts, "not on disk")
	}
	return strings.Join(parts, ", ")
}

// short abbreviates a commit; other revisions have short ids.
func short(id string) string {
	if len(id) == 40 {
		return id[:12]
	}
	return id
}

func held(kind string) string {
	if kind == snapshot.Pin {
		return "pinned"
	}
	return "frozen"
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func line(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text) // the client has gone: nothing to do about it
}
