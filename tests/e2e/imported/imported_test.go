//go:build e2e

// Package imported imports the files that the Debian package of the Python
// broker installs, as they are and with their commented examples switched on.
package imported

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/x2broker/x2broker/tests/brokertest"
)

// What the package x2gobroker-common installs.
const (
	confFile     = "/etc/x2go/x2gobroker.conf"
	profilesFile = "/etc/x2go/broker/x2gobroker-sessionprofiles.conf"
)

func TestMain(m *testing.M) {
	for _, name := range []string{confFile, profilesFile} {
		if _, err := os.Stat(name); err != nil {
			fmt.Fprintln(os.Stderr, "the Debian package x2gobroker-common is missing:", err)
			os.Exit(1)
		}
	}
	brokertest.Main(m)
}

func TestTheFilesAsTheyAreInstalled(t *testing.T) {
	site := filepath.Join(t.TempDir(), "site")
	run(t, "import", confFile, profilesFile, "--out", site, "--verify")
	clean(t, site)
}

func TestTheFilesWithTheirExamplesSwitchedOn(t *testing.T) {
	dir := t.TempDir()
	conf := switchOn(t, confFile, dir, `^#([a-z][a-z_-]*[ =]|\[[a-z_]+\])`)
	profiles := switchOn(t, profilesFile, dir, `^#([a-z][a-z-]*=|\[pool-)`)
	site, config := filepath.Join(dir, "site"), filepath.Join(dir, "broker.cue")

	// Host names in a list of clients cannot be carried over.
	out, code := brokertest.Run(t, "import", conf, profiles, "--out", site, "--config", config)
	if code != 1 || !strings.Contains(out, ": loss: [pool-B-server-D-LXDE] acl-clients-allow=") {
		t.Fatalf("exit code %d, want 1 because of host names in acl-clients-allow\n%s", code, out)
	}
	if _, err := os.Stat(site); err == nil {
		t.Fatal("a site with losses was written")
	}
	run(t, "import", conf, profiles, "--out", site, "--config", config, "--accept-losses", "--verify")
	clean(t, site)

	users := brokertest.Users(t, map[string][]string{
		"karl": {"kde-users"}, "ada": {"admins", "gnome-users"}, "sam": {"students"}, "testuser-A": nil,
	})
	settings, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	// Both say what authenticators are, and CUE makes one of them.
	if err := os.WriteFile(config, append(settings, users...), 0o600); err != nil {
		t.Fatal(err)
	}
	// To this broker and the old one, everybody is in a list with ALL: the
	// examples deny all profiles to all, whatever else they allow.
	lists(t, config, map[string][]string{"karl": nil, "ada": nil, "sam": nil, "testuser-A": nil})

	// As they are meant: what is allowed wins.
	mean(t, profiles)
	if err := os.RemoveAll(site); err != nil {
		t.Fatal(err)
	}
	run(t, "import", conf, profiles, "--out", site, "--accept-losses", "--verify")
	clean(t, site)
	broker := lists(t, config, map[string][]string{
		"karl":       {"pool-A-server-C"},
		"ada":        {"pool-A-server-C", "pool-C-XFCE"}, // pool-A-server-A and -B are for other networks, pool-B for nobody
		"sam":        {"pool-C-XFCE"},
		"testuser-A": {"pool-C-XFCE"},
	})
	server, err := broker.Client("testuser-A", "127.0.0.1").Select(t.Context(), "pool-C-XFCE")
	if err != nil || !strings.HasPrefix(server.Address, "10.0.2.1") || server.Port != 22 {
		t.Errorf("server %+v, %v; want one of 10.0.2.11 to 10.0.2.15, port 22", server, err)
	}
}

// lists starts a broker and holds its lists against those that users must see
// besides what everybody sees.
func lists(t *testing.T, config string, want map[string][]string) *brokertest.Broker {
	t.Helper()
	broker := brokertest.Serve(t, "--config", config, "--listen-http", "127.0.0.1:0", "--state-dir", t.TempDir())
	broker.WaitReady()
	for user, more := range want {
		list, err := broker.Client(user, "127.0.0.1").List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, p := range list {
			ids = append(ids, p.ID)
		}
		if diff := cmp.Diff(append([]string{"localhost-kde", "localhost-mate", "localhost-shadow"}, more...), ids); diff != "" {
			t.Errorf("%s (-want +got)\n%s", user, diff)
		}
	}
	return broker
}

// mean writes the orders that the examples mean by acl-any-order, which has no
// effect.
func mean(t *testing.T, profiles string) {
	t.Helper()
	data, err := os.ReadFile(profiles)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(data), "acl-any-order=deny-allow",
		"acl-users-order=allow-deny\nacl-groups-order=allow-deny\nacl-clients-order=allow-deny")
	// A user who is on the list of those denied is not asked for his groups.
	text = strings.ReplaceAll(text, "acl-users-deny=ALL", "")
	if err := os.WriteFile(profiles, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// run runs a command that has to succeed.
func run(t *testing.T, args ...string) {
	t.Helper()
	if out, code := brokertest.Run(t, args...); code != 0 {
		t.Fatalf("x2broker %q: exit code %d\n%s", args, code, out)
	}
}

// clean fails where check has something to say.
func clean(t *testing.T, site string) {
	t.Helper()
	out, code := brokertest.Run(t, "check", "--site", site)
	if code != 0 || strings.Contains(out, "warning") {
		t.Fatalf("check: exit code %d\n%s", code, out)
	}
}

// switchOn writes a copy in which the lines that match are no comments.
func switchOn(t *testing.T, name, dir, lines string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	on := regexp.MustCompile("(?m)"+lines).ReplaceAll(data, []byte("$1"))
	if len(on) == len(data) {
		t.Fatalf("%s has no such examples", name)
	}
	out := filepath.Join(dir, filepath.Base(name))
	if err := os.WriteFile(out, on, 0o644); err != nil {
		t.Fatal(err)
	}
	return out
}
