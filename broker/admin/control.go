package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"

	"github.com/x2broker/x2broker/broker/listen/peer"
	"github.com/x2broker/x2broker/broker/snapshot"
)

// Limits of the control socket.
const (
	maxOrder    = 64 << 10         // bytes of a request
	maxReason   = 500              // bytes
	controlRead = 10 * time.Second // for a request to come in
	// pinTime is more than a revision may take through all gates, after one that
	// is being compiled.
	pinTime     = 6 * time.Minute
	maxWaitTime = time.Hour
	defaultHold = 24 * time.Hour
	longestHold = 90 * 24 * time.Hour
)

// Control answers on the control socket.
type Control struct {
	broker *Broker
	log    *slog.Logger
	server *http.Server
}

// NewControl returns a Control for that broker.
func NewControl(b *Broker, log *slog.Logger) *Control {
	c := &Control{broker: b, log: log}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", c.status)
	mux.HandleFunc("GET /v1/wait", c.wait)
	mux.HandleFunc("POST /v1/pin", c.order(func(ctx context.Context, q orderRequest, o snapshot.Order) (*snapshot.Hold, error) {
		return b.Keeper.Pin(ctx, q.Commit, o)
	}))
	mux.HandleFunc("POST /v1/rollback", c.order(func(ctx context.Context, _ orderRequest, o snapshot.Order) (*snapshot.Hold, error) {
		return b.Keeper.Rollback(ctx, o)
	}))
	mux.HandleFunc("POST /v1/freeze", c.order(func(_ context.Context, _ orderRequest, o snapshot.Order) (*snapshot.Hold, error) {
		return b.Keeper.Freeze(o)
	}))
	for path, kind := range map[string]string{"unpin": snapshot.Pin, "unfreeze": snapshot.Freeze} {
		mux.HandleFunc("POST /v1/"+path, c.order(func(_ context.Context, _ orderRequest, o snapshot.Order) (*snapshot.Hold, error) {
			return nil, b.Keeper.Lift(kind, o)
		}))
	}
	c.server = &http.Server{
		Handler:        mux,
		ReadTimeout:    controlRead,
		WriteTimeout:   2 * controlRead,
		IdleTimeout:    controlRead,
		MaxHeaderBytes: maxOrder,
		ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ConnContext:    peer.Context,
	}
	return c
}

// Serve answers on the listener, one of [ListenControl], until the context ends.
// Then it waits for what is being answered, which the end of the context ends.
func (c *Control) Serve(ctx context.Context, l net.Listener) error {
	c.server.BaseContext = func(net.Listener) context.Context { return ctx }
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), controlRead)
		defer cancel()
		if err := c.server.Shutdown(limited); err != nil {
			c.server.Close()
		}
	})
	err := c.server.Serve(l)
	if !stop() {
		<-ended
	}
	if !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (c *Control) status(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, c.broker.Report())
}

// Outcomes of waiting for a commit.
const (
	Serves   = "serves"
	Refuses  = "refused"
	Held     = "held"
	TimedOut = "timeout"
)

// Waited is what became of a commit.
type Waited struct {
	Outcome string `json:"outcome"`
	Report  Report `json:"report"`
}

