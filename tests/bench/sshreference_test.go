package bench

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/x2broker/x2broker/tests/brokertest"
)

// Of Debian's packages openssh-server and x2gobroker-ssh.
const (
	sshd           = "/usr/sbin/sshd"
	referenceBySSH = "/usr/bin/x2gobroker-ssh"
)

// BenchmarkSSHReference is the broker's own SSH server against sshd with the
// Python broker, which starts anew for each request. Both have 20 profiles for
// the user, who logs in with a key. It needs Debian's packages, and root.
//
//	times-*    as many of ours in the time of one of theirs
//	logins/s   of both connections together
//	lists/s    on two connections
func BenchmarkSSHReference(b *testing.B) {
	for _, program := range []string{sshd, referenceBySSH} {
		if _, err := os.Stat(program); err != nil {
			b.Skipf("%s is not there: apt install openssh-server x2gobroker-ssh", program)
		}
	}
	if os.Geteuid() != 0 {
		b.Skip("x2gobroker-ssh may be run by root and by its group: run this as root")
	}
	user := newSSHUser(b)
	address := freeAddress(b)
	startBroker(b, user.settings(b, address))
	sshdAddress, path := startReferenceSSH(b, user)
	key := ssh.PublicKeys(user.key)

	b.Run("login", func(b *testing.B) {
		login := func(address, name string) func() error {
			return func() error {
				c, err := tryLoginSSH(address, name, key)
				if err != nil {
					return err
				}
				defer c.Close()
				_, err = execSSH(c, `echo "LOGIN OK"`)
				return err
			}
		}
		took := inTurn(b, 5, login(address, "alice"), login(sshdAddress, "root"))
		b.ReportMetric(float64(took[1])/float64(took[0]), "times")
		b.ReportMetric(connections/took[0].Seconds(), "logins/s")
		b.ReportMetric(connections/took[1].Seconds(), "sshd-logins/s")
	})
	b.Run("list", func(b *testing.B) {
		list := func(address, path, name string) func() error {
			c := loginSSH(b, address, name, key)
			b.Cleanup(func() { c.Close() })
			return func() error {
				text, err := listSSH(c, path, name)
				if n := strings.Count(text, "\ncommand="); err == nil && n != 20 {
					err = fmt.Errorf("%d profiles: %q", n, text)
				}
				return err
			}
		}
		took := inTurn(b, 1, list(address, path, "alice"), list(sshdAddress, path, "root"))
		b.ReportMetric(float64(took[1])/float64(took[0]), "times")
		b.ReportMetric(connections/took[0].Seconds(), "lists/s")
		b.ReportMetric(connections/took[1].Seconds(), "x2gobroker-lists/s")
	})
}

// startReferenceSSH runs sshd for root, who has her key. The path is the Python
// broker's there.
func startReferenceSSH(b *testing.B, user sshUser) (address, path string) {
	b.Helper()
	address, path = freeAddress(b), filepath.Join(user.dir, "x2gobroker")
	host, port, _ := strings.Cut(address, ":")
	var profiles strings.Builder
	profiles.WriteString("[DEFAULT]\nuser = BROKER_USER\nhost = ts01\nsshport = 22\ncommand = XFCE\n")
	for i := range 20 {
		fmt.Fprintf(&profiles, "[p%02d]\nname = Desktop %d\n", i, i)
	}
	before := cookies()
	b.Cleanup(func() {
		for _, file := range cookies() {
			if !slices.Contains(before, file) {
				os.Remove(file)
			}
		}
	})
	for name, text := range map[string]string{
		"x2gobroker.conf": "[global]\nrequire-password = true\ndefault-auth-mech = pam\n[broker_inifile]\nenable = true\n",
		"profiles.conf":   profiles.String(),
		"x2gobroker": "#!/bin/sh\nexport X2GOBROKER_CONFIG=" + user.dir + "/x2gobroker.conf X2GOBROKER_SESSIONPROFILES=" + user.dir + "/profiles.conf X2GOBROKER_DEBUG=0\n" +
			"exec " + referenceBySSH + " \"$@\"\n",
		"sshd_config": "ListenAddress " + host + "\nPort " + port + "\nHostKey " + user.keyFile + "\nAuthorizedKeysFile " + user.dir + "/alice\n" +
			"PidFile none\nPermitRootLogin prohibit-password\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\nStrictModes no\n",
	} {
		if err := os.WriteFile(filepath.Join(user.dir, name), []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	// The setuid program runs as another user, who must get at these.
	for _, name := range []string{"x2gobroker", "x2gobroker.conf", "profiles.conf"} {
		if err := os.Chmod(filepath.Join(user.dir, name), 0o755); err != nil {
			b.Fatal(err)
		}
	}
	for dir := user.dir; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			b.Fatal(err)
		}
	}
	if err := os.Mkdir("/run/sshd", 0o755); err == nil {
		b.Cleanup(func() { os.Remove("/run/sshd") })
	} else if !errors.Is(err, os.ErrExist) {
		b.Fatal(err)
	}
	cmd := exec.Command(sshd, "-D", "-f", filepath.Join(user.dir, "sshd_config"), "-E", filepath.Join(user.dir, "sshd.log"))
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	waitListening(b, address)
	return address, path
}

// cookies are the files that the Python broker leaves behind for root.
func cookies() []string {
	files, _ := filepath.Glob("/var/lib/x2gobroker/.x2go/broker-cookies/root_*")
	return files
}

// waitListening waits until somebody listens.
func waitListening(b *testing.B, address string) {
	b.Helper()
	for end := time.Now().Add(brokertest.Deadline); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if conn, err := net.Dial("tcp", address); err == nil {
			conn.Close()
			return
		}
	}
	b.Fatalf("nobody listens on %s", address)
}
