package admin

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Limits of the webhook. A forge calls again, and the poll comes anyway.
const (
	maxHookBody   = 25 << 20 // bytes, as GitHub; they are hashed and not kept
	maxHooks      = 4        // at a time
	hooksBurst    = 20       // calls at once
	hooksInterval = 100 * time.Millisecond
)

// Kinds of webhooks.
const (
	GitHub  = "github"
	GitLab  = "gitlab"
	Forgejo = "forgejo"
)

// Webhook makes the broker look at its source when a forge calls. A call says
// nothing more than that: what it says of commits is not read, and one that
// comes again does no harm.
type Webhook struct {
	kind    string
	secret  []byte
	nudge   func()
	outcome *prometheus.CounterVec
	log     *slog.Logger
	now     func() time.Time
	running chan struct{}

	mu     sync.Mutex
	calls  HookCalls
	tokens float64
	filled time.Time
}

// HookCalls counts calls since the broker started.
type HookCalls struct {
	Accepted  int `json:"accepted"`
	Forbidden int `json:"forbidden"` // without a good signature
	Limited   int `json:"limited"`   // too many
	Bad       int `json:"bad"`       // not as forges call
}

// Calls gives how many calls there were.
func (h *Webhook) Calls() HookCalls {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.calls
}

// count counts a call.
func (h *Webhook) count(outcome string) {
	h.outcome.WithLabelValues(outcome).Inc()
	h.mu.Lock()
	defer h.mu.Unlock()
	switch outcome {
	case "accepted":
		h.calls.Accepted++
	case "forbidden":
		h.calls.Forbidden++
	case "limited":
		h.calls.Limited++
	default:
		h.calls.Bad++
	}
}

// NewWebhook returns a Webhook that calls nudge. The secret must not be empty.
func NewWebhook(kind string, secret []byte, nudge func(), m *Metrics, now func() time.Time, log *slog.Logger) *Webhook {
	if len(secret) == 0 {
		panic("admin: webhook without a secret")
	}
	return &Webhook{
		kind: kind, secret: secret, nudge: nudge, outcome: m.webhook, log: log, now: now,
		running: make(chan struct{}, maxHooks), tokens: hooksBurst, filled: now(),
	}
}

// ServeHTTP answers 202 at once; looking comes after.
func (h *Webhook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(status int, outcome, text string) {
		h.count(outcome)
		line(w, status, text+"\n")
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		answer(http.StatusMethodNotAllowed, "bad", "x2broker: forges POST here")
		return
	}
	select {
	case h.running <- struct{}{}:
		defer func() { <-h.running }()
	default:
		w.Header().Set("Retry-After", "1")
		answer(http.StatusTooManyRequests, "limited", "x2broker: too many calls")
		return
	}
	if !h.take() {
		w.Header().Set("Retry-After", "1")
		answer(http.StatusTooManyRequests, "limited", "x2broker: too many calls")
		return
	}
	if !h.genuine(w, r) {
		h.log.Debug("webhook call without a good signature", "from", r.RemoteAddr)
		answer(http.StatusForbidden, "forbidden", "x2broker: the signature is missing or wrong: is the secret of the forge that of secretFile?")
		return
	}
	h.nudge()
	answer(http.StatusAccepted, "accepted", "looking")
}

// take takes one of the calls that are allowed now.
func (h *Webhook) take() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	passed := max(0, now.Sub(h.filled)) // a clock may be set back
	h.tokens = min(hooksBurst, h.tokens+passed.Seconds()/hooksInterval.Seconds())
	h.filled = now
	if h.tokens < 1 {
		return false
	}
	h.tokens--
	return true
}

// genuine reports whether the call comes from somebody who knows the secret.
func (h *Webhook) genuine(w http.ResponseWriter, r *http.Request) bool {
	var signature string
	switch h.kind {
	case GitLab:
		given, want := sha256.Sum256([]byte(r.Header.Get("X-Gitlab-Token"))), sha256.Sum256(h.secret)
		return subtle.ConstantTimeCompare(given[:], want[:]) == 1
	case GitHub:
		var is bool
		if signature, is = strings.CutPrefix(r.Header.Get("X-Hub-Signature-256"), "sha256="); !is {
			return false
		}
	case Forgejo:
		if signature = r.Header.Get("X-Forgejo-Signature"); signature == "" {
			signature = r.Header.Get("X-Gitea-Signature")
		}
	}
	given, err := hex.DecodeString(signature)
	if err != nil || len(given) != sha256.Size {
		return false // before the body is read
	}
	mac := hmac.New(sha256.New, h.secret)
	if _, err := io.Copy(mac, http.MaxBytesReader(w, r.Body, maxHookBody)); err != nil {
		return false
	}
	return hmac.Equal(given, mac.Sum(nil))
}
