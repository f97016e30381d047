package authd

import (
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// dialAs connects as another user. Its thread, which has become him, ends with
// the goroutine.
func dialAs(socket string, uid int) (net.Conn, error) {
	runtime.LockOSThread()
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); errno != 0 {
		return nil, errno
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), socket)
	defer f.Close()
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: socket}); err != nil {
		return nil, err
	}
	return net.FileConn(f)
}
