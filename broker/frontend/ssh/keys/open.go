package keys

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// directory is one of which is known who can write in it and in those above. It
// is open without being read, so that the right to pass through is enough.
type directory struct {
	fd   int
	path string
}

func (d *directory) close() { _ = unix.Close(d.fd) }

// openShared opens a directory that nobody but root and the broker's user can
// have changed, nor anything on the way to it. Unlike sshd, links on the way are
// followed first and the way is looked at as it really is; and one where
// everybody may add but nobody may rename what is not his, such as /tmp, may be
// passed through unless last.
func openShared(path string) (*directory, error) {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: "/", Err: err}
	}
	d := &directory{fd, "/"}
	parts := strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
	for i := 0; ; i++ {
		last := i == len(parts)
		if err := d.check(ours, !last); err != nil || last {
			if err != nil {
				d.close()
				return nil, err
			}
			return d, nil
		}
		next, err := d.enter(parts[i])
		d.close()
		if err != nil {
			return nil, err
		}
		d = next
	}
}

// enter opens a directory in this one. Links are not followed.
func (d *directory) enter(name string) (*directory, error) {
	path := filepath.Join(d.path, name)
	fd, err := openat(d.fd, name, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, explain(path, err)
	}
	return &directory{fd, path}, nil
}

func (d *directory) check(owner func(uint32) bool, sticky bool) error {
	var s unix.Stat_t
	if err := unix.Fstat(d.fd, &s); err != nil {
		return &os.PathError{Op: "stat", Path: d.path, Err: err}
	}
	if sticky && s.Mode&unix.S_ISVTX != 0 {
		s.Mode &^= 0o022
	}
	return checkOwner(d.path, &s, owner)
}

// open opens the file at the end of some parts, and closes the directory. Each
// part must belong to an owner.
func (d *directory) open(parts []string, owner func(uint32) bool) (*os.File, error) {
	defer func() { d.close() }()
	for _, part := range parts[:len(parts)-1] {
		next, err := d.enter(part)
		if err != nil {
			return nil, err
		}
		d.close()
		d = next
		if err := d.check(owner, false); err != nil {
			return nil, err
		}
	}
	name := parts[len(parts)-1]
	path := filepath.Join(d.path, name)
	// What is no file, such as a pipe, is opened without waiting for anybody.
	fd, err := openat(d.fd, name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY)
	if err != nil {
		return nil, explain(path, err)
	}
	file := os.NewFile(uintptr(fd), path)
	var s unix.Stat_t
	if err := unix.Fstat(fd, &s); err != nil {
		file.Close()
		return nil, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if s.Mode&unix.S_IFMT != unix.S_IFREG {
		file.Close()
		return nil, fmt.Errorf("%s is no file", path)
	}
	if err := checkOwner(path, &s, owner); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

func openat(dir int, name string, flags int) (fd int, err error) {
	for {
		fd, err = unix.Openat(dir, name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// ours are root and the broker's own user.
func ours(uid uint32) bool { return uid == 0 || uid == uint32(os.Geteuid()) }

// checkOwner wants what nobody but an owner can write.
func checkOwner(path string, s *unix.Stat_t, owner func(uint32) bool) error {
	switch {
	case !owner(s.Uid):
		return fmt.Errorf("%s belongs to the user %d: it must belong to root, to the broker's user, or to whose keys they are", path, s.Uid)
	case s.Mode&0o022 != 0:
		return fmt.Errorf("%s can be written by others: chmod go-w it", path)
	}
	return nil
}

func explain(path string, err error) error {
	switch {
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENOTDIR):
		return fmt.Errorf("%s is a symbolic link, or not what the path needs: links are not followed here, because users could change where they lead", path)
	case errors.Is(err, unix.EACCES):
		return fmt.Errorf("%s: the broker's user may not read it", path)
	}
	return &os.PathError{Op: "open", Path: path, Err: err}
}

// readAll reads a file that may have so many bytes.
func readAll(file *os.File, most int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(file, most+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > most {
		return nil, fmt.Errorf("%s is longer than %d KiB", file.Name(), most>>10)
	}
	return data, nil
}
