package identity

import (
	"container/list"
	"crypto/sha256"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	freeFailures  = 5 // without consequences
	firstBlock    = time.Second
	longestBlock  = 5 * time.Minute
	forgetAfter   = time.Hour       // without a failure
	attemptExpiry = 2 * time.Minute // then an attempt that never ended has failed

	// MaxThrottled is how many pairs of name and address are remembered, about
	// 20 MB. One more displaces the pair that has not failed for longest: who
	// wants his failures forgotten that way has to let 65,536 other attempts
	// be hashed, and nobody is locked out because the table is full.
	MaxThrottled = 1 << 16
)

// Throttle slows down guessing: for each pair of a name as typed and a client
// (IPv6 by /64) five failures are free, each further one blocks the pair, for 1
// s at first and twice as long each time up to 5 min. A success clears the
// pair, an hour without a failure does too. It knows nothing of which names
// exist.
//
// An attempt counts as a failure from its beginning to its end, so that many at
// once get no more guesses than one after the other. That is also the price: a
// pair may have six attempts in flight, and only one after its free failures.
//
// Empty passwords and malformed requests are no guesses: the caller refuses
// them without asking here.
type Throttle struct {
	clock   func() time.Time
	maxSize int

	mu    sync.Mutex
	pairs map[pairKey]*pair
	order *list.List // of *pair, the most recently failed or begun first
}

// pairKey is a digest of name and client: of one size however long the name
// is, and no list of what people typed, which is a password now and then.
type pairKey [sha256.Size]byte

type pair struct {
	key      pairKey
	failures int
	until    time.Time  // blocked
	touched  time.Time  // last failure, or beginning of an attempt
	inFlight []*Attempt // oldest first
	place    *list.Element
}

// NewThrottle returns an empty Throttle.
func NewThrottle(clock func() time.Time) *Throttle {
	return &Throttle{
		clock:   clock,
		maxSize: MaxThrottled,
		pairs:   make(map[pairKey]*pair),
		order:   list.New(),
	}
}

// An Attempt is a guess in flight. It must be ended by Done or Cancel; the
// first of them counts. One that is not ended counts as failed after 2 min.
type Attempt struct {
	throttle *Throttle
	key      pairKey
	began    time.Time
	ended    bool
	counted  bool // as a failure already, because it took too long
}

// Begin asks whether a password may be looked at now. If so, ok is true and
// the attempt has begun. If not, retryAfter says how long to wait; asking does
// not make it longer.
func (t *Throttle) Begin(name string, addr netip.Addr) (a *Attempt, retryAfter time.Duration, ok bool) {
	key := newPairKey(name, addr)
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock()
	t.forget(now)
	p := t.pairs[key]
	if p != nil {
		p.expireAttempts(now)
		if wait := p.until.Sub(now); wait > 0 {
			return nil, wait, false
		}
		if n := p.failures + len(p.inFlight); len(p.inFlight) > 0 && n > freeFailures {
			return nil, blockAfter(n), false
		}
	}
	p = t.touch(key, now)
	a = &Attempt{throttle: t, key: key, began: now}
	p.inFlight = append(p.inFlight, a)
	return a, 0, true
}

// Done ends the attempt: success forgets the failures of the pair, anything
// else is one more.
func (a *Attempt) Done(success bool) {
	t := a.throttle
	t.mu.Lock()
	defer t.mu.Unlock()
	if !a.end() {
		return
	}
	now := t.clock()
	switch p := t.pairs[a.key]; {
	case success && p != nil:
		p.failures = 0
		p.until = time.Time{}
		t.drop(p)
	case !success && !a.counted:
		t.touch(a.key, now).fail(now)
	}
}

// Cancel ends an attempt whose password was not looked at, as if it had never
// begun.
func (a *Attempt) Cancel() {
	t := a.throttle
	t.mu.Lock()
	defer t.mu.Unlock()
	if !a.end() {
		return
	}
	if p := t.pairs[a.key]; p != nil {
		t.drop(p)
	}
}

// end takes the attempt out of its pair, and reports false if it was ended
// before.
func (a *Attempt) end() bool {
	if a.ended {
		return false
	}
	a.ended = true
	if p := a.throttle.pairs[a.key]; p != nil {
		p.inFlight = slices.DeleteFunc(p.inFlight, func(b *Attempt) bool { return a == b })
	}
	return true
}

// touch returns the pair as the most recent one, made if it is not there. The
// oldest goes if there are too many.
func (t *Throttle) touch(key pairKey, now time.Time) *pair {
	p := t.pairs[key]
	if p == nil {
		p = &pair{key: key}
		p.place = t.order.PushFront(p)
		t.pairs[key] = p
	}
	p.touched = now
	t.order.MoveToFront(p.place)
	for t.order.Len() > t.maxSize {
		t.remove(t.order.Back().Value.(*pair))
	}
	return p
}

// forget removes the pairs that have been idle for long enough.
func (t *Throttle) forget(now time.Time) {
	for e := t.order.Back(); e != nil; e = t.order.Back() {
		p := e.Value.(*pair)
		if now.Sub(p.touched) < forgetAfter {
			return
		}
		t.remove(p)
	}
}

// drop removes a pair that there is nothing to remember of.
func (t *Throttle) drop(p *pair) {
	if p.failures == 0 && len(p.inFlight) == 0 {
		t.remove(p)
	}
}

func (t *Throttle) remove(p *pair) {
	delete(t.pairs, p.key)
	t.order.Remove(p.place)
}

// fail counts one failure.
func (p *pair) fail(now time.Time) {
	p.failures++
	if until := now.Add(blockAfter(p.failures)); until.After(p.until) {
		p.until = until
	}
}

// expireAttempts counts the attempts that nobody ended as failures of the time
// when they were given up.
func (p *pair) expireAttempts(now time.Time) {
	for len(p.inFlight) > 0 && now.Sub(p.inFlight[0].began) >= attemptExpiry {
		a := p.inFlight[0]
		a.counted = true
		p.inFlight = slices.Delete(p.inFlight, 0, 1)
		p.fail(a.began.Add(attemptExpiry))
	}
}

// blockAfter returns how long the nth failure blocks.
func blockAfter(n int) time.Duration {
	block := firstBlock
	for i := freeFailures + 1; i < n && block < longestBlock; i++ {
		block *= 2
	}
	if n <= freeFailures {
		return 0
	}
	return min(block, longestBlock)
}

func newPairKey(name string, addr netip.Addr) pairKey {
	return sha256.Sum256([]byte(clientNet(addr).String() + "\x00" + name))
}
