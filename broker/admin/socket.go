package admin

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"

	"github.com/x2broker/x2broker/broker/listen/peer"
)

const socketName = "control.sock"

// maxSocketPath is what unix(7) allows, with the byte that ends it.
const maxSocketPath = 107

// ListenControl opens the control socket in a state directory, which must be
// this process's alone. Only root and the user of this process get through,
// whatever the modes of files say.
func ListenControl(stateDir string, log *slog.Logger) (net.Listener, error) {
	fail := func(err error) (net.Listener, error) {
		return nil, fmt.Errorf("open the control socket in %s: %w", stateDir, err)
	}
	if err := os.Remove(filepath.Join(stateDir, socketName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fail(err) // what a killed broker left
	}
	path, release, err := socketPath(stateDir)
	if err != nil {
		return fail(err)
	}
	defer release()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return fail(err)
	}
	l.SetUnlinkOnClose(false) // path may mean something else by then
	if err := os.Chmod(filepath.Join(stateDir, socketName), 0o600); err != nil {
		return fail(errors.Join(err, l.Close()))
	}
	admit := func(uid uint32) func() {
		if !allowed(uid) {
			log.Warn("control socket refused a connection", "uid", uid)
			return nil
		}
		return func() {}
	}
	return peer.Listen(&control{l, filepath.Join(stateDir, socketName)}, admit, log), nil
}

// socketPath gives a short way to the socket: a long one goes through a file
// descriptor of its directory, until release.
func socketPath(dir string) (path string, release func(), err error) {
	path = filepath.Join(dir, socketName)
	if len(path) <= maxSocketPath {
		return path, func() {}, nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), socketName), func() { d.Close() }, nil
}

// control is the listener under the name that it was given.
type control struct {
	*net.UnixListener
	file string
}

// Close also removes the socket.
func (l *control) Close() error {
	err := l.UnixListener.Close()
	if e := os.Remove(l.file); !errors.Is(e, fs.ErrNotExist) {
		err = errors.Join(err, e)
	}
	return err
}
