package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

const (
	maxPacks      = 50       // packs in a store before it is cloned anew
	maxTagChain   = 8        // tags of tags
	maxHaves      = 32       // commits that the repository is told of
	objectCache   = 32 << 20 // bytes, for one use of the store
	maxTextBytes  = 200      // of a subject or author
	leftoverPacks = "objects/pack/tmp_*"
)

// damageError is a store that does not hold what it should. The remedy is to
// clone it anew.
type damageError struct{ err error }

func (e *damageError) Error() string { return e.err.Error() }
func (e *damageError) Unwrap() error { return e.err }

// store is our bare repository while it is being used.
type store struct {
	*filesystem.Storage
	dir string
}

// withStore opens the store for the length of f. Nothing stays open between
// two uses, so no index in memory can disagree with the disk. A panic in go-git,
// as over garbage in a pack, is damage too.
func withStore(dir string, write bool, f func(*store) error) (err error) {
	// filesystem.Storage does not tell a store that is not there from an empty one.
	if _, err := os.Stat(dir); err != nil && !write {
		return &damageError{err}
	}
	storage := filesystem.NewStorageWithOptions(osfs.New(dir), cache.NewObjectLRU(objectCache),
		filesystem.Options{ExclusiveAccess: true, KeepDescriptors: true})
	defer func() {
		if p := recover(); p != nil {
			err = &damageError{fmt.Errorf("panic while reading: %v", p)}
		}
		if closeErr := storage.Close(); err == nil && closeErr != nil {
			err = &damageError{closeErr}
		}
	}()
	if write {
		removeLeftovers(dir)
		// With HEAD, people can look into the store with git.
		head := plumbing.NewSymbolicReference(plumbing.HEAD, siteRef)
		if err := errors.Join(storage.Init(), storage.SetReference(head)); err != nil {
			return &damageError{fmt.Errorf("init: %w", err)}
		}
	}
	return f(&store{storage, dir})
}

// siteRef is where the store keeps the ref, whatever its name in the repository.
const siteRef plumbing.ReferenceName = "refs/x2broker/site"

// fetchInto fetches what the store at dir lacks and gives the commit that the
// ref leads to, if it is accepted.
func (g *Git) fetchInto(ctx context.Context, r *remote, dir string) (rev Revision, err error) {
	var haves []plumbing.Hash
	missing := false
	err = withStore(dir, true, func(s *store) error {
		if missing = s.lacks(r.tip); missing {
			haves = s.haves()
		}
		return nil
	})
	if err == nil && missing {
		err = r.pull(ctx, dir, haves)
	}
	if err != nil {
		return Revision{}, err
	}
	err = withStore(dir, true, func(s *store) error {
		if rev, err = s.revision(r.tip); err != nil {
			return err
		}
		// The old value does not matter: a rewritten history is followed.
		if err := s.SetReference(plumbing.NewHashReference(siteRef, r.tip)); err != nil {
			return &damageError{err}
		}
		return g.accept(ctx, s, plumbing.NewHash(rev.ID))
	})
	return rev, err
}

// pull gets a pack with the tip and all that it needs and the store lacks.
func (r *remote) pull(ctx context.Context, dir string, haves []plumbing.Hash) error {
	req := packp.NewUploadPackRequestFromCapabilities(r.adv.Capabilities)
	if r.adv.Capabilities.Supports(capability.NoProgress) {
		if err := req.Capabilities.Set(capability.NoProgress); err != nil {
			return err
		}
	}
	req.Wants = []plumbing.Hash{r.tip}
	req.Haves = haves
	pack, err := r.pack(req)
	if err != nil {
		return err
	}
	return receivePack(ctx, dir, pack)
}

// haves gives some commits that the store has with all that they need, so that
// the repository need not send it again: where the ref was and a few before, in
// case the last ones were rewritten.
func (s *store) haves() []plumbing.Hash {
	ref, err := s.Reference(siteRef)
	if err != nil {
		return nil
	}
	var haves []plumbing.Hash
	for next := ref.Hash(); len(haves) < maxHaves; {
		c, err := s.commit(next)
		if err != nil {
			break // a tag, or no parent
		}
		haves = append(haves, next)
		if len(c.ParentHashes) == 0 {
			break
		}
		next = c.ParentHashes[0]
	}
	return haves
}

