package client_test

import (
	"context"
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/x2broker/x2broker/client"
)

// An sshBroker is an SSH server that answers execs by a function. It shows what
// the client sends and bears; tests/ has the real broker.
type sshBroker struct {
	*ssh.ServerConfig
	address    string
	key        ssh.PublicKey
	knownHosts string // a file that trusts it
	answer     func(command string) (stdout, stderr string)

	mu    sync.Mutex
	execs []string
	conns []net.Conn
}

var mark = regexp.MustCompile(`X2GODATABEGIN:([0-9a-f-]{36})"`)

// framedAnswer is what a login shell answers to the frame.
func framedAnswer(exec, text string) string {
	m := mark.FindStringSubmatch(exec)
	if m == nil {
		return "LOGIN OK\n"
	}
	return "Welcome!\nX2GODATABEGIN:" + m[1] + "\n" + text + "X2GODATAEND:" + m[1] + "\n"
}

const granted = "AUTHID:t-1\nAccess granted\nSTART_USER_SESSIONS\n[p]\nname=P\nEND_USER_SESSIONS\n\n"

func startSSH(t *testing.T, change func(*sshBroker)) *sshBroker {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	hostKey, _ := newKey(t)
	b := &sshBroker{
		address: l.Addr().String(), key: hostKey.PublicKey(), knownHosts: filepath.Join(t.TempDir(), "known_hosts"),
		answer: func(exec string) (string, string) { return framedAnswer(exec, granted), "" },
		ServerConfig: &ssh.ServerConfig{PasswordCallback: func(_ ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
			if string(password) != "alice-pw" {
				return nil, errors.New("wrong")
			}
			return nil, nil
		}},
	}
	b.AddHostKey(hostKey)
	write(t, b.knownHosts, knownhosts.Line([]string{b.address}, b.key)+"\n")
	if change != nil {
		change(b)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			b.mu.Lock()
			b.conns = append(b.conns, conn)
			b.mu.Unlock()
			all.Go(func() { b.serve(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		b.drop()
		all.Wait()
	})
	return b
}

// drop closes all connections.
func (b *sshBroker) drop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, conn := range b.conns {
		conn.Close()
	}
}

func (b *sshBroker) serve(conn net.Conn) {
	_, channels, requests, err := ssh.NewServerConn(conn, b.ServerConfig)
	if err != nil {
		conn.Close()
		return
	}
	go ssh.DiscardRequests(requests)
	for c := range channels {
		ch, requests, err := c.Accept()
		if err != nil {
			return
		}
		for r := range requests {
			b.mu.Lock()
			b.execs = append(b.execs, r.Type+" "+strings.TrimLeft(string(r.Payload), "\x00"))
			b.mu.Unlock()
			_ = r.Reply(true, nil)
			if r.Type == "exec" {
				stdout, stderr := b.answer(string(r.Payload[4:]))
				_, _ = io.WriteString(ch.Stderr(), stderr)
				_, _ = io.WriteString(ch, stdout)
				break
			}
		}
		ch.Close()
		go ssh.DiscardRequests(requests)
	}
}

// client is alice, who trusts the server.
func (b *sshBroker) client(t *testing.T) *client.Client {
	t.Helper()
	c := &client.Client{URL: "ssh://" + b.address + "/usr/bin/x2gobroker", User: "alice", Password: "alice-pw", SSH: client.SSH{KnownHosts: b.knownHosts, Timeout: time.Minute}}
	t.Cleanup(c.Close)
	return c
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// newKey gives a key and a file of it, with a passphrase if there is one.
func newKey(t *testing.T, passphrase ...string) (ssh.Signer, string) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if len(passphrase) > 0 {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte(passphrase[0]))
	}
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key")
	write(t, file, string(pem.EncodeToMemory(block)))
	return signer, file
}

