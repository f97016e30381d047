package snapshot

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
)

// Files of the state directory that only spare work are sealed: the SHA-256 of
// the executable that wrote them, that of the content, and the content. Another
// executable may understand a site in another way, and ignores them.
var errStale = errors.New("not written by this x2broker, or damaged")

// executable is the digest of the running program.
var executable = sync.OnceValues(func() ([]byte, error) {
	f, err := os.Open("/proc/self/exe") // whatever becomes of its name
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return h.Sum(nil), err
})

func readSealed(dir, name string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	program, err := executable()
	if err != nil {
		return nil, err
	}
	rest, ours := bytes.CutPrefix(data, program)
	if !ours || len(rest) < sha256.Size {
		return nil, errStale
	}
	if sum := sha256.Sum256(rest[sha256.Size:]); !bytes.Equal(sum[:], rest[:sha256.Size]) {
		return nil, errStale
	}
	return rest[sha256.Size:], nil
}

func writeSealed(dir, name string, content []byte) error {
	program, err := executable()
	if err != nil {
		return err
	}
	sum := sha256.Sum256(content)
	return replaceFile(dir, name, [][]byte{program, sum[:], content})
}
