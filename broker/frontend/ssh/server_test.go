package ssh

import (
	"bytes"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/x2broker/x2broker/broker/frontend/doortest"
)

// The exchange of X2Go Client: a login check with a terminal, then a channel for
// each request, all on one connection.
func TestTheExchangeOfX2GoClient(t *testing.T) {
	r := start(t, users(t))
	c := r.dial(t, config("alice", password()))
	s, err := c.NewSession()
	check(t, err)
	check(t, s.RequestPty("xterm", 24, 80, nil))
	check(t, s.WindowChange(24, 80))
	if got := runOn(t, s, `echo "LOGIN OK"`); got != (ran{out: "LOGIN OK\n"}) {
		t.Errorf("%+v", got)
	}
	list := run(t, c, framed("/x2broker --user alice --task listsessions"))
	for _, want := range []string{beginMark + "\nAUTHID:", "\nAccess granted\nSTART_USER_SESSIONS\n", "[office]\n", "END_USER_SESSIONS\n\n" + endMark + "\n"} {
		if !strings.Contains(list.out, want) {
			t.Errorf("no %q in %q", want, list.out)
		}
	}
	if list.err != "" || list.code != 0 || strings.Contains(list.out, "[bobs]") {
		t.Errorf("%+v", list)
	}
	_, ticket, _ := strings.Cut(list.out, "AUTHID:")
	ticket, _, _ = strings.Cut(ticket, "\n")
	selected := run(t, c, framed(`/x2broker --user alice --task selectsession --sid "office" --authid `+ticket))
	if !strings.Contains(selected.out, "Access granted\nSERVER:ts01:22\n\n"+endMark) {
		t.Errorf("%+v", selected)
	}
	if got := run(t, c, "x2broker --task testcon"); !strings.HasPrefix(got.out, "OK\n") || strings.Contains(got.out, "granted") || got.code != 0 {
		t.Errorf("%.60q, %d", got.out, got.code)
	}
}

func TestWhoTypesAtATerminalIsToldWhatThisIs(t *testing.T) {
	r := start(t, users(t))
	s, err := r.dial(t, config("alice", password())).NewSession()
	check(t, err)
	var stderr bytes.Buffer
	s.Stderr = &stderr
	check(t, s.Shell())
	exit := new(ssh.ExitError)
	if err := s.Wait(); !errors.As(err, &exit) || exit.ExitStatus() != 1 || !strings.Contains(stderr.String(), "session broker") {
		t.Errorf("%v, %q", err, &stderr)
	}
}

func TestAMistakeInACommandIsExplained(t *testing.T) {
	r := start(t, users(t))
	c := r.dial(t, config("alice", password()))
	for line, want := range map[string]ran{
		"x2broker --task listsessions --colour":    {err: "x2broker ssh: error:", code: 2},
		"x2broker":                                 {out: "--task", code: 254},
		"cat /etc/passwd":                          {err: "x2broker ssh: error:", code: 2},
		"x2broker --task listsessions --backend x": {err: `there is no backend "x" here`, code: 1},
		"x2broker --task listsessions; id":         {err: "x2broker ssh: error:", code: 2},
	} {
		got := run(t, c, line)
		if !strings.Contains(got.out, want.out) || !strings.Contains(got.err, want.err) || got.code != want.code {
			t.Errorf("%q: %+v, want %+v", line, got, want)
		}
	}
}

// X2Go Client shows its login form after each answer that grants nothing, and
// sends what is typed there only on a new connection.
func TestAConnectionEndsWithAnAnswerThatGrantsNothing(t *testing.T) {
	r := start(t, users(t))
	for _, command := range []string{
		"x2broker --user bob --task listsessions",
		"x2broker --user alice --task selectsession --sid nothing",
		"x2broker --user alice --task setpass --newpass better",
	} {
		c := r.dial(t, config("alice", password()))
		if got := run(t, c, command); !strings.HasPrefix(got.out, "Access denied") || got.code != 0 {
			t.Errorf("%s: %+v", command, got)
		}
		if err := c.Wait(); err == nil {
			t.Error("ended without an end")
		}
	}
}

// Passwords are Latin-1 with X2Go Client, and UTF-8 with others.
func TestPasswordsInEitherEncoding(t *testing.T) {
	r := start(t, users(t))
	latin1 := make([]byte, 0, len(doortest.Password))
	for _, c := range doortest.Password {
		latin1 = append(latin1, byte(c))
	}
	for _, p := range []string{doortest.Password, string(latin1)} {
		whoami(t, r.dial(t, config("alice", ssh.Password(p))))
		whoami(t, r.dial(t, config("alice", answers(p))))
	}
}

// answers gives the same answer to all prompts.
func answers(p string) ssh.AuthMethod {
	return ssh.KeyboardInteractive(func(_, _ string, questions []string, _ []bool) ([]string, error) {
		all := make([]string, len(questions))
		for i := range all {
			all[i] = p
		}
		return all, nil
	})
}

func TestAnOpenBrokerLetsX2GoClientIn(t *testing.T) {
	b := doortest.NewOpen(t, doortest.Files{"site.cue": site})
	r := start(t, b)
	c := r.dial(t, config("alice", answers("")))
	if got := whoami(t, c); got != "alice" {
		t.Errorf("is %q", got)
	}
	if err := r.refuses(t, config("alice")); err == nil {
		t.Error("the method none succeeds, which X2Go Client takes for a failure")
	}
}

