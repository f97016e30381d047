package listen

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// countedListener counts the pieces that are written to its connections.
type countedListener struct {
	net.Listener
	writes atomic.Int64
	broken bool // nothing can be written
}

func (l *countedListener) behind(g *Gate) net.Listener { return g.Listener(l) }

type countedConn struct {
	net.Conn
	l *countedListener
}

func (l *countedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &countedConn{c, l}, nil
}

func (c *countedConn) Write(b []byte) (int, error) {
	c.l.writes.Add(1)
	if c.l.broken {
		return 0, errors.New("broken")
	}
	return c.Conn.Write(b)
}

// serveWhole answers with the handler, whole.
func serveWhole(t *testing.T, l func(*Gate) net.Listener, h http.HandlerFunc) {
	t.Helper()
	g := newGate(nil)
	server := &http.Server{Handler: Whole(h), ReadHeaderTimeout: patience, ConnState: g.Track, ConnContext: Connection}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l(g)) }()
	t.Cleanup(func() { server.Close(); <-done })
}

func newCounted(t *testing.T) *countedListener {
	t.Helper()
	return &countedListener{Listener: open(t, func(l net.Listener) net.Listener { return l })}
}

// answer writes in pieces.
func answer(text string, withLength bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if withLength {
			w.Header().Set("Content-Length", strconv.Itoa(len(text)))
		}
		for rest := text; rest != ""; {
			n := min(len(rest), 3000)
			_, _ = io.WriteString(w, rest[:n])
			rest = rest[n:]
		}
	}
}

func TestAReplyGoesOutInOnePiece(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 1<<14)
	for name, tt := range map[string]struct {
		text       string
		withLength bool
		atMost     int64
	}{
		"nothing":              {"", true, 1},
		"one buffer":           {long[:1000], true, 1},
		"many buffers":         {long[:20_000], true, 1},
		"more than is held":    {long, true, int64(len(long)/mostHeld + 1)},
		"of a length not told": {long[:20_000], false, 20},
		"short, and not told":  {long[:1000], false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			l := newCounted(t)
			serveWhole(t, l.behind, answer(tt.text, tt.withLength))
			c := dial(t, l, "127.0.0.1")
			for i := range int64(2) { // on one connection
				got, err := ask(c, "")
				if err != nil || got != tt.text {
					t.Fatalf("got %d bytes, %v; want %d", len(got), err, len(tt.text))
				}
				if n := l.writes.Load(); n > (i+1)*tt.atMost {
					t.Errorf("%d replies in %d pieces, want at most %d each", i+1, n, tt.atMost)
				}
			}
		})
	}
}

func TestAClientThatAsksIsToldToGoOn(t *testing.T) {
	l := newCounted(t)
	serveWhole(t, l.behind, answer("ok", true))
	c := dial(t, l, "127.0.0.1")
	if _, err := io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != http.StatusContinue {
		t.Fatalf("got %v, %v", resp, err)
	}
	if _, err := io.WriteString(c, "body"); err != nil {
		t.Fatal(err)
	}
	if resp, err = http.ReadResponse(r, nil); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("got %v, %v", resp, err)
	}
}

// net/http does not hear that a reply was lost, and would answer the next request.
func TestAConnectionEndsWithAReplyThatCannotBeWritten(t *testing.T) {
	l := newCounted(t)
	l.broken = true
	serveWhole(t, l.behind, answer("ok", true))
	if got, err := ask(dial(t, l, "127.0.0.1"), ""); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestAPanicLeavesNothingBehind(t *testing.T) {
	l := newCounted(t)
	serveWhole(t, l.behind, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "3")
		_, _ = io.WriteString(w, "no")
		panic(http.ErrAbortHandler)
	})
	if got, err := ask(dial(t, l, "127.0.0.1"), ""); err == nil {
		t.Errorf("got %q", got)
	}
}

func TestAReplyOverTLSGoesOutInOnePiece(t *testing.T) {
	p := newPair(t)
	certificates, err := LoadCertificates(p.files, time.Now, quiet)
	if err != nil {
		t.Fatal(err)
	}
	l := newCounted(t)
	text := strings.Repeat("x", 20_000) // two records
	serveWhole(t, func(g *Gate) net.Listener { return certificates.Listener(g, l) }, answer(text, true))
	c := tls.Client(dial(t, l, "127.0.0.1"), p.client(false))
	if _, err := ask(c, ""); err != nil { // and the handshake
		t.Fatal(err)
	}
	before := l.writes.Load()
	got, err := ask(c, "")
	if pieces := l.writes.Load() - before; err != nil || got != text || pieces != 1 {
		t.Errorf("got %d bytes in %d pieces, %v", len(got), pieces, err)
	}
}
