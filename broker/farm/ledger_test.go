package farm

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLedgerCountsWhatWasPlaced(t *testing.T) {
	now := time.Unix(0, 0)
	l := newLedger(func() time.Time { return now })
	l.record("alice", "office", "ts01")
	l.record("bob", "office", "ts01")
	l.record("bob", "lab", "ts02")

	check := func(claim string, want map[string]int) {
		t.Helper()
		if diff := cmp.Diff(want, l.counts([]string{"ts01", "ts02", "ts03"}, "", "")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", claim, diff)
		}
	}
	check("each account and profile counts", map[string]int{"ts01": 2, "ts02": 1})

	now = now.Add(time.Hour)
	l.record("alice", "office", "ts02")
	check("a second select moves the placement", map[string]int{"ts01": 1, "ts02": 2})

	now = now.Add(placementAge - time.Minute)
	check("the oldest are forgotten after a working day", map[string]int{"ts02": 1})

	now = now.Add(placementAge)
	check("all are forgotten in the end", map[string]int{})
}

func TestLedgerIsBounded(t *testing.T) {
	l := newLedger(func() time.Time { return time.Unix(0, 0) })
	for i := range maxPlacements + 10 {
		l.record(fmt.Sprint(i), "p", "ts01")
	}
	if got := l.counts([]string{"ts01"}, "", "")["ts01"]; got != maxPlacements || l.byAge.Len() != maxPlacements {
		t.Errorf("got %d placements, want %d", got, maxPlacements)
	}
}
