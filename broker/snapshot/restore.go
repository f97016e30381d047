package snapshot

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/x2broker/x2broker/broker/durable"
	"github.com/x2broker/x2broker/broker/source"
)

// keptNames are the files of the sites that served last. Which is the newest
// they say themselves; the oldest, or one that is of no use, is written over.
var keptNames = [...]string{"last-good.1.site", "last-good.2.site", "last-good.3.site"}

// keptOnDisk is the reason of Serving for a kept site.
const keptOnDisk = "kept on disk"

// Verifying is a source that may ask for signatures.
type Verifying interface {
	// Rules names what revisions are held against; "" if none could be refused.
	Rules() string
	// Accepts asks, without asking the repository, whether a revision that Fetch
	// gave some time may serve by these rules. The error is an
	// [*source.UnverifiedError] if it may not; any other leaves that open.
	Accepts(ctx context.Context, rev source.Revision) error
}

var _ Verifying = (*source.Git)(nil)

// rules names what revisions are held against now.
func (k *Keeper) rules() string {
	if v, is := k.source.(Verifying); is {
		return v.Rules()
	}
	return ""
}

// accepts asks whether a revision may serve by the rules of now.
func (k *Keeper) accepts(ctx context.Context, rev source.Revision) error {
	if k.rules() == "" {
		return nil
	}
	return k.source.(Verifying).Accepts(ctx, rev)
}

// keptSite names the site that is on disk and served last.
type keptSite struct{ revision, digest string }

// A keptSlot is what is known of one of the files.
type keptSlot struct {
	name     string
	number   int64 // 0 if it is of no use
	revision string
}

// unkept is a good revision that is not on disk yet.
type unkept struct {
	snap   *Snapshot
	tree   *source.Tree
	warned bool
}

// restore serves the newest kept site of this source that is whole, accepted and
// compiles. All else is said in log and status, and does no harm.
func (k *Keeper) restore(ctx context.Context) {
	if k.stateDir == "" {
		return
	}
	k.findKept()
	order := []int{0, 1, 2}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(k.slots[b].number, k.slots[a].number) })
	found := false
	for _, i := range order {
		if ctx.Err() != nil {
			return
		}
		slot := &k.slots[i]
		data, err := k.readSlot(slot)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		found = true
		switch {
		case err != nil:
			k.passOver(slot, "cannot be read", err)
		case k.Current() != nil: // only what is wrong with the others is of interest
			if _, err := checkKept(data); err != nil {
				k.passOver(slot, "is damaged", err)
			}
		default:
			k.restoreFrom(ctx, slot, data)
		}
	}
	if found && k.Current() == nil && ctx.Err() == nil {
		k.log.Error("none of the kept sites can serve, waiting for the source")
	}
}

// findKept reads what the kept sites say of themselves.
func (k *Keeper) findKept() {
	for i, name := range keptNames {
		k.slots[i] = keptSlot{name: name}
		_ = durable.RemoveIfThere(filepath.Join(k.stateDir, name+".new")) // half-written, before a crash
		f, err := os.Open(filepath.Join(k.stateDir, name))
		if err != nil {
			continue // reading it says why
		}
		head := make([]byte, len(keptMagic)+64+1+100)
		n, _ := f.ReadAt(head, 0)
		f.Close()
		k.slots[i].number, k.slots[i].revision = keptLine(head[:n])
	}
}

