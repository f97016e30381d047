package ssh

import (
	"bytes"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// Limits of one connection. What a client may send is bounded because what it
// has sent waits in memory until somebody looks at it.
const (
	allowance     = 256 << 10 // bytes that a client may send before anything is answered
	allowanceExec = 64 << 10  // and again for each command that was answered,
	allowanceTick = 64 << 10  // and each Server.keepEach, but never more than at first
)

const (
	// newKeys is the packet of the server, counted with its version line, after
	// which x/crypto/ssh puts what the client sends into a queue, see [queueOf].
	newKeys = 4

	// unasked are the bytes that a client may send from there until it has asked
	// for a login, which takes 52. The queue has room for so many packets of the
	// least size.
	unasked = 15 * 28

	// holdTime is how long that packet waits for the next.
	holdTime = 5 * time.Millisecond
)

var errTooMuch = errors.New("the client sends more than any client has to say")

// A wire is the network connection below SSH, with its limits.
type wire struct {
	net.Conn
	writeTime time.Duration // for a packet
	holdTime  time.Duration
	most      int64 // of left
	closed    chan struct{}
	once      sync.Once

	left  atomic.Int64 // bytes that may come
	heard atomic.Int64 // when something came last, in nanoseconds of Unix time
	wrote atomic.Int64 // packets

	asked chan struct{} // closed when the client has asked for a login
	early int           // bytes before that, in the queue

	ending sync.Mutex
	queue  <-chan []byte // from the login on
	ended  bool

	sending sync.Mutex
	held    []byte // not sent yet; nil for nothing
}

func newWire(nc net.Conn, writeTime time.Duration, allowance int64) *wire {
	w := &wire{
		Conn: nc, writeTime: writeTime, holdTime: holdTime, most: allowance,
		closed: make(chan struct{}), asked: make(chan struct{}),
	}
	w.left.Store(allowance)
	w.heard.Store(time.Now().UnixNano())
	return w
}

// Read ends the connection of who sends too much.
func (w *wire) Read(b []byte) (int, error) {
	early := w.isEarly()
	if early {
		if w.early == unasked {
			select {
			case <-w.asked:
				early = false
			case <-w.closed:
				return 0, net.ErrClosed
			}
		} else {
			b = b[:min(len(b), unasked-w.early)]
		}
	}
	n, err := w.Conn.Read(b)
	w.heard.Store(time.Now().UnixNano())
	if w.left.Add(-int64(n)) < 0 {
		w.Close()
		return 0, errTooMuch
	}
	if early {
		w.early += n
	}
	return n, err
}

// isEarly reports whether what comes now is put into the queue, and nobody could
// take it out if the connection ended.
func (w *wire) isEarly() bool {
	select {
	case <-w.asked:
		return false
	default:
		return w.wrote.Load() >= newKeys
	}
}

// adopt is called when the client has asked for a login.
func (w *wire) adopt(c ssh.ServerPreAuthConn) {
	w.ending.Lock()
	defer w.ending.Unlock()
	w.queue = queueOf(c)
	close(w.asked)
	if w.ended {
		go drain(w.queue)
	}
}

// end lets what reads from the wire end, too.
func (w *wire) end() {
	w.ending.Lock()
	defer w.ending.Unlock()
	w.ended = true
	if w.queue != nil {
		go drain(w.queue)
	}
}

// drain takes out packets until what reads has closed the queue.
func drain(queue <-chan []byte) {
	for range queue {
	}
}

// Write gives a client a while to take what it asked for. One call is one packet
// at most.
func (w *wire) Write(b []byte) (int, error) {
	if w.wrote.Add(1) == newKeys {
		w.hold(b)
		return len(b), nil
	}
	if err := w.send(b); err != nil {
		return 0, err
	}
	return len(b), nil
}

// hold keeps a packet back until there is another to go with it, or for a moment
// if there is none. The one behind newKeys says what signatures are known: libssh
// 0.10, which is in X2Go Client, does not offer its RSA keys unless it has read
// both at once.
func (w *wire) hold(b []byte) {
	w.sending.Lock()
	defer w.sending.Unlock()
	w.held = bytes.Clone(b)
	time.AfterFunc(w.holdTime, func() { _ = w.send(nil) }) // an error closes it
}

func (w *wire) send(b []byte) error {
	w.sending.Lock()
	defer w.sending.Unlock()
	if w.held != nil {
		b = append(w.held, b...)
		w.held = nil
	}
	if len(b) == 0 {
		return nil
	}
	if err := w.SetWriteDeadline(time.Now().Add(w.writeTime)); err != nil {
		return err
	}
	_, err := w.Conn.Write(b)
	if err != nil {
		w.Close() // half a packet is of no use
	}
	return err
}

// Close may be called more than once.
func (w *wire) Close() error {
	err := w.Conn.Close()
	w.once.Do(func() {
		close(w.closed)
		w.end()
	})
	return err
}

// allow lets the client send more.
func (w *wire) allow(n int64) {
	for {
		left := w.left.Load()
		if left < 0 || w.left.CompareAndSwap(left, min(left+n, w.most)) {
			return
		}
	}
}

// silence is how long nothing has come.
func (w *wire) silence() time.Duration { return time.Since(time.Unix(0, w.heard.Load())) }
