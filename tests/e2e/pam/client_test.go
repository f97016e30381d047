//go:build e2e

package pam

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/x2broker/x2broker/tests/brokertest"
	"github.com/x2broker/x2broker/tests/pamtest"
	"github.com/x2broker/x2broker/tests/x2goclient"
)

// The real client says "Login failed" after a change, which is not granted, and
// shows its login form. There the new password is good; the window is not left
// at "Connecting to broker" for ever.
func TestTheRealClientChangesAPasswordAndLogsInWithTheNewOne(t *testing.T) {
	if missing := x2goclient.Missing(); len(missing) > 0 {
		t.Fatal("these Debian packages are missing: ", strings.Join(missing, " "))
	}
	pamtest.Rules(t, pamtest.Shipped(t))
	const first, second = "sweet 100%&+", "Quite another 1=%"
	alice := pamtest.NewUser(t, "alice", first)
	b, h := withBroker(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*brokertest.Deadline)
	defer cancel()
	c, err := x2goclient.Start(ctx, t.TempDir(), strings.Replace(b.URL(), "://", "://"+alice+"@", 1), "--change-broker-pass")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Login(first); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Profiles(ctx, 1); err != nil {
		t.Fatal(err)
	}
	if err := c.ChangePassword(ctx, first, second); err != nil {
		t.Fatal(err)
	}
	b.WaitLog(`msg="password changed"`)
	if err := c.Dismiss(ctx, "Error"); err != nil {
		t.Fatal(err)
	}
	if err := c.Login(second); err != nil {
		t.Fatal(err)
	}
	ids, err := c.Profiles(ctx, 2)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"office"}, ids); diff != "" {
		t.Errorf("profiles (-want +got):\n%s", diff)
	}
	if _, err := h.Login(t, alice, first); err == nil {
		t.Error("the old password is still good")
	}
	if _, err := h.Lookup(t.Context(), alice); err != nil {
		t.Errorf("lookup: %v", err)
	}
}
