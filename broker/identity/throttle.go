package identity

import (
	"container/list"
	"context"
	"crypto/sha256"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
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

	// maxInFlight bounds the passwords that are looked at or wait for a
	// processor, maxWaitingAttempts those that wait for others to end, each at
	// most attemptPatience.
	maxInFlight        = 512
	maxWaitingAttempts = 1024
	attemptPatience    = 30 * time.Second
)

// Throttle slows down guessing: for each pair of a name as typed and a client
// (IPv6 by /64) five failures are free, each further one blocks the pair, for 1
// s at first and twice as long each time up to 5 min. A success clears the
// pair, an hour without a failure does too. It knows nothing of which names
// exist.
//
// Pairs that have not succeeded in 30 days are bound by wider limits as well: of
// the name from everywhere, of the address whatever the name, and of all
// together.
//
// An attempt counts as a failure from its beginning to its end, so that many at
// once get no more guesses than one after the other. An attempt that would be
// too many only if all those before it failed waits until that is known: where
// many log in at once with the right password, none is refused.
//
// Empty passwords and malformed requests are no guesses: the caller refuses
// them without asking here.
type Throttle struct {
	clock    func() time.Time
	log      *slog.Logger
	stateDir string
	maxSize  int

	mu       sync.Mutex
	pairs    map[pairKey]*pair
	order    *list.List // of *pair, the most recently failed or begun first
	wide     wide
	known    *knownLogins
	inFlight int
	waiting  int
	changed  chan struct{} // closed when an attempt ends; nil while nobody waits
	refused  [len(throttleKeys)]uint64
}

// ThrottleKey says which limit refuses.
type ThrottleKey int

// The limits.
const (
	ThrottlePair    ThrottleKey = iota // of a name at an address
	ThrottleUser                       // of a name
	ThrottleAddress                    // of an address
	ThrottleOverall                    // of all together
	ThrottleBusy                       // more passwords are being looked at than can be
)

var throttleKeys = [...]string{"pair", "user", "address", "overall", "busy"}

// String gives the name for metrics.
func (k ThrottleKey) String() string { return throttleKeys[k] }

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

// ThrottleConfig describes a [Throttle]. Clock, Rand and Logger are required.
type ThrottleConfig struct {
	StateDir string // for known.logins; "" forgets who has succeeded at the end
	Clock    func() time.Time
	Rand     io.Reader
	Logger   *slog.Logger
}

// NewThrottle returns a Throttle that knows who has succeeded before. A file
// that is damaged is as none.
func NewThrottle(c ThrottleConfig) (*Throttle, error) {
	t := &Throttle{
		clock:    c.Clock,
		log:      c.Logger,
		stateDir: c.StateDir,
		maxSize:  MaxThrottled,
		pairs:    make(map[pairKey]*pair),
		order:    list.New(),
		wide:     newWide(),
	}
	if c.StateDir != "" {
		var err error
		if t.known, err = readKnown(c.StateDir); err == nil {
			return t, nil
		}
		if !isFirst(err) {
			t.log.Warn("forgot who has logged in before: the wider limits on guessing bind everybody until his next login", "file", knownFile, "reason", err)
		}
	}
	var err error
	t.known, err = newKnownLogins(c.Rand)
	return t, err
}

// An Attempt is a guess in flight. It must be ended by Done or Cancel; the
// first of them counts. One that is not ended counts as failed after 2 min.
type Attempt struct {
	throttle *Throttle
	key      pairKey
	known    knownID
	charge   *charge // nil for a pair that the wider limits do not bind
	began    time.Time
	ended    bool
	counted  bool // as a failure already, because it took too long
}

