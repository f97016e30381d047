package identity

import (
	"container/list"
	"slices"
	"time"
)

// The limits beyond those of a pair. They are for pairs that have not succeeded
// in 30 days: who logs in where he always does is not locked out by what others
// try. A name or an address that was never right can be tried only so often,
// from wherever and for whomever.
const (
	userBurst = 50               // guesses at one name, from all addresses together,
	userEvery = 12 * time.Second // and one more each time that this has passed

	addressNames  = 30               // different names from one address that fail
	addressWindow = 10 * time.Minute // within this time

	overallBurst = 500                    // guesses of all together,
	overallEvery = 500 * time.Millisecond // and one more each time that this has passed

	maxWide = 1 << 15 // names and addresses remembered, some 25 MB at most
)

// A bucket fills with guesses and empties with time.
type bucket struct {
	level    float64
	at       time.Time // of level
	inFlight int       // guesses in level of which nobody knows yet
}

// wait gives how long until one more guess fits. mayEnd says that it would fit
// if those in flight turned out to be none.
func (b *bucket) wait(now time.Time, burst int, every time.Duration) (wait time.Duration, mayEnd bool) {
	if since := now.Sub(b.at); since > 0 {
		b.level = max(0, b.level-float64(since)/float64(every))
	}
	b.at = now
	over := b.level + 1 - float64(burst)
	if over <= 0 {
		return 0, false
	}
	return time.Duration(over * float64(every)), over <= float64(b.inFlight)
}

func (b *bucket) begin() {
	b.level++
	b.inFlight++
}

func (b *bucket) end(guess bool) {
	b.inFlight--
	if !guess {
		b.level = max(0, b.level-1)
	}
}

// addressNamesTried are the names that failed from an address, or are in
// flight, the oldest first.
type addressNamesTried struct{ names []nameTried }

type nameTried struct {
	key      pairKey
	at       time.Time
	inFlight int
	failed   bool
}

func (a *addressNamesTried) wait(now time.Time, key pairKey) (wait time.Duration, mayEnd bool) {
	a.names = slices.DeleteFunc(a.names, func(n nameTried) bool {
		age := now.Sub(n.at)
		return n.inFlight == 0 && (age >= addressWindow || age < 0)
	})
	if len(a.names) < addressNames || a.find(key) >= 0 {
		return 0, false
	}
	failed := 0
	for _, n := range a.names {
		if n.failed {
			failed++
		}
	}
	return max(time.Second, addressWindow-now.Sub(a.names[0].at)), failed < addressNames
}

func (a *addressNamesTried) find(key pairKey) int {
	return slices.IndexFunc(a.names, func(n nameTried) bool { return n.key == key })
}

func (a *addressNamesTried) begin(now time.Time, key pairKey) {
	i := a.find(key)
	if i < 0 {
		a.names = append(a.names, nameTried{key: key, at: now})
		i = len(a.names) - 1
	}
	a.names[i].inFlight++
}

func (a *addressNamesTried) end(key pairKey, guess bool) {
	i := a.find(key)
	if i < 0 {
		return
	}
	n := &a.names[i]
	n.inFlight--
	n.failed = n.failed || guess
	if n.inFlight == 0 && !n.failed {
		a.names = slices.Delete(a.names, i, i+1)
	}
}

// A latest is a table of a bounded number of things; the one that was not asked
// for the longest goes first.
type latest[T any] struct {
	most  int
	byKey map[pairKey]*list.Element
	order *list.List // of latestEntry[T], the latest first
}

type latestEntry[T any] struct {
	key   pairKey
	thing *T
}

func newLatest[T any](most int) latest[T] {
	return latest[T]{most: most, byKey: make(map[pairKey]*list.Element), order: list.New()}
}

// get gives the thing of a key, made if it is not there.
func (r *latest[T]) get(key pairKey) *T {
	if e := r.byKey[key]; e != nil {
		r.order.MoveToFront(e)
		return e.Value.(latestEntry[T]).thing
	}
	thing := new(T)
	r.byKey[key] = r.order.PushFront(latestEntry[T]{key, thing})
	for r.order.Len() > r.most {
		last := r.order.Back()
		r.order.Remove(last)
		delete(r.byKey, last.Value.(latestEntry[T]).key)
	}
	return thing
}

// wide has the limits beyond those of a pair. Its lock is that of the Throttle.
type wide struct {
	users     latest[bucket]
	addresses latest[addressNamesTried]
	overall   bucket
}

func newWide() wide {
	return wide{users: newLatest[bucket](maxWide), addresses: newLatest[addressNamesTried](maxWide)}
}

// A charge is what an attempt put into the limits, to be ended once.
type charge struct {
	name    pairKey
	user    *bucket
	address *addressNamesTried
}

// wait asks all limits; the longest wait counts. by names it, for metrics.
func (w *wide) wait(now time.Time, name, address pairKey) (wait time.Duration, mayEnd bool, by ThrottleKey) {
	mayEnd = true
	ask := func(d time.Duration, may bool, key ThrottleKey) {
		if d == 0 {
			return
		}
		mayEnd = mayEnd && may
		if d > wait {
			wait, by = d, key
		}
	}
	d, may := w.users.get(name).wait(now, userBurst, userEvery)
	ask(d, may, ThrottleUser)
	d, may = w.addresses.get(address).wait(now, name)
	ask(d, may, ThrottleAddress)
	d, may = w.overall.wait(now, overallBurst, overallEvery)
	ask(d, may, ThrottleOverall)
	return wait, mayEnd, by
}

func (w *wide) begin(now time.Time, name, address pairKey) *charge {
	c := &charge{name, w.users.get(name), w.addresses.get(address)}
	c.user.begin()
	c.address.begin(now, name)
	w.overall.begin()
	return c
}

func (w *wide) end(c *charge, guess bool) {
	c.user.end(guess)
	c.address.end(c.name, guess)
	w.overall.end(guess)
}
