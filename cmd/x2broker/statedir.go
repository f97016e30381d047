package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// A stateDir is the state directory, which is this process's alone as long as it
// runs, however it ends.
type stateDir struct {
	path string
	lock *os.File // nil while it is on a read-only disk
}

// openStateDir makes the directory private and takes it for this process. On a
// disk that is read-only the broker goes on without: what is kept there can
// serve, and nobody writes.
func openStateDir(path string, log *slog.Logger) (*stateDir, error) {
	d := &stateDir{path: path}
	err := os.MkdirAll(path, 0o700)
	if err == nil {
		err = d.makePrivate()
	}
	if err == nil {
		if err = d.take(); errors.Is(err, syscall.EROFS) {
			log.Warn("state directory is on a read-only disk: nothing new can be kept", "dir", path, "err", err)
			return d, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("cannot use the state directory %s: %w (choose another with --state-dir)", path, err)
	}
	return d, nil
}

func (d *stateDir) makePrivate() error {
	info, err := os.Stat(d.path)
	if err != nil || info.Mode().Perm() == 0o700 {
		return err
	}
	return os.Chmod(d.path, 0o700)
}

// take locks the directory, if it is not locked yet.
func (d *stateDir) take() error {
	if d.lock != nil {
		return nil
	}
	f, err := os.OpenFile(filepath.Join(d.path, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := lock(f); err != nil {
		f.Close()
		return err
	}
	d.lock = f
	return nil
}

func (d *stateDir) release() {
	if d.lock != nil {
		d.lock.Close()
	}
}

// lock takes a file for this process. Of such locks the kernel says who holds
// them.
func lock(f *os.File) error {
	err := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
	if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EACCES) {
		return err
	}
	holder := unix.Flock_t{Type: unix.F_WRLCK}
	err = unix.FcntlFlock(f.Fd(), unix.F_GETLK, &holder)
	if err == nil && holder.Type != unix.F_UNLCK && holder.Pid > 0 { // else it is in another container
		return fmt.Errorf("another x2broker uses it, process %d", holder.Pid)
	}
	return errors.New("another x2broker uses it")
}

// mayPass reports whether a disk is at fault that may be mended while the
// broker runs.
func mayPass(err error) bool {
	return errors.Is(err, syscall.EROFS) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
