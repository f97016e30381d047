package listen

import (
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestAUnixSocketHasItsModeAndGroup(t *testing.T) {
	path := filepath.Join(t.TempDir(), "http.sock")
	l, err := Unix(Socket{Path: path, Mode: 0o660, Group: "1"})
	if os.Getuid() != 0 { // others may give only groups that they are in
		l, err = Unix(Socket{Path: path, Mode: 0o660})
	}
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != fs.ModeSocket|0o660 {
		t.Errorf("mode %v", info.Mode())
	}
	if gid := info.Sys().(*syscall.Stat_t).Gid; os.Getuid() == 0 && gid != 1 {
		t.Errorf("group %d, want 1", gid)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("it stays")
	}
}

func TestWhoeverComesThroughAUnixSocketHasNoAddressOfHisOwn(t *testing.T) {
	dir := t.TempDir()
	l, err := Unix(Socket{Path: filepath.Join(dir, "http.sock"), Mode: 0o600})
	if err != nil {
		t.Fatal(err)
	}
	g := newGate(nil)
	serve(t, g, g.Listener(l))
	// A name that reads like an address.
	t.Chdir(dir)
	c, err := net.DialUnix("unix", &net.UnixAddr{Name: "10.0.0.1:80", Net: "unix"}, &net.UnixAddr{Name: "http.sock", Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got, err := ask(c, ""); err != nil || got != UnixPeer {
		t.Errorf("is %q, %v; want %q", got, err, UnixPeer)
	}
}

func TestASocketTakesThePlaceOfADeadOneOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "http.sock")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	alive, err := Unix(Socket{Path: path, Mode: 0o600})
	if err != nil {
		t.Fatalf("in place of a dead one: %v", err)
	}
	defer alive.Close()
	if _, err := Unix(Socket{Path: path, Mode: 0o600}); err == nil || !strings.Contains(err.Error(), "another process answers") {
		t.Errorf("in place of one that answers: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Unix(Socket{Path: file, Mode: 0o600}); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("in place of a file: %v", err)
	}
	if _, err := Unix(Socket{Path: filepath.Join(t.TempDir(), "s"), Mode: 0o600, Group: "no-such-group"}); err == nil || !strings.Contains(err.Error(), `no group "no-such-group"`) {
		t.Errorf("an unknown group: %v", err)
	}
	nowhere := filepath.Join(t.TempDir(), "x2broker")
	if _, err := Unix(Socket{Path: filepath.Join(nowhere, "s"), Mode: 0o600}); err == nil || !strings.Contains(err.Error(), "there is no directory "+nowhere+": make it") {
		t.Errorf("in no directory: %v", err)
	}
}
