package identity

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	keyFile     = "ticket.key"
	keyFileTemp = ".ticket.key.new"
	keyFileMode = 0o600
)

// writeKeyFile puts the key into dir as ticket.key: one line of a version, the
// key id and the secret, both in hexadecimal, mode 0600. The file is
// there whole or not at all, whenever the machine stops.
func writeKeyFile(dir string, k ticketKey) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("write the ticket key: %w", err)
		}
	}()
	temp := filepath.Join(dir, keyFileTemp)
	// A file left by a crash, or a link put there by somebody else, is not
	// written through: O_EXCL makes the file, or fails.
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, keyFileMode)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "1 %x %x\n", k.id, k.secret)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(temp, filepath.Join(dir, keyFile))
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return syncDir(dir)
}

// syncDir makes a rename in the directory last.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
