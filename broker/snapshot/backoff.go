package snapshot

import (
	"errors"
	"time"

	"github.com/x2broker/x2broker/broker/source"
)

// maxRetryAfter is how long a server may put off the next poll.
const maxRetryAfter = time.Hour

// backoff counts failures of the source.
type backoff struct {
	poll     time.Duration
	failures int // in a row
}

// next gives the time until the next poll after a [Keeper.Refresh] with that
// result. What people must correct is asked for slowly at once. A server that
// says when to come back is heard, up to an hour.
func (b *backoff) next(err error, jitter float64) time.Duration {
	const slow = 16 // failures that reach the longest delay
	refused, fetch := new(RefusedError), new(source.FetchError)
	errors.As(err, &fetch)
	switch {
	case err == nil, errors.As(err, &refused), fetch.Kind == source.Refused:
		b.failures = 0 // the source answers; its next commit should serve soon
	case fetch.Kind == source.Lasting:
		b.failures = slow
	default:
		b.failures++
	}
	return max(delay(b.poll, b.failures, jitter), min(fetch.RetryAfter, maxRetryAfter))
}

// delay gives the time until the next poll after so many failures in a row:
// poll, then doubling up to ten times poll, but at most five minutes unless poll
// itself is longer. jitter in [0, 1) moves it by up to a tenth, so that many
// brokers do not ask at once: later normally, earlier (never below poll) after
// failures.
func delay(poll time.Duration, failures int, jitter float64) time.Duration {
	tenth := func(d time.Duration) time.Duration { return time.Duration(jitter * float64(d) / 10) }
	if failures == 0 {
		return poll + tenth(poll)
	}
	limit := max(poll, min(10*poll, 5*time.Minute))
	d := poll
	for range failures {
		if d = 2 * d; d >= limit {
			d = limit
			break
		}
	}
	return max(poll, d-tenth(d))
}
