package policy

import (
	"sync"

	"github.com/x2broker/x2broker/schema"
)

// A Listing is what a user is shown at one moment. It is shared between requests
// that get the same and must not be changed.
type Listing struct {
	Profiles []*schema.Profile // those to offer, sorted by id, with the overlay applied
	Failed   map[string]error  // hidden because the policy failed, by id

	derived sync.Map
}

// Derive gives what others make of the listing, such as its text for a client.
// It is made once for a key and kept as long as the listing itself; as in a
// context, a key is of a type that its package does not share. What make gives
// must depend on the listing and on its snapshot alone, and must not be changed.
// Two requests at once may both make it; both get the same.
func (l *Listing) Derive(key any, make func() any) any {
	if v, ok := l.derived.Load(key); ok {
		return v
	}
	v, _ := l.derived.LoadOrStore(key, make())
	return v
}

// find gives a profile of the listing, nil if it is hidden.
func (l *Listing) find(id string) *schema.Profile {
	lo, hi := 0, len(l.Profiles)
	for lo < hi {
		if mid := (lo + hi) / 2; l.Profiles[mid].ID < id {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < len(l.Profiles) && l.Profiles[lo].ID == id {
		return l.Profiles[lo]
	}
	return nil
}

// lasting reports whether the listing would be the same if it were made again.
func (l *Listing) lasting() bool {
	for _, err := range l.Failed {
		if isStopped(err) {
			return false
		}
	}
	return true
}

// bytes estimates what a listing takes, with what frontends make of it.
func (l *Listing) bytes() int {
	const each = 2 << 10 // a profile as INI and as JSON
	return 512 + each*(len(l.Profiles)+len(l.Failed))
}
