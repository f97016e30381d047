// Package brokertest runs the real x2broker binary on a real Git repository,
// for tests and benchmarks.
package brokertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/x2broker/x2broker/client"
)

// Deadline is how long a test waits for something that should happen soon.
const Deadline = 30 * time.Second

// binaryDir is the directory of the binary, once there is one.
var binaryDir atomic.Pointer[string]

// build makes the binary once per test process.
var build = sync.OnceValues(func() (string, error) {
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	dir, err := os.MkdirTemp("", "x2broker-test-")
	if err != nil {
		return "", err
	}
	binaryDir.Store(&dir)
	binary := filepath.Join(dir, "x2broker")
	cmd := exec.Command("go", "build", "-o", binary, "./cmd/x2broker")
	cmd.Dir = strings.TrimSpace(string(root))
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build x2broker: %w\n%s", err, out)
	}
	return binary, nil
})

// Binary is the path of the x2broker binary, built from this tree.
func Binary(tb testing.TB) string {
	tb.Helper()
	binary, err := build()
	if err != nil {
		tb.Fatal(err)
	}
	return binary
}

// Main runs the tests and removes the binary; call it from TestMain.
func Main(m *testing.M) { os.Exit(Tests(m)) }

// Tests is Main for who has more to do at the end. It gives the exit code.
func Tests(m *testing.M) int {
	code := m.Run()
	if dir := binaryDir.Load(); dir != nil {
		os.RemoveAll(*dir)
	}
	return code
}

// Files are the files of a site, by slash-separated path. An empty text
// removes a file.
type Files map[string]string

// Repo is a bare Git repository and a clone to commit from.
type Repo struct {
	Bare string // path of the bare repository
	work string
	tb   testing.TB
}

// NewRepo makes a repository whose branch main has one commit with the files.
func NewRepo(tb testing.TB, files Files) *Repo {
	tb.Helper()
	dir := tb.TempDir()
	r := &Repo{Bare: filepath.Join(dir, "site.git"), work: filepath.Join(dir, "work"), tb: tb}
	r.git(dir, "init", "-q", "--bare", "-b", "main", r.Bare)
	r.git(dir, "init", "-q", "-b", "main", r.work)
	r.Push(files)
	return r
}

// URL is what site.url takes.
func (r *Repo) URL() string { return "file://" + r.Bare }

// Push commits the files to main and gives the commit's id.
func (r *Repo) Push(files Files) string {
	r.tb.Helper()
	return r.PushTo("main", files)
}

