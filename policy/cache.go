package policy

import "sync"

// What a cache may hold. It dies with its engine, and so with the snapshot.
const (
	maxCached      = 10_000   // answers
	maxCachedBytes = 64 << 20 // estimated, with what frontends keep of a listing
)

// A cache remembers answers by what they were decided from. It keeps two
// generations: when the young one is full it becomes the old one, and the old
// one is dropped; an answer of the old one that is used becomes young again. So
// what was used among the last half of its room stays. It is safe for concurrent
// use.
type cache[T any] struct {
	mu         sync.RWMutex
	young, old map[string]kept[T]
	bytes      int // of the young ones
}

type kept[T any] struct {
	answer T
	bytes  int
}

// get finds an answer. A young one costs no allocation.
func (c *cache[T]) get(key []byte) (T, bool) {
	c.mu.RLock()
	k, young := c.young[string(key)]
	var aged bool
	if !young {
		k, aged = c.old[string(key)]
	}
	c.mu.RUnlock()
	if aged {
		c.put(string(key), k.answer, k.bytes)
	}
	return k.answer, young || aged
}

// put remembers an answer that takes about so many bytes.
func (c *cache[T]) put(key string, answer T, bytes int) {
	bytes += len(key)
	if bytes > maxCachedBytes/2 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.young[key]; known {
		return // another request was as fast
	}
	if c.young == nil || len(c.young) >= maxCached/2 || c.bytes+bytes > maxCachedBytes/2 {
		c.young, c.old, c.bytes = make(map[string]kept[T]), c.young, 0
	}
	c.young[key] = kept[T]{answer, bytes}
	c.bytes += bytes
}
