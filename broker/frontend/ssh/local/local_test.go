package local

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/x2broker/x2broker/broker/frontend/doortest"
	"github.com/x2broker/x2broker/broker/frontend/ssh"
)

// maja is somebody else than the user of the tests, nobody has no account at the
// broker.
const (
	maja   = "maja"
	nobody = 65534
)

// deadline is how long a test waits for something that should happen soon.
const deadline = 20 * time.Second

func me(tb testing.TB) string {
	tb.Helper()
	u, err := user.Current()
	check(tb, err)
	return u.Username
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// site has a profile for each of us, and one that depends on the address.
func site(me string) doortest.Files {
	return doortest.Files{"site.cue": `package site

site: name: "Test"
servers: ts01: {}
profiles: mine: {name: "Mine", hosts: ids: ["ts01"], access: users: ["` + me + `"]}
profiles: hers: {name: "Hers", hosts: ids: ["ts01"], access: users: ["maja"]}
profiles: home: {name: "Home", hosts: ids: ["ts01"], access: {everyone: true, from: ["127.0.0.0/8"]}}
profiles: away: {name: "Away", hosts: ids: ["ts01"], access: {everyone: true, from: ["10.0.0.0/8"]}}
`}
}

// A fixture is a broker with a socket that everybody may use.
type fixture struct {
	*doortest.Broker
	server *Server
	socket string
}

func start(tb testing.TB, change func(*Server)) *fixture {
	tb.Helper()
	who := me(tb)
	f := &fixture{Broker: doortest.New(tb, site(who), who, maja), socket: filepath.Join(tb.TempDir(), "ssh.sock")}
	log := slog.New(slog.NewTextHandler(f.Log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	f.server = NewServer(Options{Service: f.Service, Door: ssh.NewDoor(f.Service, false, log), Log: log})
	if change != nil {
		change(f.server)
	}
	l, err := net.Listen("unix", f.socket)
	check(tb, err)
	l = tight{l}
	for d := f.socket; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		check(tb, os.Chmod(d, 0o777))
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := f.server.Serve(ctx, l); err != nil {
			tb.Error(err)
		}
	})
	tb.Cleanup(func() { cancel(); running.Wait() })
	return f
}

// tight keeps little of what is sent and not read.
type tight struct{ net.Listener }

func (t tight) Accept() (net.Conn, error) {
	c, err := t.Listener.Accept()
	if err == nil {
		err = c.(*net.UnixConn).SetWriteBuffer(1)
	}
	return c, err
}

func (f *fixture) ask(t *testing.T, q Request) Answer {
	t.Helper()
	a, err := Ask(t.Context(), f.socket, q)
	check(t, err)
	return a
}

// profiles are the ids in a list.
func profiles(a Answer) []string {
	var ids []string
	for line := range strings.Lines(a.Stdout) {
		if id, ok := strings.CutPrefix(line, "["); ok {
			ids = append(ids, strings.TrimSuffix(id, "]\n"))
		}
	}
	return ids
}

func list(more ...string) Request {
	return Request{Args: append([]string{"--task", "listsessions"}, more...)}
}

func text(s string) *string { return &s }

func TestTheKernelSaysWhoAsks(t *testing.T) {
	f := start(t, nil)
	a := f.ask(t, list())
	if want := []string{"home", "mine"}; !cmp.Equal(profiles(a), want) || a.Code != 0 || a.Stderr != "" {
		t.Errorf("profiles %v, code %d, stderr %q", profiles(a), a.Code, a.Stderr)
	}
	if !strings.HasPrefix(a.Stdout, "AUTHID:") || !strings.HasSuffix(a.Stdout, "END_USER_SESSIONS\n\n") {
		t.Errorf("not the form of x2gobroker:\n%s", a.Stdout)
	}
}

// A user of this machine wants the desktops of another one.
func TestNothingThatIsSentMakesSomebodyElseOfHim(t *testing.T) {
	f := start(t, nil)
	mine := []string{"home", "mine"}
	for story, c := range map[string]struct {
		q    Request
		want []string
	}{
		"he sets LOGNAME":                             {Request{User: maja, Args: list().Args}, mine},
		"he sets LOGNAME to what is no name":          {Request{User: "a\x00b\nroot", Args: list().Args}, mine},
		"he unsets LOGNAME":                           {list(), mine},
		"he asks under her name":                      {list("--user", maja), nil},
		"he sets LOGNAME and asks under her name":     {Request{User: maja, Args: list("--user", maja).Args}, nil},
		"he asks under his own":                       {list("--user", me(t)), mine},
		"he invents SSH_ORIGINAL_COMMAND":             {Request{Original: text("x --task listsessions --user " + maja)}, nil},
		"he invents SSH_ORIGINAL_COMMAND, as himself": {Request{Original: text("x --task listsessions"), Args: []string{"--nosuch"}}, mine},
		"he invents SSH_CLIENT":                       {Request{Client: text("10.0.0.1 1 22"), Args: list().Args}, mine},
		"he acts as another one on the X2Go server":   {Request{Args: []string{"--task", "selectsession", "--sid", "mine", "--login", maja}}, nil},
		"he selects hers":                             {Request{Args: []string{"--task", "selectsession", "--sid", "hers"}}, nil},
	} {
		a := f.ask(t, c.q)
		if !cmp.Equal(profiles(a), c.want) || strings.Contains(a.Stdout, "SERVER:") {
			t.Errorf("%s: he gets %v, want %v:\n%s", story, profiles(a), c.want, a.Stdout)
		}
		if c.want == nil && (!strings.HasPrefix(a.Stdout, "Access denied") || a.Code != 0) {
			t.Errorf("%s: code %d, %s", story, a.Code, a.Stdout)
		}
	}
}

func TestWhoHasNoAccountAtTheBrokerIsDenied(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can connect as somebody else")
	}
	f := start(t, nil)
	const mark = "0b81b13c-7a25-4d2a-a5f5-6d2ff0b5b8aa"
	frame := `bash -l -c 'echo "X2GODATABEGIN:` + mark + `"; export TERM="dumb"; x --user maja --task listsessions; echo "X2GODATAEND:` + mark + `";'`
	type said struct {
		a   Answer
		err error
	}
	got := make(chan said)
	go func() {
		runtime.LockOSThread() // and the thread ends with this function
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, nobody, nobody, nobody); errno != 0 {
			got <- said{err: errno}
			return
		}
		conn, err := net.Dial("unix", f.socket)
		if err != nil {
			got <- said{err: err}
			return
		}
		defer conn.Close()
		var s said
		s.a, s.err = over(conn, Request{User: maja, Original: &frame})
		got <- s
	}()
	s := <-got
	check(t, s.err)
	if want := (Answer{Stdout: "X2GODATABEGIN:" + mark + "\nAccess denied\n\nX2GODATAEND:" + mark + "\n"}); s.a != want {
		t.Errorf("got %+v, want %+v", s.a, want)
	}
}

