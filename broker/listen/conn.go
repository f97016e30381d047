package listen

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pires/go-proxyproto"
)

// conn is an admitted connection. Its PROXY header, if it has one, is read by
// the first call that needs it, in the goroutine of the connection.
type conn struct {
	net.Conn
	gate   *Gate
	tls    bool // is spoken on top
	remote net.Addr
	share  netip.Addr // counted there, or not valid

	header *bufio.Reader // what has been read with the PROXY header; nil: none is expected
	begin  sync.Once
	err    error // of the header

	idle    atomic.Bool // between two requests, and nothing of the next has come
	aborted atomic.Bool // the deadline is no limit but a way to end a Read
	heard   atomic.Bool // something has come
	secured atomic.Bool // the TLS handshake is good
	cut     atomic.Bool // counted as slow
	end     sync.Once

	reply reply
}

// headerBuffer holds a whole header of version 1, and most of version 2.
const headerBuffer = 256

var errRefused = errors.New("too many connections from the address in the PROXY header")

// checkHeader lets through what names a TCP client, and the connections that a
// proxy opens for itself, to see whether the broker answers.
func checkHeader(h *proxyproto.Header) error {
	switch {
	case h.Version == 2 && h.Command == proxyproto.LOCAL:
		return nil
	case h.Command != proxyproto.PROXY, h.TransportProtocol != proxyproto.TCPv4 && h.TransportProtocol != proxyproto.TCPv6:
		return errors.New("the PROXY header names no TCP client")
	}
	return nil
}

// open reads the PROXY header once, and counts its client.
func (c *conn) open() error {
	if c.header == nil {
		return nil
	}
	c.begin.Do(func() {
		client, err := c.readHeader()
		switch {
		case err != nil:
			c.gate.refuse(BadHeader, c.remote.String(), err)
		case client == nil:
			return
		case !c.gate.enterFrom(Share(AddressOf(client))):
			err = errRefused
			c.gate.refuse(TooManyHere, client.String(), nil)
		default:
			c.remote, c.share = client, Share(AddressOf(client))
			return
		}
		c.err = err
		c.Conn.Close()
	})
	return c.err
}

// readHeader gives the client in the header, nil if the proxy speaks for itself.
func (c *conn) readHeader() (net.Addr, error) {
	h, err := proxyproto.ReadHeaderTimeout(c.Conn, c.header, c.gate.o.HeaderTimeout)
	if err == nil {
		err = checkHeader(h)
	}
	if err != nil || h.Command == proxyproto.LOCAL {
		return nil, err
	}
	return h.SourceAddr, nil
}

// RemoteAddr is the client in the PROXY header, or the peer.
func (c *conn) RemoteAddr() net.Addr {
	_ = c.open() // Read and Write say so
	return c.remote
}

func (c *conn) Read(b []byte) (int, error) {
	if err := c.open(); err != nil {
		return 0, err
	}
	from := io.Reader(c.Conn)
	if c.header != nil && c.header.Buffered() > 0 {
		from = c.header // what came in one piece with the PROXY header
	}
	n, err := from.Read(b)
	if n > 0 {
		c.idle.Store(false)
		c.heard.Store(true)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) && !c.aborted.Load() && !c.idle.Load() {
		c.tooSlow()
	}
	return n, err
}

func (c *conn) Write(b []byte) (int, error) {
	if err := c.open(); err != nil {
		return 0, err
	}
	return c.write(b)
}

// send sends at once.
func (c *conn) send(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.tooSlow()
	}
	return n, err
}

func (c *conn) tooSlow() {
	if !c.cut.Swap(true) {
		c.gate.refuse(Slow, c.remote.String(), nil)
	}
}

// SetReadDeadline notes deadlines that have passed already: net/http sets one to
// take its own Read back.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.aborted.Store(!t.IsZero() && t.Before(time.Now()))
	return c.Conn.SetReadDeadline(t)
}

// Close ends the connection's count.
func (c *conn) Close() error {
	err := c.Conn.Close()
	c.end.Do(func() {
		c.begin.Do(func() { c.err = net.ErrClosed }) // or waits for it: c.share is final then
		c.gate.leave(c.share)
		if c.tls && c.heard.Load() && !c.secured.Load() && !c.cut.Load() {
			c.gate.refuse(BadTLS, c.remote.String(), nil)
		}
	})
	return err
}
