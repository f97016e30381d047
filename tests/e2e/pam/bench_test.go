//go:build e2e

package pam

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/x2broker/x2broker/tests/pamtest"
)

// BenchmarkLogin is a login through a process of its own, PAM and pam_unix: alone,
// and beside modules that hang. Both are measured in turns, so that a machine
// that is slow for a while is slow for both.
func BenchmarkLogin(b *testing.B) {
	const hung = 8
	slow, alice := pamtest.NewUser(b, "slow", "sweet"), pamtest.NewUser(b, "alice", "sweet")
	hanging(b, slow)
	alone, crowded := pamtest.Start(b), pamtest.Start(b)
	ctx, cancel := context.WithCancel(b.Context())
	var waiting sync.WaitGroup
	defer waiting.Wait()
	defer cancel()
	for range hung {
		waiting.Go(func() { _, _ = crowded.Authenticate(ctx, pamtest.Credentials(slow, "sweet")) })
	}
	pamtest.Wait(b, "the modules do not hang", func() bool { return len(processes(b, crowded)) == hung })

	took := map[*pamtest.Helper][]time.Duration{}
	for b.Loop() {
		for _, h := range []*pamtest.Helper{alone, crowded} {
			began := time.Now()
			if _, err := h.Login(b, alice, "sweet"); err != nil {
				b.Fatal(err)
			}
			took[h] = append(took[h], time.Since(began))
		}
	}
	at := func(h *pamtest.Helper, percent int) float64 {
		all := slices.Sorted(slices.Values(took[h]))
		return all[min(len(all)*percent/100, len(all)-1)].Seconds() * 1000
	}
	b.ReportMetric(at(alone, 50), "ms-p50")
	b.ReportMetric(at(alone, 99), "ms-p99")
	b.ReportMetric(at(crowded, 50)/at(alone, 50), "hanging/alone-p50")
	b.ReportMetric(at(crowded, 99)/at(alone, 99), "hanging/alone-p99")
}

// BenchmarkLookup is what the ticket of a user costs, if the answer is not kept.
func BenchmarkLookup(b *testing.B) {
	pamtest.Rules(b, pamtest.Shipped(b))
	alice := pamtest.NewUser(b, "alice", "sweet")
	h := pamtest.Start(b)
	for b.Loop() {
		if _, err := h.Lookup(b.Context(), alice); err != nil {
			b.Fatal(err)
		}
	}
}
