package identity

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/x2broker/x2broker/broker/durable"
)

const (
	syncEvery = time.Second

	// compactAbove is how many bytes the file of marks may have beyond twice
	// what is needed.
	compactAbove = 4 << 20
)

// load reads keys and marks, and writes what is needed to go on.
func (ts *Tickets) load() error {
	now := ts.clock()
	if ts.stateDir == "" {
		if ts.keyFile != "" {
			ts.floor = now.Unix()
			return ts.readSharedKeys()
		}
		fresh, err := newKeyring(ts.rand, now)
		ts.keys.Store(&fresh)
		return err
	}
	marks, torn, badMarks := readMarks(ts.stateDir)
	if badMarks != nil && !errors.Is(badMarks, errMarksMissing) && !errors.Is(badMarks, errMarksCorrupt) {
		return fmt.Errorf("read the marks of tickets: %w", badMarks)
	}
	for _, m := range marks {
		ts.apply(m)
	}
	if torn > 0 {
		ts.log.Warn("the machine stopped while a ticket was recorded: what was used in its last second may be used once more", "bytes", torn)
	}
	if ts.keyFile != "" {
		if err := ts.readSharedKeys(); err != nil {
			return err
		}
		if badMarks != nil {
			ts.log.Warn("tickets of logins before now are not accepted here: nobody can tell which were used", "reason", badMarks)
			ts.floor = now.Unix()
		}
	} else if err := ts.loadKeys(now, badMarks); err != nil {
		return err
	}
	ts.purge(now)
	var err error
	ts.marks, err = openMarks(ts.stateDir, ts.summary())
	return err
}

// loadKeys reads the keys of our own, or makes a new one if there is none or
// the marks that belong to them cannot be relied on.
func (ts *Tickets) loadKeys(now time.Time, badMarks error) error {
	keys, err := readKeys(filepath.Join(ts.stateDir, keyFile), 0o077)
	switch {
	case err != nil && !errors.Is(err, errNoKeys):
		return fmt.Errorf("read the ticket keys: %w", err)
	case err == nil && badMarks == nil:
		ts.keys.Store(&keys)
		return nil
	case errors.Is(err, os.ErrNotExist) && errors.Is(badMarks, errMarksMissing): // the first start
	default:
		ts.log.Warn("all tickets have ended, each user gives his password once more", "reason", errors.Join(err, badMarks))
	}
	fresh, err := newKeyring(ts.rand, now)
	if err != nil {
		return err
	}
	// The chains go with their key: what they were is of no use any more.
	hashes := ts.hashes
	ts.chainTable = newChainTable(ts.maxPerUser, ts.maxTotal)
	ts.hashes = hashes
	ts.keys.Store(&fresh)
	return writeKeys(ts.stateDir, fresh)
}

// readSharedKeys reads the key file of several brokers, if it has changed.
func (ts *Tickets) readSharedKeys() error {
	keys, err := readKeys(ts.keyFile, 0o037)
	if err != nil {
		return fmt.Errorf("read the ticket keys that brokers share: %w (make a line with `x2broker ticket-key`, mode 0640 or less)", err)
	}
	same := func(a, b datedKey) bool { return a.id == b.id && a.secret == b.secret && a.from.Equal(b.from) }
	if old := ts.keys.Load(); old == nil || !slices.EqualFunc(*old, keys, same) {
		ts.keys.Store(&keys)
	}
	return nil
}

// record writes marks and then applies them. If they cannot be written nothing
// has happened.
func (ts *Tickets) record(m mark) bool {
	if ts.marks != nil {
		if err := ts.marks.write(m); err != nil {
			ts.writeFailed(err)
			return false
		}
	}
	ts.apply(m)
	return true
}

// recordAnyhow is for what must count even if it cannot be written yet.
func (ts *Tickets) recordAnyhow(m mark) {
	if !ts.record(m) {
		ts.apply(m)
		ts.marks.stale = true
	}
}

// purge forgets the chains whose tickets have all expired. The floor rises with
// it, so that nothing comes back when the clock is set back, or the next start
// brings a longer lifetime.
func (ts *Tickets) purge(now time.Time) {
	if login, any := ts.expired(now, ts.lifetime); any {
		ts.recordAnyhow(mark{kind: markFloor, login: login})
	}
}

// writeFailed tells of the first of several failures.
func (ts *Tickets) writeFailed(err error) {
	if ts.counts.writeErrors.Add(1) == 1 || !ts.counts.failing.Load() {
		ts.log.Error("tickets cannot be recorded: none are issued or turned, passwords go on to work", "error", err)
	}
	ts.counts.failing.Store(true)
}

// Run makes the machine keep what was recorded each second, keeps the file
// small, and sees to the keys, until ctx ends. Tickets work without it, but a
// machine that stops forgets what was used.
func (ts *Tickets) Run(ctx context.Context) {
	tick := time.NewTicker(syncEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			ts.tend()
		case <-ctx.Done():
			ts.tend()
			return
		}
	}
}

