package listen

import (
	"context"
	"io/fs"
	"os"
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

// Stamps tell changed files from those that are as they were.
type Stamps struct {
	names []string
	seen  []fs.FileInfo // nil for one that is not there
}

// NewStamps notes how the files are now; "" is a file that is never there. Make
// it before the files are read.
func NewStamps(names ...string) *Stamps {
	s := &Stamps{names: names}
	s.seen = s.look()
	return s
}

// Changed says whether a file has changed since the last call.
func (s *Stamps) Changed() bool {
	last := s.seen
	s.seen = s.look()
	for i := range last {
		if changed(last[i], s.seen[i]) {
			return true
		}
	}
	return false
}

func (s *Stamps) look() []fs.FileInfo {
	out := make([]fs.FileInfo, len(s.names))
	for i, name := range s.names {
		if info, err := os.Stat(name); err == nil {
			out[i] = info
		}
	}
	return out
}

func changed(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return (a == nil) != (b == nil)
	}
	return !a.ModTime().Equal(b.ModTime()) || a.Size() != b.Size() || !os.SameFile(a, b)
}