func TestOverSSHItSaysWhatX2GoClientSays(t *testing.T) {
	b := startSSH(t, nil)
	b.answer = func(exec string) (string, string) {
		if strings.Contains(exec, "selectsession") {
			return framedAnswer(exec, "AUTHID:t-2\nAccess granted\nSERVER:ts01:22\n\n"), "noise"
		}
		return framedAnswer(exec, granted), "noise"
	}
	c := b.client(t)
	c.Account = "alice2"
	ctx := context.Background()
	list, err := c.List(ctx)
	if err != nil || len(list) != 1 || list[0].Name() != "P" {
		t.Fatalf("%v, %v", list, err)
	}
	if _, err := c.List(ctx); err != nil {
		t.Fatal(err)
	}
	server, err := c.Select(ctx, "p")
	if want := (client.Server{Address: "ts01", Port: 22}); err != nil || server != want || c.Ticket != "t-2" {
		t.Fatalf("%v, %v, ticket %q", server, err, c.Ticket)
	}
	frame := func(command string) string {
		return `bash -l -c 'echo "X2GODATABEGIN:UUID"; export PATH="/usr/local/bin:/usr/bin:/bin";export TERM="dumb"; ` + command + `; echo "X2GODATAEND:UUID";'`
	}
	var got []string
	seen := map[string]bool{}
	for _, request := range b.execs {
		kind, text, _ := strings.Cut(request, " ")
		if kind != "exec" {
			got = append(got, kind)
			continue
		}
		_, text, _ = strings.Cut(text, map[bool]string{true: "bash", false: "echo"}[strings.Contains(text, "bash")])
		if m := mark.FindStringSubmatch(text); m != nil {
			if seen[m[1]] {
				t.Errorf("the same UUID twice: %s", m[1])
			}
			seen[m[1]] = true
			text = "bash" + strings.ReplaceAll(text, m[1], "UUID")
		} else {
			text = "echo" + text
		}
		got = append(got, text)
	}
	want := []string{
		"pty-req", "window-change", `echo "LOGIN OK"`,
		frame("/usr/bin/x2gobroker --user alice --task listsessions"),
		frame("/usr/bin/x2gobroker --user alice --authid t-1 --task listsessions"),
		frame(`/usr/bin/x2gobroker --user alice --task selectsession --sid "p" --authid t-1 --login alice2`),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(b.conns) != 1 {
		t.Errorf("%d connections", len(b.conns))
	}
}

// A broker that is the SSH server itself needs no command.
func TestAURLWithoutAPathLeavesTheCommandOut(t *testing.T) {
	b := startSSH(t, nil)
	c := b.client(t)
	c.URL = "ssh://" + b.address
	if _, err := c.List(context.Background()); err != nil {
		t.Fatal(err)
	}
	if last := b.execs[len(b.execs)-1]; !strings.Contains(last, `export TERM="dumb";  --user alice --task listsessions; echo`) {
		t.Errorf("ran %q", last)
	}
}

func TestAConnectionThatHasDiedIsMadeAnew(t *testing.T) {
	b := startSSH(t, nil)
	c := b.client(t)
	for range 2 {
		if _, err := c.List(context.Background()); err != nil {
			t.Fatal(err)
		}
		b.drop()
	}
	if len(b.conns) != 2 {
		t.Errorf("%d connections", len(b.conns))
	}
}

func TestWhatAShellWouldTakeForACommandIsNotSent(t *testing.T) {
	b := startSSH(t, nil)
	for name, change := range map[string]func(*client.Client){
		"the user name has a '\\''":                 func(c *client.Client) { c.User = "alice'; reboot; '" },
		"the user name has a ' '":                   func(c *client.Client) { c.User = "alice --user bob" },
		"the account has a '$'":                     func(c *client.Client) { c.Account = "$(id)" },
		"the ticket that the broker gave has a ';'": func(c *client.Client) { c.Ticket = "a;b" },
		"the path of the URL has a '`'":             func(c *client.Client) { c.URL += "`id`" },
		"the path of the URL has a '\\n'":           func(c *client.Client) { c.URL += "%0Aid" },
		"has no host":                               func(c *client.Client) { c.URL = "ssh:///usr/bin/x2gobroker" },
	} {
		c := b.client(t)
		change(c)
		if _, err := c.Select(context.Background(), "p"); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, id := range []string{`a"b`, "a'b", "a\\b", "a\x00b"} {
		if _, err := b.client(t).Select(context.Background(), id); err == nil || !strings.Contains(err.Error(), "the profile id has a ") {
			t.Errorf("%q: %v", id, err)
		}
	}
	if len(b.conns) != 0 {
		t.Errorf("%d connections", len(b.conns))
	}
}

func TestAnswersOverSSH(t *testing.T) {
	for name, test := range map[string]struct {
		answer func(exec string) (string, string)
		want   string
		denied bool
	}{
		"refused": {func(e string) (string, string) { return framedAnswer(e, "Access denied: locked\n\n"), "" }, "access denied: locked", true},
		// as x2gobroker-ssh does
		"refused without a word": {func(e string) (string, string) { return framedAnswer(e, ""), "" }, "access denied", true},
		"no such command": {
			func(e string) (string, string) {
				return framedAnswer(e, ""), "bash: line 1: /usr/bin/x2gobroker: No such file or directory\n"
			},
			`the command in the path of the URL answers nothing; it says "bash: line 1: /usr/bin/x2gobroker: No such file`, false,
		},
		"no broker": {
			func(e string) (string, string) {
				return map[bool]string{true: "LOGIN OK\n", false: "This account \x1b[2Jis not available."}[strings.HasPrefix(e, "echo")], ""
			},
			`is this a broker? The path in the URL is the command there, and its answer has no marker lines; it says "This account [2Jis not`, false,
		},
		"cut off": {
			func(e string) (string, string) {
				text, _, _ := strings.Cut(framedAnswer(e, granted), "END_USER")
				return text, ""
			},
			"has no marker lines", false,
		},
		"markers of another answer": {
			func(e string) (string, string) {
				if strings.HasPrefix(e, "echo") {
					return "LOGIN OK\n", ""
				}
				return framedAnswer(`X2GODATABEGIN:00000000-0000-4000-8000-000000000000"`, granted), ""
			},
			"has no marker lines", false,
		},
		"no shell": {func(string) (string, string) { return "", "no shell" }, `it does not answer echo "LOGIN OK", for which X2Go Client waits; it says "no shell"`, false},
		"too much": {
			func(e string) (string, string) {
				if strings.HasPrefix(e, "echo") {
					return "LOGIN OK\n", ""
				}
				return strings.Repeat("x", 65<<20), ""
			}, "it sends more than 64 MiB", false,
		},
		"much on stderr": {func(e string) (string, string) {
			return framedAnswer(e, "Access denied: no\n"), strings.Repeat("x", 1<<20)
		}, "access denied: no", true},
	} {
		t.Run(name, func(t *testing.T) {
			b := startSSH(t, nil)
			b.answer = test.answer
			_, err := b.client(t).List(context.Background())
			if err == nil || !strings.Contains(err.Error(), test.want) || errors.Is(err, client.ErrDenied) != test.denied {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestABrokerThatDoesNotAnswerIsNotWaitedFor(t *testing.T) {
	silent := make(chan struct{})
	b := startSSH(t, func(b *sshBroker) {
		b.answer = func(string) (string, string) { <-silent; return "", "" }
	})
	defer close(silent)
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	for _, address := range []string{b.address, mute.Addr().String()} {
		c := b.client(t)
		c.URL = "ssh://" + address + "/x"
		c.SSH.Timeout = 300 * time.Millisecond
		if _, err := c.List(context.Background()); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no answer in time") {
			t.Errorf("%v", err)
		}
	}
	c := b.client(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := c.List(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	c.URL = "ssh://127.0.0.1:1/x"
	if _, err := c.List(context.Background()); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("%v", err)
	}
}

func TestHostKeys(t *testing.T) {
	b := startSSH(t, nil)
	port := b.address[strings.LastIndex(b.address, ":")+1:]
	other, _ := newKey(t)
	right := ssh.FingerprintSHA256(b.key)
	line := func(key ssh.PublicKey) string { return knownhosts.Line([]string{b.address}, key) + "\n" }
	for name, test := range map[string]struct {
		known        string
		fingerprints []string
		want         string
	}{
		"known":          {known: line(b.key)},
		"named":          {fingerprints: []string{ssh.FingerprintSHA256(other.PublicKey()), right}},
		"unknown":        {known: "# nothing\n", want: "has no host key of [127.0.0.1]:" + port + "; it shows " + right + " (ssh-ed25519): compare"},
		"changed":        {known: "\n" + line(other.PublicKey()), want: "the host key has changed, it is not the one at line 2 of "},
		"revoked":        {known: line(b.key) + "@revoked * " + string(ssh.MarshalAuthorizedKey(b.key)), want: "the host key is revoked, at line 2 of "},
		"another kind":   {known: "[127.0.0.1]:" + port + " ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7opKgwFB9nkt5YRrYMjNuG5N87uRgg6CLrbo5wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg=\n", want: "the broker has no host key of the kinds that "},
		"no file":        {want: "does not exist: write the broker's host key into it: ssh-keyscan -p " + port},
		"not the named":  {known: line(b.key), fingerprints: []string{ssh.FingerprintSHA256(other.PublicKey())}, want: "the host key has the fingerprint " + right + " (ssh-ed25519), which is not one of those named"},
		"no fingerprint": {fingerprints: []string{"16:27:ac"}, want: "is no fingerprint of a host key"},
		"no known hosts": {known: "garbage\n", want: "known_hosts:1"},
	} {
		t.Run(name, func(t *testing.T) {
			c := b.client(t)
			c.SSH.KnownHosts, c.SSH.Fingerprints = filepath.Join(t.TempDir(), "known_hosts"), test.fingerprints
			if test.known != "" {
				write(t, c.SSH.KnownHosts, test.known)
			}
			_, err := c.List(context.Background())
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	c := b.client(t)
	c.SSH.KnownHosts = ""
	if _, err := c.List(context.Background()); err == nil || !strings.Contains(err.Error(), "could be anybody") {
		t.Errorf("with nothing to know it by: %v", err)
	}
}
