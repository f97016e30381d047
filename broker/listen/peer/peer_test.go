package peer_test

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/x2broker/x2broker/broker/listen/peer"
)

// nobody is a user who is not the one of the tests.
const nobody = 65534

func listenAs(t *testing.T, admit func(uint32) func()) (net.Listener, string) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	for d := path; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	return peer.Listen(l, admit, slog.New(slog.DiscardHandler)), path
}

func TestTheKernelSaysWhoConnected(t *testing.T) {
	ended := 0
	l, path := listenAs(t, func(uint32) func() { return func() { ended++ } })
	dialed, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer dialed.Close()
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if got := peer.UID(peer.Context(t.Context(), accepted)); int(got) != os.Getuid() {
		t.Errorf("uid %d, want %d", got, os.Getuid())
	}
	accepted.Close()
	accepted.Close()
	if ended != 1 {
		t.Errorf("the end was told %d times", ended)
	}
}

func TestWhoIsNotAdmittedGetsNoByteAndHoldsUpNobody(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can connect as somebody else")
	}
	l, path := listenAs(t, func(uid uint32) func() {
		if uid == nobody {
			return nil
		}
		return func() {}
	})
	told := make(chan error, 1)
	go func() {
		read := make(chan error)
		go func() { read <- readAs(nobody, path) }()
		told <- <-read
		if c, err := net.Dial("unix", path); err == nil { // as ourselves
			c.Close()
		}
	}()
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	if err := <-told; !errors.Is(err, io.EOF) && !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("nobody read, with error %v", err)
	}
	if got := peer.UID(peer.Context(t.Context(), accepted)); got != 0 {
		t.Errorf("accepted was user %d", got)
	}
}

// readAs connects as another user and waits for a byte. Its thread, which has
// become him, ends with the goroutine.
func readAs(uid int, path string) error {
	runtime.LockOSThread()
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); errno != 0 {
		return errno
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Read(make([]byte, 1))
	return err
}

func TestAContextWithoutAPeerIsNotRoot(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("it names somebody")
		}
	}()
	peer.UID(t.Context())
}
