package snapshot

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/x2broker/x2broker/broker/source"
)

const keptName = "last-good.site"

// keptSite names the site that is on disk.
type keptSite struct{ revision, digest string }

// unkept is a good revision that is not on disk yet.
type unkept struct {
	rev    source.Revision
	tree   *source.Tree
	warned bool
}

// restore serves the kept site, if there is one of this source that is whole
// and compiles. All else is said in the log and does no harm.
func (k *Keeper) restore(ctx context.Context) {
	if k.stateDir == "" {
		return
	}
	file := filepath.Join(k.stateDir, keptName)
	log := k.log.With("file", file)
	data, err := loadKept(file)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if pe := new(fs.PathError); errors.As(err, &pe) {
		log.Warn("kept site cannot be read, ignoring it", "err", err)
		return
	}
	var (
		name string
		rev  source.Revision
		tree *source.Tree
	)
	if err == nil {
		name, rev, tree, err = decodeKept(data)
		k.kept = keptSite{rev.ID, keptDigest(data)}
	}
	if err != nil {
		log.Warn("kept site is damaged, ignoring it", "err", err, "aside", file+".bad")
		if err := os.Rename(file, file+".bad"); err != nil {
			log.Warn("damaged kept site cannot be put aside", "err", err)
		}
		return
	}
	if name != k.source.String() {
		log.Warn("kept site is of another source, ignoring it", "kept", name)
		return
	}
	if hold := k.holding(); hold != nil && hold.Revision.ID != "" && hold.Revision.ID != rev.ID {
		log.Warn("kept site is not what an operator holds, ignoring it", "kept", rev.ID, "held", hold.Revision.ID)
		return
	}
	began := k.now()
	snap, diags := k.rebuild(ctx, rev, tree)
	switch {
	case ctx.Err() != nil:
	case snap == nil:
		k.revision(rev).Warn("kept site does not compile with this version, ignoring it", "file", file, "errors", countErrors(diags))
		k.logDiagnostics(slog.LevelWarn, rev, worstFirst(diags))
	default:
		k.note(func(s *Status) {
			s.Compiled = k.reached(rev, began)
			s.Tested = Stage{Revision: rev, Time: s.Compiled.Time, Reason: "passed before it was kept"}
		})
		k.swap.Lock()
		defer k.swap.Unlock()
		k.serve(snap, "kept on disk")
	}
}

// keep writes a good revision to disk.
func (k *Keeper) keep(rev source.Revision, tree *source.Tree) {
	if k.stateDir != "" {
		k.unkept = &unkept{rev: rev, tree: tree}
	}
}

// writeUnkept writes what is not on disk yet. A full or read-only disk costs
// only the restart without the source; the next poll tries again, silently.
func (k *Keeper) writeUnkept() {
	u := k.unkept
	if u == nil {
		return
	}
	digest, err := storeKept(k.stateDir, k.source.String(), u.rev, u.tree)
	k.noteUnkept(err)
	switch {
	case err == nil:
		k.unkept = nil
		k.kept = keptSite{u.rev.ID, digest}
		k.log.Debug("site kept on disk", "revision", u.rev.ID)
	case !u.warned:
		u.warned = true
		k.log.Warn("site cannot be kept on disk: a restart will need its source", "revision", u.rev.ID, "dir", k.stateDir, "err", err)
	}
}

// noteUnkept has the status say why the site is not on disk, nil for nothing.
func (k *Keeper) noteUnkept(err error) {
	why := ""
	if err != nil {
		why = err.Error()
	}
	if k.Status().Unkept != why {
		k.note(func(s *Status) { s.Unkept = why })
	}
}

func loadKept(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readKept(f, maxKeptBytes)
}

// storeKept replaces the kept site in dir, and gives its digest.
func storeKept(dir, name string, rev source.Revision, tree *source.Tree) (string, error) {
	parts, err := encodeKept(name, rev, tree)
	if err != nil {
		return "", err
	}
	return keptDigest(parts[0]), replaceFile(dir, keptName, parts)
}

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
