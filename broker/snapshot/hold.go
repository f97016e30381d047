package snapshot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/x2broker/x2broker/broker/durable"
	"github.com/x2broker/x2broker/broker/source"
)

// Files of operators' decisions in the state directory.
const (
	holdName   = "operator.json" // the hold that is in force
	auditName  = "operator.log"  // all that was ever decided, one JSON object a line
	servedName = "served.json"   // what has served
)

// Kinds of holds.
const (
	Pin    = "pin"    // a revision that an operator chose
	Freeze = "freeze" // the revision that served when he said so
)

// A Hold keeps one revision serving, whatever the source has. It survives
// restarts, and ends by itself.
type Hold struct {
	Kind     string          `json:"kind"`
	Revision source.Revision `json:"revision"` // zero: whatever serves
	By       string          `json:"by"`       // name of the operator
	UID      int             `json:"uid"`
	Reason   string          `json:"reason,omitempty"`
	Since    time.Time       `json:"since"`
	Until    time.Time       `json:"until,omitzero"` // zero: until it is lifted
}

// An Order is what an operator says of a hold.
type Order struct {
	By     string
	UID    int
	Reason string
	Until  time.Time
}

// History is a source that knows its earlier revisions.
type History interface {
	// Find gives the revision of an id or of the beginning of one, among those
	// revisions and their history.
	Find(ctx context.Context, id string, from ...source.Revision) (source.Revision, error)
}

var _ History = (*source.Git)(nil)

// ErrNoHistory means that the source has no earlier revisions to go back to.
var ErrNoHistory = errors.New("has no history: only a site in a Git repository can be pinned or rolled back; x2broker freeze keeps what serves")

// Pin serves one revision of the site's history and stays there until the order
// ends. The revision passes all gates but the lock-out guard before anything
// changes: the error is a *[RefusedError] if it does not. Pin stops a fetch or a
// compilation that is running, and is stopped by a later order.
func (k *Keeper) Pin(ctx context.Context, id string, o Order) (*Hold, error) {
	return k.pin(ctx, "pin", o, func(ctx context.Context, h History) (source.Revision, error) {
		s := k.Status()
		return h.Find(ctx, id, append(k.everServed(), s.Fetched.Revision, s.Serving.Revision)...)
	})
}

// Includes reports whether a revision is the one of that id, or has it in its
// history.
func (k *Keeper) Includes(ctx context.Context, rev source.Revision, id string) bool {
	if rev.ID == "" || strings.HasPrefix(rev.ID, id) {
		return rev.ID != ""
	}
	history, is := k.source.(History)
	if !is {
		return false
	}
	_, err := history.Find(ctx, id, rev)
	return err == nil
}

// Rollback pins the revision that served before the present one, of those that
// are accepted now. Again, it goes one further back.
func (k *Keeper) Rollback(ctx context.Context, o Order) (*Hold, error) {
	return k.pin(ctx, "rollback", o, func(ctx context.Context, _ History) (source.Revision, error) {
		for id := k.servingID(); ; {
			rev, err := k.servedBefore(id)
			if err != nil {
				return rev, err
			}
			u := new(source.UnverifiedError)
			if err := k.accepts(ctx, rev); !errors.As(err, &u) {
				return rev, err
			}
			k.revision(rev).Warn("rollback goes past a revision that is not accepted any more", "reason", u.Err, "by", o.By)
			id = rev.ID
		}
	})
}

func (k *Keeper) pin(ctx context.Context, action string, o Order, find func(context.Context, History) (source.Revision, error)) (*Hold, error) {
	ctx, done, err := k.takeTurn(ctx, true)
	if err != nil {
		return nil, err
	}
	defer done()
	k.begin(ctx)
	history, is := k.source.(History)
	if !is {
		return nil, fmt.Errorf("site %s %w", k.source, ErrNoHistory)
	}
	rev, err := find(ctx, history)
	if err != nil {
		return nil, err
	}
	var c *candidate
	if k.servingID() != rev.ID {
		if c, err = k.prepare(ctx, rev, false); err != nil {
			return nil, err
		}
		if c.refused != nil {
			k.revision(rev).Warn("revision cannot be pinned, it is refused", "gate", c.refused.Gate, "by", o.By)
			return nil, c.refused
		}
	}
	k.swap.Lock()
	defer k.swap.Unlock()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	k.loadOrders()
	hold := &Hold{Kind: Pin, Revision: rev, By: o.By, UID: o.UID, Reason: o.Reason, Since: k.now().UTC(), Until: o.Until.UTC()}
	if err := k.order(action, hold); err != nil {
		return nil, err
	}
	if c != nil {
		k.serveKept(c, "pinned")
	}
	return hold, nil
}

