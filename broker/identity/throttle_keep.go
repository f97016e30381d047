package identity

import (
	"context"
	"path/filepath"
	"time"

	"github.com/x2broker/x2broker/broker/durable"
)

// knownEvery is how often who has succeeded is written down.
const knownEvery = time.Minute

// Run writes down who has succeeded, each minute and when ctx ends. What a crash
// loses costs nothing: a pair that is not known is bound by the wider limits.
func (t *Throttle) Run(ctx context.Context) {
	tick := time.NewTicker(knownEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			t.save()
		case <-ctx.Done():
			t.save()
			return
		}
	}
}

func (t *Throttle) save() {
	t.mu.Lock()
	if t.stateDir == "" || !t.known.changed {
		t.mu.Unlock()
		return
	}
	text := t.known.text()
	t.known.changed = false
	t.mu.Unlock()
	if err := durable.Replace(filepath.Join(t.stateDir, knownFile), text); err != nil {
		t.log.Warn("cannot write down who has logged in", "error", err)
		t.mu.Lock()
		t.known.changed = true
		t.mu.Unlock()
	}
}

// ThrottleStatus says how much guessing there is.
type ThrottleStatus struct {
	Pairs    int               // of name and address that failed in the last hour
	Blocked  int               // of these, refused now
	Known    int               // pairs that have succeeded in 30 days
	InFlight int               // passwords being looked at
	Waiting  int               // for those
	Refused  map[string]uint64 // attempts since the start, by limit: pair, user, address, overall, busy
}

// Status gives the present state.
func (t *Throttle) Status() ThrottleStatus {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock()
	s := ThrottleStatus{
		Pairs: len(t.pairs), Known: t.known.order.Len(), InFlight: t.inFlight, Waiting: t.waiting,
		Refused: make(map[string]uint64, len(t.refused)),
	}
	for _, p := range t.pairs {
		if p.until.After(now) {
			s.Blocked++
		}
	}
	for k, n := range t.refused {
		s.Refused[ThrottleKey(k).String()] = n
	}
	return s
}