func (c *Control) wait(w http.ResponseWriter, r *http.Request) {
	commit := strings.ToLower(r.URL.Query().Get("commit"))
	timeout, err := time.ParseDuration(r.URL.Query().Get("timeout"))
	if err != nil || timeout < 0 || timeout > maxWaitTime {
		fail(w, http.StatusBadRequest, fmt.Errorf("timeout: give a length of time up to %v, like 60s", maxWaitTime))
		return
	}
	if len(commit) < 7 {
		fail(w, http.StatusBadRequest, fmt.Errorf("%q is not a commit: give 7 to 40 hex digits", commit))
		return
	}
	if err := takeTime(w, timeout); err != nil {
		fail(w, http.StatusInternalServerError, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	keeper := c.broker.Keeper
	keeper.Nudge()
	for looked := ""; ; {
		s, changed := keeper.Watch()
		outcome := outcomeOf(s, commit)
		// A newer commit may have overtaken it; that takes time to find out.
		if outcome == "" && looked != s.Serving.Revision.ID {
			looked = s.Serving.Revision.ID
			if keeper.Includes(ctx, s.Serving.Revision, commit) {
				outcome = Serves
			}
		}
		if outcome == "" {
			select {
			case <-changed:
				continue
			case <-ctx.Done():
				outcome = TimedOut
			}
		}
		reply(w, http.StatusOK, Waited{outcome, c.broker.report(s)})
		return
	}
}

// takeTime lifts the server's limits, which are for answers that come at once.
// Without it the end of the time to read would end the request.
func takeTime(w http.ResponseWriter, d time.Duration) error {
	rc := http.NewResponseController(w)
	return errors.Join(rc.SetReadDeadline(time.Time{}), rc.SetWriteDeadline(time.Now().Add(d+controlRead)))
}

// outcomeOf says what became of a commit, "" for nothing yet.
func outcomeOf(s snapshot.Status, commit string) string {
	is := func(id string) bool { return strings.HasPrefix(id, commit) }
	switch {
	case is(s.Serving.Revision.ID):
		return Serves
	case s.Refused != nil && is(s.Refused.Revision.ID):
		return Refuses
	case s.Hold != nil && is(s.Fetched.Revision.ID):
		return Held
	}
	return ""
}

// orderRequest is what an operator asks for. Who he is says the kernel.
type orderRequest struct {
	Commit string    `json:"commit,omitempty"`
	Reason string    `json:"reason,omitempty"`
	Until  time.Time `json:"until,omitzero"` // zero for the default
}

// orderReply says what is in force now.
type orderReply struct {
	Hold *snapshot.Hold `json:"hold,omitempty"`
}

func (c *Control) order(do func(context.Context, orderRequest, snapshot.Order) (*snapshot.Hold, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var q orderRequest
		d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxOrder))
		d.DisallowUnknownFields()
		if err := d.Decode(&q); err != nil {
			fail(w, http.StatusBadRequest, fmt.Errorf("read the order: %w", err))
			return
		}
		o, err := c.signed(q, int(peer.UID(r.Context())))
		if err != nil {
			fail(w, http.StatusBadRequest, err)
			return
		}
		if err := takeTime(w, pinTime); err != nil {
			fail(w, http.StatusInternalServerError, err)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), pinTime)
		defer cancel()
		hold, err := do(ctx, q, o)
		if err != nil {
			fail(w, http.StatusConflict, err)
			return
		}
		reply(w, http.StatusOK, orderReply{hold})
	}
}

// signed gives the order with the name of the operator.
func (c *Control) signed(q orderRequest, uid int) (snapshot.Order, error) {
	now := c.broker.Now()
	o := snapshot.Order{By: userName(uid), UID: uid, Reason: q.Reason, Until: q.Until}
	if o.Until.IsZero() {
		o.Until = now.Add(defaultHold)
	}
	switch {
	case !o.Until.After(now):
		return o, fmt.Errorf("until %s is over already", o.Until.Format(time.RFC3339))
	case o.Until.After(now.Add(longestHold)):
		return o, fmt.Errorf("until %s is too long: an order ends after %d days at most", o.Until.Format(time.RFC3339), longestHold/(24*time.Hour))
	case len(o.Reason) > maxReason:
		return o, fmt.Errorf("the reason has more than %d bytes", maxReason)
	}
	o.Until = o.Until.UTC().Truncate(time.Second)
	return o, nil
}

func userName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return "uid " + strconv.Itoa(uid)
}

// failure is the body of every answer that is none.
type failure struct {
	Error       string   `json:"error"`
	Diagnostics []string `json:"diagnostics,omitempty"` // why a commit is refused
}

func fail(w http.ResponseWriter, status int, err error) {
	f := failure{Error: err.Error()}
	if refused := new(snapshot.RefusedError); errors.As(err, &refused) {
		f.Error = fmt.Sprintf("commit %s is refused by gate %s", short(refused.Revision.ID), refused.Gate)
		for _, d := range refused.Diagnostics[:min(len(refused.Diagnostics), maxDiagnostics)] {
			f.Diagnostics = append(f.Diagnostics, said(d))
		}
	}
	reply(w, status, f)
}

const maxDiagnostics = 20

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client has gone: nothing to do about it
}

// allowed are the users who may give orders: root, and whom the broker runs as.
func allowed(uid uint32) bool { return uid == 0 || int(uid) == os.Geteuid() }
