// Package durable writes files that are there whole or not at all, whenever the
// machine stops. They are for their owner only.
package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

const privateMode = 0o600

// Replace writes a file of mode 0600, part after part: after a crash at any time
// the old or the new one is there. It writes to the name with ".new" behind it
// first, of which a crash may leave a half; when it fails nothing is left, since
// a full disk should not stay full.
func Replace(file string, parts ...[]byte) error {
	fresh := file + ".new"
	f, err := Create(fresh)
	if err != nil {
		return err
	}
	for _, part := range parts {
		if err == nil {
			_, err = f.Write(part)
		}
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(fresh, file)
	}
	if err != nil {
		return errors.Join(err, RemoveIfThere(fresh))
	}
	return SyncDir(filepath.Dir(file))
}

// Create makes an empty file of mode 0600 to read and write. One that a crash
// left, or a link that somebody put there, is removed and not written through.
func Create(file string) (*os.File, error) {
	if err := RemoveIfThere(file); err != nil {
		return nil, err
	}
	return os.OpenFile(file, os.O_RDWR|os.O_CREATE|os.O_EXCL, privateMode)
}

// RemoveIfThere removes a file; that there is none is no error.
func RemoveIfThere(file string) error {
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// SyncDir makes a rename in a directory survive a power failure.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
