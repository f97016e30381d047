package snapshot

import (
	"time"

	"github.com/x2broker/x2broker/broker/source"
	"github.com/x2broker/x2broker/schema"
)

// The stages that a revision goes through, in this order. Status, metrics, logs
// and documentation use these words.
const (
	Fetched  = "Fetched"
	Verified = "Verified"
	Compiled = "Compiled"
	Tested   = "Tested"
	Serving  = "Serving"
)

// NotConfigured is the reason of Verified when no signatures are asked for.
const NotConfigured = "not configured"

// Status says how far revisions have come. Each stage has its own revision:
// they differ while a revision is refused, the source is away, or a [Hold] is
// in force.
type Status struct {
	Source   string // its name, without passwords
	Fetched  Stage  // the newest revision that the source gave
	Verified Stage  // whose signatures were found good last
	Compiled Stage  // the revision that was compiled last, whether it was good or not
	Tested   Stage  // the revision whose cases and Rego tests ran last, whether they passed or not
	Serving  Stage  // the revision that answers requests

	Failures     int       // how many looks at the source in a row have failed
	FailingSince time.Time // the first of them, zero for none
	NextLook     time.Time // when the source is asked again, unless something happens before

	Refused *Refusal // nil for nothing
	Hold    *Hold    // nil for nothing
	Inputs  Inputs   // of the revision that serves; zero before the first

	// Unused are the kept sites that could not serve at the start, and why; none
	// once another revision serves.
	Unused []string
	Unkept string // why what serves is not on disk, so that a restart needs the source; "" if it is
}

// Stage is one step of a revision's way. Its Revision is zero before the first.
type Stage struct {
	Revision source.Revision
	Time     time.Time     // when the revision came this far, UTC
	Took     time.Duration // of Compiled and Tested
	Reason   string        // of Serving: where it came from; of Verified: NotConfigured; else what is wrong, "" for nothing
}

// A NamedStage is a stage with its name.
type NamedStage struct {
	Name string
	Stage
}

// Stages gives all stages, in order.
func (s *Status) Stages() []NamedStage {
	return []NamedStage{
		{Fetched, s.Fetched}, {Verified, s.Verified}, {Compiled, s.Compiled}, {Tested, s.Tested}, {Serving, s.Serving},
	}
}

// Refusal is a revision that may not serve. Status has one as long as the
// newest revision is refused.
type Refusal struct {
	Revision    source.Revision
	Gate        string // the stage that it did not reach; the lock-out guard is part of Tested
	Time        time.Time
	Diagnostics schema.Diagnostics // the first 20, errors before warnings
	Total       int                // of all diagnostics
}

// Status gives the present state; the caller owns it, but not the diagnostics.
func (k *Keeper) Status() Status {
	s, _ := k.Watch()
	return s
}

// Watch gives the present state, and a channel that is closed when it may have
// changed.
func (k *Keeper) Watch() (Status, <-chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.status, k.changed
}

// note changes the status.
func (k *Keeper) note(change func(*Status)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change(&k.status)
	close(k.changed)
	k.changed = make(chan struct{})
}
