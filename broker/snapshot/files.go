package snapshot

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// replaceFile writes a file in dir, which it makes if need be. After a crash at
// any time the old or the new one is there.
func replaceFile(dir, name string, parts [][]byte) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	file := filepath.Join(dir, name)
	if err := writeSynced(file+".new", parts); err != nil {
		return errors.Join(err, removeIfThere(file+".new")) // a full disk should not stay full
	}
	if err := os.Rename(file+".new", file); err != nil {
		return errors.Join(err, removeIfThere(file+".new"))
	}
	return syncDir(dir)
}

// writeSynced makes a file that did not exist and waits until it is on disk.
func writeSynced(file string, parts [][]byte) error {
	if err := removeIfThere(file); err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	for _, part := range parts {
		if _, err := f.Write(part); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return errors.Join(f.Sync(), f.Close())
}

func removeIfThere(file string) error {
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// syncDir makes a rename in dir survive a power failure.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
