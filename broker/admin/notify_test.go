package admin_test

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/x2broker/x2broker/broker/admin"
	"github.com/x2broker/x2broker/broker/source/gittest"
)

// systemd is the other end of NOTIFY_SOCKET.
func systemd(t *testing.T) *net.UnixConn {
	t.Helper()
	dir, err := os.MkdirTemp("", "notify") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "s"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", filepath.Join(dir, "s"))
	return conn
}

// hear reads messages until one has the text.
func hear(t *testing.T, conn *net.UnixConn, text string) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4096)
	for {
		n, err := conn.Read(b)
		if err != nil {
			t.Fatalf("waiting for %q: %v", text, err)
		}
		if strings.Contains(string(b[:n]), text) {
			return
		}
	}
}

func TestSystemdHearsEachChange(t *testing.T) {
	f := newFixture(t)
	conn := systemd(t)
	t.Setenv("WATCHDOG_USEC", "30000")
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		admin.Notify(ctx, f.keeper, slog.New(slog.DiscardHandler))
		close(done)
	}()
	first := f.keeper.Current().Revision.ID[:12]
	hear(t, conn, "READY=1\nSTATUS=Serving "+first)
	hear(t, conn, "WATCHDOG=1")
	bad := f.repo.Commit(gittest.Commit{Files: map[string]string{"site.cue": "broken"}})
	_ = f.keeper.Refresh(t.Context()) // it is refused
	hear(t, conn, "STATUS=Serving "+first+", Compiled refused "+bad[:12])
	cancel()
	hear(t, conn, "STOPPING=1")
	<-done
}
