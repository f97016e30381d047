package snapshot

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
)

// Files of the state directory that only spare work are sealed: the digest of
// the executable that wrote them, that of the content, and the content. Another
// executable may understand a site in another way, and ignores them.
var errStale = errors.New("not written by this x2broker, or damaged")

// executable is a digest of the running program: of its build id, which the go
// command makes from all that is in it, or of its bytes if it has no such id.
var executable = sync.OnceValues(func() ([]byte, error) {
	f, err := os.Open("/proc/self/exe") // whatever becomes of its name
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := sha256.New()
	if id := buildID(f); id != nil {
		h.Write(id)
	} else {
		_, err = io.Copy(h, f)
	}
	return h.Sum(nil), err
})

// buildID gives what `go tool buildid` prints of a program; nil if that is not of
// the four parts that the go command makes, of which the last is of its content.
func buildID(program io.ReaderAt) []byte {
	file, err := elf.NewFile(program)
	if err != nil {
		return nil
	}
	section := file.Section(".note.go.buildid")
	if section == nil {
		return nil
	}
	const header = 16 // two sizes, a type, and the name "Go"
	note, err := section.Data()
	if err != nil || len(note) < header || bytes.Count(note[header:], []byte("/")) != 3 {
		return nil
	}
	return note[header:]
}

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
	return replaceFile(dir, name, program, sum[:], content)
}
