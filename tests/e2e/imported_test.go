//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/x2broker/x2broker/tests/brokertest"
)

// A site of the Python broker: its admin wrote quotes so that X2Go Client would
// show the comma, and an address behind the name of a server.
const oldProfiles = `[DEFAULT]
command=XFCE
print=false
useexports=false
sound=false
sshport=%s
usebrokerpass=true

[desk-1]
name="Desk, first floor"
host=ts01 (127.0.0.1)
acl-groups-allow=staff
acl-groups-order=deny-allow

[wages]
name=Wages
host=ts01 (127.0.0.1)
acl-users-allow=ben
acl-users-deny=ALL
acl-users-order=allow-deny
`

func TestAnImportedSiteServesTheClientsThatItHad(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	_, port, _ := net.SplitHostPort(l.Addr().String())
	dir := t.TempDir()
	path := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	conf := path("x2gobroker.conf", "[broker_inifile]\nenable=true\n")
	profiles := path("x2gobroker-sessionprofiles.conf", fmt.Sprintf(oldProfiles, port))
	site := filepath.Join(dir, "site")
	if out, code := brokertest.Run(t, "import", conf, profiles, "--out", site, "--verify"); code != 0 {
		t.Fatalf("import: exit code %d\n%s", code, out)
	}
	broker := brokertest.Start(t, fmt.Sprintf("site: url: %q\nstateDir: %q\n", site, t.TempDir())+
		brokertest.Users(t, map[string][]string{"anna": {"staff"}, "ben": nil}))
	broker.WaitReady()

	ctx := deadline(t)
	f := &farm{t: t, broker: broker, listener: l}
	c := f.client(ctx, "anna", `--session=Desk, first floor`)
	if err := c.Login("anna-pw"); err != nil {
		t.Fatal(err)
	}
	ids, err := c.Profiles(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"desk-1"}, ids); diff != "" {
		t.Errorf("profiles (-want +got):\n%s", diff)
	}
	f.session(ctx)
}
