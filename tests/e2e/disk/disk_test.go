//go:build e2e

// Package disk has the real broker binary keep its state on a disk that is full
// or read-only. Only root can mount one.
package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/x2broker/x2broker/tests/brokertest"
)

func TestMain(m *testing.M) {
	if os.Getuid() != 0 {
		fmt.Fprintln(os.Stderr, "these tests mount a file system, which only root can")
		os.Exit(1)
	}
	brokertest.Main(m)
}

// site has one profile, which everybody sees, and a comment of that many bytes,
// which take no room in a Git repository.
func site(id string, size int) brokertest.Files {
	return brokertest.Files{"site.cue": fmt.Sprintf(`package site

site: name: "Test"
servers: ts01: {}
profiles: %q: {name: "Desktop", hosts: ids: ["ts01"], access: everyone: true}
// %s
`, id, strings.Repeat("x", size))}
}

// A broker has its state on a disk of 4 MB.
type broker struct {
	*testing.T
	*brokertest.Broker
	repo     *brokertest.Repo
	dir      string
	settings string
}

func newBroker(t *testing.T) *broker {
	t.Helper()
	b := &broker{T: t, repo: brokertest.NewRepo(t, site("one", 0)), dir: filepath.Join(t.TempDir(), "state")}
	if err := os.Mkdir(b.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	b.mount("tmpfs", "tmpfs", 0, "size=4m,mode=0700")
	b.settings = fmt.Sprintf("site: {url: %q, poll: \"100ms\"}\nstateDir: %q\n", b.repo.URL(), b.dir) +
		brokertest.Users(t, map[string][]string{"alice": {"staff"}})
	b.run()
	b.WaitReady()
	b.sees("one")
	return b
}

func (b *broker) run() {
	b.Helper()
	b.Broker = brokertest.Start(b.T, b.settings)
}

// mount puts a file system over the state directory until the test ends.
func (b *broker) mount(source, kind string, flags uintptr, data string) {
	b.Helper()
	if err := syscall.Mount(source, b.dir, kind, flags, data); err != nil {
		b.Fatalf("mount on %s: %v", b.dir, err)
	}
	b.Cleanup(func() { _ = syscall.Unmount(b.dir, syscall.MNT_DETACH) }) // one for each mount, as far as they are there
}

// readOnly has nothing in the state directory be written any more.
func (b *broker) readOnly() {
	b.Helper()
	b.mount(b.dir, "", syscall.MS_BIND, "")
	if err := syscall.Mount("", b.dir, "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY, ""); err != nil {
		b.Fatal(err)
	}
}

func (b *broker) writable() {
	b.Helper()
	if err := syscall.Unmount(b.dir, syscall.MNT_DETACH); err != nil {
		b.Fatal(err)
	}
}

// fill leaves so many bytes of the disk.
func (b *broker) fill(left int64) {
	b.Helper()
	f, err := os.Create(b.filler())
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	chunk := make([]byte, 4096)
	for {
		if _, err = f.Write(chunk); err != nil {
			break
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		b.Fatal(err)
	}
	size, err := f.Seek(0, 2)
	if err == nil {
		err = f.Truncate(size - left)
	}
	if err != nil {
		b.Fatal(err)
	}
}

func (b *broker) empty() {
	b.Helper()
	if err := os.Remove(b.filler()); err != nil {
		b.Fatal(err)
	}
}

func (b *broker) filler() string { return filepath.Join(b.dir, "filler") }

// says asks for the status until it has all those words.
func (b *broker) says(words ...string) {
	b.Helper()
	var out string
	for deadline := time.Now().Add(brokertest.Deadline); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		out, _ = brokertest.Run(b.T, "status", "--state-dir", b.dir)
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(out, w) }) {
			return
		}
	}
	b.Fatalf("the status does not say %q:\n%s\n%s", words, out, b.Log())
}

// serves waits for a commit.
func (b *broker) serves(commit string) {
	b.Helper()
	if out, code := brokertest.Run(b.T, "status", "--wait", commit, "--timeout", "25s", "--state-dir", b.dir); code != 0 {
		b.Errorf("%d %s\n%s", code, out, b.Log())
	}
}

// sees checks what users are offered.
func (b *broker) sees(want string) {
	b.Helper()
	profiles, err := b.Client("alice", "127.0.0.1").List(context.Background())
	if err != nil || len(profiles) != 1 || profiles[0].ID != want {
		b.Errorf("the list is %v, %v; want %s", profiles, err, want)
	}
}

func TestADiskThatIsFullWhenACommitIsFetched(t *testing.T) {
	b := newBroker(t)
	b.fill(0)
	two := b.repo.Push(site("two", 0))
	b.says("no space left on device", "Fetched fails")
	b.sees("one")
	b.empty()
	b.serves(two)
	b.sees("two")
}

func TestADiskThatIsFullWhenASiteIsKept(t *testing.T) {
	b := newBroker(t)
	b.fill(256 << 10)
	two := b.repo.Push(site("two", 900_000))
	b.serves(two) // all that fails is to keep it
	b.says("what serves is not on disk, so that a restart needs the source", "no space left on device")
	b.sees("two")
	b.empty()
	b.says("source     answers")
	b.kept()
	b.Kill()
	b.without(func() {
		b.run()
		b.WaitReady()
		b.sees("two")
	})
}

func TestADiskThatIsFullWhenTheBrokerStarts(t *testing.T) {
	b := newBroker(t)
	b.Kill()
	b.fill(0)
	two := b.repo.Push(site("two", 0))
	b.run()
	b.WaitReady()
	b.sees("one")
	b.says("no space left on device")
	b.empty()
	b.serves(two)
	b.sees("two")
}

func TestADiskThatBecomesReadOnly(t *testing.T) {
	b := newBroker(t)
	b.readOnly()
	two := b.repo.Push(site("two", 0))
	b.says("read-only file system")
	b.sees("one")
	b.writable()
	b.serves(two)
	b.sees("two")
}

func TestADiskThatIsReadOnlyWhenTheBrokerStarts(t *testing.T) {
	b := newBroker(t)
	b.Kill()
	b.readOnly()
	two := b.repo.Push(site("two", 0))
	b.run()
	b.WaitReady()
	b.sees("one")
	b.WaitLog("state directory is on a read-only disk")
	b.WaitLog("site cannot be read.*read-only file system")
	if status, text := b.Get("/readyz"); status != 200 || !strings.Contains(text, "Fetched fails") { // there is no place for the control socket
		t.Errorf("/readyz: %d %s", status, text)
	}
	b.writable()
	b.WaitLog("state directory can be written, x2broker status works")
	b.serves(two)
	b.sees("two")
	if out := brokertest.Refuses(t, b.settings, 1); !strings.Contains(out, "another x2broker uses it") {
		t.Errorf("a second broker: %s", out)
	}
}

// kept waits until the status has nothing to say of what is not on disk.
func (b *broker) kept() {
	b.Helper()
	for deadline := time.Now().Add(brokertest.Deadline); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if out, _ := brokertest.Run(b.T, "status", "--state-dir", b.dir); !strings.Contains(out, "not on disk") {
			return
		}
	}
	b.Fatal("the site is never kept")
}

// without calls f while the repository is away.
func (b *broker) without(f func()) {
	b.Helper()
	if err := os.Rename(b.repo.Bare, b.repo.Bare+".away"); err != nil {
		b.Fatal(err)
	}
	f()
	if err := os.Rename(b.repo.Bare+".away", b.repo.Bare); err != nil {
		b.Fatal(err)
	}
}
