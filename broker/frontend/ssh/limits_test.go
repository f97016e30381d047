package ssh

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/x2broker/x2broker/broker/frontend/doortest"
)

// unharmed wants that others are served.
func (r *running) unharmed(t *testing.T) {
	t.Helper()
	c := r.dial(t, config("bob", password()))
	defer c.Close()
	if got := run(t, c, "x2broker --task listsessions"); !strings.Contains(got.out, "[office]") {
		t.Errorf("%+v", got)
	}
}

// settles waits until no more connections are open than before, and no goroutine
// is left of those that have ended.
func (r *running) settles(t *testing.T, goroutines int) {
	t.Helper()
	for end := time.Now().Add(deadline); ; time.Sleep(5 * time.Millisecond) {
		s := r.State()
		now := runtime.NumGoroutine()
		if s.Open == 0 && s.Waiting == 0 && now <= goroutines {
			return
		}
		if time.Now().After(end) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%+v, %d goroutines, were %d\n%s", s, now, goroutines, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// Somebody sends all kinds of things that are not SSH, or the beginning of it, and
// waits. The time for the login ends each.
func TestWhoDoesNotLogInIsEnded(t *testing.T) {
	r := start(t, users(t), func(s *Server) { s.o.LoginTime = 200 * time.Millisecond })
	before := runtime.NumGoroutine()
	for name, text := range map[string]string{
		"nothing":                 "",
		"HTTP":                    "GET / HTTP/1.1\r\nHost: broker\r\n\r\n",
		"half a version":          "SSH-2.0-x",
		"an endless line":         strings.Repeat("x", 1<<16),
		"lines before a version":  strings.Repeat("hello\r\n", 10000),
		"a version":               "SSH-2.0-x\r\n",
		"version 1":               "SSH-1.5-x\r\n",
		"a packet without an end": "SSH-2.0-x\r\n\x00\x03\x00\x00\x04" + strings.Repeat("\x14", 1000),
		"a packet that is huge":   "SSH-2.0-x\r\n\xff\xff\xff\xff\x04",
		"zeros":                   "SSH-2.0-x\r\n" + strings.Repeat("\x00", 100000),
	} {
		conn, err := net.Dial("tcp", r.addr)
		check(t, err)
		check(t, conn.SetDeadline(time.Now().Add(deadline)))
		_, _ = io.WriteString(conn, text) // it may be cut
		if _, err := io.Copy(io.Discard, conn); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Errorf("%s: is kept", name)
		}
		conn.Close()
	}
	c := dialRaw(t, r.addr) // agrees on keys and says no more
	c.begin()
	c.ended()
	c.conn.Close()
	r.settles(t, before)
}

// A client asks for a list and leaves no room for it.
func TestWhoGivesNoRoomForTheAnswerIsEnded(t *testing.T) {
	r := start(t, users(t), func(s *Server) { s.writeTime = 200 * time.Millisecond })
	before := runtime.NumGoroutine()
	c := dialRaw(t, r.addr)
	c.login("alice", doortest.Password)
	c.send(openSession(0, 0))
	c.expect(msgChannelConfirm)
	c.send(execRequest(0, "x2broker --task testcon"))
	c.ended()
	c.conn.Close()
	r.settles(t, before)
}

// A client asks for two thousand answers and reads nothing at all.
func TestWhoDoesNotReadIsEnded(t *testing.T) {
	r := start(t, users(t), func(s *Server) { s.writeTime = 200 * time.Millisecond })
	before := runtime.NumGoroutine()
	c := dialRaw(t, r.addr)
	check(t, c.conn.(*net.TCPConn).SetReadBuffer(4<<10))
	c.login("alice", doortest.Password)
	var all [][]byte
	for i := range uint32(2000) {
		all = append(all, openSession(i, 1<<30), execRequest(i, "x2broker --task testcon"))
	}
	c.sendAll(all...) // an error is the end that is wanted
	r.unharmed(t)
	r.settles(t, before) // while it is connected still
}

// A client opens thousands of channels, of all kinds.
func TestThousandsOfChannels(t *testing.T) {
	r := start(t, users(t))
	before := runtime.NumGoroutine()
	c := r.dial(t, config("alice", password()))
	opened, refused := 0, 0
	for i := range 5000 {
		kind := [...]string{"session", "session", "direct-tcpip", "x11", "direct-streamlocal@openssh.com"}[i%5]
		channel, requests, err := c.OpenChannel(kind, nil)
		if channel != nil {
			opened++
			go ssh.DiscardRequests(requests)
			if kind != "session" {
				t.Fatalf("%s is opened", kind)
			}
			continue
		}
		refused++
		if open := (*ssh.OpenChannelError)(nil); err != nil && !asOpenError(err, &open) {
			break // it has said more than anybody has to say
		}
	}
	if opened > maxChannels {
		t.Errorf("%d channels are open, %d were refused", opened, refused)
	}
	r.unharmed(t)
	c.Close()
	r.settles(t, before)
}

func asOpenError(err error, open **ssh.OpenChannelError) (ok bool) {
	*open, ok = err.(*ssh.OpenChannelError)
	return ok
}

func TestNothingIsForwarded(t *testing.T) {
	r := start(t, users(t))
	c := r.dial(t, config("alice", password()))
	for _, kind := range []string{"direct-tcpip", "forwarded-tcpip", "x11", "auth-agent@openssh.com", "direct-streamlocal@openssh.com", "tun@openssh.com", ""} {
		if _, _, err := c.OpenChannel(kind, nil); err == nil {
			t.Errorf("%s is opened", kind)
		}
	}
	for _, request := range []string{"tcpip-forward", "cancel-tcpip-forward", "streamlocal-forward@openssh.com", "hostkeys-prove-00@openssh.com", "no-such"} {
		if ok, _, err := c.SendRequest(request, true, nil); ok || err != nil {
			t.Errorf("%s is granted: %v", request, err)
		}
	}
	s, err := c.NewSession()
	check(t, err)
	for _, request := range []string{"subsystem", "x11-req", "auth-agent-req@openssh.com", "env", "signal", "break", "no-such"} {
		if ok, err := s.SendRequest(request, true, nil); ok || err != nil {
			t.Errorf("%s is granted: %v", request, err)
		}
	}
	if got := runOn(t, s, "x2broker --task testcon"); got.code != 0 {
		t.Errorf("%d after all that", got.code)
	}
}

// Commands that come at the same time are answered or refused, never queued, and
// one channel runs one command.
func TestCommandsAtTheSameTime(t *testing.T) {
	a := newPerson()
	r := start(t, doortest.NewWith(t, doortest.Files{"site.cue": site}, a))
	c := r.dial(t, config("alice", answers("alice-pw")))
	a.hold()
	var all sync.WaitGroup
	defer all.Wait()
	for range maxExecs {
		s, err := c.NewSession()
		check(t, err)
		var out bytes.Buffer
		s.Stdout = &out
		check(t, s.Start("x2broker --task listsessions")) // it counts from here on
		all.Go(func() {
			if err := s.Wait(); err != nil || !bytes.Contains(out.Bytes(), []byte("Access granted")) {
				t.Errorf("%q, %v", out.Bytes(), err)
			}
		})
	}
	<-a.held // the others wait for this one, which asks for all
	s, err := c.NewSession()
	check(t, err)
	if s.Start("x2broker --task testcon") == nil {
		t.Error("one more is run")
	}
	a.letGo()
}

func TestASecondCommandOnAChannelIsRefused(t *testing.T) {
	a := newPerson()
	r := start(t, doortest.NewWith(t, doortest.Files{"site.cue": site}, a))
	c := dialRaw(t, r.addr)
	c.login("alice", "alice-pw")
	c.send(openSession(0, 1<<20))
	c.expect(msgChannelConfirm)
	a.hold()
	c.send(execRequest(0, "x2broker --task listsessions"))
	<-a.held
	c.send(execRequest(0, "x2broker --task listsessions"))
	c.expect(msgChannelFailure)
	a.letGo()
}

func TestHugeCommands(t *testing.T) {
	r := start(t, users(t))
	c := r.dial(t, config("alice", password()))
	if got := run(t, c, "x2broker --task listsessions --sid "+strings.Repeat("x", 20<<10)); got.code != 2 || !strings.Contains(got.err, "longer than") {
		t.Errorf("%+v", got)
	}
	// This is more than a packet may be.
	s, err := c.NewSession()
	check(t, err)
	if err := s.Run(strings.Repeat("x", 300<<10)); err == nil {
		t.Error("is run")
	}
	r.unharmed(t)
}

// A client goes on sending what nobody asked for: environment, to a channel's
// standard input, requests.
func TestWhoSendsWithoutEndIsEnded(t *testing.T) {
	for name, send := range map[string]func(*ssh.Client, *ssh.Session) error{
		"environment": func(_ *ssh.Client, s *ssh.Session) error { return s.Setenv(strings.Repeat("X", 5000), "x") },
		"requests": func(c *ssh.Client, _ *ssh.Session) error {
			_, _, err := c.SendRequest("no-such", false, make([]byte, 5000))
			return err
		},
		"input": func(_ *ssh.Client, s *ssh.Session) error {
			in, err := s.StdinPipe()
			if err != nil {
				return io.EOF // of the second time
			}
			for err == nil {
				_, err = in.Write(make([]byte, 5000))
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, users(t), func(s *Server) { s.allowance = 32 << 10 })
			before := runtime.NumGoroutine()
			c := r.dial(t, config("alice", password()))
			s, err := c.NewSession()
			check(t, err)
			ended := make(chan struct{})
			go func() { _ = c.Wait(); close(ended) }()
			for range 1000 {
				_ = send(c, s) // env is refused, and at the end everything
			}
			select {
			case <-ended:
			case <-time.After(deadline):
				t.Error("is kept")
			}
			r.unharmed(t)
			c.Close()
			r.settles(t, before)
		})
	}
}

