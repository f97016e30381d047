package authd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/x2broker/x2broker/broker/identity"
)

// fakePAM stands for PAM and NSS, which need cgo and real users; tests/e2e/pam
// has these. It knows alice, and does what the name says for some others.
type fakePAM struct{}

var alice = User{Name: "alice", UID: 1000, Home: "/home/alice", Groups: []string{"staff", "alice"}}

func (fakePAM) Authenticate(r Request, talk Talk) Result {
	name := r.Name
	switch name {
	case "crash":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case "hang":
		cmd := exec.Command("sleep", "1000") // as pam_exec does
		if err := cmd.Start(); err != nil {
			return Result{Code: Failed, Text: err.Error()}
		}
		fmt.Fprintln(os.Stderr, "hanging", os.Getpid(), cmd.Process.Pid)
		select {}
	case "asks for ever":
		for {
			if _, err := talk(Info, "still there?"); err != nil {
				return Result{Code: Failed, Text: err.Error()}
			}
		}
	case "huge":
		return Result{Code: OK, User: User{Name: "huge", Groups: make([]string, 60_000)}}
	}
	password, err := talk(EchoOff, "Password: ")
	if err != nil {
		return Result{Code: NeedsMore}
	}
	if name == "otp" {
		if _, err := talk(Info, "a code was sent"); err != nil {
			return Result{Code: Failed, Text: err.Error()}
		}
		code, err := talk(EchoOn, "Code: ")
		switch {
		case errors.Is(err, ErrNeedsMore):
			return Result{Code: NeedsMore}
		case err != nil:
			return Result{Code: Failed, Text: err.Error()}
		case code != "123456":
			return Result{Code: Wrong}
		}
		name = "alice"
	}
	if os.Getenv("TELL") != "" {
		fmt.Fprintln(os.Stderr, "asked about", name, password)
	}
	switch {
	case strings.ToLower(name) != "alice":
		return Result{Code: Unknown}
	case password == "expired":
		return Result{Code: Expired, User: alice}
	case password == "old":
		return Result{Code: MustChange, User: alice}
	case password != "alice's pw % é":
		return Result{Code: Wrong}
	}
	return Result{Code: OK, User: alice}
}

func (fakePAM) Lookup(name string) Result {
	switch name {
	case "alice":
		return Result{Code: OK, User: alice}
	case "expired":
		return Result{Code: Expired}
	case "address":
		return Result{Code: OK}
	}
	return Result{Code: Unknown}
}

func (p fakePAM) Change(r Request, ok func(User) bool) Result {
	switch res := p.Authenticate(r, (&talker{password: r.Password}).talk); {
	case res.Code != OK && res.Code != MustChange:
		return res
	case !ok(alice):
		return Result{Code: Failed, Text: "not confirmed"}
	case r.New == "short":
		return Result{Code: Refused, Text: "it is too short"}
	}
	return Result{Code: OK, User: alice}
}

// The test binary is the process of a conversation, too.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "conversation" {
		if err := converse(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func converse(limit string) error {
	d, err := time.ParseDuration(limit)
	if err != nil {
		return err
	}
	conn, err := net.FileConn(os.NewFile(WorkerFD, "connection"))
	if err != nil {
		return err
	}
	return Work(conn, time.Now().Add(d), fakePAM{})
}

// waitLog is a log whose lines can be awaited.
type waitLog struct {
	mu      sync.Mutex
	b       bytes.Buffer
	changed chan struct{}
}

func (l *waitLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.changed != nil {
		close(l.changed)
	}
	l.changed = make(chan struct{})
	return l.b.Write(p)
}

func (l *waitLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// wait waits until the log has the text.
func (l *waitLog) wait(t *testing.T, text string) {
	t.Helper()
	for {
		l.mu.Lock()
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		changed, has := l.changed, strings.Contains(l.b.String(), text)
		l.mu.Unlock()
		if has {
			return
		}
		select {
		case <-changed:
		case <-time.After(30 * time.Second):
			t.Fatalf("the log has no %q:\n%s", text, l)
		}
	}
}

// start runs a server until the test ends.
func start(t *testing.T, change func(*Server)) (*Client, *waitLog) {
	t.Helper()
	dir, err := os.MkdirTemp("", "x2broker-authd-") // others may come in, unlike into t.TempDir
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	log := &waitLog{}
	s := &Server{
		Command: []string{"/proc/self/exe", "conversation"}, Workers: 8, Deadline: time.Minute,
		Peers: []uint32{uint32(os.Getuid())}, Log: slog.New(slog.NewTextHandler(log, nil)),
	}
	if change != nil {
		change(s)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("server: %v", err)
		}
		if text := log.String(); strings.Contains(text, "alice's") || strings.Contains(text, "secret") {
			t.Errorf("a password is in the log:\n%s", text)
		}
	})
	c := NewClient(socket)
	c.wait = func(context.Context, time.Time) error { return nil }
	return c, log
}

