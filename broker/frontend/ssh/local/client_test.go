package local

import (
	"net"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/x2broker/x2broker/broker/frontend/ssh/command"
)

func TestAMistakeInTheCommandNeedsNoBroker(t *testing.T) {
	for _, c := range []struct {
		q    Request
		code int
		out  string
		err  string
	}{
		{Request{Args: []string{"--help"}}, 0, command.Help, ""},
		{Request{}, 254, command.Help, ""},
		{Request{Args: []string{"--nosuch"}}, 2, "", "unknown"},
		{Request{Original: text("id; id")}, 2, "", "at character 3"},
		{Request{Original: text(strings.Repeat("x", 1<<20))}, 2, "", "longer than"},
	} {
		a, err := Ask(t.Context(), "/nosuch", c.q)
		check(t, err)
		if a.Code != c.code || a.Stdout != c.out || !strings.Contains(a.Stderr, c.err) {
			t.Errorf("%+v: %+v", c.q, a)
		}
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	dir := t.TempDir()
	dead := filepath.Join(dir, "dead")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead, Net: "unix"})
	check(t, err)
	l.SetUnlinkOnClose(false)
	check(t, l.Close())

	rude := filepath.Join(dir, "rude")
	hangUp, err := net.Listen("unix", rude)
	check(t, err)
	defer hangUp.Close()
	go func() {
		for {
			c, err := hangUp.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	for socket, want := range map[string]string{
		filepath.Join(dir, "none"):  "is x2broker running, and is listen.openssh set",
		dead:                        "is x2broker running, and is listen.openssh set",
		filepath.Join(dead, "none"): "is x2broker running, and is listen.openssh set",
		rude:                        "hung up",
	} {
		if _, err := Ask(t.Context(), socket, list()); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), socket) || strings.Contains(err.Error(), "http://") {
			t.Errorf("%s: %v, want %q", socket, err, want)
		}
	}
	if _, err := Ask(t.Context(), dead, Request{User: strings.Repeat("x", MaxBody), Args: list().Args}); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Error(err)
	}
}

func TestWhoMayNotUseTheSocketIsToldTheGroup(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	f := start(t, nil)
	check(t, os.Chmod(f.socket, 0o660))
	check(t, os.Chown(f.socket, 0, 1)) // daemon
	g, err := user.LookupGroupId("1")
	check(t, err)
	refused := make(chan error)
	go func() {
		runtime.LockOSThread()
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, nobody, nobody, nobody); errno != 0 {
			refused <- errno
			return
		}
		_, err := net.Dial("unix", f.socket)
		refused <- err
	}()
	err = explain(f.socket, <-refused)
	if want := "be a member of the group " + g.Name; !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
}
