package gittest

import (
	"bytes"
	"crypto/ed25519"
	"encoding/pem"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// SSH is a server that runs git upload-pack for who has the right key.
type SSH struct {
	URL            string // of the repository
	Addr           string // host:port
	KeyFile        string // the private key that the server accepts
	KnownHostsFile string // with the server's host key

	tb      testing.TB
	dir     string // of the repository
	allowed ssh.PublicKey
	mu      sync.Mutex
	hostKey ssh.Signer
}

// NewKey makes a key and gives the path of its file.
func NewKey(tb testing.TB) (ssh.Signer, string) {
	tb.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		tb.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		tb.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		tb.Fatal(err)
	}
	return signer, WriteFile(tb, "id", pem.EncodeToMemory(block))
}

// ServeSSH starts a server, which ends with the test.
func (r *Repo) ServeSSH() *SSH {
	r.tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.tb.Fatal(err)
	}
	s := &SSH{Addr: listener.Addr().String(), tb: r.tb, dir: r.Dir}
	signer, file := NewKey(r.tb)
	s.allowed, s.KeyFile = signer.PublicKey(), file
	s.hostKey, _ = NewKey(r.tb)
	s.URL = "ssh://git@" + s.Addr + r.Dir
	s.KnownHostsFile = WriteFile(r.tb, "known_hosts", []byte(s.KnownHost(s.Addr)))
	var all sync.WaitGroup
	var conns sync.Map
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conns.Store(conn, nil)
			all.Go(func() { s.serve(conn) })
		}
	})
	r.tb.Cleanup(func() {
		listener.Close()
		conns.Range(func(conn, _ any) bool { return conn.(net.Conn).Close() != nil || true })
		all.Wait()
	})
	return s
}

// KnownHost gives a line for known_hosts.
func (s *SSH) KnownHost(addr string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return knownhosts.Line([]string{knownhosts.Normalize(addr)}, s.hostKey.PublicKey()) + "\n"
}

// ChangeHostKey gives the server another host key.
func (s *SSH) ChangeHostKey() {
	signer, _ := NewKey(s.tb)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hostKey = signer
}

func (s *SSH) serve(conn net.Conn) {
	defer conn.Close()
	config := &ssh.ServerConfig{PublicKeyCallback: func(c ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if c.User() != "git" || !bytes.Equal(key.Marshal(), s.allowed.Marshal()) {
			return nil, exec.ErrNotFound // any error refuses
		}
		return nil, nil
	}}
	s.mu.Lock()
	config.AddHostKey(s.hostKey)
	s.mu.Unlock()
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests) // ends with the connection
	for c := range channels {
		channel, requests, err := c.Accept()
		if err != nil {
			return
		}
		for r := range requests {
			_ = r.Reply(r.Type == "exec", nil)
			if r.Type == "exec" {
				s.run(channel, string(r.Payload[4:]))
				break
			}
		}
		channel.Close()
	}
}

// run does what git-shell does.
func (s *SSH) run(channel ssh.Channel, command string) {
	path, ok := strings.CutPrefix(command, "git-upload-pack ")
	path = strings.Trim(path, "'")
	if !ok || filepath.Dir(path) != filepath.Dir(s.dir) {
		return
	}
	cmd := exec.Command("git", "upload-pack", path)
	cmd.Stdout, cmd.Stderr = channel, channel.Stderr()
	stdin, err := cmd.StdinPipe()
	if err != nil || cmd.Start() != nil {
		return
	}
	go func() { // ends with the channel
		_, _ = io.Copy(stdin, channel)
		stdin.Close()
	}()
	_ = cmd.Wait()
	_, _ = channel.SendRequest("exit-status", false, []byte{0, 0, 0, 0})
}
