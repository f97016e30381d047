//go:build e2e

package ssh

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/x2broker/x2broker/tests/x2goclient"
)

// authorize writes the file of authorized keys of a user.
func (o *office) authorize(user string, private ...any) {
	o.t.Helper()
	var text []byte
	for _, key := range private {
		signer, err := ssh.NewSignerFromKey(key)
		if err != nil {
			o.t.Fatal(err)
		}
		text = append(text, ssh.MarshalAuthorizedKey(signer.PublicKey())...)
	}
	if err := os.WriteFile(filepath.Join(o.keys, user), text, 0o644); err != nil {
		o.t.Fatal(err)
	}
}

func newKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func addKey(t *testing.T, h *x2goclient.Home, name string, private any) string {
	t.Helper()
	file, err := h.AddKey(name, private)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func login(t *testing.T, c *x2goclient.Client, password string) {
	t.Helper()
	if err := c.Login(password); err != nil {
		t.Fatal(err)
	}
}

func dismiss(ctx context.Context, t *testing.T, c *x2goclient.Client, title string) {
	t.Helper()
	if err := c.Dismiss(ctx, title); err != nil {
		t.Fatal(err)
	}
}

func TestAPasswordLeadsToASession(t *testing.T) {
	o := newOffice(t, "")
	ctx := deadline(t)
	c := o.start(ctx, o.home(), "alice", "--sessionid=office")
	login(t, c, "alice-pw")
	sees(ctx, t, c, 1)
	server, err := c.Server(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if want := o.listener.Addr().String(); server != want {
		t.Errorf("server %s, want %s", server, want)
	}
	o.session(ctx)
}

func TestAWrongPasswordReturnsToTheLoginForm(t *testing.T) {
	o := newOffice(t, "")
	ctx := deadline(t)
	c := o.start(ctx, o.home(), "alice")
	login(t, c, "sour")
	dismiss(ctx, t, c, "Authentication failed.")
	login(t, c, "alice-pw")
	sees(ctx, t, c, 1)
}

func TestAKeyOfAnyKindNeedsNoPassword(t *testing.T) {
	o := newOffice(t, "")
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	bits, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]any{"ed25519": newKey(t), "ecdsa": p256, "rsa": bits}
	o.authorize("alice", keys["ed25519"], keys["ecdsa"], keys["rsa"])
	for name, key := range keys {
		t.Run(name, func(t *testing.T) {
			ctx := deadline(t)
			h := o.home()
			c := o.start(ctx, h, "alice", "--sessionid=office", "--broker-ssh-key="+addKey(t, h, "mine", key))
			defer c.Close()
			sees(ctx, t, c, 1)
			o.session(ctx)
		})
	}
}

func TestTheUsualKeysOfAHomeAreTried(t *testing.T) {
	o := newOffice(t, "")
	key := newKey(t)
	o.authorize("alice", key)
	ctx := deadline(t)
	h := o.home()
	addKey(t, h, "id_ed25519", key)
	sees(ctx, t, o.start(ctx, h, "alice", "--broker-autologin"), 1)
}

// serveAgent runs an SSH agent with these keys, and gives its socket.
func serveAgent(t *testing.T, private ...any) string {
	t.Helper()
	keyring := agent.NewKeyring()
	for _, key := range private {
		if err := keyring.Add(agent.AddedKey{PrivateKey: key}); err != nil {
			t.Fatal(err)
		}
	}
	dir, err := os.MkdirTemp("", "x2broker-agent-") // short, as the paths of sockets must be
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_ = agent.ServeAgent(keyring, conn) // until the client goes
			}()
		}
	}()
	return socket
}

func TestAnAgentHasTheKey(t *testing.T) {
	o := newOffice(t, "")
	key := newKey(t)
	o.authorize("alice", key)
	ctx := deadline(t)
	h := o.home()
	h.Setenv("SSH_AUTH_SOCK", serveAgent(t, newKey(t), newKey(t), key))
	sees(ctx, t, o.start(ctx, h, "alice", "--broker-autologin"), 1)
}

func TestAKeyOfAnotherUserIsNoneAndThePasswordIsAskedFor(t *testing.T) {
	o := newOffice(t, "")
	key := newKey(t)
	o.authorize("bob", key)
	ctx := deadline(t)
	h := o.home()
	c := o.start(ctx, h, "alice", "--broker-ssh-key="+addKey(t, h, "mine", key))
	if _, err := c.WaitLog(ctx, 1, `Unable to authenticate with public key`); err != nil {
		t.Fatal(err)
	}
	if err := c.AnswerPrompt(ctx, "Your password: ", "alice-pw"); err != nil {
		t.Fatal(err)
	}
	sees(ctx, t, c, 1)
}

func TestAKeyIsTheFirstOfTwoSteps(t *testing.T) {
	o := newOffice(t, "ssh: keyAndPassword: true\n")
	key := newKey(t)
	o.authorize("alice", key)
	ctx := deadline(t)
	h := o.home()
	c := o.start(ctx, h, "alice", "--broker-ssh-key="+addKey(t, h, "mine", key))
	if err := c.AnswerPrompt(ctx, "Your password: ", "alice-pw"); err != nil {
		t.Fatal(err)
	}
	sees(ctx, t, c, 1)
}

func TestTheHostKeyIsAskedForOnce(t *testing.T) {
	o := newOffice(t, "")
	ctx := deadline(t)
	h, err := x2goclient.NewHome(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c := o.start(ctx, h, "alice")
	login(t, c, "alice-pw")
	dismiss(ctx, t, c, "Host key verification failed.") // the default is to trust it
	sees(ctx, t, c, 1)
	c.Close()
	c = o.start(ctx, h, "alice")
	login(t, c, "alice-pw")
	sees(ctx, t, c, 1)
}

// X2Go Client cannot take the method "none", and has no form with
// --broker-noauth.
func TestWhereNobodyNeedsAPassword(t *testing.T) {
	o := newOfficeOf(t, "", "authenticators: [{type: \"none\", from: [\"127.0.0.0/8\"], groups: [\"staff\"]}]\n")
	ctx := deadline(t)
	sees(ctx, t, o.start(ctx, o.home(), "alice", "--broker-noauth"), 1)
}

// X2Go Client keeps its connection when it shows its form again, and would not
// send what is typed there if the broker kept it, too.
func TestAfterARefusalTheNextPasswordCounts(t *testing.T) {
	o := newOffice(t, "")
	ctx := deadline(t)
	c := o.start(ctx, o.home(), "alice", "--sessionid=full")
	login(t, c, "alice-pw")
	sees(ctx, t, c, 1)
	dismiss(ctx, t, c, "Error") // "Login failed!"
	login(t, c, "sour")
	dismiss(ctx, t, c, "Authentication failed.")
	login(t, c, "alice-pw")
	sees(ctx, t, c, 2)
}