func credentials(name, password string) identity.Credentials {
	return identity.Credentials{Name: name, Password: password, Address: netip.MustParseAddr("192.0.2.1")}
}

func TestPAMDecides(t *testing.T) {
	c, _ := start(t, nil)
	known := identity.Identity{Name: "alice", Groups: []string{"staff", "alice"}}
	for _, tt := range []struct {
		name, password string
		want           identity.Identity
		err            error
	}{
		{"alice", "alice's pw % é", known, nil},
		{"ALICE", "alice's pw % é", known, nil}, // canonical
		{"alice", "wrong secret", identity.Identity{}, identity.ErrWrongPassword},
		{"alice", "", identity.Identity{}, identity.ErrNoPassword},
		{"alice", "expired", identity.Identity{}, identity.ErrExpired},
		{"alice", "old", identity.Identity{}, identity.ErrMustChange},
		{"bob", "alice's pw % é", identity.Identity{}, identity.ErrUnknownUser},
	} {
		got, err := c.Authenticate(t.Context(), credentials(tt.name, tt.password))
		if diff := cmp.Diff(tt.want, got); diff != "" || !errors.Is(err, tt.err) {
			t.Errorf("%s with %q: error %v, want %v; identity (-want +got):\n%s", tt.name, tt.password, err, tt.err, diff)
		}
	}
}

// Story: pam_unix is done sooner with a name that it does not know, so that the
// clock tells which names there are (hostile class 9).
func TestARefusalTellsNothingByItsTime(t *testing.T) {
	c, _ := start(t, nil)
	var waited []time.Duration
	var began time.Time
	c.wait = func(_ context.Context, end time.Time) error {
		waited = append(waited, end.Sub(began).Truncate(minDelay))
		return nil
	}
	for _, name := range []string{"alice", "nobody"} {
		began = time.Now()
		_, _ = c.Authenticate(t.Context(), credentials(name, "wrong secret"))
	}
	if diff := cmp.Diff([]time.Duration{minDelay, minDelay}, waited); diff != "" {
		t.Errorf("refusals wait (-want +got):\n%s", diff)
	}
	// What PAM wants counts from the beginning, up to a bound.
	for microseconds, want := range map[uint32]time.Duration{0: minDelay, 2_000_000: 2 * time.Second, 1 << 31: maxDelay} {
		waited, began = nil, time.Unix(1, 0)
		if err := c.refuse(t.Context(), began, microseconds); err != nil || waited[0] != want {
			t.Errorf("%d microseconds: %v, %v", microseconds, waited, err)
		}
	}
}

// Whoever is known to an authenticator before PAM and gives a wrong password
// must wait as long as whoever is unknown to both.
func TestADecoyAsksPAMWithoutThePassword(t *testing.T) {
	out := stderr(t)
	c, _ := start(t, func(s *Server) { s.Env = []string{"TELL=1"} })
	c.Decoy(t.Context(), "somebody's")
	var name, password string
	if _, err := fmt.Fscanf(out, "asked about %s %s\n", &name, &password); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(name, "x2broker-decoy-") || password != name {
		t.Errorf("asked about %s with %s", name, password)
	}
}

