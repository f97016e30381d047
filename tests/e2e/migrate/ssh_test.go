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

// real gives users and groups names that no machine has: sshd and the setuid
// program know only those of the machine.
var real = strings.NewReplacer("jacques", "x2b-jacques", "staff", "x2b-staff", "students", "x2b-students", "physics", "x2b-physics",
	"users-allow = test", "users-allow = x2b-test")

// Whoever comes over SSH does not notice the move either: users with keys, at
// sshd with the Python broker before, at the built-in server after.
func TestNobodyNoticesTheMoveOverSSH(t *testing.T) {
	groups := map[string][]string{"x2b-test": {"x2b-staff"}, "x2b-jacques": {"x2b-students", "x2b-physics"}}
	addUsers(t, groups)
	dir := t.TempDir()
	oldProfiles := write(t, dir, "profiles.conf", real.Replace(profiles))
	oldConf, older, cookies := referenceSSH(t, dir, oldProfiles)

	var lines strings.Builder
	for name := range groups {
		run(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, name))
		for _, from := range []string{"127.0.0.1", "127.0.0.2"} {
			fmt.Fprintf(&lines, "%s key=%s from=%s\n", name, name, from)
		}
	}
	run(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, "stranger"))
	lines.WriteString("x2b-test key=stranger\nnobody key=stranger\n")
	users := write(t, dir, "users", lines.String())

	site := filepath.Join(dir, "site")
	if out, code := brokertest.Run(t, "import", oldConf, oldProfiles, "--out", site, "--verify", "--accept-losses"); code != 0 {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	newer := brokertest.Start(t, fmt.Sprintf("site: url: %q\nstateDir: %q\nlisten: {http: \"127.0.0.1:0\", ssh: \"127.0.0.1:0\"}\nssh: authorizedKeys: [%q]\n", site, t.TempDir(), filepath.Join(dir, "{user}.pub"))+
		authenticators(t, map[string]string{"x2b-test": "any", "x2b-jacques": "any"}, groups))
	newer.WaitReady()
	known := brokertest.KnownHosts(t, older, newer.SSH)
	rehearse := func() (string, int) {
		return brokertest.Run(t, "rehearse", "--old", "ssh://"+older+filepath.Join(dir, "x2gobroker"), "--new", "ssh://"+newer.SSH+"/usr/bin/x2gobroker-ssh", "--users", users, "--known-hosts", known, "--tries", "6")
	}
	out, code := rehearse()
	for _, want := range []string{
		"x2b-test from 127.0.0.1: the same, 3 profiles\n",
		"x2b-test from 127.0.0.2: the same, 4 profiles\n",
		"x2b-jacques from 127.0.0.2: the same, 2 profiles\n",
		"x2b-test, nobody: refused by both brokers\n",
		"\nno difference: 6 users\n",
	} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("exit code %d, no %q in:\n%s", code, want, out)
		}
	}
	if left, err := os.ReadDir(cookies); err != nil || len(left) == 0 {
		t.Errorf("the Python broker was not asked: %d cookie files, %v", len(left), err)
	}
}

// referenceSSH runs sshd, where the path DIR/x2gobroker is the Python broker on
// these profiles, for users whose keys are DIR/NAME.pub.
func referenceSSH(t *testing.T, dir, profiles string) (confFile, address, cookies string) {
	t.Helper()
	address, cookies = freeAddr(t), filepath.Join(dir, "cookies")
	host, port, _ := strings.Cut(address, ":")
	confFile = write(t, dir, "x2gobroker.conf", strings.Replace(conf, "[broker_inifile]", "cookie-directory = "+cookies+"\n[broker_inifile]", 1))
	program := write(t, dir, "x2gobroker", "#!/bin/sh\nexport X2GOBROKER_CONFIG="+confFile+" X2GOBROKER_SESSIONPROFILES="+profiles+" X2GOBROKER_DEBUG=0\nexec "+setuid+" \"$@\"\n")
	hostKey := filepath.Join(dir, "host")
	run(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", hostKey)
	config := write(t, dir, "sshd_config", fmt.Sprintf("ListenAddress %s\nPort %s\nHostKey %s\nAuthorizedKeysFile %s\nPidFile none\nUsePAM no\nStrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n",
		host, port, hostKey, filepath.Join(dir, "%u.pub")))
	run(t, "install", "-d", "-o", "x2gobroker", cookies)
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
	return confFile, address, cookies
}

// addUsers makes accounts of this machine until the test ends. They may run the
// Python broker, and have no password.
func addUsers(t *testing.T, groups map[string][]string) {
	t.Helper()
	remove := func() {
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