// PushTo commits the files and moves a branch there. It gives the commit's id.
func (r *Repo) PushTo(branch string, files Files) string {
	r.tb.Helper()
	for name, text := range files {
		path := filepath.Join(r.work, filepath.FromSlash(name))
		if text == "" {
			if err := os.Remove(path); err != nil {
				r.tb.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			r.tb.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			r.tb.Fatal(err)
		}
	}
	r.git(r.work, "add", "-A")
	r.git(r.work, "commit", "-q", "-m", "Change the site")
	r.git(r.work, "push", "-q", r.Bare, "main:"+branch)
	return strings.TrimSpace(r.git(r.work, "rev-parse", "HEAD"))
}

// Set changes git's configuration for later commits.
func (r *Repo) Set(key, value string) {
	r.tb.Helper()
	r.git(r.work, "config", key, value)
}

func (r *Repo) git(dir string, args ...string) string {
	r.tb.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
		"GIT_AUTHOR_NAME=Ada Admin", "GIT_AUTHOR_EMAIL=ada@example.org", "GIT_COMMITTER_NAME=Ada Admin", "GIT_COMMITTER_EMAIL=ada@example.org")
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.tb.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Users makes the authenticators of a broker.cue: each user's password is his
// name with "-pw" behind it.
func Users(tb testing.TB, groups map[string][]string) string {
	tb.Helper()
	var b strings.Builder
	b.WriteString("authenticators: [{type: \"static\", users: {\n")
	for name, of := range groups {
		hash, err := bcrypt.GenerateFromPassword([]byte(name+"-pw"), bcrypt.MinCost)
		if err != nil {
			tb.Fatal(err)
		}
		fmt.Fprintf(&b, "\t%q: {password: %q, groups: [", name, hash)
		for _, g := range of {
			fmt.Fprintf(&b, "%q, ", g)
		}
		b.WriteString("]}\n")
	}
	b.WriteString("}}]\n")
	return b.String()
}

// Broker is a running x2broker.
type Broker struct {
	Addr string // host:port that it listens on
	SSH  string // the same of its SSH server, "" without
	log  *log
	cmd  *exec.Cmd
	tb   testing.TB
	done chan error
}

// Start writes broker.cue and runs `x2broker serve` with it, on a free loopback
// port unless the settings name one.
func Start(tb testing.TB, settings string) *Broker {
	tb.Helper()
	return Serve(tb, "--config", writeSettings(tb, settings))
}

// Serve runs `x2broker serve` with the flags and waits until it listens. It is
// stopped when the test ends.
func Serve(tb testing.TB, flags ...string) *Broker {
	tb.Helper()
	b := &Broker{
		log:  &log{changed: make(chan struct{})},
		cmd:  exec.Command(Binary(tb), append([]string{"serve"}, flags...)...),
		tb:   tb,
		done: make(chan error, 1),
	}
	b.cmd.Stdout = b.log
	b.cmd.Stderr = b.log
	if err := b.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	go func() { b.done <- b.cmd.Wait() }()
	tb.Cleanup(func() { b.end(syscall.SIGTERM) })
	match := b.WaitLog(`listen="?\[([^ \]]+).*\n`)
	b.Addr = match[1]
	if ssh := regexp.MustCompile(`listen=[^\n]*\bssh ([0-9.:]+)`).FindStringSubmatch(b.Log()); ssh != nil {
		b.SSH = ssh[1]
	}
	return b
}

// URL is the address for X2Go Client.
func (b *Broker) URL() string { return "http://" + b.Addr + "/plain/" }

// Kill ends the broker as a crash would.
func (b *Broker) Kill() { b.end(syscall.SIGKILL) }

func (b *Broker) end(sig syscall.Signal) {
	b.tb.Helper()
	if b.done == nil {
		return
	}
	_ = b.cmd.Process.Signal(sig) // it may have ended
	select {
	case err := <-b.done:
		if sig == syscall.SIGTERM && err != nil {
			b.tb.Errorf("x2broker ended with %v\n%s", err, b.log)
		}
	case <-time.After(Deadline):
		_ = b.cmd.Process.Kill()
		b.tb.Errorf("x2broker does not stop\n%s", b.log)
	}
	b.done = nil
}

// WaitLog waits until the log matches, and gives the submatches.
func (b *Broker) WaitLog(pattern string) []string {
	b.tb.Helper()
	re := regexp.MustCompile(pattern)
	timeout := time.After(Deadline)
	for {
		text, changed := b.log.snapshot()
		if m := re.FindStringSubmatch(text); m != nil {
			return m
		}
		select {
		case <-changed:
		case <-timeout:
			b.tb.Fatalf("the log does not match %s:\n%s", pattern, text)
		}
	}
}

// Log is all that the broker has written.
func (b *Broker) Log() string { return b.log.String() }

// WaitReady waits until the broker has a site.
func (b *Broker) WaitReady() {
	b.tb.Helper()
	b.WaitLog(`msg="revision serves"`)
}

// Client is a user at the broker, who connects from the given loopback address.
func (b *Broker) Client(user, from string) *client.Client {
	return &client.Client{URL: b.URL(), User: user, Password: user + "-pw", HTTP: HTTPFrom(from)}
}

// Sees are the ids of the profiles that a client is given, or "access denied".
func Sees(tb testing.TB, c *client.Client) string {
	tb.Helper()
	profiles, err := c.List(context.Background())
	if errors.Is(err, client.ErrDenied) {
		return "access denied"
	}
	if err != nil {
		tb.Fatal(err)
	}
	var ids []string
	for _, p := range profiles {
		ids = append(ids, p.ID)
	}
	return strings.Join(ids, " ")
}

// HTTPFrom is an HTTP client that connects from the given loopback address.
func HTTPFrom(from string) *http.Client {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: Deadline}
	return &http.Client{
		Timeout:   Deadline,
		Transport: &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true},
	}
}

// Get sends a GET and gives status and text of the reply.
func (b *Broker) Get(path string) (int, string) {
	b.tb.Helper()
	resp, err := HTTPFrom("127.0.0.1").Get("http://" + b.Addr + path)
	if err != nil {
		b.tb.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.tb.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// Refuses runs `x2broker serve`, which must end by itself with that exit code,
// and gives its output.
func Refuses(tb testing.TB, settings string, exitCode int) string {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Deadline)
	defer cancel()
	cmd := exec.CommandContext(ctx, Binary(tb), "serve", "--config", writeSettings(tb, settings))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitCode {
		tb.Errorf("x2broker serve: got %v, want exit code %d\n%s", err, exitCode, out)
	}
	return string(out)
}

// writeSettings gives the path of a broker.cue with these settings.
func writeSettings(tb testing.TB, settings string) string {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "broker.cue")
	if !strings.Contains(settings, "listen:") {
		settings += "listen: http: \"127.0.0.1:0\"\n"
	}
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		tb.Fatal(err)
	}
	return file
}

// A log is written by one process and read while it grows.
type log struct {
	mu      sync.Mutex
	b       bytes.Buffer
	changed chan struct{}
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.changed)
	l.changed = make(chan struct{})
	return l.b.Write(p)
}

func (l *log) snapshot() (string, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String(), l.changed
}

func (l *log) String() string {
	text, _ := l.snapshot()
	return text
}
