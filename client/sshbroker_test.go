package client_test

import (
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
	refuse     func(request string) bool // nil: none is refused

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
			if b.refuse != nil && b.refuse(r.Type) {
				_ = r.Reply(false, nil)
				continue
			}
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
