package local

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestTooManyAreToldSo(t *testing.T) {
	f := start(t, func(s *Server) { s.asking = newShare(limits{all: 2, each: 1}) })
	leave := f.server.asking.take(uint32(os.Getuid()))
	if a := f.ask(t, list()); a.Code != 1 || !strings.Contains(a.Stderr, "busy, try again") || a.Stdout != "" {
		t.Errorf("%+v", a)
	}
	leave()
	if a := f.ask(t, list()); a.Code != 0 {
		t.Errorf("and then: %+v", a)
	}
}

func TestAUserCannotTakeWhatIsForAll(t *testing.T) {
	s := newShare(limits{all: 3, each: 2})
	one, two := s.take(1), s.take(1)
	if one == nil || two == nil || s.take(1) != nil {
		t.Error("the first user does not get two, or more")
	}
	other := s.take(2)
	if other == nil || s.take(3) != nil {
		t.Error("the second user does not get the last, or there are more")
	}
	one()
	other()
	if s.n != 1 || s.take(3) == nil || len(s.by) != 2 {
		t.Errorf("%d are taken, by %v", s.n, s.by)
	}
}

// A user opens connections and says nothing, or next to nothing.
func TestWhoIsSlowIsHungUpOn(t *testing.T) {
	for story, sent := range map[string]string{
		"he says nothing":         "",
		"he stops in the head":    "POST /v1/ssh HTTP/1.1\r\nHost: x\r\n",
		"he stops in the body":    "POST /v1/ssh HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{",
		"he sends chunk by chunk": "POST /v1/ssh HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
	} {
		f := start(t, func(s *Server) { s.http.ReadTimeout = 20 * time.Millisecond })
		conn, err := net.Dial("unix", f.socket)
		check(t, err)
		defer conn.Close()
		check(t, conn.SetDeadline(time.Now().Add(deadline)))
		_, err = io.WriteString(conn, sent)
		check(t, err)
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: he keeps the connection", story)
		}
	}
}

// A user asks for the long answer of testcon and reads nothing.
func TestWhoNeverReadsIsHungUpOn(t *testing.T) {
	f := start(t, func(s *Server) { s.writeTime = 20 * time.Millisecond })
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: f.socket, Net: "unix"})
	check(t, err)
	defer conn.Close()
	body, err := Request{Args: []string{"--task", "testcon"}}.encode()
	check(t, err)
	req, err := http.NewRequest(http.MethodPost, "http://x"+path, bytes.NewReader(body))
	check(t, err)
	check(t, req.Write(conn))
	hungUp := false
	control, err := conn.SyscallConn()
	check(t, err)
	check(t, control.Control(func(fd uintptr) {
		p := []unix.PollFd{{Fd: int32(fd)}} // POLLHUP is always told
		_, err = unix.Poll(p, int(deadline.Milliseconds()))
		hungUp = p[0].Revents&unix.POLLHUP != 0
	}))
	if err != nil || !hungUp {
		t.Errorf("he keeps the connection: %v", err)
	}
}

func TestTooMuchIsNotRead(t *testing.T) {
	f := start(t, nil)
	for name, body := range map[string]string{
		"1 MB":                      `{"user":"` + strings.Repeat("x", 1<<20) + `"}`,
		"no JSON":                   `task=listsessions`,
		"nothing":                   ``,
		"two":                       `{}{}`,
		"more behind":               `{}]`,
		"an unknown field":          `{"uid": 0}`,
		"a value of the wrong kind": `{"args": "x"}`,
	} {
		conn, err := net.Dial("unix", f.socket)
		check(t, err)
		req, err := http.NewRequest(http.MethodPost, "http://x"+path, strings.NewReader(body))
		check(t, err)
		go func() { _ = req.Write(conn) }() // which ends when it has heard enough
		resp, err := http.ReadResponse(bufio.NewReader(conn), req)
		check(t, err)
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %s", name, resp.Status)
		}
		conn.Close()
	}
	resp, err := http.ReadResponse(bufio.NewReader(raw(t, f.socket, "GET /v1/ssh HTTP/1.0\r\n\r\n")), nil)
	check(t, err)
	if resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET: %s", resp.Status)
	}
}

// raw sends bytes and gives the connection.
func raw(tb testing.TB, socket, sent string) net.Conn {
	tb.Helper()
	conn, err := net.Dial("unix", socket)
	check(tb, err)
	tb.Cleanup(func() { conn.Close() })
	_, err = io.WriteString(conn, sent)
	check(tb, err)
	return conn
}

// FuzzWire sends arbitrary bytes. Whatever comes back is an answer that can be
// read, and no list of somebody else.
func FuzzWire(f *testing.F) {
	const head = "POST /v1/ssh HTTP/1.1\r\nHost: x\r\nContent-Length: "
	for _, body := range []string{
		`{"args": ["--task", "listsessions", "--user", "maja"], "user": "maja"}`,
		`{"original": "echo \"LOGIN OK\"", "client": "10.0.0.1 1 2"}`,
		`{"original": "x --task selectsession --sid \"hers\""}`,
	} {
		f.Add([]byte(body), true)
		f.Add([]byte(head+"70\r\n\r\n"+body), false)
	}
	f.Add([]byte("GET / HTTP/1.0\r\n\r\n"), false)
	broker := start(f, func(s *Server) { s.TrustAddress = true; s.http.ReadTimeout = time.Second })
	f.Fuzz(func(t *testing.T, sent []byte, isBody bool) {
		conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: broker.socket, Net: "unix"})
		check(t, err)
		defer conn.Close()
		if isBody {
			req, err := http.NewRequest(http.MethodPost, "http://x"+path, bytes.NewReader(sent))
			check(t, err)
			_ = req.Write(conn) // it may be refused before all is sent
		} else {
			_, _ = conn.Write(sent)
		}
		_ = conn.CloseWrite()
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			return // hung up
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		check(t, err)
		if resp.StatusCode >= http.StatusInternalServerError && resp.StatusCode != http.StatusNotImplemented && resp.StatusCode != http.StatusHTTPVersionNotSupported {
			t.Errorf("%s: %s", resp.Status, body)
		}
		if strings.Contains(broker.Log.String(), "panicked") {
			t.Errorf("a panic:\n%s", broker.Log)
		}
		broker.Log.Reset()
		if resp.StatusCode != http.StatusOK {
			return
		}
		var a Answer
		if err := json.Unmarshal(body, &a); err != nil {
			t.Errorf("%v: %s", err, body)
		}
		if strings.Contains(a.Stdout, "[hers]") || a.Code < 0 || a.Code > 255 {
			t.Errorf("%+v", a)
		}
	})
}