func TestALookupNeedsAValidAccount(t *testing.T) {
	c, _ := start(t, nil)
	got, err := c.Lookup(t.Context(), "alice")
	if err != nil || got.Name != "alice" || len(got.Groups) != 2 {
		t.Errorf("alice: %v, %v", got, err)
	}
	for _, name := range []string{"bob", "expired"} {
		if got, err := c.Lookup(t.Context(), name); !errors.Is(err, identity.ErrUnknownUser) {
			t.Errorf("%s: %v, %v; want unknown", name, got, err)
		}
	}
	// Nobody is not somebody.
	if got, err := c.Lookup(t.Context(), "address"); err == nil {
		t.Errorf("an answer without a name is taken for %v", got)
	}
}

// A user of this machine says that he is alice.
func TestANameIsThatOfTheNumber(t *testing.T) {
	c, _ := start(t, nil)
	if got, err := c.LookupUID(t.Context(), "alice", alice.UID); err != nil || got.Name != "alice" || len(got.Groups) != 2 {
		t.Errorf("alice: %v, %v", got, err)
	}
	for name, uid := range map[string]uint32{"alice": alice.UID + 1, "bob": alice.UID, "expired": 0, "address": 0} {
		if got, err := c.LookupUID(t.Context(), name, uid); err == nil || got.Name != "" {
			t.Errorf("%s with number %d: %v, %v", name, uid, got, err)
		} else if name != "address" && !errors.Is(err, identity.ErrUnknownUser) {
			t.Errorf("%s with number %d: %v; want unknown", name, uid, err)
		}
	}
}

func TestGroupsAreThoseOfAValidAccount(t *testing.T) {
	c, _ := start(t, nil)
	if got, err := c.Groups(t.Context(), "alice"); err != nil || len(got) != 2 {
		t.Errorf("alice: %v, %v", got, err)
	}
	if got, err := c.Groups(t.Context(), "bob"); !errors.Is(err, identity.ErrUnknownUser) {
		t.Errorf("bob: %v, %v; want unknown, who has no groups", got, err)
	}
	// As unknown he would lose the groups that he is denied something by.
	if got, err := c.Groups(t.Context(), "expired"); err == nil || errors.Is(err, identity.ErrUnknownUser) {
		t.Errorf("expired: %v, %v; want an error, which denies", got, err)
	}
}

func TestAConversationPassesPromptsOn(t *testing.T) {
	c, _ := start(t, nil)
	var seen []identity.Prompt
	ask := func(_ context.Context, p identity.Prompt) (string, error) {
		seen = append(seen, p)
		if p.Message {
			return "not an answer", nil
		}
		return "123456", nil
	}
	got, err := c.Converse(t.Context(), credentials("otp", "alice's pw % é"), ask)
	if err != nil || got.Name != "alice" {
		t.Errorf("got %v, %v", got, err)
	}
	want := []identity.Prompt{{Text: "a code was sent", Message: true}, {Text: "Code: ", Echo: true}}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("prompts (-want +got):\n%s", diff)
	}
	// Where nobody can answer it is an error, and no wrong password.
	if _, err := c.Authenticate(t.Context(), credentials("otp", "pw")); err == nil || errors.Is(err, identity.ErrWrongPassword) || errors.Is(err, identity.ErrNotTried) {
		t.Errorf("without anybody to ask: %v", err)
	}
	gaveUp := errors.New("gave up")
	if _, err := c.Converse(t.Context(), credentials("otp", "pw"), func(context.Context, identity.Prompt) (string, error) { return "", gaveUp }); !errors.Is(err, gaveUp) {
		t.Errorf("who does not answer gets %v", err)
	}
	if _, err := c.Converse(t.Context(), credentials("asks for ever", "pw"), ask); err == nil {
		t.Error("a module may ask for ever")
	}
}