// Freeze keeps what serves until the order ends. It does not wait: a fetch or a
// compilation that is running is stopped.
func (k *Keeper) Freeze(o Order) (*Hold, error) {
	k.swap.Lock()
	defer k.swap.Unlock()
	k.loadOrders()
	serving := k.Current()
	if serving == nil {
		return nil, errors.New("nothing serves that could be frozen: x2broker status says why")
	}
	hold := &Hold{Kind: Freeze, Revision: serving.Revision, By: o.By, UID: o.UID, Reason: o.Reason, Since: k.now().UTC(), Until: o.Until.UTC()}
	if err := k.order("freeze", hold); err != nil {
		return nil, err
	}
	k.interrupt()
	return hold, nil
}

// Lift ends a hold of that kind, and the source is followed again at once.
func (k *Keeper) Lift(kind string, o Order) error {
	k.swap.Lock()
	defer k.swap.Unlock()
	k.loadOrders()
	switch {
	case k.hold == nil:
		return errors.New("nothing to lift: the site is neither pinned nor frozen")
	case k.hold.Kind != kind:
		return fmt.Errorf("not by this: the site is held by a %s, which x2broker un%s lifts", k.hold.Kind, k.hold.Kind)
	}
	if err := k.audit("un"+kind, k.hold, o); err != nil {
		return err
	}
	if err := durable.RemoveIfThere(filepath.Join(k.stateDir, holdName)); err != nil {
		return fmt.Errorf("cannot lift the %s: %w", kind, err)
	}
	k.setHold(nil)
	k.log.Warn("operator lifted the hold, the source is followed again", "hold", kind, "by", o.By, "reason", o.Reason)
	k.Nudge()
	return nil
}

// order puts a hold into force. Called with swap locked.
func (k *Keeper) order(action string, hold *Hold) error {
	if k.stateDir == "" {
		return errors.New("there is no state directory to keep the order in")
	}
	if err := k.audit(action, hold, Order{By: hold.By, UID: hold.UID, Reason: hold.Reason, Until: hold.Until}); err != nil {
		return err
	}
	if err := k.writeHold(hold); err != nil {
		return fmt.Errorf("cannot keep the order, so that it would not survive a restart: %w", err)
	}
	k.setHold(hold)
	k.revision(hold.Revision).Warn("operator holds the site", "hold", hold.Kind, "order", action, "by", hold.By, "uid", hold.UID,
		"until", hold.Until, "reason", hold.Reason)
	k.Nudge() // for Run to know when the order ends
	return nil
}

// heldFile is what operator.json has.
type heldFile struct {
	Source string `json:"source"`
	Hold   *Hold  `json:"hold"`
}

func (k *Keeper) setHold(hold *Hold) {
	k.hold = hold
	k.note(func(s *Status) { s.Hold = hold })
}

// holding gives the hold that is in force, nil for none.
func (k *Keeper) holding() *Hold {
	k.swap.Lock()
	defer k.swap.Unlock()
	k.loadOrders()
	return k.held()
}

// held ends a hold whose time is over. Called with swap locked.
func (k *Keeper) held() *Hold {
	h := k.hold
	switch now := k.now(); {
	case h == nil || h.Until.IsZero():
		return h
	case now.Before(h.Since):
		return k.setBack(h, now)
	case now.Before(h.Until):
		return h
	}
	k.log.Warn("hold has expired, the source is followed again", "hold", h.Kind, "revision", h.Revision.ID, "by", h.By)
	err := errors.Join(k.audit("expire", h, Order{By: "x2broker", UID: os.Getuid()}), durable.RemoveIfThere(filepath.Join(k.stateDir, holdName)))
	if err != nil { // also after a restart the time is over
		k.log.Warn("end of the hold cannot be kept on disk", "err", err)
	}
	k.setHold(nil)
	return nil
}

