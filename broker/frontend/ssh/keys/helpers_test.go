package keys

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// here is where clients come from when nothing is said of it.
var here = netip.MustParseAddr("10.1.2.3")

// noon is when tests happen.
var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// world is a machine with files of keys, and what tests change of it.
type world struct {
	t    *testing.T
	dir  string // what belongs to root and to the broker only
	keys string // {user} below
	opts Options

	mu  sync.Mutex
	now time.Time
	log bytes.Buffer
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: private(t), now: noon}
	w.keys = w.mkdir("keys")
	w.opts = Options{
		Files: []string{w.keys + "/{user}"},
		Log:   slog.New(slog.NewTextHandler(&w.log, nil)),
		Now:   w.clock,
		Zone:  time.UTC,
		UID:   func(string) (uint32, bool) { return 0, false },
	}
	return w
}

// private is a directory that nobody else can write in, whatever the umask.
func private(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) mkdir(name string) string {
	w.t.Helper()
	dir := filepath.Join(w.dir, name)
	w.must(os.MkdirAll(dir, 0o755))
	w.must(os.Chmod(dir, 0o755))
	return dir
}

// write makes a file of lines below the directory of the world.
func (w *world) write(name string, lines ...string) string {
	w.t.Helper()
	file := filepath.Join(w.dir, name)
	w.mkdir(filepath.Dir(name))
	w.must(os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o644))
	w.must(os.Chmod(file, 0o644))
	return file
}

func (w *world) checker() *Checker {
	w.t.Helper()
	c, warnings, err := New(w.opts)
	if err != nil {
		w.t.Fatal(err)
	}
	if len(warnings) > 0 {
		w.t.Fatal(warnings)
	}
	return c
}

// allows wants the key to log in.
func allows(t *testing.T, c *Checker, user string, key ssh.PublicKey) {
	t.Helper()
	if err := c.Authorized(t.Context(), user, key, here); err != nil {
		t.Errorf("%s is refused: %v", user, err)
	}
}

// refuses wants a reason.
func refuses(t *testing.T, c *Checker, user string, key ssh.PublicKey, why string) {
	t.Helper()
	if err := c.Authorized(t.Context(), user, key, here); err == nil || !strings.Contains(err.Error(), why) {
		t.Errorf("%s: %v, want %q", user, err, why)
	}
}

// signer is the same for the same name.
func signer(name string) ssh.Signer {
	seed := sha256.Sum256([]byte(name))
	s, err := ssh.NewSignerFromKey(ed25519.NewKeyFromSeed(seed[:]))
	if err != nil {
		panic(err)
	}
	return s
}

func key(name string) ssh.PublicKey { return signer(name).PublicKey() }

// line is a key as in a .pub file, after options.
func line(options string, k ssh.PublicKey) string {
	text := strings.TrimSuffix(string(ssh.MarshalAuthorizedKey(k)), "\n")
	if options != "" {
		text = options + " " + text
	}
	return text + " somebody@somewhere"
}

func rsaSigner(t *testing.T, bits int) ssh.AlgorithmSigner {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return s.(ssh.AlgorithmSigner)
}

// parsed is a key of a type that signers here cannot make.
func parsed(t *testing.T, blob any) ssh.PublicKey {
	t.Helper()
	k, err := ssh.ParsePublicKey(ssh.Marshal(blob))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// securityKey stands for a device that asks for a touch.
func securityKey(t *testing.T, name string) (ssh.PublicKey, ed25519.PrivateKey) {
	t.Helper()
	seed := sha256.Sum256([]byte(name))
	private := ed25519.NewKeyFromSeed(seed[:])
	return parsed(t, struct {
		Name, Key, Application string
	}{ssh.KeyAlgoSKED25519, string(private.Public().(ed25519.PublicKey)), "ssh:"}), private
}

// fakeSource is a source that answers as it is told. The one with a server
// behind it is in broker/identity/ldap.
type fakeSource struct {
	mu    sync.Mutex
	keys  map[string][]string
	err   error
	asked int
}

func (d *fakeSource) PublicKeys(_ context.Context, user string) ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked++
	if d.err != nil {
		return nil, d.err
	}
	return d.keys[user], nil
}

func (d *fakeSource) set(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
}

var errAway = errors.New("no server answers")
