// Package pamtest runs the real PAM helper for real users of this machine. It
// makes users and /etc/pam.d/x2broker, and removes them: it needs root.
package pamtest

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/x2broker/x2broker/broker/identity"
	"github.com/x2broker/x2broker/broker/identity/authd"
	"github.com/x2broker/x2broker/tests/brokertest"
)

// File is that of the PAM service.
const File = "/etc/pam.d/x2broker"

// Prefix is that of the users that tests make.
const Prefix = "x2bt-"

// Binary is the path of x2broker-authd, while Main runs.
var Binary string

// Main builds x2broker-authd and runs the tests of a package, one package at a
// time: there is only one file of the PAM service. It gives the exit code.
func Main(m *testing.M) int {
	dir, err := os.MkdirTemp("", "x2broker-pam-")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if os.Getuid() != 0 {
		fmt.Fprintln(os.Stderr, "these tests make users: they need root")
		return 1
	}
	Binary = filepath.Join(dir, "x2broker-authd")
	build := exec.Command("go", "build", "-tags", "pam", "-o", Binary, "github.com/x2broker/x2broker/cmd/x2broker-authd")
	build.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build x2broker-authd: %v (it needs the Debian packages gcc and libpam0g-dev)\n%s", err, out)
		return 1
	}
	unlock, err := lock(filepath.Dir(File))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer unlock()
	if _, err := os.Stat(File); err == nil {
		fmt.Fprintln(os.Stderr, File, "is there already: this machine has a broker, and the tests would change how it lets people in")
		return 1
	}
	defer os.Remove(File)
	return brokertest.Tests(m)
}

// lock waits until no other process has the lock of a directory.
func lock(path string) (unlock func(), err error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(dir.Fd()), syscall.LOCK_EX)
		if err != syscall.EINTR {
			break
		}
	}
	if err != nil {
		dir.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { dir.Close() }, nil
}

// Shipped is the file of examples/deploy.
func Shipped(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("../../../examples/deploy/pam.d/x2broker")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Rules installs the file of the PAM service; each login reads it.
func Rules(t testing.TB, text string) {
	t.Helper()
	if err := os.WriteFile(File, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A Helper is a running x2broker-authd.
type Helper struct {
	*authd.Client
	Socket string // path
	cmd    *exec.Cmd
	log    *os.File
}

// Start runs x2broker-authd until the test ends.
func Start(t testing.TB, args ...string) *Helper {
	t.Helper()
	dir, err := os.MkdirTemp("", "x2broker-pam-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	h := &Helper{Socket: filepath.Join(dir, "authd.sock")}
	if h.log, err = os.Create(filepath.Join(dir, "log")); err != nil {
		t.Fatal(err)
	}
	h.Client = authd.NewClient(h.Socket)
	// With what the unit leaves of root, and nothing else.
	h.cmd = exec.Command("setpriv", append([]string{"--bounding-set", capabilities(t), "--inh-caps", "-all", "--no-new-privs", Binary, "--socket", h.Socket, "--user", "nobody"}, args...)...)
	h.cmd.Stderr = h.log
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = h.cmd.Process.Signal(syscall.SIGTERM)
		if err := h.cmd.Wait(); err != nil {
			t.Errorf("x2broker-authd: %v\n%s", err, h.Text())
		}
		h.log.Close()
	})
	Wait(t, "x2broker-authd does not listen", func() bool {
		_, err := h.Lookup(t.Context(), "root")
		return err == nil
	})
	return h
}

// capabilities are those of the unit, as setpriv(1) writes them.
func capabilities(t testing.TB) string {
	t.Helper()
	unit, err := os.ReadFile("../../../examples/deploy/x2broker-authd.service")
	if err != nil {
		t.Fatal(err)
	}
	set := "-all"
	for line := range strings.Lines(string(unit)) {
		if names, ok := strings.CutPrefix(line, "CapabilityBoundingSet="); ok {
			for _, name := range strings.Fields(names) {
				set += ",+" + strings.ToLower(strings.TrimPrefix(name, "CAP_"))
			}
		}
	}
	return set
}

// Text is what it has written.
func (h *Helper) Text() string {
	text, _ := os.ReadFile(h.log.Name())
	return string(text)
}

// Login tries a password, from an address that PAM can log.
func (h *Helper) Login(t testing.TB, name, password string) (identity.Identity, error) {
	t.Helper()
	return h.Authenticate(t.Context(), Credentials(name, password))
}

// PID is that of its process.
func (h *Helper) PID() int { return h.cmd.Process.Pid }

// Credentials are those of somebody at an address that PAM can log.
func Credentials(name, password string) identity.Credentials {
	return identity.Credentials{Name: name, Password: password, Address: netip.MustParseAddr("192.0.2.1")}
}

// NewUser makes a user with a password, or without one, and gives his name. He is
// in the group games.
func NewUser(t testing.TB, name, password string) string {
	t.Helper()
	name = Prefix + name
	_ = exec.Command("userdel", name).Run() // of a run that was killed
	Command(t, "", "useradd", "--no-create-home", "--user-group", "--groups", "games", name)
	t.Cleanup(func() { Command(t, "", "userdel", name) })
	if password != "" {
		SetPassword(t, name, password)
	}
	return name
}

// SetPassword gives a user a password.
func SetPassword(t testing.TB, name, password string) {
	t.Helper()
	Command(t, name+":"+password+"\n", "chpasswd")
}

// Command runs a program that must not fail.
func Command(t testing.TB, stdin, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
}

// Wait waits for something that tells nobody when it happens.
func Wait(t testing.TB, not string, happened func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), brokertest.Deadline)
	defer cancel()
	for !happened() {
		if ctx.Err() != nil {
			t.Fatal(not)
		}
		if err := exec.CommandContext(ctx, "sleep", "0.02").Run(); err != nil {
			t.Fatal(not)
		}
	}
}
