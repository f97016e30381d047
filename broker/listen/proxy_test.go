package listen

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// v2 is a PROXY header of version 2.
func v2(command, family byte, body []byte) string {
	h := append([]byte("\r\n\r\n\x00\r\nQUIT\n"), 0x20|command, family)
	return string(append(binary.BigEndian.AppendUint16(h, uint16(len(body))), body...))
}

var from192 = v2(1, 0x11, []byte{192, 0, 2, 7, 10, 0, 0, 1, 0x30, 0x39, 0, 80})

func TestTheClientIsTheOneInThePROXYHeader(t *testing.T) {
	six := append(netip.MustParseAddr("2001:db8::7").AsSlice(), netip.MustParseAddr("2001:db8::1").AsSlice()...)
	six = append(six, 0x30, 0x39, 0, 80)
	for name, test := range map[string]struct{ header, want string }{
		"version 2, IPv4":      {from192, "192.0.2.7"},
		"version 2, IPv6":      {v2(1, 0x21, six), "2001:db8::7"},
		"version 1":            {"PROXY TCP4 192.0.2.7 10.0.0.1 12345 80\r\n", "192.0.2.7"},
		"the proxy's own":      {v2(0, 0, nil), "127.0.0.1"},
		"none":                 {"", ""},
		"version 1, unknown":   {"PROXY UNKNOWN\r\n", ""},
		"version 3":            {"\r\n\r\n\x00\r\nQUIT\n\x31\x11\x00\x00", ""},
		"of a unix socket":     {v2(1, 0x31, make([]byte, 216)), ""},
		"of UDP":               {v2(1, 0x12, []byte(from192)[16:]), ""},
		"too short":            {v2(1, 0x11, []byte{192, 0, 2, 7}), ""},
		"longer than is borne": {v2(1, 0x11, make([]byte, 60000)), ""},
		"a name":               {"PROXY TCP4 broker.example 10.0.0.1 12345 80\r\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate(func(o *Options) { o.Trusted, o.ProxyProtocol = []netip.Prefix{loopback}, true })
			l := open(t, g.Listener)
			serve(t, g, l)
			c := dial(t, l, "127.0.0.1")
			got, err := ask(c, test.header)
			if test.want == "" {
				if err == nil {
					t.Errorf("is answered: %s", got)
				}
				await(t, "it is counted", func() bool { return g.Counts().Refused[BadHeader] == 1 && g.Counts().Open == 0 })
				return
			}
			if err != nil || got != test.want {
				t.Errorf("the client is %q, %v, want %s", got, err, test.want)
			}
		})
	}
}

// Somebody who reaches the broker past the proxy must not be able to say who he
// is: he is who he is, and his header is a request that is none.
func TestAPROXYHeaderOfAStrangerDoesNotCount(t *testing.T) {
	g := newGate(func(o *Options) {
		o.Trusted, o.ProxyProtocol = []netip.Prefix{netip.MustParsePrefix("127.0.0.9/32")}, true
	})
	l := open(t, g.Listener)
	serve(t, g, l)
	if got, err := ask(dial(t, l, "127.0.0.1"), ""); err != nil || got != "127.0.0.1" {
		t.Errorf("without header: %q, %v", got, err)
	}
	for _, header := range []string{from192, "PROXY TCP4 192.0.2.7 10.0.0.1 12345 80\r\n"} {
		if got, err := ask(dial(t, l, "127.0.0.1"), header); err == nil && !strings.HasPrefix(got, "400") {
			t.Errorf("%q: answered %s", header, got)
		}
	}
}

func TestClientsInPROXYHeadersAreCountedByAddress(t *testing.T) {
	g := newGate(func(o *Options) { o.PerAddress, o.Trusted, o.ProxyProtocol = 1, []netip.Prefix{loopback}, true })
	l := open(t, g.Listener)
	serve(t, g, l)
	if _, err := ask(dial(t, l, "127.0.0.1"), from192); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(dial(t, l, "127.0.0.1"), from192); err == nil {
		t.Error("a second connection of the same client is answered")
	}
	if got, err := ask(dial(t, l, "127.0.0.1"), "PROXY TCP4 192.0.2.8 10.0.0.1 1 80\r\n"); err != nil || got != "192.0.2.8" {
		t.Errorf("another client: %s, %v", got, err)
	}
}

