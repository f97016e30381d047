package local

import "sync"

// limits are how much there may be at once, in all and of one user.
type limits struct{ all, each int }

// A share holds limits, so that no user can take what is there for all.
type share struct {
	limits
	mu sync.Mutex
	n  int
	by map[uint32]int
}

func newShare(l limits) *share { return &share{limits: l, by: map[uint32]int{}} }

// take gives what to call when it is over, nil if there is too much.
func (s *share) take(uid uint32) (leave func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n >= s.all || s.by[uid] >= s.each {
		return nil
	}
	s.n++
	s.by[uid]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.n--
		if s.by[uid]--; s.by[uid] == 0 {
			delete(s.by, uid)
		}
	}
}
