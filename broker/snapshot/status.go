package snapshot

import (
	"time"

	"github.com/x2broker/x2broker/broker/source"
	"github.com/x2broker/x2broker/schema"
)

// Status says how far revisions have come. Each stage has its own revision:
// they differ while a revision is refused or the source is away.
type Status struct {
	Source   string // its name, without passwords
	Fetched  Stage  // the newest revision that the source gave
	Compiled Stage  // the revision that was compiled last, whether it was good or not
	Serving  Stage  // the revision that answers requests
	Failures int    // how many polls in a row have failed
	Refused  *Refusal
}

// Stage is one step of a revision's way. Its Revision is zero before the first.
type Stage struct {
	Revision source.Revision
	Time     time.Time // when the revision came this far, UTC
	Reason   string    // of Fetched and Compiled: what is wrong, "" for nothing; of Serving: where it came from
}

// Refusal is a revision that may not serve. Status has one as long as the
// newest revision is refused.
type Refusal struct {
	Revision    source.Revision
	Time        time.Time
	Diagnostics schema.Diagnostics // the first 20, errors before warnings
	Total       int                // of all diagnostics
}

// Status gives the present state; the caller owns it, but not the diagnostics.
func (k *Keeper) Status() Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.status
}

// note changes the status.
func (k *Keeper) note(change func(*Status)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change(&k.status)
}
