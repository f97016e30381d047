package source

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/idxfile"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/object"
)

var (
	errManyObjects = &limitError{"the repository sends more than %d objects: give the site a repository of its own, with a shorter history", MaxObjects}
	errLongDelta   = &limitError{"an object of the repository has more than %d bytes: remove large files, also from the history", MaxObject}
)

// receivePack puts a pack and its index into the store at dir, if the pack is
// whole and within the limits. go-git would hold any object in memory, however
// large: it sees the pack only after its headers have been looked at. Nothing
// is left of a pack that is refused.
func receivePack(ctx context.Context, dir string, r io.Reader) (err error) {
	defer func() {
		if p := recover(); p != nil { // as from go-git over garbage
			err = fmt.Errorf("the repository sends a damaged pack: %v: run git fsck there", p)
		}
	}()
	packs := filepath.Join(dir, "objects", "pack")
	f, err := os.CreateTemp(packs, "tmp_pack_")
	if err != nil {
		return fmt.Errorf("keep the site's objects: %w", err)
	}
	defer func() {
		f.Close()
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	w := bufio.NewWriter(f)
	from := &remembering{r: r}
	if err := scanPack(io.TeeReader(from, w)); err != nil {
		return packError(ctx, from.err, nameLarge(err, w, f))
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("keep the site's objects: %w", err)
	}
	sum, index, err := indexPack(ctx, f)
	if err != nil {
		return packError(ctx, nil, err)
	}
	name := filepath.Join(packs, "pack-"+sum.String())
	if err := errors.Join(os.WriteFile(name+".idx", index, 0o600), os.Rename(f.Name(), name+".pack")); err != nil {
		return fmt.Errorf("keep the site's objects: %w", err)
	}
	return nil
}

// packError tells what a pack lacks from what kept it from arriving.
func packError(ctx context.Context, reading, err error) error {
	limit, large, disk := new(limitError), new(largeError), new(fs.PathError)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &limit), errors.As(err, &large):
		return err
	case errors.As(reading, &limit):
		return limit
	case errors.As(err, &disk):
		return fmt.Errorf("keep the site's objects: %w", err)
	case reading != nil && !errors.Is(reading, io.EOF):
		return fmt.Errorf("read the pack: %w", reading)
	case reading != nil && strings.Contains(err.Error(), "EOF"): // not all of go-git's errors wrap it
		return fmt.Errorf("read the pack: %w", io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("the repository sends a damaged pack: %w: run git fsck there", err)
}

// remembering keeps the error that reading ended with.
type remembering struct {
	r   io.Reader
	err error
}

func (r *remembering) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if err != nil {
		r.err = err
	}
	return n, err
}

// largeError is an object of more than MaxObject bytes.
type largeError struct {
	kind plumbing.ObjectType
	hash plumbing.Hash
	size int64
	name string // without directories, "" if it is not known
}

func (e *largeError) Error() string {
	what := fmt.Sprintf("%s %s", e.kind, e.hash)
	if e.name != "" {
		what = fmt.Sprintf("file %q", e.name)
	}
	return fmt.Sprintf("the repository has a large object: %s, of %d bytes; at most %d are possible: remove it, also from the history (git log --all --find-object=%s)",
		what, e.size, MaxObject, e.hash)
}

// scanPack reads a pack to its checksum and refuses what is beyond a limit.
func scanPack(r io.Reader) error {
	scanner := packfile.NewScanner(r)
	_, count, err := scanner.Header()
	if err != nil {
		return err
	}
	if count > MaxObjects {
		return errManyObjects
	}
	for range count {
		h, err := scanner.NextObjectHeader()
		if err != nil {
			return err
		}
		switch {
		case h.Type.IsDelta():
			head := &beginning{limit: 2 * binary.MaxVarintLen64}
			if _, _, err := scanner.NextObject(head); err != nil {
				return err
			}
			if h.Length > MaxObject || resultOf(head.buf.Bytes()) > MaxObject {
				return errLongDelta
			}
		case h.Length > MaxObject:
			hash := plumbing.NewHasher(h.Type, h.Length)
			if _, _, err := scanner.NextObject(hash); err != nil {
				return err
			}
			return &largeError{kind: h.Type, hash: hash.Sum(), size: h.Length}
		default:
			if _, _, err := scanner.NextObject(io.Discard); err != nil {
				return err
			}
		}
	}
	_, err = scanner.Checksum()
	return err
}

// resultOf gives how long an object is that a delta makes: the second of the
// numbers it begins with. What is no number gives 0, and is found out later.
func resultOf(delta []byte) uint64 {
	_, n := binary.Uvarint(delta)
	size, _ := binary.Uvarint(delta[max(n, 0):])
	return size
}

// nameLarge looks in the trees of the pack so far for the name of the file that
// is too large: git sends trees before files.
func nameLarge(err error, w *bufio.Writer, f *os.File) error {
	large := new(largeError)
	if !errors.As(err, &large) || w.Flush() != nil {
		return err
	}
	if _, seekErr := f.Seek(0, io.SeekStart); seekErr != nil {
		return err
	}
	scanner := packfile.NewScanner(f)
	for {
		h, next := scanner.NextObjectHeader()
		if next != nil {
			return err
		}
		if h.Type != plumbing.TreeObject || h.Length > MaxObject {
			continue
		}
		var data bytes.Buffer
		if _, _, next = scanner.NextObject(&data); next != nil {
			return err
		}
		tree := &object.Tree{}
		if tree.Decode((&gitObject{h.Type, data.Bytes()}).encoded()) != nil {
			continue
		}
		for _, e := range tree.Entries {
			if e.Hash == large.hash {
				large.name = e.Name
				return err
			}
		}
	}
}

// indexPack unpacks every object of a pack and gives the pack's checksum and
// index. The context ends it.
func indexPack(ctx context.Context, f *os.File) (plumbing.Hash, []byte, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return plumbing.ZeroHash, nil, err
	}
	w := new(idxfile.Writer)
	parser, err := packfile.NewParser(packfile.NewScanner(&endingFile{ctx, f}), w)
	if err != nil {
		return plumbing.ZeroHash, nil, err
	}
	sum, err := parser.Parse()
	if err != nil {
		return plumbing.ZeroHash, nil, err
	}
	index, err := w.Index()
	if err != nil {
		return plumbing.ZeroHash, nil, err
	}
	var out bytes.Buffer
	if _, err := idxfile.NewEncoder(&out).Encode(index); err != nil {
		return plumbing.ZeroHash, nil, err
	}
	return sum, out.Bytes(), nil
}

// endingFile is a file that cannot be read any more when the context has ended.
type endingFile struct {
	ctx context.Context
	f   *os.File
}

func (e *endingFile) Read(p []byte) (int, error) {
	if err := e.ctx.Err(); err != nil {
		return 0, err
	}
	return e.f.Read(p)
}

func (e *endingFile) Seek(offset int64, whence int) (int64, error) {
	return e.f.Seek(offset, whence)
}