func (k *Keeper) readSlot(slot *keptSlot) ([]byte, error) {
	f, err := os.Open(filepath.Join(k.stateDir, slot.name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return readKept(f, info.Size(), maxKeptBytes)
}

// passOver says that a kept site does not serve, and gives its file free.
func (k *Keeper) passOver(slot *keptSlot, text string, err error) {
	slot.number, slot.revision = 0, ""
	file := filepath.Join(k.stateDir, slot.name)
	k.log.Warn("kept site "+text+", ignoring it", "file", file, "err", err)
	k.note(func(s *Status) { s.Unused = append(slices.Clone(s.Unused), fmt.Sprintf("%s %s: %v", file, text, err)) })
}

// restoreFrom serves a kept site, if it may and can.
func (k *Keeper) restoreFrom(ctx context.Context, slot *keptSlot, data []byte) {
	header, tree, err := decodeKept(data)
	rev := header.Revision
	switch hold := k.holding(); {
	case err != nil:
		k.passOver(slot, "is damaged", err)
		return
	case header.Source != k.source.String():
		slot.number, slot.revision = 0, ""
		k.log.Warn("kept site is of another source, ignoring it", "file", slot.name, "kept", header.Source)
		return
	case hold != nil && hold.Revision.ID != "" && hold.Revision.ID != rev.ID:
		k.log.Info("kept site is not what an operator holds, ignoring it", "file", slot.name, "kept", rev.ID, "held", hold.Revision.ID)
		return
	}
	rules := k.rules()
	if rules != "" && rules != header.Rules { // it was accepted by others, or never asked about
		if err := k.accepts(ctx, rev); err != nil {
			if ctx.Err() == nil {
				k.passOver(slot, "is not accepted by the rules of verify as they are now", err)
			}
			return
		}
	}
	k.kept = keptSite{rev.ID, keptDigest(data)}
	began := k.now()
	snap, diags := k.rebuild(ctx, rev, tree)
	switch {
	case ctx.Err() != nil:
		return
	case snap == nil:
		k.passOver(slot, "does not compile with this version", errors.New(summary(diags, worstFirst(diags)[0])))
		k.logDiagnostics(slog.LevelWarn, rev, worstFirst(diags))
		return
	}
	if snap.Inputs != header.Inputs {
		k.log.Info("kept site serves with other inputs than before", "revision", rev.ID, "digest", snap.Inputs.Digest(), "before", header.Inputs.Digest())
	}
	k.note(func(s *Status) {
		if k.verified != nil {
			s.Verified = Stage{Revision: rev, Time: k.now().UTC(), Reason: *k.verified}
		}
		s.Compiled = k.reached(rev, began)
		s.Tested = Stage{Revision: rev, Time: s.Compiled.Time, Reason: "passed before it was kept"}
	})
	k.swap.Lock()
	defer k.swap.Unlock()
	k.serve(snap, keptOnDisk)
	if rules != header.Rules || snap.Inputs != header.Inputs {
		k.keep(snap, tree) // with those of now
	}
}

// keep writes a good revision to disk.
func (k *Keeper) keep(snap *Snapshot, tree *source.Tree) {
	if k.stateDir != "" {
		k.unkept = &unkept{snap: snap, tree: tree}
	}
}

// writeUnkept writes what is not on disk yet. A full or read-only disk costs
// only the restart without the source; the next poll tries again, silently.
func (k *Keeper) writeUnkept() {
	u := k.unkept
	if u == nil {
		return
	}
	slot := k.slotFor(u.snap.Revision.ID)
	number := int64(1)
	for _, other := range k.slots {
		number = max(number, other.number+1)
	}
	header := keptHeader{Source: k.source.String(), Revision: u.snap.Revision, Rules: k.rules(), Inputs: u.snap.Inputs}
	parts, err := encodeKept(number, header, u.tree)
	if err == nil {
		err = replaceFile(k.stateDir, slot.name, parts...)
	}
	k.noteUnkept(err)
	switch {
	case err == nil:
		k.unkept = nil
		slot.number, slot.revision = number, u.snap.Revision.ID
		k.kept = keptSite{u.snap.Revision.ID, keptDigest(bytes.Clone(parts[0]))}
		k.log.Debug("site kept on disk", "revision", u.snap.Revision.ID, "file", slot.name)
	case !u.warned:
		u.warned = true
		k.log.Warn("site cannot be kept on disk: a restart will need its source", "revision", u.snap.Revision.ID, "dir", k.stateDir, "err", err)
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

// slotFor gives the file to write a revision to: the one that has it, or else the
// one that can best be spared.
func (k *Keeper) slotFor(revision string) *keptSlot {
	if i := slices.IndexFunc(k.slots[:], func(s keptSlot) bool { return s.revision == revision }); i >= 0 {
		return &k.slots[i]
	}
	oldest := &k.slots[0]
	for i := range k.slots {
		if k.slots[i].number < oldest.number {
			oldest = &k.slots[i]
		}
	}
	return oldest
}
