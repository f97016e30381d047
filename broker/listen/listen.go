// Package listen opens the sockets that clients come through, and holds the
// limits on who may keep how many of them open.
//
// # Promises
//
// A connection above a limit is closed at once and counted; nobody waits for
// another one's connection to end. Accept never waits for what a client sends.
//
// Where PROXY headers are asked for, one counts from a trusted proxy only, and a
// trusted proxy that sends none, or one that is not right, is refused. Whoever
// is no trusted proxy is never asked for one: what he sends is his request.
//
// A new certificate that cannot be used changes nothing.
package listen

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// TCP opens a TCP listener on host:port.
func TCP(address string) (net.Listener, error) { return net.Listen("tcp", address) }

// UnixPeer is the address of everybody who comes through a unix socket: the
// kernel knows no better one, and the peer's own name for his end says nothing.
const UnixPeer = "unix"

// A Socket is a unix socket that a proxy on this machine connects to. Whoever
// can open it is trusted like a proxy: its mode and group say who can.
type Socket struct {
	Path  string
	Mode  fs.FileMode // permissions
	Group string      // name or number; "" leaves the process's
}

// Unix opens the socket. It takes the place of a socket that nobody answers on,
// which a killed process left, and of nothing else. Close removes it.
func Unix(s Socket) (net.Listener, error) {
	fail := func(err error) (net.Listener, error) {
		return nil, fmt.Errorf("open the unix socket %s: %w", s.Path, err)
	}
	gid := -1
	if s.Group != "" {
		var err error
		if gid, err = groupID(s.Group); err != nil {
			return fail(err)
		}
	}
	if err := removeDead(s.Path); err != nil {
		return fail(err)
	}
	dir := filepath.Dir(s.Path)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return fail(fmt.Errorf("there is no directory %s: make it, or have systemd do so (RuntimeDirectory=)", dir))
	}
	// Under another name first, so that nobody gets in before mode and group are
	// right.
	made := filepath.Join(dir, "."+filepath.Base(s.Path)+"."+strconv.Itoa(os.Getpid()))
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: made, Net: "unix"})
	if err != nil {
		return fail(err)
	}
	l.SetUnlinkOnClose(false)
	err = os.Chmod(made, s.Mode.Perm()&0o700)
	if err == nil && gid >= 0 {
		if err = os.Chown(made, -1, gid); errors.Is(err, fs.ErrPermission) {
			err = fmt.Errorf("the broker's user is no member of the group %s: usermod -aG %s USER, and start the broker anew", s.Group, s.Group)
		}
	}
	if err == nil {
		err = os.Chmod(made, s.Mode.Perm())
	}
	if err == nil {
		err = os.Rename(made, s.Path)
	}
	if err != nil {
		return fail(errors.Join(err, l.Close(), os.Remove(made)))
	}
	return &socket{l, s.Path}, nil
}

// removeDead removes the socket of a process that has ended.
func removeDead(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return errors.New("there is something that is no socket: remove it, or choose another path")
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		conn.Close()
		return errors.New("another process answers there: choose another path")
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	return os.Remove(path)
}

func groupID(group string) (int, error) {
	if gid, err := strconv.Atoi(group); err == nil {
		return gid, nil
	}
	g, err := user.LookupGroup(group)
	if err != nil {
		return 0, fmt.Errorf("there is no group %q on this machine: groupadd --system makes one", group)
	}
	return strconv.Atoi(g.Gid)
}

// socket is a unix listener under the name that it was given.
type socket struct {
	*net.UnixListener
	path string
}

// Addr is the path.
func (s *socket) Addr() net.Addr { return &net.UnixAddr{Name: s.path, Net: "unix"} }

// Close also removes the socket.
func (s *socket) Close() error {
	err := s.UnixListener.Close()
	if e := os.Remove(s.path); !errors.Is(e, fs.ErrNotExist) {
		err = errors.Join(err, e)
	}
	return err
}
