//go:build e2e

// Package ssh drives the real X2Go Client and OpenSSH's programs against the
// SSH server of the real broker binary.
package ssh

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/x2broker/x2broker/tests/brokertest"
	"github.com/x2broker/x2broker/tests/x2goclient"
)

func TestMain(m *testing.M) {
	brokertest.Need(map[string]string{"git": "git", "ssh": "openssh-client"}, x2goclient.Missing()...)
	brokertest.Main(m)
}

// An office is a site with a profile that leads to a listener of the test, and
// one that leads nowhere. Both are for alice.
type office struct {
	*brokertest.Broker
	t        *testing.T
	state    string // directory
	keys     string // directory with the files of authorized keys
	listener net.Listener
}

func newOffice(t *testing.T, settings string) *office {
	t.Helper()
	return newOfficeOf(t, settings, brokertest.Users(t, map[string][]string{"alice": {"staff"}, "bob": nil}))
}

func newOfficeOf(t *testing.T, settings, authenticators string) *office {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	_, port, _ := net.SplitHostPort(l.Addr().String())
	repo := brokertest.NewRepo(t, brokertest.Files{"site.cue": fmt.Sprintf(`package site

site: name: "Test"
servers: {
	here: {address: "127.0.0.1", port: %s}
	drained: {address: "192.0.2.1", state: "drain"}
}
profiles: [string]: {
	usebrokerpass: true
	x2go: {command: "XFCE", print: false, useexports: false, sound: false} // else the client starts servers of its own
	access: groups: ["staff"]
}
profiles: {
	full: {name: "Full", hosts: ids: ["drained"]}
	office: {name: "Office", hosts: ids: ["here"]}
}
`, port)})
	o := &office{t: t, state: t.TempDir(), keys: t.TempDir(), listener: l}
	o.Broker = brokertest.Start(t, fmt.Sprintf("site: {url: %q, poll: \"100ms\"}\nstateDir: %q\n", repo.URL(), o.state)+
		"listen: {http: \"127.0.0.1:0\", ssh: \"127.0.0.1:0\"}\n"+
		fmt.Sprintf("ssh: authorizedKeys: [%q]\n", o.keys+"/{user}")+settings+authenticators)
	o.WaitReady()
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(o.Log())
		}
	})
	return o
}

// sshURL is what X2Go Client is given.
func (o *office) sshURL(user string) string { return "ssh://" + user + "@" + o.SSH + "/x2broker" }

// home makes a home directory that knows the broker's host keys.
func (o *office) home() *x2goclient.Home {
	o.t.Helper()
	h, err := x2goclient.NewHome(o.t.TempDir())
	if err != nil {
		o.t.Fatal(err)
	}
	for _, name := range []string{"host_ed25519", "host_ecdsa"} {
		text, err := os.ReadFile(filepath.Join(o.state, "ssh", name))
		if err != nil {
			o.t.Fatal(err)
		}
		key, err := ssh.ParsePrivateKey(text)
		if err != nil {
			o.t.Fatal(err)
		}
		if err := h.Trust(o.SSH, key.PublicKey()); err != nil {
			o.t.Fatal(err)
		}
	}
	return h
}

// start starts X2Go Client; it ends with the test.
func (o *office) start(ctx context.Context, h *x2goclient.Home, user string, args ...string) *x2goclient.Client {
	o.t.Helper()
	c, err := h.Start(ctx, o.sshURL(user), args...)
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(c.Close)
	return c
}

// session waits for the client to dial the server of its session, and to speak
// SSH there.
func (o *office) session(ctx context.Context) {
	o.t.Helper()
	end, _ := ctx.Deadline()
	_ = o.listener.(*net.TCPListener).SetDeadline(end)
	conn, err := o.listener.Accept()
	if err != nil {
		o.t.Fatalf("the client does not dial its server: %v", err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(end)
	if _, err := conn.Write([]byte("SSH-2.0-test\r\n")); err != nil {
		o.t.Fatal(err)
	}
	banner, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || !strings.HasPrefix(banner, "SSH-2.0-") {
		o.t.Fatalf("the client says %q, %v; want an SSH banner", banner, err)
	}
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), brokertest.Deadline)
	t.Cleanup(cancel)
	return ctx
}

// sees fails unless the client has read its n-th list, and it is that of alice.
func sees(ctx context.Context, t *testing.T, c *x2goclient.Client, n int) {
	t.Helper()
	ids, err := c.Profiles(ctx, n)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(ids, " "); got != "full office" {
		t.Fatalf("profiles %q, want full office", got)
	}
}
