package ssh

import (
	"context"
	"io"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/x2broker/x2broker/broker/session"
)

// Limits of a connection after its login.
const (
	maxExecs    = 8  // commands at the same time
	maxChannels = 16 // that the client has not closed
	maxPiece    = 32 << 10

	lingerTime = time.Second // for the client to close its channels, at the end
	maxSilence = 3           // times keepEach
)

// shellText is for people who try to log in.
const shellText = "This is a session broker for X2Go, there is no shell here.\r\n" +
	"Give its address to X2Go Client: x2goclient --broker-url=ssh://USER@HOST:PORT/x2broker\r\n"

// A connection is one that somebody has logged in on.
type connection struct {
	server *Server
	wire   *wire
	ssh    *ssh.ServerConn
	proof  *session.Proof
	all    sync.WaitGroup // goroutines
	ctx    context.Context

	mu       sync.Mutex
	channels int
	execs    int
	ending   bool          // nothing new is begun
	idle     chan struct{} // closed when ending and nothing runs,
	empty    chan struct{} // and when the client has closed all channels, too
	asking   bool          // for a sign of life
}

func newConnection(s *Server, w *wire, conn *ssh.ServerConn, p *session.Proof) *connection {
	return &connection{server: s, wire: w, ssh: conn, proof: p, idle: make(chan struct{}), empty: make(chan struct{})}
}

// serve answers until the client goes, its time is over, or the context ends.
func (c *connection) serve(ctx context.Context, channels <-chan ssh.NewChannel, requests <-chan *ssh.Request) {
	var cancel context.CancelFunc
	c.ctx, cancel = context.WithCancel(context.WithoutCancel(ctx)) // what runs may end
	defer c.all.Wait()
	defer func() {
		cancel()
		c.ssh.Close()
		// Until these are closed, what reads from the client may be waiting.
		c.all.Go(func() { ssh.DiscardRequests(requests) })
		for range channels {
		}
	}()
	life := time.NewTimer(c.server.o.Lifetime)
	defer life.Stop()
	tick := time.NewTicker(c.server.keepEach)
	defer tick.Stop()
	over, stop := life.C, ctx.Done()
	idle := c.idle
	var grace <-chan time.Time
	end := func() {
		c.end()
		over, stop = nil, nil
		grace = time.After(c.server.o.Grace)
	}
	for {
		select {
		case n, ok := <-channels:
			if !ok {
				return
			}
			c.soon(func() { c.open(n) })
		case r, ok := <-requests:
			if !ok {
				return
			}
			c.soon(func() { _ = r.Reply(false, nil) }) // an error ends the connection
		case <-tick.C:
			if c.wire.silence() > maxSilence*c.server.keepEach {
				return
			}
			c.wire.allow(allowanceTick)
			c.ask()
		case <-over:
			end()
		case <-stop:
			end()
		case <-idle:
			idle, grace = nil, time.After(lingerTime)
		case <-c.empty:
			return
		case <-grace:
			return
		}
	}
}

// soon does what sends a packet, and ends the connection if that takes too long:
// in the middle of an exchange of keys, packets wait until the client goes on.
// Meanwhile serve sees no end of anything.
func (c *connection) soon(do func()) {
	stuck := time.AfterFunc(c.server.writeTime, func() { c.wire.Close() })
	defer stuck.Stop()
	do()
}

// ask asks for a sign of life, unless there is no answer to the last one yet. It
// need not wait for the answer: all that comes is one.
func (c *connection) ask() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asking {
		return
	}
	c.asking = true
	c.all.Go(func() {
		_, _, _ = c.ssh.SendRequest("keepalive@openssh.com", true, nil) // an error ends the connection
		c.mu.Lock()
		defer c.mu.Unlock()
		c.asking = false
	})
}

