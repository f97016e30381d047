package gittest

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// Fault is what goes wrong with the bytes of a server.
type Fault int

// Faults.
const (
	None    Fault = iota
	Cut           // the connection ends
	Hang          // nothing comes any more, but the connection stays
	Trickle       // little comes, for hours
)

// Proxy stands before a server and does harm.
type Proxy struct {
	Addr string // host:port

	mu    sync.Mutex
	fault Fault
	after int
}

// NewProxy starts a proxy, which ends with the test.
func NewProxy(tb testing.TB, server string) *Proxy {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &Proxy{Addr: listener.Addr().String()}
	end := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() { p.serve(client, server, end) })
		}
	})
	tb.Cleanup(func() {
		close(end)
		listener.Close()
		all.Wait()
	})
	return p
}

// Fail has the fault happen in every connection from now on, after so many
// bytes from the server.
func (p *Proxy) Fail(fault Fault, after int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault, p.after = fault, after
}

func (p *Proxy) serve(client net.Conn, server string, end <-chan struct{}) {
	defer client.Close()
	p.mu.Lock()
	fault, after := p.fault, p.after
	p.mu.Unlock()
	backend, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	defer backend.Close()
	gone := make(chan struct{}) // the client
	go func() {
		defer close(gone)
		_, _ = io.Copy(backend, client)
		if fault == None {
			backend.Close()
		}
	}()
	defer func() {
		client.Close()
		backend.Close()
		<-gone
	}()
	if fault == None {
		_, _ = io.Copy(client, backend)
		return
	}
	_, _ = io.CopyN(client, backend, int64(after))
	for fault != Cut {
		select {
		case <-end:
			return
		case <-gone:
			return
		case <-time.After(10 * time.Millisecond):
			if fault == Trickle {
				_, _ = io.CopyN(client, backend, 1)
			}
		}
	}
}
