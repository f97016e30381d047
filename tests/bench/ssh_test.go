package bench

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
	"golang.org/x/crypto/ssh"

	"github.com/x2broker/x2broker/tests/brokertest"
)

// idle connections are held at once to see what each costs.
const idle = 1000

// An sshUser is alice with a password and a key; dir has what servers must know
// of them.
type sshUser struct {
	dir     string
	key     ssh.Signer
	keyFile string
}

func newSSHUser(b *testing.B) sshUser {
	b.Helper()
	u := sshUser{dir: b.TempDir()}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	if u.key, err = ssh.NewSignerFromKey(private); err != nil {
		b.Fatal(err)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte("alice-pw"), 10)
	if err != nil {
		b.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		b.Fatal(err)
	}
	u.keyFile = filepath.Join(u.dir, "id")
	for name, text := range map[string][]byte{"hash": hash, "alice": ssh.MarshalAuthorizedKey(u.key.PublicKey()), "id": pem.EncodeToMemory(block)} {
		if err := os.WriteFile(filepath.Join(u.dir, name), text, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	return u
}

// settings are those of a broker.cue for her, with SSH on the address.
func (u sshUser) settings(b *testing.B, address string) string {
	b.Helper()
	hash, err := os.ReadFile(filepath.Join(u.dir, "hash"))
	if err != nil {
		b.Fatal(err)
	}
	return fmt.Sprintf("site: url: %q\nstateDir: %q\n", brokertest.NewRepo(b, site(20)).URL(), b.TempDir()) +
		fmt.Sprintf("listen: {http: \"127.0.0.1:0\", ssh: %q, limits: {connections: %d, perAddress: %d}}\n", address, 2*idle, 2*idle) +
		fmt.Sprintf("ssh: authorizedKeys: [%q]\n", filepath.Join(u.dir, "{user}")) +
		fmt.Sprintf("authenticators: [{type: \"static\", users: alice: {password: %q, groups: [\"staff\"]}}]\n", hash)
}

// loginSSH connects and is let in.
func loginSSH(b *testing.B, address, user string, how ssh.AuthMethod) *ssh.Client {
	c, err := tryLoginSSH(address, user, how)
	if err != nil {
		b.Fatal(err)
	}
	return c
}

func tryLoginSSH(address, user string, how ssh.AuthMethod) (*ssh.Client, error) {
	return ssh.Dial("tcp", address, &ssh.ClientConfig{
		User: user, Auth: []ssh.AuthMethod{how}, Timeout: brokertest.Deadline,
		HostKeyCallback:   ssh.InsecureIgnoreHostKey(), // the servers of this process on loopback
		HostKeyAlgorithms: []string{ssh.KeyAlgoED25519},
	})
}

// execSSH gives what a command prints.
func execSSH(c *ssh.Client, command string) (string, error) {
	ch, requests, err := c.OpenChannel("session", nil)
	if err != nil {
		return "", err
	}
	defer ch.Close()
	go ssh.DiscardRequests(requests)
	if ok, err := ch.SendRequest("exec", true, ssh.Marshal(struct{ Command string }{command})); err != nil || !ok {
		return "", fmt.Errorf("exec: %v, %w", ok, err)
	}
	text, err := io.ReadAll(ch)
	return string(text), err
}

// listing is the request of X2Go Client for a list.
func listing(path, user string) string {
	const mark = "0b6f6b3e-2f0f-4e0a-9a53-2f1f4f6a7c11"
	return `bash -l -c 'echo "X2GODATABEGIN:` + mark + `"; export PATH="/usr/local/bin:/usr/bin:/bin";export TERM="dumb"; ` + path + " --user " + user + ` --task listsessions; echo "X2GODATAEND:` + mark + `";'`
}

// listSSH gives what stands between the marker lines.
func listSSH(c *ssh.Client, path, user string) (string, error) {
	text, err := execSSH(c, listing(path, user))
	_, text, _ = strings.Cut(text, "\n")
	text, _, _ = strings.Cut(text, "X2GODATAEND:")
	if err == nil && !strings.Contains(text, "Access granted") {
		err = fmt.Errorf("the answer is %.200q", text)
	}
	return text, err
}

// inTurn has the servers do the same work, one after the other, as often as the
// benchmark wants: so many at once, so often each. It gives the times of one.
func inTurn(b *testing.B, each int, work ...func() error) []time.Duration {
	took := make([]time.Duration, len(work))
	for b.Loop() {
		for i, one := range work {
			start := time.Now()
			var all sync.WaitGroup
			for range connections {
				all.Go(func() {
					for range each {
						if err := one(); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			all.Wait()
			took[i] += time.Since(start)
		}
	}
	for i := range took {
		took[i] /= time.Duration(b.N * each)
	}
	b.ReportMetric(0, "ns/op") // of both together: of no use
	return took
}

// BenchmarkSSH is the broker's own SSH server against a server on x/crypto/ssh
// that lets in by the same password hash (bcrypt, cost 10) or the same file of
// keys, and answers with the same bytes. A login is connection, key exchange,
// authentication and the command echo "LOGIN OK", as X2Go Client begins.
//
//	ratio     of the bare server's time to that of the broker
//	logins/s  of both connections together
//	KB        of memory per connection that is logged in and idle
func BenchmarkSSH(b *testing.B) {
	user := newSSHUser(b)
	address := freeAddress(b)
	real := startBroker(b, user.settings(b, address))
	real.addr = address
	const path = "/usr/bin/x2gobroker"
	text, err := listSSH(loginSSH(b, real.addr, "alice", ssh.PublicKeys(user.key)), path, "alice")
	if err != nil {
		b.Fatal(err)
	}
	bare := startBareSSH(b, user.dir, []byte(text))

	for _, how := range []struct {
		name   string
		method ssh.AuthMethod
		each   int
	}{{"password", ssh.Password("alice-pw"), 1}, {"key", ssh.PublicKeys(user.key), 10}} {
		b.Run("login/"+how.name, func(b *testing.B) {
			login := func(address string) func() error {
				return func() error {
					c, err := tryLoginSSH(address, "alice", how.method)
					if err != nil {
						return err
					}
					defer c.Close()
					if text, err := execSSH(c, `echo "LOGIN OK"`); err != nil || text != "LOGIN OK\n" {
						return fmt.Errorf("login check: %q, %w", text, err)
					}
					return nil
				}
			}
			took := inTurn(b, how.each, login(real.addr), login(bare.addr))
			b.ReportMetric(float64(took[1])/float64(took[0]), "ratio")
			b.ReportMetric(connections/took[0].Seconds(), "logins/s")
			b.ReportMetric(connections/took[1].Seconds(), "bare-logins/s")
		})
	}

	b.Run("list", func(b *testing.B) {
		list := func(address string) func() error {
			c := loginSSH(b, address, "alice", ssh.PublicKeys(user.key))
			b.Cleanup(func() { c.Close() })
			return func() error {
				_, err := listSSH(c, path, "alice")
				return err
			}
		}
		// Two at once, but on one connection.
		took := inTurn(b, requests, list(real.addr), list(bare.addr))
		b.ReportMetric(float64(took[1])/float64(took[0]), "ratio")
		b.ReportMetric(connections/took[0].Seconds(), "lists/s")
		b.ReportMetric(connections/took[1].Seconds(), "bare-lists/s")
	})

	b.Run("idle", func(b *testing.B) {
		hold := func(s *broker) (kB float64) {
			var held []io.Closer
			defer func() {
				for _, c := range held {
					c.Close()
				}
			}()
			before := s.memory()
			for range idle {
				held = append(held, loginSSH(b, s.addr, "alice", ssh.PublicKeys(user.key)))
			}
			return (s.memory() - before) * 1024 / idle
		}
		var ours, theirs float64
		for b.Loop() { // later rounds find memory of earlier ones
			ours, theirs = max(ours, hold(real)), max(theirs, hold(bare))
		}
		b.ReportMetric(ours, "KB")
		b.ReportMetric(theirs, "bare-KB")
		b.ReportMetric(0, "ns/op")
	})
}