// open accepts sessions, and nothing that would be forwarded.
func (c *connection) open(n ssh.NewChannel) {
	if n.ChannelType() != "session" {
		_ = n.Reject(ssh.Prohibited, "nothing is forwarded here")
		return
	}
	if !c.enter() {
		_ = n.Reject(ssh.ResourceShortage, "too many channels are open")
		return
	}
	channel, requests, err := n.Accept()
	if err != nil {
		c.leave()
		return
	}
	c.all.Go(func() {
		defer c.leave()
		defer ssh.DiscardRequests(requests)
		defer c.contain("channel")
		c.session(channel, requests)
	})
}

// session answers the requests of a channel until the client closes it. None may
// wait for another: nothing of the whole connection is read meanwhile.
func (c *connection) session(channel ssh.Channel, requests <-chan *ssh.Request) {
	// What nobody reads is kept, and nobody wants it.
	c.all.Go(func() { discard(channel) })
	c.all.Go(func() { discard(channel.Stderr()) })
	ran := false
	for r := range requests {
		ok := false
		switch r.Type {
		case "pty-req", "window-change":
			ok = true
		case "exec", "shell":
			line, good := commandOf(r)
			if ran || !good || !c.begin() {
				break
			}
			ran = true
			_ = r.Reply(true, nil) // before what it prints
			c.all.Go(func() {
				defer c.finish()
				defer c.contain("command")
				result := Result{Stderr: []byte(shellText), Code: codeFailed}
				if r.Type == "exec" {
					result = c.server.o.Door.Exec(c.ctx, line, c.proof)
				}
				if result.End {
					c.end() // first: a quick client must not begin another
				}
				c.print(channel, result)
			})
			continue
		}
		_ = r.Reply(ok, nil)
	}
}

// discard reads to the end.
func discard(r io.Reader) {
	for b := make([]byte, 512); ; {
		if _, err := r.Read(b); err != nil {
			return
		}
	}
}

// commandOf gives the command of an exec request, "" of another.
func commandOf(r *ssh.Request) (string, bool) {
	if r.Type != "exec" {
		return "", true
	}
	var exec struct{ Command string }
	err := ssh.Unmarshal(r.Payload, &exec)
	return exec.Command, err == nil
}

// print sends a result and closes the channel. A client that does not take it
// loses the connection.
func (c *connection) print(channel ssh.Channel, r Result) {
	stuck := time.AfterFunc(c.server.writeTime, func() { c.wire.Close() })
	defer stuck.Stop()
	send := func(w io.Writer, text []byte) {
		for len(text) > 0 {
			n, err := w.Write(text[:min(len(text), maxPiece)])
			if err != nil {
				return
			}
			text = text[n:]
			stuck.Reset(c.server.writeTime)
		}
	}
	send(channel, r.Stdout)
	send(channel.Stderr(), r.Stderr)
	// Errors mean that the client has gone.
	_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Code uint32 }{uint32(r.Code)}))
	_ = channel.CloseWrite()
	_ = channel.Close()
}

// enter counts a channel; false is one too many.
func (c *connection) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending || c.channels >= maxChannels {
		return false
	}
	c.channels++
	return true
}

func (c *connection) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.channels--
	c.look()
}

// begin counts a command; false is one too many.
func (c *connection) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending || c.execs >= maxExecs {
		return false
	}
	c.execs++
	return true
}

func (c *connection) finish() {
	c.wire.allow(allowanceExec)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.execs--
	c.look()
}

// end begins nothing new; the connection ends when what runs has ended.
func (c *connection) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ending = true
	c.look()
}

// look tells serve that it may end. What is told stays so.
func (c *connection) look() {
	if !c.ending || c.execs > 0 {
		return
	}
	closeOnce(c.idle)
	if c.channels == 0 {
		closeOnce(c.empty)
	}
}

// closeOnce is called with the lock only.
func closeOnce(c chan struct{}) {
	select {
	case <-c:
	default:
		close(c)
	}
}

// contain ends the connection with a panic. Defer it.
func (c *connection) contain(where string) {
	if v := recover(); v != nil {
		c.server.panicked(where, v)
		c.wire.Close()
	}
}
