// Package ssh is the SSH server of the broker, and what answers requests that
// come over SSH, whoever's server they come through.
//
// # Promises
//
// There is no shell, no program is started, nothing is forwarded, and nothing of
// the environment that a client sends counts. Who somebody is, only the login
// says that has succeeded as a whole: a key that was offered and not signed with,
// or the first of two steps, proves nothing.
//
// What a client may keep the server busy with is bounded before and after the
// login: time, connections, commands, and what it may send before it takes what
// it is sent. A panic in one connection ends that connection.
package ssh

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/x2broker/x2broker/broker/listen"
	"github.com/x2broker/x2broker/broker/session"
)

const (
	version = "SSH-2.0-x2broker"

	// maxTries is how many wrong passwords and keys one connection may offer.
	maxTries = 6

	// maxPause is the longest pause after no connection could be accepted.
	maxPause = time.Second

	writeTime = 30 * time.Second // for a packet, or a piece of an answer
	keepEach  = time.Minute      // a sign of life is asked for
)

// Options of a Server. All are required but Keys and Banner.
type Options struct {
	Service  *session.Service
	Door     *Door // of that service
	HostKeys *HostKeys

	Keys           Keys   // nil: keys do not count
	KeyAndPassword bool   // a key is the first of two steps
	Conversation   bool   // authenticators may ask for more than a password
	Banner         string // shown before the login; lines

	LoginTime time.Duration // for a whole login
	Lifetime  time.Duration // of a connection after its login
	Grace     time.Duration // for running commands when the server ends
	Log       *slog.Logger
}

// Server answers SSH clients.
type Server struct {
	o                   Options
	lobby, codes        *lobby // codes: of those in the lobby who are asked for more than a password
	writeTime, keepEach time.Duration
	allowance           int64

	mu     sync.Mutex
	open   int // connections after their login
	logins map[Outcome]uint64
}

// New returns a Server.
func New(o Options) *Server {
	return &Server{o: o, lobby: newLobby(maxStrangers, maxStrangersHere), codes: newLobby(maxCodes, maxCodesHere), writeTime: writeTime, keepEach: keepEach, allowance: allowance, logins: map[Outcome]uint64{}}
}

// An Outcome is what became of steps of logins.
type Outcome struct {
	Method string // "password", "keyboard-interactive", "publickey", "none"
	Result string // "granted", "denied", "throttled"
}

// State is for people.
type State struct {
	Open     int                // connections after their login
	Waiting  int                // connections before it
	Turned   uint64             // of these ended in favour of newer ones, since the start
	Logins   map[Outcome]uint64 // since the start
	HostKeys HostKeyState
}

// State says how the server is doing.
func (s *Server) State() State {
	st := State{HostKeys: s.o.HostKeys.State()}
	st.Waiting, st.Turned = s.lobby.count()
	s.mu.Lock()
	defer s.mu.Unlock()
	st.Open, st.Logins = s.open, maps.Clone(s.logins)
	return st
}

// count notes how a step of a login ended.
func (s *Server) count(method string, err error) {
	result := "granted"
	if denied := new(session.DeniedError); errors.As(err, &denied) && denied.RetryAfter > 0 {
		result = "throttled"
	} else if err != nil {
		result = "denied"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logins[Outcome{method, result}]++
}

// Serve answers until the context ends or the listener is closed. Commands that
// are running then may end within the grace; all other connections are closed.
func (s *Server) Serve(ctx context.Context, l net.Listener) {
	defer context.AfterFunc(ctx, func() { l.Close() })()
	var all sync.WaitGroup
	defer all.Wait()
	for pause := time.Duration(0); ; {
		nc, err := l.Accept()
		switch {
		case err == nil:
			pause = 0
			all.Go(func() { s.handle(ctx, nc) })
		case errors.Is(err, net.ErrClosed):
			return
		default: // such as too many open files
			pause = min(max(2*pause, 5*time.Millisecond), maxPause)
			s.o.Log.Error("no SSH connection can be accepted, trying again", "err", err, "pause", pause)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
		}
	}
}

// handle serves one connection to its end.
func (s *Server) handle(ctx context.Context, nc net.Conn) {
	w := newWire(nc, s.writeTime, s.allowance)
	defer w.Close()
	defer s.contain()
	address := listen.AddressOf(w.RemoteAddr()) // may read a PROXY header
	conn, channels, requests, p := s.login(ctx, w, address)
	if p == nil {
		return
	}
	defer conn.Close()
	defer p.proof.End()
	about := []any{"user", p.proof.User(), "address", address, "method", p.method}
	if p.key != "" {
		about = append(about, "key", p.key)
	}
	s.o.Log.Info("SSH login", about...)
	s.opened(1)
	defer s.opened(-1)
	newConnection(s, w, conn, p.proof).serve(ctx, channels, requests)
}

func (s *Server) opened(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open += n
}

// login gives nil for nobody.
func (s *Server) login(ctx context.Context, w *wire, address netip.Addr) (*ssh.ServerConn, <-chan ssh.NewChannel, <-chan *ssh.Request, *proven) {
	ctx, cancel := context.WithTimeout(ctx, s.o.LoginTime)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { w.Close() })
	stranger := s.lobby.enter(address, cancel)
	defer s.lobby.leave(stranger) // also in a panic
	l := &login{server: s, ctx: ctx, wire: w, address: address}
	conn, channels, requests, err := ssh.NewServerConn(w, l.config())
	in := s.lobby.leave(stranger)
	if err != nil {
		s.o.Log.Debug("no SSH login", "address", address, "err", err)
		return nil, nil, nil, nil
	}
	p := provenBy(conn.Permissions)
	if p == nil {
		s.o.Log.Error("an SSH login succeeded that proves nothing", "address", address)
	}
	if p == nil || !in || !stop() {
		conn.Close()
		return nil, nil, nil, nil
	}
	return conn, channels, requests, p
}

// contain ends one connection with a panic, and nothing else. Defer it.
func (s *Server) contain() {
	if v := recover(); v != nil {
		s.panicked("connection", v)
	}
}

func (s *Server) panicked(where string, v any) {
	s.o.Log.Error("SSH connection panicked", "panic", fmt.Sprint(v), "in", where, "stack", string(debug.Stack()))
}
