//go:build e2e

// Package e2e drives the real X2Go Client, pyhoca-cli and python-x2go against the
// real broker binary.
package e2e

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/x2broker/x2broker/tests/brokertest"
	"github.com/x2broker/x2broker/tests/x2goclient"
)

func TestMain(m *testing.M) {
	brokertest.Need(map[string]string{"git": "git", "pyhoca-cli": "pyhoca-cli"}, x2goclient.Missing()...)
	brokertest.Main(m)
}

// oddName has all that QSettings treats in a way of its own.
const oddName = `Zoë's, desk; "ü €" fab`

// A farm is a site of which one profile leads to a listener of the test.
type farm struct {
	t        *testing.T
	repo     *brokertest.Repo
	broker   *brokertest.Broker
	listener net.Listener
}

func newFarm(t *testing.T) *farm {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	f := &farm{t: t, listener: l}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	f.repo = brokertest.NewRepo(t, brokertest.Files{
		"site.cue": fmt.Sprintf(`package site

site: name: "Test"
servers: {
	here: {address: "127.0.0.1", port: %s, labels: pool: "one"}
	drained: {address: "192.0.2.1", labels: pool: "one", state: "drain", weight: 1000}
}
profiles: [string]: {
	usebrokerpass: true
	x2go: {command: *"XFCE" | string, print: false, useexports: false, sound: false} // else the client starts servers of its own
	hosts: labels: pool: *"one" | string
}
`, port),
		"profiles/all.cue": fmt.Sprintf(`package site

profiles: {
	office: {name: "Office", access: groups: ["staff"]}
	odd: {name: %q, access: groups: ["staff"]}
	lab: {name: "Lab", access: groups: ["students"]}
}
`, oddName),
	})
	f.broker = brokertest.Start(t, fmt.Sprintf("site: {url: %q, poll: \"100ms\"}\nstateDir: %q\n", f.repo.URL(), t.TempDir())+
		brokertest.Users(t, map[string][]string{"alice": {"staff"}, "sam": {"students"}}))
	f.broker.WaitReady()
	return f
}

// client starts X2Go Client; it ends with the test.
func (f *farm) client(ctx context.Context, user string, args ...string) *x2goclient.Client {
	f.t.Helper()
	url := strings.Replace(f.broker.URL(), "://", "://"+user+"@", 1)
	c, err := x2goclient.Start(ctx, f.t.TempDir(), url, args...)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(c.Close)
	return c
}

// accept waits for the client to dial its server.
func (f *farm) accept(ctx context.Context) net.Conn {
	f.t.Helper()
	deadline, _ := ctx.Deadline()
	_ = f.listener.(*net.TCPListener).SetDeadline(deadline)
	conn, err := f.listener.Accept()
	if err != nil {
		f.t.Fatalf("the client does not dial its server: %v", err)
	}
	_ = conn.SetDeadline(deadline)
	return conn
}

// session waits for the client to dial its server and to speak SSH.
func (f *farm) session(ctx context.Context) {
	f.t.Helper()
	conn := f.accept(ctx)
	defer conn.Close()
	if _, err := conn.Write([]byte("SSH-2.0-test\r\n")); err != nil {
		f.t.Fatal(err)
	}
	banner, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || !strings.HasPrefix(banner, "SSH-2.0-") {
		f.t.Fatalf("the client says %q, %v; want an SSH banner", banner, err)
	}
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), brokertest.Deadline)
	t.Cleanup(cancel)
	return ctx
}

func TestAUserSeesHisProfilesAndStartsASessionWhereThePolicySays(t *testing.T) {
	f := newFarm(t)
	ctx := deadline(t)
	c := f.client(ctx, "alice", "--sessionid=office")
	if err := c.Login("alice-pw"); err != nil {
		t.Fatal(err)
	}
	ids, err := c.Profiles(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"odd", "office"}, ids); diff != "" {
		t.Errorf("profiles (-want +got):\n%s", diff)
	}
	server, err := c.Server(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if want := f.listener.Addr().String(); server != want {
		t.Errorf("server %s, want %s", server, want)
	}
	f.session(ctx)
}

