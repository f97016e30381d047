//go:build e2e

package migrate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/x2broker/x2broker/tests/brokertest"
)

// setuid is the Python broker under sshd, of Debian's package x2gobroker-ssh.
const setuid = "/usr/bin/x2gobroker-ssh"

// setuidCookies is where it keeps cookies, whatever its configuration says.
const setuidCookies = "/var/lib/x2gobroker/.x2go/broker-cookies"

// real gives users and groups names that no machine has: sshd and the setuid
// program know only those of the machine.
var real = strings.NewReplacer("jacques", "x2bjacques", "staff", "x2bstaff", "students", "x2bstudents", "physics", "x2bphysics",
	"users-allow = test", "users-allow = x2btest", "n1 (192.0.2.11),n2 (192.0.2.12:2022)", "n1.example.org")

// Whoever comes over SSH does not notice the move either: users with keys, at
// sshd with the Python broker before, at the built-in server after.
func TestNobodyNoticesTheMoveOverSSH(t *testing.T) {
	groups := map[string][]string{"x2btest": {"x2bstaff"}, "x2bjacques": {"x2bstudents", "x2bphysics"}}
	addUsers(t, groups)
	dir := t.TempDir()
	oldProfiles := write(t, dir, "profiles.conf", real.Replace(profiles))
	oldConf, older := referenceSSH(t, dir, oldProfiles)

	var lines strings.Builder
	for name := range groups {
		run(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, name))
		fmt.Fprintf(&lines, "%s key=%s from=127.0.0.2\n", name, name)
	}
	run(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, "stranger"))
	lines.WriteString("x2btest key=x2btest\nx2btest key=stranger\nnobody key=stranger\n")
	users := write(t, dir, "users", lines.String())

	site := filepath.Join(dir, "site")
	if out, code := brokertest.Run(t, "import", oldConf, oldProfiles, "--out", site, "--verify", "--accept-losses"); code != 0 {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	newer := brokertest.Start(t, fmt.Sprintf("site: url: %q\nstateDir: %q\nlisten: {http: \"127.0.0.1:0\", ssh: \"127.0.0.1:0\"}\nssh: authorizedKeys: [%q]\n", site, t.TempDir(), filepath.Join(dir, "{user}.pub"))+
		authenticators(t, map[string]string{"x2btest": "any", "x2bjacques": "any"}, groups))
	newer.WaitReady()
	known := brokertest.KnownHosts(t, older, newer.SSH)
	out, code := brokertest.Run(t, "rehearse", "--old", "ssh://"+older+filepath.Join(dir, "x2gobroker"), "--new", "ssh://"+newer.SSH+"/usr/bin/x2gobroker-ssh",
		"--users", users, "--known-hosts", known, "--tries", "1")
	for _, want := range []string{
		"x2btest: the same, 3 profiles\n",
		"x2btest from 127.0.0.2: the same, 4 profiles\n",
		"x2bjacques from 127.0.0.2: the same, 2 profiles\n",
		"x2btest, nobody: refused by both brokers\n",
		"\nno difference: 5 users\n",
	} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("exit code %d, no %q in:\n%s", code, want, out)
		}
	}
	if left := cookies(t, groups); len(left) != 3 {
		t.Errorf("of the Python broker's logins there are the cookie files %q, want 3", left)
	}
}

// referenceSSH runs sshd, where the path DIR/x2gobroker is the Python broker on
// these profiles, for users whose keys are DIR/NAME.pub.
func referenceSSH(t *testing.T, dir, profiles string) (confFile, address string) {
	t.Helper()
	address = freeAddr(t)
	host, port, _ := strings.Cut(address, ":")
	confFile = write(t, dir, "x2gobroker.conf", conf)
	program := write(t, dir, "x2gobroker", "#!/bin/sh\nexport X2GOBROKER_CONFIG="+confFile+" X2GOBROKER_SESSIONPROFILES="+profiles+" X2GOBROKER_DEBUG=0\nexec "+setuid+" \"$@\"\n")
	hostKey := filepath.Join(dir, "host")
	run(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", hostKey)
	config := write(t, dir, "sshd_config", fmt.Sprintf("ListenAddress %s\nPort %s\nHostKey %s\nAuthorizedKeysFile %s\nPidFile none\nUsePAM no\nStrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n",
		host, port, hostKey, filepath.Join(dir, "%u.pub")))
	for _, file := range []string{confFile, profiles, program, dir, filepath.Dir(dir)} { // for its users, and the setuid program
		if err := os.Chmod(file, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir("/run/sshd", 0o755); err == nil {
		t.Cleanup(func() { os.Remove("/run/sshd") })
	} else if !errors.Is(err, fs.ErrExist) {
		t.Fatal(err)
	}
	log := filepath.Join(dir, "sshd.log")
	cmd := exec.Command("/usr/sbin/sshd", "-D", "-f", config, "-E", log)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if text, err := os.ReadFile(log); err == nil && t.Failed() {
			t.Logf("sshd says:\n%s", text)
		}
	})
	await(t, address)
	return confFile, address
}

// cookies are the files that the Python broker has made for these users.
func cookies(t *testing.T, groups map[string][]string) (files []string) {
	t.Helper()
	for name := range groups {
		of, err := filepath.Glob(filepath.Join(setuidCookies, name+"_*"))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, of...)
	}
	return files
}

// addUsers makes accounts of this machine until the test ends. They may run the
// Python broker, and have no password.
func addUsers(t *testing.T, groups map[string][]string) {
	t.Helper()
	remove := func() {
		for _, file := range cookies(t, groups) {
			os.Remove(file)
		}
		for name, of := range groups {
			_ = exec.Command("userdel", name).Run() // perhaps there is none
			for _, group := range of {
				_ = exec.Command("groupdel", group).Run()
			}
		}
	}
	remove() // those of a run that was killed
	t.Cleanup(remove)
	for name, of := range groups {
		for _, group := range of {
			run(t, "groupadd", group)
		}
		run(t, "useradd", "--no-create-home", "--user-group", "--groups", strings.Join(append(of, "x2gobroker-users"), ","), "--shell", "/bin/bash", "--password", "*", name)
	}
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
}
