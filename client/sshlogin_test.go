package client_test

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/x2broker/x2broker/client"
)

var errWrong = errors.New("wrong")

// asks is keyboard-interactive with these questions, a round each, and the right answers.
func asks(rounds ...[2]string) func(ssh.ConnMetadata, ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
	return func(_ ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
		for _, round := range rounds {
			instruction, prompt, ok := strings.Cut(round[0], "|")
			if !ok {
				instruction, prompt = "", round[0]
			}
			answers, err := ask("", instruction, []string{prompt}, []bool{strings.HasPrefix(prompt, "Name")})
			if err != nil || answers[0] != round[1] {
				return nil, errWrong
			}
		}
		return nil, nil
	}
}

// accepts lets in who has the key.
func accepts(key ssh.PublicKey) func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) {
	return func(_ ssh.ConnMetadata, offered ssh.PublicKey) (*ssh.Permissions, error) {
		if string(offered.Marshal()) != string(key.Marshal()) {
			return nil, errWrong
		}
		return nil, nil
	}
}

func TestTheWaysToLogInOverSSH(t *testing.T) {
	key, file := newKey(t)
	other, otherFile := newKey(t)
	locked, lockedFile := newKey(t, "geheim")
	for name, test := range map[string]struct {
		server            func(*ssh.ServerConfig)
		client            func(*client.Client)
		answers           map[string]string // what a person types; nil: there is nobody
		asked             []string          // and what he sees
		want              string            // of the error
		denied, throttled bool
	}{
		"password":              {},
		"wrong password":        {client: func(c *client.Client) { c.Password = "x" }, want: "access denied", denied: true},
		"password when wanted":  {client: func(c *client.Client) { c.Password = "" }, answers: map[string]string{"Password for alice: ": "alice-pw"}, asked: []string{"Password for alice: "}},
		"nobody to ask for one": {client: func(c *client.Client) { c.Password = "" }, want: "the broker lets people in by password only, and you gave nothing for that"},
		"open":                  {server: func(s *ssh.ServerConfig) { s.NoClientAuth = true }, client: func(c *client.Client) { c.Password = "" }},
		"questions, one of them the password": {
			server:  func(s *ssh.ServerConfig) { s.KeyboardInteractiveCallback = asks([2]string{"Password: ", "alice-pw"}) },
			answers: map[string]string{},
		},
		"a second factor": {
			server: func(s *ssh.ServerConfig) {
				s.KeyboardInteractiveCallback = asks([2]string{"Password: ", "alice-pw"}, [2]string{"Look at your phone\nnow\x1b[2J|Verification code: ", "123456"}, [2]string{"Name of your cat: ", "Mia"})
			},
			answers: map[string]string{"Verification code: ": "123456", "Name of your cat: ": "Mia"},
			asked:   []string{"tell Look at your phone", "tell now\ufffd[2J", "Verification code: ", "echo Name of your cat: "},
		},
		"a second factor that nobody can give": {
			server: func(s *ssh.ServerConfig) {
				s.KeyboardInteractiveCallback = asks([2]string{"Password: ", "alice-pw"}, [2]string{"Verification code: ", "1"})
			},
			want: `the broker asks "Verification code: ", and nobody can answer`,
		},
		"a wrong password is sent once": {
			server: func(s *ssh.ServerConfig) { s.KeyboardInteractiveCallback = asks([2]string{"Password: ", "other"}) },
			want:   "access denied", denied: true, // though the other way would have worked
		},
		"endless questions": {
			server: func(s *ssh.ServerConfig) {
				s.KeyboardInteractiveCallback = func(_ ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
					for {
						if _, err := ask("", "", []string{"again? "}, []bool{true}); err != nil {
							return nil, err
						}
					}
				}
			},
			answers: map[string]string{"again? ": ""}, want: "the broker asks and asks",
		},
		"key":           {server: func(s *ssh.ServerConfig) { s.PublicKeyCallback = accepts(key.PublicKey()) }, client: func(c *client.Client) { c.SSH.KeyFile, c.Password = file, "" }},
		"locked key":    {server: func(s *ssh.ServerConfig) { s.PublicKeyCallback = accepts(locked.PublicKey()) }, client: func(c *client.Client) { c.SSH.KeyFile = lockedFile }, answers: map[string]string{"Passphrase of " + lockedFile + ": ": "geheim"}, asked: []string{"Passphrase of " + lockedFile + ": "}},
		"locked, alone": {client: func(c *client.Client) { c.SSH.KeyFile = lockedFile }, want: "has a passphrase, and nobody can be asked"},
		"key of another": {
			server: func(s *ssh.ServerConfig) {
				s.PublicKeyCallback, s.PasswordCallback = accepts(key.PublicKey()), nil
			},
			client: func(c *client.Client) { c.SSH.KeyFile, c.Password = otherFile, "" }, denied: true,
			want: "access denied: what you gave was not taken; the broker lets people in by publickey",
		},
		"no key": {server: func(s *ssh.ServerConfig) {
			s.PublicKeyCallback, s.PasswordCallback = accepts(key.PublicKey()), nil
		}, want: "the broker lets people in by publickey only, and you gave nothing for that"},
		"no such key": {client: func(c *client.Client) { c.SSH.KeyFile = "/nowhere/key" }, want: "private key: open /nowhere/key: no such file"},
		"agent":       {server: func(s *ssh.ServerConfig) { s.PublicKeyCallback = accepts(key.PublicKey()) }, client: func(c *client.Client) { c.SSH.Agent, c.Password = startAgent(t, otherFile, file), "" }},
		"file, then agent": {
			server: func(s *ssh.ServerConfig) { s.PublicKeyCallback = accepts(key.PublicKey()) },
			client: func(c *client.Client) { c.SSH.KeyFile, c.SSH.Agent, c.Password = otherFile, startAgent(t, file), "" },
		},
		"empty agent": {client: func(c *client.Client) { c.SSH.Agent = startAgent(t) }, want: "it holds no key: add one with ssh-add"},
		"no agent":    {client: func(c *client.Client) { c.SSH.Agent = "/nowhere/agent" }, want: "is it running?"},
		"too many keys": {
			server: func(s *ssh.ServerConfig) {
				s.PublicKeyCallback, s.MaxAuthTries = accepts(key.PublicKey()), 1
			},
			client: func(c *client.Client) { c.SSH.Agent = startAgent(t, otherFile, lockedFile) }, want: "too many authentication failures",
		},
		"key and password": {
			server: func(s *ssh.ServerConfig) {
				second := s.PasswordCallback
				s.PasswordCallback = nil
				s.PublicKeyCallback = func(_ ssh.ConnMetadata, offered ssh.PublicKey) (*ssh.Permissions, error) {
					if _, err := accepts(other.PublicKey())(nil, offered); err != nil {
						return nil, err
					}
					return nil, &ssh.PartialSuccessError{Next: ssh.ServerAuthCallbacks{PasswordCallback: second}}
				}
			},
			client: func(c *client.Client) { c.SSH.KeyFile = otherFile },
		},
		"a pause": {
			server: func(s *ssh.ServerConfig) {
				s.PasswordCallback = func(ssh.ConnMetadata, []byte) (*ssh.Permissions, error) {
					return nil, &ssh.BannerError{Err: errWrong, Message: "Access denied: too many failed logins, try again in 8 s\r\n"}
				}
			},
			want: "access denied for a while: too many failed logins, try again in 8 s", denied: true, throttled: true,
		},
		"banner": {
			server: func(s *ssh.ServerConfig) {
				s.BannerCallback = func(ssh.ConnMetadata) string { return "Mind\r\nthe gap\n" }
			},
			answers: map[string]string{}, asked: []string{"tell Mind", "tell the gap"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := startSSH(t, func(b *sshBroker) {
				if test.server != nil {
					test.server(b.ServerConfig)
				}
			})
			c := b.client(t)
			if test.client != nil {
				test.client(c)
			}
			var asked []string
			if test.answers != nil {
				c.SSH.Tell = func(text string) { asked = append(asked, "tell "+text) }
				c.SSH.Ask = func(prompt string, echo bool) (string, error) {
					answer, ok := test.answers[prompt]
					if !ok {
						t.Errorf("asked %q", prompt)
					}
					if echo {
						prompt = "echo " + prompt
					}
					asked = append(asked, prompt)
					return answer, nil
				}
			}
			_, err := c.List(context.Background())
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) || errors.Is(err, client.ErrDenied) != test.denied || errors.Is(err, client.ErrThrottled) != test.throttled {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if name == "endless questions" {
				asked = nil
			}
			if diff := cmp.Diff(test.asked, asked); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatNobodyTypesEndsTheLogin(t *testing.T) {
	b := startSSH(t, nil)
	c := b.client(t)
	c.Password = ""
	gone := errors.New("the terminal is gone")
	c.SSH.Ask = func(string, bool) (string, error) { return "", gone }
	if _, err := c.List(context.Background()); !errors.Is(err, gone) {
		t.Errorf("%v", err)
	}
}

func TestTheCertificateBesideAKeyIsShown(t *testing.T) {
	authority, _ := newKey(t)
	key, file := newKey(t)
	_, otherFile := newKey(t)
	cert := &ssh.Certificate{Key: key.PublicKey(), CertType: ssh.UserCert, ValidPrincipals: []string{"alice"}, ValidBefore: ssh.CertTimeInfinity}
	if err := cert.SignCert(rand.Reader, authority); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{file, otherFile} {
		write(t, f+"-cert.pub", string(ssh.MarshalAuthorizedKey(cert)))
	}
	b := startSSH(t, func(b *sshBroker) {
		checker := ssh.CertChecker{IsUserAuthority: func(by ssh.PublicKey) bool { return string(by.Marshal()) == string(authority.PublicKey().Marshal()) }}
		b.PasswordCallback, b.PublicKeyCallback = nil, checker.Authenticate
	})
	c := b.client(t)
	c.SSH.KeyFile = file
	if _, err := c.List(context.Background()); err != nil {
		t.Error(err)
	}
	c = b.client(t)
	c.SSH.KeyFile = otherFile
	if _, err := c.List(context.Background()); err == nil || !strings.Contains(err.Error(), "key-cert.pub: it is of another key") {
		t.Error(err)
	}
}

// startAgent is an agent that holds the keys of the files, and gives its socket.
func startAgent(t *testing.T, files ...string) string {
	t.Helper()
	keys := agent.NewKeyring()
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		private, err := ssh.ParseRawPrivateKey(text)
		if err != nil {
			private, err = ssh.ParseRawPrivateKeyWithPassphrase(text, []byte("geheim"))
		}
		if err == nil {
			err = keys.Add(agent.AddedKey{PrivateKey: private})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	socket := filepath.Join(t.TempDir(), "agent")
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
				_ = agent.ServeAgent(keys, conn) // ends when the client has done
				conn.Close()
			}()
		}
	}()
	return socket
}