func TestOneLineIsLoggedForEachLogin(t *testing.T) {
	r := start(t, users(t))
	c := r.dial(t, config("alice", password()))
	for range 3 {
		run(t, c, "x2broker --task testcon")
	}
	c.Close()
	r.stop()
	if n := strings.Count(r.log.String(), `msg="SSH login"`); n != 1 {
		t.Errorf("%d lines", n)
	}
	for _, want := range []string{"user=alice", "address=127.0.0.1", "method=password"} {
		if !strings.Contains(r.log.String(), want) {
			t.Errorf("no %s in the log", want)
		}
	}
}

// A policy can tell SSH from HTTP.
func TestPoliciesSeeTheFrontend(t *testing.T) {
	b := doortest.New(t, doortest.Files{"site.cue": site, "policy/login.rego": `package x2go.login

deny contains "not over SSH" if input.client.frontend == "ssh"
`}, "alice")
	r := start(t, b)
	if got := run(t, r.dial(t, config("alice", password())), "x2broker --task listsessions"); got.out != "Access denied: not over SSH\n\n" {
		t.Errorf("%+v", got)
	}
}

// The server is told to end while a command runs: it gets its answer, and who has
// nothing running goes at once.
func TestTheServerEndsWithItsCommandsAnswered(t *testing.T) {
	a := newPerson()
	r := start(t, doortest.NewWith(t, doortest.Files{"site.cue": site}, a))
	idle, busy := r.dial(t, config("alice", answers("alice-pw"))), r.dial(t, config("alice", answers("alice-pw")))
	a.hold()
	answer := make(chan ran)
	s, err := busy.NewSession()
	check(t, err)
	go func() { answer <- runOn(t, s, "x2broker --task listsessions") }()
	<-a.held
	stopped := make(chan struct{})
	go func() { r.stop(); close(stopped) }()
	if idle.Wait() == nil {
		t.Error("ended without an end")
	}
	a.letGo()
	if got := <-answer; !strings.Contains(got.out, "Access granted\n") || got.code != 0 {
		t.Errorf("%+v", got)
	}
	<-stopped
	if _, err := net.Dial("tcp", r.addr); err == nil {
		t.Error("listens still")
	}
}

func TestAConnectionEndsWithItsLifetime(t *testing.T) {
	r := start(t, users(t), func(s *Server) { s.o.Lifetime = time.Millisecond })
	if r.dial(t, config("alice", password())).Wait() == nil {
		t.Error("ended without an end")
	}
}

// Nothing weak is agreed on, whatever a client offers.
func TestNothingWeakIsAgreedOn(t *testing.T) {
	r := start(t, users(t))
	for name, weaken := range map[string]func(*ssh.ClientConfig){
		"MAC": func(c *ssh.ClientConfig) {
			c.Ciphers, c.MACs = []string{"aes128-ctr"}, []string{"hmac-sha1", "hmac-sha1-96"}
		},
		"cipher":       func(c *ssh.ClientConfig) { c.Ciphers = []string{"aes128-cbc", "3des-cbc"} },
		"key exchange": func(c *ssh.ClientConfig) { c.KeyExchanges = ssh.InsecureAlgorithms().KeyExchanges },
		"host key":     func(c *ssh.ClientConfig) { c.HostKeyAlgorithms = []string{"ssh-rsa", "ssh-dss"} },
	} {
		c := config("alice", password())
		weaken(c)
		if err := r.refuses(t, c); err == nil || !strings.Contains(err.Error(), "no common algorithm") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheBannerIsShown(t *testing.T) {
	r := start(t, users(t), func(s *Server) { s.o.Banner = "Be kind.\r\n" })
	var shown string
	c := config("alice", password())
	c.BannerCallback = func(text string) error { shown += text; return nil }
	r.dial(t, c)
	if shown != "Be kind.\r\n" {
		t.Errorf("%q", shown)
	}
}

// Whoever offers both methods is tried with both, and fails once.
func TestAWrongPasswordCountsOnce(t *testing.T) {
	r := start(t, users(t))
	for range 5 {
		r.refuses(t, config("alice", answers("wrong"), ssh.Password("wrong")))
	}
	r.dial(t, config("alice", password()))
	if n := strings.Count(r.log.String(), `reason="wrong password"`); n != 5 {
		t.Errorf("%d wrong passwords were looked at", n)
	}
}

func TestWhoGuessedTooOftenIsToldWhenToComeAgain(t *testing.T) {
	r := start(t, users(t))
	for range 6 {
		r.refuses(t, config("alice", ssh.Password("wrong")))
	}
	var shown string
	c := config("alice", password())
	c.BannerCallback = func(text string) error { shown += text; return nil }
	r.refuses(t, c)
	if !strings.Contains(shown, "too many failed logins, try again in ") {
		t.Errorf("%q", shown)
	}
	if n := r.State().Logins[Outcome{"password", "throttled"}]; n != 1 {
		t.Errorf("%d throttled", n)
	}
}

func TestStateCountsConnections(t *testing.T) {
	r := start(t, users(t))
	for _, c := range []*ssh.ClientConfig{config("alice", password()), config("bob", answers(doortest.Password))} {
		run(t, r.dial(t, c), "x2broker --task testcon")
	}
	s := r.State()
	if s.Open != 2 || s.Waiting != 0 || s.Logins[Outcome{"password", "granted"}] != 1 || s.Logins[Outcome{"keyboard-interactive", "granted"}] != 1 || len(s.HostKeys.Fingerprints) != 2 {
		t.Errorf("%+v", s)
	}
}
