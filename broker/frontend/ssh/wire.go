package ssh

import (
	"errors"
	"net"
	"sync/atomic"
	"time"
)

// Limits of one connection. What a client may send is bounded because what it
// has sent waits in memory until somebody looks at it.
const (
	allowance     = 256 << 10 // bytes that a client may send before anything is answered
	allowanceExec = 64 << 10  // and again for each command that was answered,
	allowanceTick = 64 << 10  // and each keepEach, but never more than allowance at once
	writeTime     = 30 * time.Second
)

var errTooMuch = errors.New("the client sends more than any client has to say")

// A wire is the network connection below SSH, with its limits.
type wire struct {
	net.Conn
	left  atomic.Int64 // bytes that may come
	heard atomic.Int64 // when something came last, in nanoseconds of Unix time
}

func newWire(nc net.Conn) *wire {
	w := &wire{Conn: nc}
	w.left.Store(allowance)
	w.heard.Store(time.Now().UnixNano())
	return w
}

// Read ends the connection of who sends too much.
func (w *wire) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	w.heard.Store(time.Now().UnixNano())
	if w.left.Add(-int64(n)) < 0 {
		w.Close()
		return 0, errTooMuch
	}
	return n, err
}

// Write gives a client a while to take what it asked for. One call is one packet
// at most.
func (w *wire) Write(b []byte) (int, error) {
	if err := w.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return 0, err
	}
	n, err := w.Conn.Write(b)
	if err != nil {
		w.Close() // half a packet is of no use
	}
	return n, err
}

// allow lets the client send more.
func (w *wire) allow(n int64) {
	for {
		left := w.left.Load()
		if left < 0 || w.left.CompareAndSwap(left, min(left+n, allowance)) {
			return
		}
	}
}

// silence is how long nothing has come.
func (w *wire) silence() time.Duration { return time.Since(time.Unix(0, w.heard.Load())) }
