package golden_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// proxy is where requests come from whose recorded address is not one of this
// machine: the broker trusts its X-Forwarded-For.
var proxy = netip.MustParseAddr("127.99.99.99")

// replyTime is how long a broker may take; it answers every request.
const replyTime = 30 * time.Second

// send sends a request byte for byte as it was recorded, with another body, and
// reads the reply. An old client speaks HTTP/1.0.
func send(address string, r *request, body []byte, old bool) (answer, error) {
	from, err := netip.ParseAddr(r.Client)
	if err != nil {
		return answer{}, err
	}
	var wire bytes.Buffer
	version := "1.1"
	if old {
		version = "1.0"
	}
	fmt.Fprintf(&wire, "%s %s HTTP/%s\r\nHost: broker.example.org\r\nConnection: close\r\n", r.Method, r.Path, version)
	if !from.Is4() || !from.IsLoopback() {
		fmt.Fprintf(&wire, "X-Forwarded-For: %s\r\n", from)
		from = proxy
	}
	for _, h := range r.Headers {
		if h[0] == "Content-Length" {
			h[1] = fmt.Sprint(len(body)) // tickets have another length
		}
		fmt.Fprintf(&wire, "%s: %s\r\n", h[0], h[1])
	}
	wire.WriteString("\r\n")
	wire.Write(body)

	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: from.AsSlice()}, Timeout: replyTime}
	conn, err := dialer.Dial("tcp", address)
	if err != nil {
		return answer{}, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(replyTime)); err != nil {
		return answer{}, err
	}
	if _, err := conn.Write(wire.Bytes()); err != nil {
		return answer{}, err
	}
	return read(conn, r.Method)
}

func read(conn io.Reader, method string) (answer, error) {
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{Status: resp.StatusCode, Headers: map[string]string{}, Body: string(text)}
	for name, values := range resp.Header {
		if !slices.Contains(unread, name) {
			a.Headers[name] = strings.Join(values, ", ")
		}
	}
	return a, nil
}