const begunAnew = "(begun anew: the clock was set back)"

// setBack has a hold begin anew when the clock is before its beginning: it was
// set back, and the hold must not last as much longer. Called with swap locked.
func (k *Keeper) setBack(h *Hold, now time.Time) *Hold {
	again := *h
	again.Since, again.Until = now.UTC(), now.Add(h.Until.Sub(h.Since)).UTC()
	if !strings.HasSuffix(again.Reason, begunAnew) {
		again.Reason = strings.TrimSpace(again.Reason + " " + begunAnew)
	}
	k.log.Warn("clock was set back, the hold begins anew", "hold", h.Kind, "since", h.Since, "now", now.UTC(), "until", again.Until)
	if err := k.writeHold(&again); err != nil {
		k.log.Warn("new end of the hold cannot be kept on disk", "err", err)
	}
	k.setHold(&again)
	return &again
}

// writeHold keeps a hold for the next start.
func (k *Keeper) writeHold(h *Hold) error {
	data, err := json.Marshal(heldFile{Source: k.source.String(), Hold: h})
	if err != nil {
		return err
	}
	return replaceFile(k.stateDir, holdName, data)
}

// loadOrders reads what was in force before a restart, once. A file that cannot
// be read holds what serves: somebody did not want the newest revision. Called
// with swap locked.
func (k *Keeper) loadOrders() {
	if k.ordersLoaded || k.stateDir == "" {
		return
	}
	k.ordersLoaded = true
	k.loadServed()
	file := filepath.Join(k.stateDir, holdName)
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return
	}
	var held heldFile
	if err == nil {
		err = json.Unmarshal(data, &held)
	}
	if err == nil && (held.Hold == nil || held.Hold.Kind != Pin && held.Hold.Kind != Freeze || held.Hold.Revision.ID == "") {
		err = errors.New("it has no hold")
	}
	if err != nil {
		k.log.Error("operator's hold cannot be read: what serves is held until x2broker unfreeze", "file", file, "err", err)
		k.setHold(&Hold{Kind: Freeze, By: "x2broker", UID: os.Getuid(), Reason: fmt.Sprintf("%s cannot be read: %v", file, err), Since: k.now().UTC()})
		return
	}
	if held.Source != k.source.String() {
		k.log.Warn("operator's hold is of another source, ignoring it", "file", file, "held", held.Source)
		return
	}
	k.setHold(held.Hold)
	k.revision(held.Hold.Revision).Warn("operator holds the site", "hold", held.Hold.Kind, "by", held.Hold.By,
		"since", held.Hold.Since, "until", held.Hold.Until, "reason", held.Hold.Reason)
}

// audit appends a line to operator.log. What cannot be written is not done.
func (k *Keeper) audit(action string, hold *Hold, o Order) error {
	line := struct {
		Time   time.Time  `json:"time"`
		Action string     `json:"action"`
		By     string     `json:"by"`
		UID    int        `json:"uid"`
		Commit string     `json:"commit"`
		Before string     `json:"before,omitempty"` // what served
		Until  *time.Time `json:"until,omitempty"`
		Reason string     `json:"reason,omitempty"`
	}{Time: k.now().UTC(), Action: action, By: o.By, UID: o.UID, Commit: hold.Revision.ID, Before: k.servingID(), Reason: o.Reason}
	if !o.Until.IsZero() {
		line.Until = &o.Until
	}
	data, err := json.Marshal(line)
	if err == nil {
		err = appendSynced(filepath.Join(k.stateDir, auditName), append(data, '\n'))
	}
	if err != nil {
		return fmt.Errorf("cannot write down the order: %w", err)
	}
	return nil
}

func appendSynced(file string, data []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return errors.Join(err, f.Close())
	}
	return errors.Join(f.Sync(), f.Close())
}