// tend is one round of Run.
func (ts *Tickets) tend() {
	now := ts.clock()
	if err := ts.tendKeys(now); err != nil {
		if ts.counts.keyErrors.Add(1) == 1 {
			ts.log.Error("the ticket keys stay as they are", "error", err)
		}
	} else {
		ts.counts.keyErrors.Store(0)
	}
	if ts.marks == nil {
		return
	}
	if err := ts.save(now); err != nil {
		ts.mu.Lock()
		ts.writeFailed(err)
		ts.mu.Unlock()
		return
	}
	if ts.counts.failing.Swap(false) {
		ts.log.Info("tickets can be recorded again")
	}
}

// tendKeys reads the shared keys again, or makes a new one in time.
func (ts *Tickets) tendKeys(now time.Time) error {
	if ts.keyFile != "" {
		return ts.readSharedKeys()
	}
	keys := *ts.keys.Load()
	if newest := keys[len(keys)-1]; ts.keyRotation <= 0 || now.Sub(newest.from) < ts.keyRotation {
		return nil
	}
	ts.mu.Lock()
	rotated, err := keys.rotated(ts.rand, now, ts.lifetime)
	ts.mu.Unlock()
	if err == nil && ts.stateDir != "" {
		err = writeKeys(ts.stateDir, rotated)
	}
	if err != nil {
		return err
	}
	ts.keys.Store(&rotated)
	ts.log.Info("a new key signs tickets", "keys", len(rotated))
	return nil
}

// save syncs the file, off the path of requests, and replaces it by a smaller
// one where that is worth it.
func (ts *Tickets) save(now time.Time) error {
	ts.mu.Lock()
	w := ts.marks
	ts.purge(now)
	needed := int64(markSize * (1 + len(ts.hashes) + len(ts.users) + len(ts.chains)))
	compact := w.stale || ts.counts.failing.Load() || w.size > 2*needed+compactAbove
	unsaved := w.unsaved
	w.unsaved = false
	ts.mu.Unlock()

	if compact {
		return ts.compact(now)
	}
	if !unsaved {
		return nil
	}
	if err := w.file.Sync(); err != nil {
		// What the kernel did not write it may have thrown away.
		ts.mu.Lock()
		w.stale = true
		ts.mu.Unlock()
		return err
	}
	return nil
}

// compact replaces the file by one with the marks that count. Requests wait only
// while the marks are taken, and while those that came in between are copied.
func (ts *Tickets) compact(now time.Time) error {
	ts.mu.Lock()
	w := ts.marks
	ts.forget(func(u *ticketUser) bool { return now.Sub(time.Unix(u.floor, 0)) >= ts.lifetime })
	marks, from := ts.summary(), w.size
	w.stale = false
	ts.mu.Unlock()

	f, size, err := newMarkFile(w.dir, marks)
	if err != nil {
		return ts.compactFailed(err)
	}
	ts.mu.Lock()
	since, err := io.ReadAll(io.NewSectionReader(w.file, from, w.size-from))
	if err == nil {
		_, err = f.WriteAt(since, size)
	}
	if err == nil && w.stale {
		err = errors.New("more could not be written meanwhile")
	}
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(w.dir, marksFile))
	}
	if err != nil {
		ts.mu.Unlock()
		return ts.compactFailed(errors.Join(err, f.Close(), os.Remove(f.Name())))
	}
	old := w.file
	w.file, w.size, w.unsaved = f, size+int64(len(since)), false
	ts.mu.Unlock()
	if err := errors.Join(f.Sync(), durable.SyncDir(w.dir), old.Close()); err != nil {
		return ts.compactFailed(err)
	}
	return nil
}

// compactFailed makes the next round try again.
func (ts *Tickets) compactFailed(err error) error {
	ts.mu.Lock()
	ts.marks.stale = true
	ts.mu.Unlock()
	return fmt.Errorf("write the marks of tickets anew: %w", err)
}

// ticketCounts are for metrics.
type ticketCounts struct {
	issued, turned, revoked, writeErrors, keyErrors atomic.Uint64
	failing                                         atomic.Bool // the last write of marks
}

// TicketStatus says how tickets are doing.
type TicketStatus struct {
	Chains  int    // password logins with live tickets
	Users   int    // who have some
	Keys    int    // that are accepted
	Marks   int64  // bytes of the file of marks
	Issued  uint64 // since the start, as all that follow
	Turned  uint64
	Revoked uint64 // chains, because a used-up ticket came again
	Failed  uint64 // marks that could not be written
	Failing bool   // the last one could not
}

// Status gives the present state.
func (ts *Tickets) Status() TicketStatus {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	s := TicketStatus{
		Chains: len(ts.chains), Keys: len(*ts.keys.Load()),
		Issued: ts.counts.issued.Load(), Turned: ts.counts.turned.Load(), Revoked: ts.counts.revoked.Load(),
		Failed: ts.counts.writeErrors.Load(), Failing: ts.counts.failing.Load(),
	}
	for _, u := range ts.users {
		if u.chains.Len() > 0 {
			s.Users++
		}
	}
	if ts.marks != nil {
		s.Marks = ts.marks.size
	}
	return s
}