// Begin asks whether a password may be looked at now. If so, ok is true and
// the attempt has begun. If not, retryAfter says how long to wait; asking does
// not make it longer. Begin itself waits, at most 30 s or until ctx ends, while
// only attempts that have not ended stand in the way.
func (t *Throttle) Begin(ctx context.Context, name string, addr netip.Addr) (a *Attempt, retryAfter time.Duration, ok bool) {
	var patience *time.Timer
	for {
		t.mu.Lock()
		a, wait, mayEnd, by := t.begin(name, addr)
		if a != nil {
			t.mu.Unlock()
			return a, 0, true
		}
		if !mayEnd || t.waiting >= maxWaitingAttempts || ctx.Err() != nil {
			t.refused[by]++
			t.mu.Unlock()
			return nil, wait, false
		}
		if t.changed == nil {
			t.changed = make(chan struct{})
		}
		changed := t.changed
		t.waiting++
		t.mu.Unlock()
		if patience == nil {
			patience = time.NewTimer(attemptPatience)
			defer patience.Stop()
		}
		expired := false
		select {
		case <-changed:
		case <-ctx.Done():
		case <-patience.C:
			expired = true
		}
		t.mu.Lock()
		t.waiting--
		if expired {
			t.refused[by]++
		}
		t.mu.Unlock()
		if expired {
			return nil, wait, false
		}
	}
}

// begin begins an attempt, or says why not; mayEnd: for attempts in flight only.
// folded is one spelling of the names that a directory may take for the same: to
// most, neither case nor how many blanks there are makes a difference. A guess
// must not be free for being spelt otherwise.
func folded(name string) string {
	return strings.ToLower(strings.Join(strings.Fields(name), " "))
}

func (t *Throttle) begin(name string, addr netip.Addr) (a *Attempt, wait time.Duration, mayEnd bool, by ThrottleKey) {
	name = folded(name)
	key := newPairKey(name, addr)
	now := t.clock()
	t.forget(now)
	p := t.pairs[key]
	if p != nil {
		p.expireAttempts(t, now)
		if wait := p.until.Sub(now); wait > 0 {
			return nil, wait, false, ThrottlePair
		}
		if n := p.failures + len(p.inFlight); len(p.inFlight) > 0 && n > freeFailures {
			return nil, blockAfter(n), true, ThrottlePair
		}
	}
	if t.inFlight >= maxInFlight {
		return nil, time.Second, true, ThrottleBusy
	}
	a = &Attempt{throttle: t, key: key, known: t.known.id(name, addr), began: now}
	if !t.known.knows(a.known, now) {
		ofName, ofAddress := newPairKey(name, netip.Addr{}), newPairKey("", addr)
		if wait, mayEnd, by := t.wide.wait(now, ofName, ofAddress); wait > 0 {
			return nil, min(wait, longestBlock), mayEnd, by
		}
		a.charge = t.wide.begin(now, ofName, ofAddress)
	}
	p = t.touch(key, now)
	p.inFlight = append(p.inFlight, a)
	t.inFlight++
	return a, 0, false, 0
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
	a.settle(!success)
	if success {
		t.known.succeeded(a.known, now)
	}
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
	a.settle(false)
	if p := t.pairs[a.key]; p != nil {
		t.drop(p)
	}
}

// settle tells the wider limits whether it was a guess, once.
func (a *Attempt) settle(guess bool) {
	if a.charge != nil {
		a.throttle.wide.end(a.charge, guess)
		a.charge = nil
	}
}

// end takes the attempt out of its pair, and reports false if it was ended
// before.
func (a *Attempt) end() bool {
	if a.ended {
		return false
	}
	a.ended = true
	t := a.throttle
	if !a.counted {
		t.inFlight--
	}
	if t.changed != nil {
		close(t.changed)
		t.changed = nil
	}
	if p := t.pairs[a.key]; p != nil {
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
func (p *pair) expireAttempts(t *Throttle, now time.Time) {
	for len(p.inFlight) > 0 && now.Sub(p.inFlight[0].began) >= attemptExpiry {
		a := p.inFlight[0]
		a.counted = true
		t.inFlight--
		a.settle(true)
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