// over asks on a connection that is open.
func over(conn net.Conn, q Request) (a Answer, err error) {
	body, err := q.encode()
	if err != nil {
		return a, err
	}
	req, err := http.NewRequest(http.MethodPost, "http://x"+path, bytes.NewReader(body))
	if err != nil {
		return a, err
	}
	if err := req.Write(conn); err != nil {
		return a, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	return a, json.NewDecoder(resp.Body).Decode(&a)
}

func TestTheAddressOfTheClient(t *testing.T) {
	here, away := []string{"home", "mine"}, []string{"away", "mine"}
	for _, c := range []struct {
		trust  bool
		client *string
		want   []string // nil: exit code 1
	}{
		{false, text("10.0.0.1 40000 22"), here},
		{false, text("nonsense"), here},
		{true, text("10.0.0.1 40000 22"), away},
		{true, text("::ffff:10.0.0.1 40000 22"), away},
		{true, text("127.0.0.1 40000 22"), here},
		{true, nil, here},
		{true, text(""), nil},
		{true, text("nonsense"), nil},
		{true, text("fe80::1%eth0 40000 22"), nil},
		{true, text(" 10.0.0.1"), nil},
		{true, text("10.0.0.1\n127.0.0.1"), nil},
	} {
		f := start(t, func(s *Server) { s.TrustAddress = c.trust })
		q := list()
		q.Client = c.client
		a := f.ask(t, q)
		if !cmp.Equal(profiles(a), c.want) {
			t.Errorf("%v %v: profiles %v, want %v", c.trust, c.client, profiles(a), c.want)
		}
		if c.want == nil && (a.Code != 1 || a.Stdout != "" || !strings.Contains(a.Stderr, "SSH_CLIENT")) {
			t.Errorf("%v %q: %+v", c.trust, *c.client, a)
		}
	}
}

func TestTheChecksOfTheClientNeedNoAccount(t *testing.T) {
	f := start(t, nil)
	if a := f.ask(t, Request{Original: text(`echo "LOGIN OK"`)}); a != (Answer{Stdout: "LOGIN OK\n"}) {
		t.Errorf("%+v", a)
	}
	if a := f.ask(t, Request{Args: []string{"--event", "x"}}); a != (Answer{}) {
		t.Errorf("%+v", a)
	}
}

// With Kerberos X2Go Client asks so, and compares it with the name that it used.
func TestWhoamiNamesTheUser(t *testing.T) {
	f := start(t, nil)
	const mark = "0b81b13c-7a25-4d2a-a5f5-6d2ff0b5b8aa"
	a := f.ask(t, Request{Original: text(`bash -l -c 'echo "X2GODATABEGIN:` + mark + `"; export TERM="dumb"; whoami; echo "X2GODATAEND:` + mark + `";'`)})
	if want := (Answer{Stdout: "X2GODATABEGIN:" + mark + "\n" + me(t) + "\nX2GODATAEND:" + mark + "\n"}); a != want {
		t.Errorf("got %+v, want %+v", a, want)
	}
}

func TestTextThatIsNotUTF8IsLatin1(t *testing.T) {
	for _, q := range []Request{{Original: text("x --task b\xfcro")}, {Args: []string{"--task", "b\xfcro"}}} {
		body, err := q.encode()
		check(t, err)
		var got Request
		check(t, json.Unmarshal(body, &got))
		if r, err := got.parse(); err != nil || r.Form["task"] != "büro" {
			t.Errorf("%s: %v, %v", body, r.Form, err)
		}
	}
}
