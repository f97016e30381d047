//go:build e2e

// Package openssh drives the real X2Go Client and ssh at a real sshd, which
// hands over to the real broker.
package openssh

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/x2broker/x2broker/tests/brokertest"
	"github.com/x2broker/x2broker/tests/pamtest"
	"github.com/x2broker/x2broker/tests/x2goclient"
)

func TestMain(m *testing.M) {
	brokertest.Need(map[string]string{"/usr/sbin/sshd": "openssh-server", "ssh": "openssh-client", "/usr/sbin/krb5kdc": "krb5-kdc", "/usr/sbin/kadmin.local": "krb5-admin-server", "kinit": "krb5-user"}, x2goclient.Missing()...)
	os.Exit(pamtest.Main(m))
}

// An office is a broker for users of this machine, behind sshd. Each user has a
// profile of his own, which leads to a listener of the test.
type office struct {
	*brokertest.Broker
	t        *testing.T
	dir      string // users may look into it
	program  string // path of x2broker, as users start it
	listener net.Listener
}

func newOffice(t *testing.T, settings string) *office {
	t.Helper()
	o := &office{t: t}
	var err error
	if o.dir, err = os.MkdirTemp("", "x2broker-openssh-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(o.dir) })
	if err := os.Chmod(o.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	binary, err := os.ReadFile(brokertest.Binary(t))
	if err != nil {
		t.Fatal(err)
	}
	o.program = filepath.Join(o.dir, "x2broker")
	if err := os.WriteFile(o.program, binary, 0o755); err != nil {
		t.Fatal(err)
	}
	if o.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.listener.Close() })
	_, port, _ := net.SplitHostPort(o.listener.Addr().String())
	repo := brokertest.NewRepo(t, brokertest.Files{"site.cue": fmt.Sprintf(`package site

site: name: "Test"
servers: here: {address: "127.0.0.1", port: %s}
profiles: [string]: {
	usebrokerpass: true
	x2go: {command: "XFCE", print: false, useexports: false, sound: false} // else the client starts servers of its own
	hosts: ids: ["here"]
}
profiles: {
	alice: {name: "Of alice", access: groups: ["x2bt-alice"]}
	bob: {name: "Of bob", access: groups: ["x2bt-bob"]}
	far: {name: "From far", access: {groups: ["games"], from: ["192.0.2.0/24"]}}
}
`, port)})
	pamtest.Rules(t, pamtest.Shipped(t))
	helper := pamtest.Start(t)
	o.Broker = brokertest.Start(t, fmt.Sprintf("site: {url: %q, poll: \"100ms\"}\nstateDir: %q\n", repo.URL(), t.TempDir())+
		fmt.Sprintf("listen: {http: \"127.0.0.1:0\", openssh: {path: %q, mode: \"0666\"}}\n", o.socket())+settings+
		fmt.Sprintf("authenticators: [{type: \"pam\", socket: %q, maxAge: \"0s\"}]\n", helper.Socket))
	o.WaitReady()
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(o.Log())
		}
	})
	return o
}

func (o *office) socket() string { return filepath.Join(o.dir, "s") }

// command is what sshd or a user has to start.
func (o *office) command() string { return o.program + " ssh --socket " + o.socket() }

// An sshd is a running OpenSSH server.
type sshd struct {
	address string // host:port
	key     ssh.PublicKey
	log     string // path
}

// sshd starts OpenSSH's server with Debian's settings and these, until the test
// ends. Keys of users are in the directory keys.
func (o *office) sshd(env []string, settings ...string) *sshd {
	o.t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		o.t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		o.t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		o.t.Fatal(err)
	}
	key, config := filepath.Join(o.dir, "hostkey"), filepath.Join(o.dir, "sshd_config")
	d := &sshd{address: freeAddress(o.t), key: signer.PublicKey(), log: filepath.Join(o.dir, "sshd.log")}
	lines := append([]string{
		"ListenAddress " + d.address, "HostKey " + key, "PidFile none", "AuthorizedKeysFile " + o.dir + "/keys/%u",
		"StrictModes no", // it would have nothing below /tmp
		"KbdInteractiveAuthentication no", "UsePAM yes", "X11Forwarding yes", "PrintMotd no", "AcceptEnv LANG LC_*",
	}, settings...)
	log, err := os.Create(d.log)
	if err != nil {
		o.t.Fatal(err)
	}
	defer log.Close()
	for _, err := range []error{
		os.WriteFile(key, pem.EncodeToMemory(block), 0o600),
		os.WriteFile(config, []byte(strings.Join(lines, "\n")+"\n"), 0o600),
		os.MkdirAll("/run/sshd", 0o755), // sshd wants it
	} {
		if err != nil {
			o.t.Fatal(err)
		}
	}
	cmd := exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", config)
	cmd.Env = append([]string{"PATH=/usr/bin:/bin"}, env...)
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait() // it says that it was asked to end
		if o.t.Failed() {
			o.t.Log(d.text())
		}
	})
	pamtest.Wait(o.t, "sshd does not listen", func() bool { return strings.Contains(d.text(), "Server listening on") })
	return d
}

func (d *sshd) text() string {
	text, err := os.ReadFile(d.log)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// freeAddress is one on which nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// home is one that knows the server's key.
func (o *office) home(d *sshd) *x2goclient.Home {
	o.t.Helper()
	h, err := x2goclient.NewHome(o.t.TempDir())
	if err != nil {
		o.t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(d.address)
	for _, address := range []string{d.address, "localhost:" + port} {
		if err := h.Trust(address, d.key); err != nil {
			o.t.Fatal(err)
		}
	}
	return h
}

// addKey makes a key for users, and gives its file.
func (o *office) addKey(h *x2goclient.Home, users ...string) string {
	o.t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		o.t.Fatal(err)
	}
	file, err := h.AddKey("id_ed25519", private)
	if err != nil {
		o.t.Fatal(err)
	}
	line, err := os.ReadFile(file + ".pub")
	if err != nil {
		o.t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(o.dir, "keys"), 0o755); err != nil {
		o.t.Fatal(err)
	}
	for _, user := range users {
		if err := os.WriteFile(filepath.Join(o.dir, "keys", user), line, 0o644); err != nil {
			o.t.Fatal(err)
		}
	}
	return file
}

// ssh runs OpenSSH's client, which asks nobody anything, and gives what it
// prints.
func (o *office) ssh(d *sshd, h *x2goclient.Home, user string, args ...string) string {
	o.t.Helper()
	_, port, _ := net.SplitHostPort(d.address)
	cmd := exec.CommandContext(deadline(o.t), "ssh", append([]string{
		"-F", "/dev/null", "-o", "BatchMode=yes", "-o", "UserKnownHostsFile=" + filepath.Join(h.Path(), ".ssh", "known_hosts"),
		"-o", "StrictHostKeyChecking=yes", "-i", filepath.Join(h.Path(), ".ssh", "id_ed25519"), "-p", port, "-l", user, "127.0.0.1",
	}, args...)...)
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		o.t.Fatal(err)
	}
	return string(out)
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), brokertest.Deadline)
	t.Cleanup(cancel)
	return ctx
}

// sees fails unless the client has read the list, and it is of that profile
// only.
func sees(ctx context.Context, t *testing.T, c *x2goclient.Client, want string) {
	t.Helper()
	ids, err := c.Profiles(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(ids, " "); got != want {
		t.Fatalf("profiles %q, want %s", got, want)
	}
}