// The library has a queue between what reads packets and what acts on them. A
// packet that ends the connection, with more behind it than the queue holds, would
// leave the goroutines of the connection waiting for each other for ever: before the
// login, and after it.
func TestAFullQueueBehindABadPacketLeavesNothing(t *testing.T) {
	r := start(t, users(t))
	before := runtime.NumGoroutine()
	flood := make([][]byte, 200)
	for i := range flood {
		flood[i] = []byte{msgUnimplemented, 0, 0, 0, 0}
	}
	for range 10 {
		c := dialRaw(t, r.addr)
		c.sendAll(append([][]byte{appendString([]byte{msgServiceRequest}, []byte("no-such"))}, flood...)...)
		c.ended()
		c.conn.Close()

		c = dialRaw(t, r.addr)
		c.begin()
		c.sendAll(append([][]byte{{msgAuthRequest}}, flood...)...)
		c.ended()
		c.conn.Close()

		// Tries that fail are answered one by one, and all the others wait.
		c = dialRaw(t, r.addr)
		c.begin()
		var tries [][]byte
		for i := range 100 {
			tries = append(tries, auth(fmt.Sprint("user", i), "none"))
		}
		c.sendAll(tries...)
		c.ended()
		c.conn.Close()

		c = dialRaw(t, r.addr)
		c.login("alice", doortest.Password)
		c.sendAll(append([][]byte{{msgChannelOpen}}, flood...)...)
		c.ended()
		c.conn.Close()
	}
	r.unharmed(t)
	r.settles(t, before)
}

// Connections that have logged in and say nothing are asked for a sign of life.
func TestWhoIsGoneIsEnded(t *testing.T) {
	r := start(t, users(t), func(s *Server) { s.keepEach = 50 * time.Millisecond })
	before := runtime.NumGoroutine()
	silent := dialRaw(t, r.addr)
	silent.login("alice", doortest.Password)
	lively := r.dial(t, config("bob", password())) // whose library answers
	silent.ended()
	silent.conn.Close()
	run(t, lively, "x2broker --task testcon")
	lively.Close()
	r.settles(t, before)
}
