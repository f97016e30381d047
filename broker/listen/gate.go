package listen

import (
	"bufio"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Reasons for which a connection is refused or cut.
const (
	TooMany     = "connections"  // as many as may be are open
	TooManyHere = "per_address"  // as many as may be are open from that address
	BadHeader   = "proxy_header" // a trusted proxy sent no PROXY header, or a wrong one
	BadTLS      = "tls"          // no TLS, or no certificate that is asked for
	Slow        = "slow"         // a request or its answer took too long on the way
)

// Reasons are all of them.
var Reasons = [...]string{TooMany, TooManyHere, BadHeader, BadTLS, Slow}

// logEach is how often a reason is logged at most.
const logEach = time.Minute

// Limits are numbers of connections.
type Limits struct {
	Connections int // in all
	// PerAddress is for one IPv4 address or IPv6 /64. Trusted proxies and unix
	// sockets have no such limit, the clients in their PROXY headers do.
	PerAddress int
}

// Options of a Gate.
type Options struct {
	Limits
	Trusted       []netip.Prefix // proxies
	ProxyProtocol bool           // trusted proxies send a PROXY header
	HeaderTimeout time.Duration  // how long that may take
	Log           *slog.Logger
}

// Counts are what a Gate has seen.
type Counts struct {
	Open    int               // connections now
	Most    int               // that may be open
	Refused map[string]uint64 // since the start, by each of Reasons
}

// A Gate holds the limits, for all listeners together.
type Gate struct {
	o Options

	mu      sync.Mutex
	open    int
	from    map[netip.Addr]int
	refused map[string]uint64
	logged  map[string]time.Time
}

// NewGate returns a Gate. The limits must be positive.
func NewGate(o Options) *Gate {
	return &Gate{o: o, from: map[netip.Addr]int{}, refused: map[string]uint64{}, logged: map[string]time.Time{}}
}

// Listener holds the limits on what l accepts.
func (g *Gate) Listener(l net.Listener) net.Listener { return &listener{Listener: l, gate: g} }

// Counts says what has come.
func (g *Gate) Counts() Counts {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := Counts{Open: g.open, Most: g.o.Connections, Refused: map[string]uint64{}}
	for _, reason := range Reasons {
		c.Refused[reason] = g.refused[reason]
	}
	return c
}

// Track is for [http.Server.ConnState]; without it a connection that is closed
// because nothing more comes counts as slow.
func (g *Gate) Track(nc net.Conn, state http.ConnState) {
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	if c, ok := nc.(*conn); ok {
		c.idle.Store(state == http.StateIdle)
	}
}

// enter counts a new connection.
func (g *Gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open >= g.o.Connections {
		return false
	}
	g.open++
	return true
}

// enterFrom counts a connection at its address.
func (g *Gate) enterFrom(a netip.Addr) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.from[a] >= g.o.PerAddress {
		return false
	}
	g.from[a]++
	return true
}

// leave ends what enter, and for a valid address enterFrom, began.
func (g *Gate) leave(a netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open--
	if !a.IsValid() {
		return
	}
	if g.from[a]--; g.from[a] == 0 {
		delete(g.from, a)
	}
}

// refuse counts, and logs now and then.
func (g *Gate) refuse(reason, peer string, err error) {
	g.mu.Lock()
	g.refused[reason]++
	n, now := g.refused[reason], time.Now()
	say := now.Sub(g.logged[reason]) >= logEach
	if say {
		g.logged[reason] = now
	}
	g.mu.Unlock()
	if say {
		g.o.Log.Warn("connection refused", "reason", reason, "peer", peer, "err", err, "so_far", n)
	}
}

func (g *Gate) trusts(a netip.Addr) bool {
	return slices.ContainsFunc(g.o.Trusted, func(p netip.Prefix) bool { return p.Contains(a) })
}

// Share is what limits of one client are about: IPv6 networks are given out as
// /64, so that one user has many addresses.
func Share(a netip.Addr) netip.Addr {
	if a.Is6() {
		return netip.PrefixFrom(a, 64).Masked().Addr()
	}
	return a
}

// AddressOf gives the IP address, and no valid one for what is not TCP. IPv4 in
// IPv6 is IPv4.
func AddressOf(a net.Addr) netip.Addr {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return t.AddrPort().Addr().Unmap().WithZone("")
}

type listener struct {
	net.Listener
	gate *Gate
	tls  bool // spoken on top
}

// Accept closes what is above the limits.
func (l *listener) Accept() (net.Conn, error) {
	for {
		nc, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c := l.gate.admit(nc, l.tls); c != nil {
			return c, nil
		}
		nc.Close()
	}
}

// admit gives nil for a connection that is refused.
func (g *Gate) admit(nc net.Conn, secure bool) *conn {
	peer := AddressOf(nc.RemoteAddr())
	if !g.enter() {
		g.refuse(TooMany, nc.RemoteAddr().String(), nil)
		return nil
	}
	c := &conn{Conn: nc, gate: g, tls: secure, remote: nc.RemoteAddr()}
	if !peer.IsValid() {
		c.remote = &net.UnixAddr{Name: UnixPeer, Net: "unix"}
	}
	if !peer.IsValid() || g.trusts(peer) {
		if g.o.ProxyProtocol {
			c.header = bufio.NewReaderSize(nc, headerBuffer)
		}
		return c
	}
	if !g.enterFrom(Share(peer)) {
		g.leave(netip.Addr{})
		g.refuse(TooManyHere, c.remote.String(), nil)
		return nil
	}
	c.share = Share(peer)
	return c
}