// removeLeftovers removes packs that a fetch began and never finished.
func removeLeftovers(dir string) {
	left, _ := filepath.Glob(filepath.Join(dir, filepath.FromSlash(leftoverPacks)))
	for _, name := range left {
		_ = os.Remove(name) // only space is lost
	}
}

// packs counts the packs of a store.
func packs(dir string) int {
	found, _ := filepath.Glob(filepath.Join(dir, "objects", "pack", "*.pack"))
	return len(found)
}

// gitObject is one object of the store, whose content was found to have its hash.
type gitObject struct {
	kind plumbing.ObjectType
	data []byte
}

func (o *gitObject) encoded() plumbing.EncodedObject {
	m := &plumbing.MemoryObject{}
	m.SetType(o.kind)
	_, _ = m.Write(o.data) // appends to memory
	return m
}

// read gives an object, or errTooLong if it has more than limit bytes. go-git
// does not compare what it reads with the hash that was asked for. Doing so
// ties every file to the commit id, as Git means it.
func (s *store) read(kind plumbing.ObjectType, hash plumbing.Hash, limit int64) (*gitObject, error) {
	damaged := func(err error) (*gitObject, error) {
		return nil, &damageError{fmt.Errorf("object %s: %w", hash, err)}
	}
	size, err := s.EncodedObjectSize(hash)
	if err != nil {
		return damaged(err)
	}
	if size > limit {
		return nil, errTooLong
	}
	found, err := s.EncodedObject(kind, hash)
	if err != nil {
		return damaged(err)
	}
	r, err := found.Reader()
	if err != nil {
		return damaged(err)
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return damaged(err)
	}
	if plumbing.ComputeHash(found.Type(), data) != hash {
		return damaged(errors.New("content does not have this hash"))
	}
	return &gitObject{found.Type(), data}, nil
}

// meta reads a commit, tag or tree.
func (s *store) meta(kind plumbing.ObjectType, hash plumbing.Hash) (*gitObject, error) {
	o, err := s.read(kind, hash, MaxObject)
	if errors.Is(err, errTooLong) {
		return nil, fmt.Errorf("object %s: %s of more than %d bytes: make it smaller", hash, kind, MaxObject)
	}
	return o, err
}

func (s *store) commit(hash plumbing.Hash) (*object.Commit, error) {
	o, err := s.meta(plumbing.CommitObject, hash)
	if err != nil {
		return nil, err
	}
	c := &object.Commit{}
	if err := c.Decode(o.encoded()); err != nil {
		return nil, fmt.Errorf("commit %s: %w", hash, err)
	}
	return c, nil
}

// revision follows annotated tags to the commit and describes it.
func (s *store) revision(hash plumbing.Hash) (Revision, error) {
	for range maxTagChain {
		o, err := s.meta(plumbing.AnyObject, hash)
		if err != nil {
			return Revision{}, err
		}
		switch o.kind {
		case plumbing.CommitObject:
			c, err := s.commit(hash)
			if err != nil {
				return Revision{}, err
			}
			subject, _, _ := strings.Cut(strings.TrimSpace(c.Message), "\n")
			return Revision{
				ID:      hash.String(),
				Subject: plainText(subject),
				Author:  plainText(c.Author.Name),
				Time:    c.Committer.When.UTC(),
			}, nil
		case plumbing.TagObject:
			tag := &object.Tag{}
			if err := tag.Decode(o.encoded()); err != nil {
				return Revision{}, fmt.Errorf("tag %s: %w", hash, err)
			}
			hash = tag.Target
		default:
			return Revision{}, fmt.Errorf("points to a %s, not to a commit: use a branch or a tag of a commit", o.kind)
		}
	}
	return Revision{}, fmt.Errorf("more than %d tags of tags: tag the commit itself", maxTagChain)
}

// plainText makes one short line of text that strangers wrote.
func plainText(s string) string { return shortText(s, maxTextBytes) }

// shortText makes one line of at most so many bytes, and three dots.
func shortText(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "..."
	}
	return strings.TrimSpace(s)
}
