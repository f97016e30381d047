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

// openStateDir makes the directory private and takes it for this process; the
// lock ends with the process, however it ends. On a disk that is read-only the
// broker goes on without: what is kept there can serve, and nothing is written.
func openStateDir(dir string, log *slog.Logger) (unlock func(), err error) {
	fail := func(err error) (func(), error) {
		return nil, fmt.Errorf("cannot use the state directory %s: %w (choose another with --state-dir)", dir, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fail(err)
	}
	if info, err := os.Stat(dir); err != nil {
		return fail(err)
	} else if info.Mode().Perm() != 0o700 {
		if err := os.Chmod(dir, 0o700); err != nil {
			return fail(err)
		}
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	switch {
	case errors.Is(err, syscall.EROFS):
		log.Warn("state directory is on a read-only disk: nothing new can be kept", "dir", dir, "err", err)
		return func() {}, nil
	case err != nil:
		return fail(err)
	}
	if err := lock(f); err != nil {
		f.Close()
		return fail(err)
	}
	return func() { f.Close() }, nil
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
