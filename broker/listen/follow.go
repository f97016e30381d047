package listen

import (
	"context"
	"io/fs"
	"os"
	"sync"
	"time"
)

// LookEach is how often files that are followed are looked at.
const LookEach = 3 * time.Second

// A Follower uses what is in files, and keeps what it has when they turn bad.
type Follower interface {
	Look()         // reads the files if they have changed
	Reload() error // reads them in any case
}

// Follow has all look at their files until the context ends; a signal has the
// files read at once.
func Follow(ctx context.Context, now <-chan os.Signal, all ...Follower) {
	tick := time.NewTicker(LookEach)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			for _, f := range all {
				f.Look()
			}
		case <-now:
			for _, f := range all {
				_ = f.Reload() // logged
			}
		case <-ctx.Done():
			return
		}
	}
}

// Followed are files whose content is in use. Who uses it embeds them, and is a
// Follower.
type Followed struct {
	read func() error // uses what is in them, or changes nothing

	mu     sync.Mutex
	stamps *stamps
	failed string
}

// NewFollowed returns the files as they are now. Make it before they are read for
// the first time. The error of read is for people; read logs what it does.
func NewFollowed(read func() error, names ...string) *Followed {
	return &Followed{read: read, stamps: newStamps(names...)}
}

// Reload reads the files now. If they cannot be used, nothing changes.
func (f *Followed) Reload() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stamps.changed() // what changes from here on is seen next time
	return f.reload()
}

// Look reloads if a file has changed.
func (f *Followed) Look() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stamps.changed() {
		_ = f.reload() // logged
	}
}

func (f *Followed) reload() error {
	err := f.read()
	f.failed = ""
	if err != nil {
		f.failed = err.Error()
	}
	return err
}

// Failed says why what is in the files now is not used; "" when it is.
func (f *Followed) Failed() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed
}

// stamps tell changed files from those that are as they were.
type stamps struct {
	names []string
	seen  []fs.FileInfo // nil for one that is not there
}

// newStamps notes how the files are now; "" is a file that is never there. Make
// it before the files are read.
func newStamps(names ...string) *stamps {
	s := &stamps{names: names}
	s.seen = s.look()
	return s
}

// changed says whether a file has changed since the last call.
func (s *stamps) changed() bool {
	last := s.seen
	s.seen = s.look()
	for i := range last {
		if differ(last[i], s.seen[i]) {
			return true
		}
	}
	return false
}

func (s *stamps) look() []fs.FileInfo {
	out := make([]fs.FileInfo, len(s.names))
	for i, name := range s.names {
		if info, err := os.Stat(name); err == nil {
			out[i] = info
		}
	}
	return out
}

func differ(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return (a == nil) != (b == nil)
	}
	return !a.ModTime().Equal(b.ModTime()) || a.Size() != b.Size() || !os.SameFile(a, b)
}
