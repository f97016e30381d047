package snapshot

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// compiledName is the file of the compiler's cache: the SHA-256 of the
// executable that made it, that of what follows, and what the compiler gave.
const compiledName = "compiled.cache"

var errStale = errors.New("not written by this x2broker, or damaged")

// executable is the digest of the running program.
var executable = sync.OnceValues(func() ([]byte, error) {
	name, err := os.Executable()
	if err != nil {
		return nil, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return h.Sum(nil), err
})

// loadCompiled gives the compiler what it knew in an earlier process.
func (k *Keeper) loadCompiled() {
	cache, is := k.builder.catalogs.(Cache)
	if k.stateDir == "" || !is {
		return
	}
	data, err := readCompiled(filepath.Join(k.stateDir, compiledName))
	if err == nil {
		err = cache.UseCache(data)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		k.log.Info("site is compiled from its sources", "reason", err)
	}
}

func readCompiled(file string) ([]byte, error) {
	data, err := os.ReadFile(file)
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

// saveCompiled keeps what the compiler knows; without it a restart only takes
// longer.
func (k *Keeper) saveCompiled() {
	cache, is := k.builder.catalogs.(Cache)
	if k.stateDir == "" || !is {
		return
	}
	data, err := cache.Cache()
	if err != nil || data == nil {
		return
	}
	program, err := executable()
	if err == nil {
		sum := sha256.Sum256(data)
		err = replaceFile(k.stateDir, compiledName, [][]byte{program, sum[:], data})
	}
	if err != nil {
		k.log.Debug("compiler's cache cannot be kept on disk", "err", err)
	}
}
