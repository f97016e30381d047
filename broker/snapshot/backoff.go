package snapshot

import "time"

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