func TestAPasswordIsChangedWhenItIsAllowed(t *testing.T) {
	c, _ := start(t, nil)
	var asked []string
	allow := func(id identity.Identity) error {
		asked = append(asked, id.Name)
		return nil
	}
	for _, old := range []string{"alice's pw % é", "old"} { // also one that has to be changed
		if id, err := c.ChangePassword(t.Context(), credentials("ALICE", old), "new secret", allow); err != nil || id.Name != "alice" {
			t.Errorf("got %v, %v", id, err)
		}
	}
	var refused *identity.NotChangedError
	if _, err := c.ChangePassword(t.Context(), credentials("alice", "old"), "short", allow); !errors.As(err, &refused) || refused.Text != "it is too short" {
		t.Errorf("a new password that PAM does not want: %v", err)
	}
	if diff := cmp.Diff([]string{"alice", "alice", "alice"}, asked); diff != "" {
		t.Errorf("asked about (-want +got):\n%s", diff)
	}
	asked = nil
	for password, want := range map[string]error{"wrong secret": identity.ErrWrongPassword, "expired": identity.ErrExpired} {
		if _, err := c.ChangePassword(t.Context(), credentials("alice", password), "new secret", allow); !errors.Is(err, want) {
			t.Errorf("password %q: %v", password, err)
		}
	}
	if asked != nil {
		t.Errorf("asked about %v before the password was found right", asked)
	}
	no := errors.New("no")
	if _, err := c.ChangePassword(t.Context(), credentials("alice", "old"), "new secret", func(identity.Identity) error { return no }); !errors.Is(err, no) {
		t.Errorf("not allowed: %v", err)
	}
}

// A module that crashes in the helper's own process would log out everybody.
func TestACrashCostsOneLogin(t *testing.T) {
	c, log := start(t, nil)
	_, err := c.Authenticate(t.Context(), credentials("crash", "secret"))
	if err == nil || errors.Is(err, identity.ErrNotTried) || errors.Is(err, identity.ErrUnknownUser) {
		t.Errorf("got %v: it has to count as a failure and end the search", err)
	}
	log.wait(t, "signal: killed")
	if _, err := c.Authenticate(t.Context(), credentials("alice", "alice's pw % é")); err != nil {
		t.Errorf("the next login: %v", err)
	}
}

// hangs starts a login that hangs, and gives its processes.
func hangs(t *testing.T, c *Client, ctx context.Context, stderr *os.File) (result chan error, pids [2]int) {
	t.Helper()
	result = make(chan error, 1)
	go func() {
		_, err := c.Authenticate(ctx, credentials("hang", "secret"))
		result <- err
	}()
	if _, err := fmt.Fscanf(stderr, "hanging %d %d\n", &pids[0], &pids[1]); err != nil {
		t.Fatal(err)
	}
	return result, pids
}

// stderr is what processes of conversations write.
func stderr(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	old := os.Stderr
	os.Stderr = w
	t.Cleanup(func() {
		os.Stderr = old
		w.Close()
		r.Close()
	})
	return r
}

// ended waits until a process is gone; it may be nobody's child any more, and so
// cannot be waited for in another way.
func ended(t *testing.T, pid int) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
	}
	t.Errorf("process %d runs on", pid)
}

