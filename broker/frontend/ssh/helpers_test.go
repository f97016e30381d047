package ssh

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/x2broker/x2broker/broker/frontend/doortest"
)

// deadline is how long a test waits for something that should happen soon.
const deadline = 30 * time.Second

const site = `package site

site: name: "Test"
servers: ts01: {}
profiles: [string]: hosts: ids: ["ts01"]
profiles: office: {name: "Office", access: users: ["alice", "bob"]}
profiles: lab: {name: "Lab", access: {users: ["alice"], from: ["10.9.9.9/32"]}}
profiles: bobs: {name: "Bob's", access: users: ["bob"]}
`

// A running is a server for a test, with all that is behind it.
type running struct {
	*Server
	addr string
	log  *doortest.Log
	stop func() // and waits until it has ended
}

// start starts a server for a broker, changed by each of with.
func start(t *testing.T, b *doortest.Broker, with ...func(*Server)) *running {
	t.Helper()
	log := slog.New(slog.NewTextHandler(b.Log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s := New(Options{
		Service: b.Service, Door: NewDoor(b.Service, false, log), HostKeys: hostKeys(t),
		LoginTime: deadline, Lifetime: time.Hour, Grace: deadline, Log: log,
	})
	for _, change := range with {
		change(s)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { s.Serve(ctx, narrow{l}) })
	r := &running{Server: s, addr: l.Addr().String(), log: b.Log, stop: func() { cancel(); done.Wait() }}
	t.Cleanup(r.stop)
	return r
}

// narrow is a listener whose connections hold little of what is not read.
type narrow struct{ net.Listener }

func (l narrow) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		err = c.(*net.TCPConn).SetWriteBuffer(4 << 10)
	}
	return c, err
}

func users(t *testing.T) *doortest.Broker {
	return doortest.New(t, doortest.Files{"site.cue": site}, "alice", "bob")
}

// config is a client's, with these ways to log in.
func config(user string, auth ...ssh.AuthMethod) *ssh.ClientConfig {
	return &ssh.ClientConfig{User: user, Auth: auth, HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: deadline}
}

func password() ssh.AuthMethod { return ssh.Password(doortest.Password) }

// dial logs in.
func (r *running) dial(t *testing.T, c *ssh.ClientConfig) *ssh.Client {
	t.Helper()
	client, err := ssh.Dial("tcp", r.addr, c)
	check(t, err)
	t.Cleanup(func() { client.Close() })
	return client
}

// refuses wants no login, and gives the error.
func (r *running) refuses(t *testing.T, c *ssh.ClientConfig) error {
	t.Helper()
	client, err := ssh.Dial("tcp", r.addr, c)
	if err == nil {
		client.Close()
		t.Error("is let in")
	}
	return err
}

// ran is what a command printed.
type ran struct {
	out, err string
	code     int
}

// run runs one command on a channel of its own.
func run(t *testing.T, c *ssh.Client, line string) ran {
	t.Helper()
	s, err := c.NewSession()
	check(t, err)
	return runOn(t, s, line)
}

func runOn(t *testing.T, s *ssh.Session, line string) ran {
	t.Helper()
	defer s.Close()
	var out, stderr bytes.Buffer
	s.Stdout, s.Stderr = &out, &stderr
	err := s.Run(line)
	r := ran{out: out.String(), err: stderr.String()}
	exit := new(ssh.ExitError)
	if errors.As(err, &exit) {
		r.code = exit.ExitStatus()
	} else if err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return r
}

const (
	beginMark = "X2GODATABEGIN:01234567-89ab-cdef-0123-456789abcdef"
	endMark   = "X2GODATAEND:01234567-89ab-cdef-0123-456789abcdef"
)

// framed is a command as X2Go Client sends it.
func framed(command string) string {
	return `bash -l -c 'echo "` + beginMark + `"; export PATH="/usr/local/bin:/usr/bin:/bin";export TERM="dumb"; ` + command + `; echo "` + endMark + `";'`
}

// whoami is as whom a connection counts.
func whoami(t *testing.T, c *ssh.Client) string {
	t.Helper()
	r := run(t, c, framed("whoami"))
	name, ok := strings.CutPrefix(r.out, beginMark+"\n")
	name, more := strings.CutSuffix(name, "\n"+endMark+"\n")
	if !ok || !more {
		t.Fatalf("%+v", r)
	}
	return name
}
