package bench

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"golang.org/x/crypto/bcrypt"
	"golang.org/x/crypto/ssh"
)

// bareSSH names the directory from which a child process serves SSH, see
// TestMain: hash, of the password; alice, her authorized_keys; answer, of every
// request.
const bareSSH = "X2BROKER_BENCH_BARE_SSH"

// serveBareSSH is what x/crypto/ssh takes for a login and an answer, and nothing
// else. It prints its address.
func serveBareSSH(dir string) error {
	hash, err := os.ReadFile(filepath.Join(dir, "hash"))
	if err != nil {
		return err
	}
	answer, err := os.ReadFile(filepath.Join(dir, "answer"))
	if err != nil {
		return err
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	hostKey, err := ssh.NewSignerFromKey(key)
	if err != nil {
		return err
	}
	config := &ssh.ServerConfig{
		PasswordCallback: func(_ ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
			return nil, bcrypt.CompareHashAndPassword(hash, password)
		},
		PublicKeyCallback: func(c ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			text, err := os.ReadFile(filepath.Join(dir, filepath.Base(c.User())))
			if err != nil {
				return nil, err
			}
			listed, _, _, _, err := ssh.ParseAuthorizedKey(text)
			if err == nil && !bytes.Equal(listed.Marshal(), key.Marshal()) {
				err = errors.New("another key")
			}
			return nil, err
		},
	}
	config.AddHostKey(hostKey)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go answerBareSSH(conn, config, answer)
	}
}

var beginLine = regexp.MustCompile(`X2GODATABEGIN:([0-9a-f-]{36})`)

func answerBareSSH(conn net.Conn, config *ssh.ServerConfig, answer []byte) {
	defer conn.Close()
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for c := range channels {
		ch, requests, err := c.Accept()
		if err != nil {
			return
		}
		go func() {
			for r := range requests {
				_ = r.Reply(true, nil)
				if r.Type != "exec" {
					continue
				}
				if m := beginLine.FindSubmatch(r.Payload); m != nil {
					_, _ = ch.Write(fmt.Appendf(nil, "X2GODATABEGIN:%s\n%sX2GODATAEND:%s\n", m[1], answer, m[1]))
				} else {
					_, _ = ch.Write([]byte("LOGIN OK\n"))
				}
				_, _ = ch.SendRequest("exit-status", false, make([]byte, 4))
				ch.Close()
			}
		}()
	}
}

// startBareSSH serves from the directory, where the answer is written.
func startBareSSH(b *testing.B, dir string, answer []byte) *broker {
	b.Helper()
	if err := os.WriteFile(filepath.Join(dir, "answer"), answer, 0o600); err != nil {
		b.Fatal(err)
	}
	address, cmd := startChild(b, bareSSH+"="+dir)
	return &broker{addr: address, cmd: cmd}
}
