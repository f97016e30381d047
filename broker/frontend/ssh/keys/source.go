package keys

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

const (
	// MaxSourceAge is how old an answer of a [Source] may be: that long somebody
	// keeps a key that was taken from the directory.
	MaxSourceAge = 60 * time.Second

	maxKept = 1000 // answers of a source, each of maxFile bytes at most
)

// kept is a source with its answers of the last minute. Errors are not kept.
type kept struct {
	source Source
	now    func() time.Time
	zone   *time.Location

	mu sync.Mutex
	of map[string]answer // by user
}

type answer struct {
	entries []entry
	broken  []error
	asked   time.Time
}

func newKept(s Source, now func() time.Time, zone *time.Location) *kept {
	return &kept{source: s, now: now, zone: zone, of: map[string]answer{}}
}

// fresh is also false for answers from the future: the clock was set back.
func (k *kept) fresh(a answer, now time.Time) bool {
	age := now.Sub(a.asked)
	return age >= 0 && age < MaxSourceAge
}

func (k *kept) entries(ctx context.Context, user string) ([]entry, []error, error) {
	now := k.now() // an answer is as old as its question
	k.mu.Lock()
	a, ok := k.of[user]
	k.mu.Unlock()
	if ok && k.fresh(a, now) {
		return a.entries, a.broken, nil
	}
	values, err := k.source.PublicKeys(ctx, user)
	if err != nil {
		return nil, nil, err
	}
	text := strings.Join(values, "\n")
	if len(text) > maxFile {
		return nil, nil, fmt.Errorf("%s has more than %d KiB of keys", short(user), maxFile>>10)
	}
	a = answer{asked: now}
	a.entries, a.broken = parseKeys(text, k.zone)
	k.put(user, a)
	return a.entries, a.broken, nil
}

func (k *kept) put(user string, a answer) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.of) >= maxKept {
		for name, old := range k.of {
			if !k.fresh(old, a.asked) {
				delete(k.of, name)
			}
		}
	}
	if len(k.of) >= maxKept {
		clear(k.of)
	}
	k.of[user] = a
}
