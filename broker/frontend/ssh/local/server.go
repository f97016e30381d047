package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"

	"github.com/x2broker/x2broker/broker/frontend"
	"github.com/x2broker/x2broker/broker/frontend/plain"
	"github.com/x2broker/x2broker/broker/frontend/ssh"
	"github.com/x2broker/x2broker/broker/frontend/ssh/command"
	"github.com/x2broker/x2broker/broker/listen/peer"
	"github.com/x2broker/x2broker/broker/session"
)

// Limits of the socket.
const (
	readTime  = 10 * time.Second // for a request to come in
	writeTime = 10 * time.Second
	loginTime = 60 * time.Second // to find out who a user is
	endTime   = 10 * time.Second // for running requests, when the broker stops

	maxHeader = 8 << 10
)

// How much may be at once, in all and of one user.
var (
	connections = limits{all: 256, each: 64}
	requests    = limits{all: 64, each: 16}
)

// codeFailed is the exit code where there is no answer.
const codeFailed = 1

// Options of a [Server].
type Options struct {
	Service *session.Service
	Door    *ssh.Door
	// TrustAddress takes the address of the client from what `x2broker ssh` says.
	// Without it everybody is on this machine, 127.0.0.1.
	TrustAddress bool
	Log          *slog.Logger
}

// A Server answers `x2broker ssh`.
type Server struct {
	Options
	connected, asking *share
	http              *http.Server
	writeTime         time.Duration // for an answer to be taken
}

// NewServer returns a Server.
func NewServer(o Options) *Server {
	s := &Server{Options: o, connected: newShare(connections), asking: newShare(requests), writeTime: writeTime}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+path, s.serve)
	s.http = &http.Server{
		Handler:        mux,
		ReadTimeout:    readTime,
		WriteTimeout:   readTime + writeTime,
		MaxHeaderBytes: maxHeader,
		ErrorLog:       slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
		ConnContext:    peer.Context,
	}
	s.http.SetKeepAlivesEnabled(false)
	return s
}

// Serve answers on the listener, whose connections must be *net.UnixConn, until
// the context ends. Then it waits a while for what is being answered.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	s.http.BaseContext = func(net.Listener) context.Context { return context.WithoutCancel(ctx) }
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
		defer cancel()
		if err := s.http.Shutdown(limited); err != nil {
			s.http.Close()
		}
	})
	err := s.http.Serve(peer.Listen(l, s.connected.take, s.Log))
	if !stop() {
		<-ended
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	uid := peer.UID(r.Context())
	leave := s.asking.take(uid)
	if leave == nil {
		reply(w, http.StatusOK, answerOf(failed("the broker is busy, try again later")))
		return
	}
	defer leave()
	defer func() {
		if v := recover(); v != nil {
			s.Log.ErrorContext(r.Context(), "request panicked", "panic", fmt.Sprint(v), "uid", uid, "stack", string(debug.Stack()))
			reply(w, http.StatusInternalServerError, failure{"the broker failed, its log says why"})
		}
	}()
	var q Request
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, MaxBody))
	d.DisallowUnknownFields()
	err := d.Decode(&q)
	if _, end := d.Token(); err != nil || !errors.Is(end, io.EOF) {
		reply(w, http.StatusBadRequest, failure{"the request cannot be read: is x2broker ssh of the same version as the broker?"})
		return
	}
	rc := http.NewResponseController(w)
	err = rc.SetReadDeadline(time.Time{}) // or its passing would end the request
	a := answerOf(s.answer(r.Context(), uid, q))
	if err = errors.Join(err, rc.SetWriteDeadline(time.Now().Add(s.writeTime))); err != nil {
		s.Log.DebugContext(r.Context(), "cannot set a deadline", "err", err)
		return
	}
	reply(w, http.StatusOK, a)
}

func answerOf(r ssh.Result) Answer { return Answer{string(r.Stdout), string(r.Stderr), r.Code} }

// answer does what the user wants.
func (s *Server) answer(ctx context.Context, uid uint32, q Request) ssh.Result {
	r, err := q.parse()
	if err != nil {
		return ssh.Usage(err)
	}
	if r.LoginCheck || r.Silent {
		return s.Door.Run(ctx, r, nil)
	}
	address, err := s.address(q)
	if err != nil {
		return failed(err.Error())
	}
	limited, cancel := context.WithTimeout(ctx, loginTime)
	defer cancel()
	p, err := s.Service.ConnectUID(limited, uid, q.User, address)
	if err != nil {
		return denied(r, err)
	}
	return s.Door.Run(ctx, r, p)
}

// parse reads what he wants.
func (q Request) parse() (command.Request, error) {
	if q.Original != nil {
		return command.Parse(*q.Original)
	}
	return command.ParseArgs(q.Args)
}

var here = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// address is where his client is.
func (s *Server) address(q Request) (netip.Addr, error) {
	if !s.TrustAddress || q.Client == nil {
		return here, nil
	}
	first, _, _ := strings.Cut(*q.Client, " ")
	a, err := netip.ParseAddr(first)
	if err != nil || a.Zone() != "" {
		return a, errors.New("SSH_CLIENT does not begin with an IP address")
	}
	return a.Unmap(), nil
}

// denied says to X2Go Client what it shows as a failed login.
func denied(r command.Request, err error) ssh.Result {
	_, body, _ := frontend.Refusal(plain.Dialect(http.StatusOK), err)
	lines := []string{body}
	if r.Begin != "" {
		lines = []string{r.Begin, body, r.End}
	}
	return ssh.Result{Stdout: []byte(strings.Join(lines, "\n") + "\n")}
}

func failed(text string) ssh.Result {
	return ssh.Result{Stderr: []byte("x2broker ssh: error: " + text + "\n"), Code: codeFailed}
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // he has gone: nothing to do about it
}
