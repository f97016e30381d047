package farm

import (
	"container/list"
	"sync"
	"time"
)

const (
	// placementAge is how long a placement counts when nothing says that the
	// session ended: a working day.
	placementAge = 8 * time.Hour

	// maxPlacements bounds the ledger; the oldest go first.
	maxPlacements = 65536
)

// A ledger counts what was placed and is not known to have ended. A user who
// selects a profile again moves his placement: his client starts over.
type ledger struct {
	now func() time.Time

	mu       sync.Mutex
	byAge    *list.List // of *placement, oldest first
	byKey    map[placementKey]*list.Element
	byServer map[string]int
}

type placementKey struct{ account, profile string }

type placement struct {
	key    placementKey
	server string
	at     time.Time
}

func newLedger(now func() time.Time) *ledger {
	return &ledger{now: now, byAge: list.New(), byKey: map[placementKey]*list.Element{}, byServer: map[string]int{}}
}

// counts gives the live placements of each server that has any, without the one
// that a new placement for the account and profile would replace.
func (l *ledger) counts(servers []string, account, profile string) map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expire()
	replaced := ""
	if e := l.byKey[placementKey{account, profile}]; e != nil {
		replaced = e.Value.(*placement).server
	}
	out := make(map[string]int, len(servers))
	for _, id := range servers {
		n := l.byServer[id]
		if id == replaced {
			n--
		}
		if n > 0 {
			out[id] = n
		}
	}
	return out
}

func (l *ledger) record(account, profile, server string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := placementKey{account, profile}
	if e := l.byKey[key]; e != nil {
		l.remove(e)
	}
	l.expire()
	if len(l.byKey) >= maxPlacements {
		l.remove(l.byAge.Front())
	}
	l.byKey[key] = l.byAge.PushBack(&placement{key: key, server: server, at: l.now()})
	l.byServer[server]++
}

func (l *ledger) expire() {
	oldest := l.now().Add(-placementAge)
	for e := l.byAge.Front(); e != nil && e.Value.(*placement).at.Before(oldest); e = l.byAge.Front() {
		l.remove(e)
	}
}

func (l *ledger) remove(e *list.Element) {
	p := l.byAge.Remove(e).(*placement)
	delete(l.byKey, p.key)
	if l.byServer[p.server]--; l.byServer[p.server] == 0 {
		delete(l.byServer, p.server)
	}
}
