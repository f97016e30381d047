package faults_test

import (
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/x2broker/x2broker/broker/snapshot"
)

// state are faults of the broker's own machine. A disk that is really full or
// read-only needs root: tests/e2e/disk.
var state = []fault{
	{
		name: "state directory that cannot be written", reason: "what serves is not on disk, so that a restart needs the source",
		begin: func(b *broker) {
			if err := os.MkdirAll(filepath.Join(b.obstacle(), "x"), 0o700); err != nil {
				b.Fatal(err)
			}
			b.push("two")
		},
		mend: func(b *broker) {
			if err := os.RemoveAll(b.obstacle()); err != nil {
				b.Fatal(err)
			}
		},
		serves: "two", // what is on disk is still the one before
	},
	{
		// A freeze for an hour is not to last for six.
		name: "clock set back", reason: "exams (begun anew: the clock was set back)",
		setup: func(b *broker) { b.useClock() },
		begin: func(b *broker) {
			b.freeze(time.Hour)
			b.push("two")
			b.clock.Add(int64(-5 * time.Hour))
		},
		mend: func(b *broker) { b.clock.Add(int64(time.Hour)) },
	},
	{
		// Looks at the repository, and a hold, neither stop nor end because of it.
		name: "clock set forward", reason: "newer commits wait; x2broker unfreeze follows the source again",
		setup: func(b *broker) { b.useClock() },
		begin: func(b *broker) {
			b.freeze(24 * time.Hour)
			b.clock.Add(int64(5 * time.Hour))
			b.push("two")
			b.await("a look at the commit", func(_ string, s snapshot.Status) bool { return s.Fetched.Revision.ID == b.newest })
		},
		mend: func(b *broker) { b.clock.Add(int64(20 * time.Hour)) },
	},
}

// obstacle is what the second kept site is written to first.
func (b *broker) obstacle() string { return filepath.Join(b.options.StateDir, "last-good.2.site.new") }

// useClock has the broker go by a clock that the test sets.
func (b *broker) useClock() {
	b.clock = &atomic.Int64{}
	b.clock.Store(time.Now().UnixNano())
	b.options.Now = b.now
}

func (b *broker) now() time.Time { return time.Unix(0, b.clock.Load()) }

// freeze has the last good commit stay.
func (b *broker) freeze(d time.Duration) {
	b.Helper()
	if _, err := b.keeper.Freeze(snapshot.Order{By: "ada", Reason: "exams", Until: b.now().Add(d)}); err != nil {
		b.Fatal(err)
	}
}
