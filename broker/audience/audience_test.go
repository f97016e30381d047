package audience_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/x2broker/x2broker/broker/audience"
)

var (
	home   = netip.MustParseAddr("192.0.2.1")
	office = netip.MustParseAddr("10.0.0.1")
	quiet  = slog.New(slog.DiscardHandler)
)

func TestUsersAreRememberedForAWeekAcrossRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		r := audience.Open(dir, time.Now, quiet)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			r.Run(ctx)
			close(done)
		}()
		r.Saw("alice", []string{"staff"}, home)
		time.Sleep(24 * time.Hour)
		r.Saw("bob", nil, home)
		r.Saw("bob", []string{"students"}, office) // what was last
		want := []audience.User{
			{Name: "bob", Groups: []string{"students"}, Address: office},
			{Name: "alice", Groups: []string{"staff"}, Address: home},
		}
		check := func(r *audience.Record, want []audience.User) {
			t.Helper()
			if diff := cmp.Diff(want, r.Recent(), cmpopts.IgnoreFields(audience.User{}, "Last"), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		}
		time.Sleep(2 * time.Minute)
		check(audience.Open(dir, time.Now, quiet), want) // written meanwhile: a crash loses a minute
		info, err := os.Stat(filepath.Join(dir, "audience.json"))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		r.Saw("carol", nil, home)
		cancel()
		<-done
		time.Sleep(6*24*time.Hour - time.Minute)
		check(audience.Open(dir, time.Now, quiet), []audience.User{{Name: "carol", Address: home}, want[0]})
	})
}

func TestTheRecordIsBounded(t *testing.T) {
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	r := audience.Open(t.TempDir(), func() time.Time { return now }, quiet)
	for i := range 25_000 {
		now = now.Add(time.Second)
		r.Saw(fmt.Sprint(i), nil, home)
	}
	users := r.Recent()
	if len(users) != 10_000 || users[0].Name != "24999" || users[9_999].Name != "15000" {
		t.Errorf("%d users, from %v to %v", len(users), users[0], users[len(users)-1])
	}
}

func TestADamagedRecordBeginsAnew(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "audience.json"), []byte(`[{"name": "a`), 0o600); err != nil {
		t.Fatal(err)
	}
	r := audience.Open(dir, time.Now, quiet)
	r.Saw("bob", nil, home)
	if users := r.Recent(); len(users) != 1 {
		t.Errorf("%v", users)
	}
}
