package identity

import (
	"sync"
	"time"
)

// maxRecent bounds how many answers a recent keeps.
const maxRecent = 10_000

// recent keeps answers about names until they are as old as maxAge, counted
// from when the question was asked. Errors are not kept.
type recent[V any] struct {
	maxAge time.Duration
	clock  func() time.Time

	mu sync.Mutex
	of map[string]answer[V]
}

type answer[V any] struct {
	value V
	asked time.Time
}

func newRecent[V any](maxAge time.Duration, clock func() time.Time) *recent[V] {
	return &recent[V]{maxAge: maxAge, clock: clock, of: make(map[string]answer[V])}
}

// get gives what is kept, else asks.
func (r *recent[V]) get(name string, ask func() (V, error)) (V, error) {
	now := r.clock()
	r.mu.Lock()
	a, ok := r.of[name]
	r.mu.Unlock()
	if ok && r.fresh(a, now) {
		return a.value, nil
	}
	value, err := ask()
	if err == nil {
		r.put(name, value, now)
	}
	return value, err
}

// put keeps an answer, unless there is one to a later question.
func (r *recent[V]) put(name string, value V, asked time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old, ok := r.of[name]; ok && old.asked.After(asked) && r.fresh(old, r.clock()) {
		return
	}
	if len(r.of) >= maxRecent {
		r.forget()
	}
	r.of[name] = answer[V]{value, asked}
}

// forget makes room: for what is too old, or for all.
func (r *recent[V]) forget() {
	now := r.clock()
	for name, a := range r.of {
		if !r.fresh(a, now) {
			delete(r.of, name)
		}
	}
	if len(r.of) >= maxRecent {
		clear(r.of)
	}
}

// fresh is also false for answers from the future: the clock was set back.
func (r *recent[V]) fresh(a answer[V], now time.Time) bool {
	age := now.Sub(a.asked)
	return age >= 0 && age < r.maxAge
}
