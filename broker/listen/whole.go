package listen

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
)

// mostHeld is how many bytes of a reply are held back.
const mostHeld = 64 << 10

// buffers hold replies back.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

type connectionKey struct{}

// Connection is for [http.Server.ConnContext]; without it [Whole] does nothing.
func Connection(ctx context.Context, nc net.Conn) context.Context {
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	return context.WithValue(ctx, connectionKey{}, nc)
}

// Whole is middleware: what the handler writes goes out in one piece when it is
// done, or 64 KiB at a time. net/http sends each 4 KiB by themselves, and the
// client wakes up for every piece. It is for handlers that write their reply at
// once: nothing that they flush goes out before they have returned.
func Whole(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, ok := r.Context().Value(connectionKey{}).(*conn)
		if !ok || r.Header["Expect"] != nil { // the client waits to be told to go on
			next.ServeHTTP(w, r)
			return
		}
		c.hold()
		defer c.release()
		next.ServeHTTP(w, r)
		if w.Header().Get("Content-Length") != "" { // else net/http has to count first
			_ = http.NewResponseController(w).Flush() // one that cannot holds nothing back
		}
	})
}

// A reply is what is held back of one.
type reply struct {
	mu      sync.Mutex
	holding bool
	begun   *bytes.Buffer // nil: nothing yet
}

// hold keeps what is written until release.
func (c *conn) hold() {
	c.reply.mu.Lock()
	defer c.reply.mu.Unlock()
	c.reply.holding = true
}

// release sends what was held back. There is nobody to hear of an error, but the
// connection ends with it, so that nothing can follow after a gap.
func (c *conn) release() {
	c.reply.mu.Lock()
	defer c.reply.mu.Unlock()
	c.reply.holding = false
	if c.reply.begun == nil {
		return
	}
	if _, err := c.send(c.reply.begun.Bytes()); err != nil {
		c.Conn.Close()
	}
	c.reply.begun.Reset()
	buffers.Put(c.reply.begun)
	c.reply.begun = nil
}

// write holds back or sends.
func (c *conn) write(b []byte) (int, error) {
	c.reply.mu.Lock()
	defer c.reply.mu.Unlock()
	if !c.reply.holding {
		return c.send(b)
	}
	if c.reply.begun == nil {
		c.reply.begun = buffers.Get().(*bytes.Buffer)
	}
	held := c.reply.begun
	if held.Len()+len(b) <= mostHeld {
		return held.Write(b)
	}
	if _, err := c.send(held.Bytes()); err != nil {
		return 0, err
	}
	held.Reset()
	if len(b) > mostHeld {
		return c.send(b)
	}
	return held.Write(b)
}
