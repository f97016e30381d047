//go:build e2e

// Package migrate moves a site from the Python broker of Debian: the old files
// are imported, both brokers run, and users are rehearsed between them.
package migrate

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/x2broker/x2broker/tests/brokertest"
)

func TestMain(m *testing.M) {
	var missing []string
	if found, _ := filepath.Glob("/usr/lib/*/" + accounts); len(found) == 0 {
		missing = append(missing, "libnss-wrapper")
	}
	brokertest.Need(map[string]string{"git": "git", daemon: "x2gobroker-daemon"}, missing...)
	brokertest.Main(m)
}

// The users of the Python broker's mechanism for tests, with its passwords.
var (
	passwords = map[string]string{"test": "sweet", "jacques": "thérèse"}
	groups    = map[string][]string{"test": {"staff"}, "jacques": {"students", "physics"}}
)

// conf asks for passwords, and tries no ports: the servers are not there.
const conf = `[global]
require-password = true
default-auth-mech = testsuite
default-portscan-x2goservers = false
[broker_inifile]
enable = true
`

const profiles = `[DEFAULT]
user = BROKER_USER
host = ts01.example.org
sshport = 22
sound = false
usebrokerpass = true

# for all who may log in
[desktop]
name = Desktop
command = XFCE

[office]
name = Office, 2nd floor
command = gnome
host = ts01.example.org,ts02.example.org,ts03.example.org
acl-groups-allow = staff

[lab]
name = Physik für Anfänger
command = xterm -geometry 80x25
fullscreen = yes
width = 1024
sshport = 2222
host = lab01.example.org
acl-groups-allow = students
acl-groups-deny = interns

[wages]
name = Wages
command = /opt/wages/bin/wages
rootless = true
acl-users-allow = test
acl-clients-allow = 127.0.0.2,10.0.0.0/8

[alias]
name = Server with an alias
host = n1 (192.0.2.11),n2 (192.0.2.12:2022)
acl-users-deny = jacques
acl-users-allow = ALL
acl-users-order = deny-allow

[nobody]
name = Nobody
acl-users-deny = ALL
`

// write puts a file into a directory and gives its path.
func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// authenticators are the users for a broker.cue.
func authenticators(t *testing.T, passwords map[string]string, groups map[string][]string) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("authenticators: [{type: \"static\", users: {\n")
	for name, password := range passwords {
		hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "\t%s: {password: %q, groups: [\"%s\"]}\n", name, hash, strings.Join(groups[name], `", "`))
	}
	b.WriteString("}}]\n")
	return b.String()
}

// A change of one rule in the old file is a difference in words; before it there
// is none.
func TestNobodyNoticesTheMove(t *testing.T) {
	dir := t.TempDir()
	oldConf := write(t, dir, "x2gobroker.conf", conf)
	oldProfiles := write(t, dir, "profiles.conf", profiles)
	site := filepath.Join(dir, "site")
	if os.Getenv("TMPSITE") != "" {
		site = os.Getenv("TMPSITE")
	} else if out, code := brokertest.Run(t, "import", oldConf, oldProfiles, "--out", site, "--verify", "--accept-losses"); code != 0 {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	older, cookies := reference(t, oldConf, oldProfiles, groups)
	newer := brokertest.Start(t, fmt.Sprintf("site: url: %q\nstateDir: %q\n", site, t.TempDir())+authenticators(t, passwords, groups))
	newer.WaitReady()
	var lines strings.Builder
	for _, name := range slices.Sorted(maps.Keys(passwords)) {
		write(t, dir, name+".pw", passwords[name]+"\n")
		for _, from := range []string{"127.0.0.1", "127.0.0.2"} {
			fmt.Fprintf(&lines, "%s password-file=%s.pw from=%s\n", name, name, from)
		}
	}
	write(t, dir, "wrong.pw", "wrong\n")
	lines.WriteString("test password-file=wrong.pw\nnobody password-file=wrong.pw\n")
	users := write(t, dir, "users", lines.String())

	rehearse := func() (string, int) {
		return brokertest.Run(t, "rehearse", "--old", older, "--new", newer.URL(), "--users", users)
	}
	out, code := rehearse()
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	for _, want := range []string{
		"test from 127.0.0.1: the same, 3 profiles\n",
		"test from 127.0.0.2: the same, 4 profiles\n",
		"jacques from 127.0.0.1, jacques from 127.0.0.2: the same, 2 profiles\n",
		"test, nobody: refused by both brokers\n",
		"at the old broker 4 cookie files",
		"\nno difference: 6 users\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	left, err := os.ReadDir(cookies)
	if err != nil || len(left) != 4 {
		t.Errorf("%d cookie files, want 4: %v", len(left), err)
	}

	// The old broker reads its file at each request.
	write(t, dir, "profiles.conf", strings.Replace(profiles, "acl-groups-allow = staff\n", "acl-groups-allow = physics\nheight = 700\n", 1))
	out, code = rehearse()
	for _, want := range []string{"    office: only the new broker offers it\n", "    office: only the old broker offers it\n", "\n4 differences: 6 users\n"} {
		if code != 1 || !strings.Contains(out, want) {
			t.Errorf("exit code %d, no %q in:\n%s", code, want, out)
		}
	}
}
