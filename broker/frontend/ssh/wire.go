package ssh

import (
	"bytes"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Limits of one connection. What a client may send is bounded because what it
// has sent waits in memory until somebody looks at it.
const (
	allowance     = 256 << 10 // bytes that a client may send before anything is answered
	allowanceExec = 64 << 10  // and again for each command that was answered,
	allowanceTick = 64 << 10  // and each Server.keepEach, but never more than at first
)

// golang.org/x/crypto/ssh (v0.58.0) has a queue of 16 packets between the
// goroutine that reads and the one that acts on them. If a connection ends while
// the queue is full and one more packet is there, both wait for each other for
// ever: a client that sends a bad packet with 17 others behind it would cost the
// broker three goroutines and their memory each time. So what is handed on is
// never more than the queue has room for.
const (
	leastPacket = 28               // bytes of the smallest packet, encrypted
	overhead    = 25               // least bytes of a packet beside its payload: lengths, padding, MAC
	queueRoom   = 15 * leastPacket // bytes that nobody may have looked at

	// pause is for a goroutine that need not wait for anything, and is next.
	pause = time.Millisecond

	// newKeys is the packet of the server, counted with its version line, after
	// which the queue is used.
	newKeys = 4

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
	more      chan struct{} // there may be room
	once      sync.Once

	left   atomic.Int64 // bytes that may come
	heard  atomic.Int64 // when something came last, in nanoseconds of Unix time
	wrote  atomic.Int64 // packets
	unseen atomic.Int64 // at most as many bytes were handed on that nobody has looked at
	// forgiven are the bytes that were taken out of unseen unlooked at. Those of a
	// packet that is not whole yet must not be taken out again with the packet.
	forgiven atomic.Int64
	working  atomic.Int64 // who is not looking: calls of Write, steps of the login

	sending sync.Mutex
	held    []byte // not sent yet; nil for nothing
}

func newWire(nc net.Conn, writeTime time.Duration, allowance int64) *wire {
	w := &wire{Conn: nc, writeTime: writeTime, holdTime: holdTime, most: allowance, closed: make(chan struct{}), more: make(chan struct{}, 1)}
	w.left.Store(allowance)
	w.heard.Store(time.Now().UnixNano())
	return w
}

// Read ends the connection of who sends too much.
func (w *wire) Read(b []byte) (int, error) {
	queued := w.wrote.Load() >= newKeys
	if queued {
		room := w.room()
		if room <= 0 {
			return 0, net.ErrClosed
		}
		b = b[:min(len(b), room)]
	}
	n, err := w.Conn.Read(b)
	w.heard.Store(time.Now().UnixNano())
	if w.left.Add(-int64(n)) < 0 {
		w.Close()
		return 0, errTooMuch
	}
	if queued {
		w.unseen.Add(int64(n))
	}
	return n, err
}

// room gives how many bytes may be handed on, or 0 when the connection is
// closed. If it cannot know that those before were looked at, it waits until
// nobody is known to be busy, and a while for whoever is not known.
func (w *wire) room() int {
	for {
		if room := queueRoom - w.unseen.Load(); room >= leastPacket {
			return int(room)
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-w.more:
			timer.Stop()
			continue
		case <-w.closed:
			timer.Stop()
			return 0
		}
		if w.working.Load() == 0 {
			w.forgiven.Add(w.unseen.Swap(0))
		}
	}
}

// saw notes that a packet with a payload of so many bytes, or more, was looked
// at.
func (w *wire) saw(payload int) { w.sawBytes(payload + overhead) }

// sawBytes notes that so many bytes, or more, were looked at.
func (w *wire) sawBytes(n int) {
	for {
		forgiven := w.forgiven.Load()
		if w.forgiven.CompareAndSwap(forgiven, max(forgiven-int64(n), 0)) {
			n = max(n-int(forgiven), 0)
			break
		}
	}
	for {
		unseen := w.unseen.Load()
		if w.unseen.CompareAndSwap(unseen, max(unseen-int64(n), 0)) {
			select {
			case w.more <- struct{}{}:
			default:
			}
			return
		}
	}
}

// Write gives a client a while to take what it asked for. One call is one packet
// at most.
func (w *wire) Write(b []byte) (int, error) {
	w.working.Add(1)
	defer w.working.Add(-1)
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
	w.once.Do(func() { close(w.closed) })
	return w.Conn.Close()
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
