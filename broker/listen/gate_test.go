package listen

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// serve answers each request with the client's address.
func serve(t *testing.T, g *Gate, l net.Listener) {
	t.Helper()
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			host, _, err := net.SplitHostPort(r.RemoteAddr)
			if err != nil {
				host = r.RemoteAddr
			}
			fmt.Fprint(w, host)
		}),
		ReadHeaderTimeout: patience, ConnState: g.Track,
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	t.Cleanup(func() { server.Close(); <-done })
}

// ask sends a request behind the prefix and gives the body of the answer; an
// error means that the connection was closed.
func ask(c net.Conn, prefix string) (string, error) {
	if _, err := io.WriteString(c, prefix+"GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return "", err
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		return resp.Status, err
	}
	return string(body), err
}

func TestConnectionsAboveTheLimitAreClosedAtOnceAndCounted(t *testing.T) {
	g := newGate(func(o *Options) { o.Connections = 2 })
	l := open(t, g.Listener)
	serve(t, g, l)
	kept := []net.Conn{dial(t, l, "127.0.0.1"), dial(t, l, "127.0.0.2")}
	for _, c := range kept {
		if _, err := ask(c, ""); err != nil {
			t.Fatal(err)
		}
	}
	if answer, err := ask(dial(t, l, "127.0.0.3"), ""); err == nil {
		t.Errorf("a third connection is answered: %s", answer)
	}
	if got := g.Counts(); got.Open != 2 || got.Refused[TooMany] != 1 {
		t.Errorf("%+v, want 2 open and 1 refused", got)
	}
	kept[0].Close()
	await(t, "there is room again", func() bool { return g.Counts().Open == 1 })
	if _, err := ask(dial(t, l, "127.0.0.3"), ""); err != nil {
		t.Errorf("after one has gone: %v", err)
	}
}

func TestOneAddressCannotTakeAllConnections(t *testing.T) {
	g := newGate(func(o *Options) { o.PerAddress = 1 })
	l := open(t, g.Listener)
	serve(t, g, l)
	first := dial(t, l, "127.0.0.1")
	if _, err := ask(first, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(dial(t, l, "127.0.0.1"), ""); err == nil {
		t.Error("a second connection of the same address is answered")
	}
	if _, err := ask(dial(t, l, "127.0.0.2"), ""); err != nil {
		t.Errorf("another address: %v", err)
	}
	first.Close()
	await(t, "the first is gone", func() bool { return g.Counts().Open == 1 })
	if _, err := ask(dial(t, l, "127.0.0.1"), ""); err != nil {
		t.Errorf("after the first has gone: %v", err)
	}
	if got := g.Counts().Refused[TooManyHere]; got != 1 {
		t.Errorf("%d refused, want 1", got)
	}
}

func TestATrustedProxyMayKeepMany(t *testing.T) {
	g := newGate(func(o *Options) { o.PerAddress, o.Trusted = 1, []netip.Prefix{loopback} })
	l := open(t, g.Listener)
	serve(t, g, l)
	for range 3 {
		if _, err := ask(dial(t, l, "127.0.0.1"), ""); err != nil {
			t.Fatal(err)
		}
	}
}

func TestIPv6IsCountedByNetwork(t *testing.T) {
	for text, want := range map[string]string{
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::",
		"2001:db8:1:2::1":      "2001:db8:1:2::",
		"192.0.2.7":            "192.0.2.7",
	} {
		if got := Share(netip.MustParseAddr(text)); got.String() != want {
			t.Errorf("%s is counted at %s, want %s", text, got, want)
		}
	}
	mapped := AddressOf(&net.TCPAddr{IP: net.ParseIP("::ffff:192.0.2.7")})
	if want := netip.MustParseAddr("192.0.2.7"); mapped != want {
		t.Errorf("%s, want %s", mapped, want)
	}
}

// A client that says nothing, or a request that never ends, is cut and counted;
// a connection that is kept for the next request is not.
func TestSlowConnectionsAreCountedAndIdleOnesAreNot(t *testing.T) {
	g := newGate(nil)
	l := open(t, g.Listener)
	server := &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }),
		ReadHeaderTimeout: 50 * time.Millisecond, IdleTimeout: 50 * time.Millisecond, ConnState: g.Track,
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	defer func() { server.Close(); <-done }()

	idle := dial(t, l, "127.0.0.1")
	if _, err := ask(idle, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := idle.Read(make([]byte, 1)); err != io.EOF {
		t.Fatalf("an idle connection is not closed: %v", err)
	}
	if got := g.Counts().Refused[Slow]; got != 0 {
		t.Errorf("an idle connection counts as slow: %d", got)
	}
	for i, text := range []string{"", "GET / HTT"} {
		c := dial(t, l, "127.0.0.1")
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, c); err != nil {
			t.Fatal(err)
		}
		await(t, fmt.Sprintf("%q is counted", text), func() bool { return g.Counts().Refused[Slow] == uint64(i)+1 })
	}
	await(t, "all are gone", func() bool { return g.Counts().Open == 0 })
}

func TestARefusalIsLoggedOnceAMinuteAndCountedAlways(t *testing.T) {
	var out strings.Builder
	g := newGate(func(o *Options) { o.Log = textLog(&out) })
	for range 5 {
		g.refuse(TooMany, "192.0.2.1:1", nil)
	}
	if got := strings.Count(out.String(), "connection refused"); got != 1 {
		t.Errorf("%d lines, want 1:\n%s", got, &out)
	}
	want := map[string]uint64{TooMany: 5, TooManyHere: 0, BadHeader: 0, BadTLS: 0, Slow: 0}
	if diff := cmp.Diff(want, g.Counts().Refused); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