func TestAHangingModuleDelaysNobodyElse(t *testing.T) {
	out := stderr(t)
	c, _ := start(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	var results []chan error
	var pids []int
	for range 3 {
		result, p := hangs(t, c, ctx, out)
		results, pids = append(results, result), append(pids, p[:]...)
	}
	if _, err := c.Authenticate(t.Context(), credentials("alice", "alice's pw % é")); err != nil {
		t.Errorf("a login beside them: %v", err)
	}
	// When the broker gives up, nothing is left of them.
	cancel()
	for _, r := range results {
		if err := <-r; !errors.Is(err, context.Canceled) {
			t.Errorf("given up: %v", err)
		}
	}
	for _, pid := range pids {
		ended(t, pid)
	}
}

func TestAProcessThatHangsIsKilledAtItsDeadline(t *testing.T) {
	out := stderr(t)
	c, log := start(t, func(s *Server) { s.Deadline = 200 * time.Millisecond })
	result, pids := hangs(t, c, t.Context(), out)
	if err := <-result; err == nil {
		t.Error("no error")
	}
	log.wait(t, "killed, no result within 200ms")
	ended(t, pids[0])
	ended(t, pids[1])
}

func TestWhoIsOneTooManyHearsIt(t *testing.T) {
	out := stderr(t)
	c, log := start(t, func(s *Server) { s.Workers = 1 })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	result, _ := hangs(t, c, ctx, out)
	if _, err := c.Authenticate(t.Context(), credentials("alice", "alice's pw % é")); !errors.Is(err, identity.ErrNotTried) {
		t.Errorf("got %v, want that it was not tried", err)
	}
	log.wait(t, "too many conversations at once")
	cancel()
	<-result
}

func TestThePeerIsWhoTheKernelSaysItIs(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can be refused as another user: root may always ask")
	}
	c, log := start(t, func(s *Server) { s.Peers = nil })
	if _, err := c.Lookup(t.Context(), "alice"); err != nil {
		t.Errorf("root: %v", err)
	}
	if err := os.Chmod(c.socket, 0o666); err != nil {
		t.Fatal(err)
	}
	// The mode of the socket does not count, the user does: on a thread of its
	// own that is another one.
	got := make(chan string, 1)
	go func() {
		got <- func() string {
			conn, err := dialAs(c.socket, 65534)
			if err != nil {
				return err.Error()
			}
			defer conn.Close()
			_ = write(conn, Request{kind: kindLookup, Name: "alice"})
			m, err := read(conn)
			return fmt.Sprintf("%v %v", m, err)
		}()
	}()
	text := <-got
	if !strings.HasPrefix(text, "<nil> ") {
		t.Errorf("user 65534 got %s", text)
	}
	log.wait(t, "of user 65534 is not the broker's")
}

func TestAHelperThatIsNotThereIsNoWrongPassword(t *testing.T) {
	c := NewClient(filepath.Join(t.TempDir(), "none"))
	_, err := c.Authenticate(t.Context(), credentials("alice", "secret"))
	if !errors.Is(err, identity.ErrNotTried) || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
	if _, err := c.Lookup(t.Context(), "alice"); err == nil {
		t.Error("a lookup succeeded")
	}
}

func TestAUserOfTooManyGroupsIsAnError(t *testing.T) {
	c, _ := start(t, nil)
	if id, err := c.Authenticate(t.Context(), credentials("huge", "secret")); err == nil || errors.Is(err, identity.ErrNotTried) {
		t.Errorf("got %v, %v", id, err)
	}
}

// Story: somebody who got hold of the broker's user speaks to the helper himself
// (hostile classes 3 and 15).
func TestAPeerThatDoesNotSpeakTheWireGetsNothing(t *testing.T) {
	c, log := start(t, func(s *Server) { s.Deadline = 500 * time.Millisecond })
	for name, sent := range map[string]string{
		"text":                 "alice\rsecret\rsshd\n",
		"a huge length":        "\xff\xff\xff\xff",
		"an answer to nothing": "\x00\x00\x00\x04\x04\x01\x00\x00",
		"a result":             "\x00\x00\x00\x10\x12\x01\x00\x05alice\x00\x00\x00\x00\x00\x00",
		"half a message":       "\x00\x00\x00\x10\x01",
		"nothing":              "",
	} {
		conn, err := net.Dial("unix", c.socket)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte(sent)); err != nil {
			t.Fatal(err)
		}
		if m, err := read(conn); err == nil {
			t.Errorf("%s: got %#v", name, m)
		}
		conn.Close()
	}
	log.wait(t, "exit status 1")
	if _, err := c.Lookup(t.Context(), "alice"); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
