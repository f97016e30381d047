package keys

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// settled is how long a file must have been left alone before its time and size
// tell whether it is the same: two changes within one tick of the file system's
// clock look alike.
const settled = 2 * time.Second

// followed is what a file says, read anew when it changes. One that cannot be
// read, or is wrong, says nothing any more.
type followed[V any] struct {
	path  string
	most  int64
	parse func(text string) (V, error)

	mu    sync.Mutex
	info  fs.FileInfo // of what value was read from; nil: read it each time
	value V
}

func follow[V any](path string, most int64, parse func(string) (V, error)) *followed[V] {
	return &followed[V]{path: path, most: most, parse: parse}
}

// get gives what the file says now. Errors name the file.
func (f *followed[V]) get() (v V, err error) {
	file, err := openFile(f.path)
	if err != nil {
		return v, err
	}
	defer file.Close()
	now := time.Now() // by the clock that files have
	info, err := file.Stat()
	if err != nil {
		return v, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.info != nil && os.SameFile(f.info, info) && f.info.Size() == info.Size() && f.info.ModTime().Equal(info.ModTime()) {
		return f.value, nil
	}
	f.info = nil
	data, err := readAll(file, f.most)
	if err != nil {
		return v, err
	}
	if v, err = f.parse(string(data)); err != nil {
		return v, fmt.Errorf("%s: %w", f.path, err)
	}
	if now.Sub(info.ModTime()) >= settled {
		f.info, f.value = info, v
	}
	return v, nil
}

// openFile opens a file that nobody but root and the broker's user can have
// written.
func openFile(path string) (*os.File, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, err
	}
	dir, err := openShared(filepath.Dir(real))
	if err != nil {
		return nil, err
	}
	return dir.open([]string{filepath.Base(real)}, ours)
}
