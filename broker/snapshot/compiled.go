package snapshot

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"io/fs"

	"github.com/x2broker/x2broker/broker/source"
	"github.com/x2broker/x2broker/schema"
)

// What the kept site came to, and what the compiler knows of its files. Both are
// sealed and may be removed at will: a restart then takes longer.
const (
	compiledName = "compiled.cache"
	readyName    = "last-good.compiled"
)

// A ready is what a kept site came to.
type ready struct {
	Digest   string // of the kept site
	Catalog  []byte
	Policies []byte // see policy.Engine.Cache
	Warnings schema.Diagnostics
}

// loadCompiled gives the compiler what it knew in an earlier process.
func (k *Keeper) loadCompiled() {
	cache, is := k.builder.catalogs.(Cache)
	if k.stateDir == "" || !is {
		return
	}
	data, err := readSealed(k.stateDir, compiledName)
	if err == nil {
		err = cache.UseCache(data)
	}
	k.notSpared(err)
}

// notSpared says why something is done again.
func (k *Keeper) notSpared(err error) {
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		k.log.Info("site is compiled from its sources", "reason", err)
	}
}

// build compiles a revision from its sources, with what the compiler knew in an
// earlier process.
func (k *Keeper) build(ctx context.Context, rev source.Revision, tree *source.Tree) (*Snapshot, schema.Diagnostics) {
	if !k.compiled {
		k.compiled = true
		k.loadCompiled()
	}
	k.unsaved = true
	return k.builder.Build(ctx, rev, tree)
}

// saveCompiled keeps what the compiler has learnt, and what the kept site came to
// if it is the one that serves.
func (k *Keeper) saveCompiled() {
	if k.stateDir == "" {
		return
	}
	if cache, is := k.builder.catalogs.(Cache); is && k.unsaved {
		k.unsaved = false
		if data, err := cache.Cache(); err == nil && data != nil {
			k.notKept(writeSealed(k.stateDir, compiledName, data))
		}
	}
	snap := k.Current()
	if snap == nil || k.kept.digest == k.ready || k.kept.revision != snap.Revision.ID {
		return
	}
	k.ready = k.kept.digest // or it cannot be written: once is enough
	k.notKept(k.saveReady(snap))
}

func (k *Keeper) notKept(err error) {
	if err != nil {
		k.log.Debug("what the site came to cannot be kept on disk", "err", err)
	}
}

func (k *Keeper) saveReady(snap *Snapshot) error {
	r := ready{Digest: k.kept.digest, Warnings: snap.Warnings}
	var err error
	if r.Catalog, err = snap.Catalog.MarshalBinary(); err != nil {
		return err
	}
	if r.Policies, err = snap.Policy.Cache(); err != nil {
		return err
	}
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(r); err != nil {
		return err
	}
	return writeSealed(k.stateDir, readyName, b.Bytes())
}

// rebuild builds the kept site, from what it came to if that is there.
func (k *Keeper) rebuild(ctx context.Context, rev source.Revision, tree *source.Tree) (*Snapshot, schema.Diagnostics) {
	snap, err := k.loadReady(ctx, rev, tree)
	if err == nil {
		k.ready = k.kept.digest
		return snap, snap.Warnings
	}
	k.notSpared(err)
	return k.build(ctx, rev, tree)
}

func (k *Keeper) loadReady(ctx context.Context, rev source.Revision, tree *source.Tree) (*Snapshot, error) {
	data, err := readSealed(k.stateDir, readyName)
	if err != nil {
		return nil, err
	}
	var r ready
	if err := gob.NewDecoder(bytes.NewReader(data)).Decode(&r); err != nil {
		return nil, err
	}
	if r.Digest != k.kept.digest {
		return nil, fs.ErrNotExist // of an earlier site: a crash came between the two files
	}
	catalog := &schema.Catalog{}
	if err := catalog.UnmarshalBinary(r.Catalog); err != nil {
		return nil, err
	}
	if err := k.builder.policies.UseCache(r.Policies); err != nil {
		return nil, err
	}
	snap, diags := k.builder.finish(ctx, rev, tree, catalog, nil)
	if snap == nil {
		return nil, errors.New(diags[0].Message)
	}
	snap.Warnings = r.Warnings
	return snap, nil
}