func TestAnotherUserSeesOthers(t *testing.T) {
	f := newFarm(t)
	ctx := deadline(t)
	c := f.client(ctx, "sam")
	if err := c.Login("sam-pw"); err != nil {
		t.Fatal(err)
	}
	ids, err := c.Profiles(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"lab"}, ids); diff != "" {
		t.Errorf("profiles (-want +got):\n%s", diff)
	}
}

// --session selects by the name that the client itself made of the list.
func TestNamesArriveAsWritten(t *testing.T) {
	f := newFarm(t)
	ctx := deadline(t)
	c := f.client(ctx, "alice", "--session="+oddName)
	if err := c.Login("alice-pw"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.WaitLog(ctx, 1, `Called selectUserSession for session "odd"`); err != nil {
		t.Fatal(err)
	}
	f.session(ctx)
}

func TestAWrongPasswordReturnsToTheLoginForm(t *testing.T) {
	f := newFarm(t)
	ctx := deadline(t)
	c := f.client(ctx, "alice")
	if err := c.Login("wrong1"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.WaitLog(ctx, 1, `checkAccess - answer was: "Access denied`); err != nil {
		t.Fatal(err)
	}
	if err := c.Dismiss(ctx, "Error"); err != nil { // "Login failed! Please try again."
		t.Fatal(err)
	}
	// The same client, back at its form, gets in with the right one.
	if err := c.Login("alice-pw"); err != nil {
		t.Fatal(err)
	}
	ids, err := c.Profiles(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"odd", "office"}, ids); diff != "" {
		t.Errorf("profiles (-want +got):\n%s", diff)
	}
}

func TestAPushedCommitChangesTheNextList(t *testing.T) {
	f := newFarm(t)
	ctx := deadline(t)
	list := func(want ...string) {
		t.Helper()
		c := f.client(ctx, "sam")
		defer c.Close()
		if err := c.Login("sam-pw"); err != nil {
			t.Fatal(err)
		}
		ids, err := c.Profiles(ctx, 1)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, ids); diff != "" {
			t.Errorf("profiles (-want +got):\n%s", diff)
		}
	}
	list("lab")
	commit := f.repo.Push(brokertest.Files{"policy/access.rego": `package x2go.access

import data.x2go.lib

visible contains id if lib.access.visible[id]

visible contains "office" if "students" in input.user.groups
`})
	f.broker.WaitLog(`msg="revision serves" .*revision=` + commit)
	list("lab", "office")
}

// The session's server sees the broker's user and password, and the client
// remembers that server's key in its own home only.
func TestTheClientLogsInAtItsServer(t *testing.T) {
	f := newFarm(t)
	ctx := deadline(t)
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	login := ""
	server := &ssh.ServerConfig{PasswordCallback: func(c ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
		login = c.User() + ":" + string(password)
		return nil, nil
	}}
	server.AddHostKey(signer)

	c := f.client(ctx, "alice", "--sessionid=office", "--add-to-known-hosts")
	if err := c.Login("alice-pw"); err != nil {
		t.Fatal(err)
	}
	conn := f.accept(ctx)
	defer conn.Close()
	if _, _, _, err := ssh.NewServerConn(conn, server); err != nil {
		t.Fatal(err)
	}
	if want := "alice:alice-pw"; login != want {
		t.Errorf("the client logs in as %s, want %s", login, want)
	}
	known, err := os.ReadFile(filepath.Join(c.Home(), ".ssh", "known_hosts"))
	if err != nil {
		t.Fatal(err)
	}
	want := knownhosts.Line([]string{f.listener.Addr().String()}, signer.PublicKey()) + "\n"
	if diff := cmp.Diff(want, string(known)); diff != "" {
		t.Errorf("known_hosts (-want +got):\n%s", diff)
	}
}
