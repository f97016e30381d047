package snapshot

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/x2broker/x2broker/broker/source"
)

// DefaultPoll is how often a source is asked when Options does not say.
const DefaultPoll = 30 * time.Second

// nudgePause is how long [Keeper.Nudge] makes no difference after a look.
const nudgePause = time.Second

// Options say what a [Keeper] keeps.
type Options struct {
	Source   source.Source
	Compiler Compiler
	StateDir string        // where the last good site is kept, "" for nowhere; one process at a time
	Poll     time.Duration // between two looks at the source, 0 for [DefaultPoll]
	Limit    time.Duration // for compiling one revision, 0 for [BuildLimit]
	Log      *slog.Logger  // nil for none
	Now      func() time.Time
	Rand     func() float64 // jitter in [0, 1)

	// Verified is what the status says of revisions whose signatures the source
	// asks for: "" for good ones; nil when it does not ask.
	Verified *string

	// Audience gives the people of the last 7 days, whom no revision may lock
	// out in numbers; nil for no such guard.
	Audience func() []Person
}

// Keeper holds the snapshot that serves, and replaces it when the source has a
// newer revision that compiles. All methods may be called at the same time.
type Keeper struct {
	source   source.Source
	builder  *Builder
	stateDir string
	poll     time.Duration
	log      *slog.Logger
	now      func() time.Time
	rand     func() float64
	audience func() []Person

	current atomic.Pointer[Snapshot]
	first   chan struct{} // closed when current is set

	nudged chan struct{} // has a token after Nudge

	mu      sync.Mutex
	status  Status
	changed chan struct{}           // closed when status has changed
	stop    context.CancelCauseFunc // ends what has the turn, nil for nothing
	orders  int                     // that wait for the turn

	// Whoever swaps a snapshot in, or changes what may be, holds swap. Locked
	// after turn and before mu.
	swap         sync.Mutex
	ordersLoaded bool
	hold         *Hold
	served       []source.Revision // the newest last

	// A cycle owns what follows; turn holds one token for it.
	turn     chan struct{}
	restored bool          // the kept sites have been looked at
	compiled bool          // the compiler has been given what it knew in an earlier process
	unsaved  bool          // it may have learnt something
	refused  *RefusedError // the newest revision, if it is refused
	failure  string        // what went wrong last time, "" for nothing
	kept     keptSite
	slots    [len(keptNames)]keptSlot
	ready    string            // digest of the kept site of which is on disk what it came to
	verified *string           // see Options.Verified
	unkept   *unkept           // what could not be written to StateDir yet
	tested   [sha256.Size]byte // the policies whose Rego tests passed last
	hints    hints
}

// New returns a Keeper that does nothing before [Keeper.Run] or [Keeper.Refresh].
func New(opts Options) *Keeper {
	k := &Keeper{
		source:   opts.Source,
		builder:  NewBuilder(opts.Compiler),
		stateDir: opts.StateDir,
		poll:     opts.Poll,
		log:      opts.Log,
		now:      opts.Now,
		rand:     opts.Rand,
		audience: opts.Audience,
		hints:    hints{},
		first:    make(chan struct{}),
		turn:     make(chan struct{}, 1),
		nudged:   make(chan struct{}, 1),
		changed:  make(chan struct{}),
		status:   Status{Source: opts.Source.String(), Verified: Stage{Reason: NotConfigured}},
		verified: opts.Verified,
	}
	if opts.Limit > 0 {
		k.builder.limit = opts.Limit
	}
	if k.poll <= 0 {
		k.poll = DefaultPoll
	}
	if k.log == nil {
		k.log = slog.New(slog.DiscardHandler)
	}
	if k.now == nil {
		k.now = time.Now
	}
	if k.rand == nil {
		k.rand = rand.Float64
	}
	k.log = k.log.With("site", k.status.Source)
	return k
}

// Current gives the snapshot that serves, nil before the first.
func (k *Keeper) Current() *Snapshot { return k.current.Load() }

// Wait gives the snapshot that serves as soon as there is one, or the error of
// the context.
func (k *Keeper) Wait(ctx context.Context) (*Snapshot, error) {
	select {
	case <-k.first:
		return k.Current(), nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Nudge makes Run look at the source soon: at once, or a second after it looked
// last. It never blocks.
func (k *Keeper) Nudge() {
	select {
	case k.nudged <- struct{}{}:
	default: // somebody else did
	}
}

// Run serves the kept site if there is one, and then follows the source until
// the context ends. When it returns nothing that it started is still running;
// a compilation that has begun is waited for.
func (k *Keeper) Run(ctx context.Context) {
	for b := (backoff{poll: k.poll}); ctx.Err() == nil; {
		k.rest(ctx, b.next(k.Refresh(ctx), k.rand()))
	}
}

// rest waits until the source is to be asked again.
func (k *Keeper) rest(ctx context.Context, wait time.Duration) {
	if h := k.holding(); h != nil && !h.Until.IsZero() {
		wait = max(0, min(wait, h.Until.Sub(k.now())))
	}
	k.note(func(s *Status) { s.NextLook = k.now().UTC().Add(wait) })
	next := time.NewTimer(wait)
	defer next.Stop()
	calm := time.NewTimer(min(wait, nudgePause))
	defer calm.Stop()
	select {
	case <-calm.C: // now a nudge counts
	case <-ctx.Done():
		return
	}
	select {
	case <-k.nudged:
	case <-next.C:
	case <-ctx.Done():
	}
}