func TestAHeaderThatDoesNotComeIsNotWaitedForLong(t *testing.T) {
	g := newGate(func(o *Options) {
		o.Trusted, o.ProxyProtocol, o.HeaderTimeout = []netip.Prefix{loopback}, true, 20*time.Millisecond
	})
	l := open(t, g.Listener)
	serve(t, g, l)
	c := dial(t, l, "127.0.0.1")
	if _, err := io.WriteString(c, from192[:20]); err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, c); n > 0 || err != nil {
		t.Errorf("%d bytes, %v; want to be cut", n, err)
	}
	await(t, "it is counted", func() bool { return g.Counts().Refused[BadHeader] == 1 })
}

// headerOf reads a header as its specification says, in the narrow form that
// the broker takes: it is written anew here so that it can disagree.
func headerOf(data []byte) (client netip.Addr, local bool, size int) {
	if !bytes.HasPrefix(data, []byte("\r\n\r\n\x00\r\nQUIT\n")) || len(data) < 16 {
		return netip.Addr{}, false, 0
	}
	body := data[16:]
	length := int(binary.BigEndian.Uint16(data[14:]))
	if len(body) < length || length > 4096 {
		return netip.Addr{}, false, 0
	}
	switch {
	case data[12] == 0x20:
		return netip.Addr{}, true, 16 + length
	case data[12] == 0x21 && data[13] == 0x11 && length >= 12:
		return netip.AddrFrom4([4]byte(body[:4])), false, 16 + length
	case data[12] == 0x21 && data[13] == 0x21 && length >= 36:
		return netip.AddrFrom16([16]byte(body[:16])).Unmap(), false, 16 + length
	}
	return netip.Addr{}, false, 0
}

// oneConn is a listener of one connection in memory.
type oneConn struct {
	net.Listener
	conn net.Conn
}

func (l oneConn) Accept() (net.Conn, error) { return l.conn, nil }

type fromProxy struct{ net.Conn }

func (fromProxy) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

// Whatever a proxy sends, the client is the one that the header names, and the
// request is what comes behind it to the byte; or the connection is refused.
func FuzzProxyHeader(f *testing.F) {
	for _, seed := range []string{
		from192 + "GET /", "PROXY TCP4 192.0.2.7 10.0.0.1 12345 80\r\nGET /", "PROXY UNKNOWN\r\nGET /", v2(0, 0, nil) + "GET /",
		v2(1, 0x21, make([]byte, 40)), v2(1, 0x31, make([]byte, 216)), from192[:20], "GET / HTTP/1.1\r\n\r\n", "", "PROXY",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		g := newGate(func(o *Options) { o.Trusted, o.ProxyProtocol = []netip.Prefix{loopback}, true })
		near, far := net.Pipe()
		sent := make(chan struct{})
		go func() { defer close(sent); _, _ = far.Write(data); far.Close() }()
		c, err := g.Listener(oneConn{conn: fromProxy{near}}).Accept()
		if err != nil {
			t.Fatal(err)
		}
		rest, err := io.ReadAll(c)
		client := AddressOf(c.RemoteAddr())
		c.Close()
		<-sent
		want, local, size := headerOf(data)
		switch {
		case err != nil:
			if local && data[13] == 0 || want.IsValid() {
				t.Errorf("refuses a good header: %v", err)
			}
			if n := g.Counts().Refused[BadHeader]; n != 1 {
				t.Errorf("counted %d times", n)
			}
		case bytes.HasPrefix(data, []byte("PROXY TCP")):
			if line, request, ok := bytes.Cut(data, []byte("\r\n")); !ok || !bytes.Equal(rest, request) ||
				client != netip.MustParseAddr(strings.Fields(string(line))[2]).Unmap() {
				t.Errorf("takes %q for a header: client %v, rest %q", data, client, rest)
			}
		case size == 0:
			t.Errorf("takes %q for a header of %v", data, client)
		case local && client != netip.MustParseAddr("127.0.0.1"), !local && client != want:
			t.Errorf("the client is %v, want %v", client, want)
		case !bytes.Equal(rest, data[size:]):
			t.Errorf("the request is %q, want %q", rest, data[size:])
		}
		if len(g.from) != 0 || g.open != 0 {
			t.Errorf("still counted: %v, %d", g.from, g.open)
		}
	})
}
