package snapshot

import (
	"os"
	"path/filepath"

	"github.com/x2broker/x2broker/broker/durable"
)

// replaceFile writes a file in dir, which it makes if need be. After a crash at
// any time the old or the new one is there.
func replaceFile(dir, name string, parts ...[]byte) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return durable.Replace(filepath.Join(dir, name), parts...)
}
