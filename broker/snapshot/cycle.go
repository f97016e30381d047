package snapshot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/x2broker/x2broker/broker/source"
	"github.com/x2broker/x2broker/schema"
)

// logged is how many diagnostics of a refused revision are logged and kept for
// the status.
const logged = 20

// RefusedError says that a revision does not compile, or that a case or a Rego
// test of it fails.
type RefusedError struct {
	Revision    source.Revision
	Gate        string             // the stage that it did not reach
	Diagnostics schema.Diagnostics // all, sorted by file and line
}

// Error names the revision and the first error.
func (e *RefusedError) Error() string {
	errs := worstFirst(e.Diagnostics)
	return fmt.Sprintf("revision %s refused: %s", e.Revision.ID, errs[0])
}

// Refresh asks the source once, and compiles and serves what is new. At the
// first call it begins with the kept sites. The error is a [*RefusedError] if
// the newest revision does not compile, whether that was found now or earlier;
// otherwise that of the source or of the context. When an operator's order stops
// it there is no error.
func (k *Keeper) Refresh(ctx context.Context) error {
	ctx, done, err := k.takeTurn(ctx, false)
	if err != nil {
		return err
	}
	defer done()
	k.begin(ctx)
	err = k.follow(ctx)
	k.writeUnkept()
	stopped := context.Cause(ctx)
	if errors.Is(stopped, errOrdered) {
		k.Nudge() // what was stopped is taken up again, also if the order fails
		return nil
	}
	k.saveCompiled() // also at the end, for the next start
	if stopped != nil {
		return stopped // which is no failure of the source
	}
	if err != nil {
		k.failed(err)
		return err
	}
	k.recovered()
	if k.refused != nil {
		return k.refused
	}
	return nil
}

// begin looks at the kept sites, once.
func (k *Keeper) begin(ctx context.Context) {
	if !k.restored {
		k.restore(ctx)
		k.restored = ctx.Err() == nil
	}
}

// follow takes the newest revision as far as it gets. Its error is of the
// source: a revision that is refused is none.
func (k *Keeper) follow(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil { // as from a library over what a repository sent
			err = fmt.Errorf("read the site: panic: %v (in %s): this is a bug in x2broker, please report it", p, panicOrigin())
		}
	}()
	rev, err := k.source.Fetch(ctx)
	if refused := refusal(err, Fetched); refused != nil {
		if k.refused == nil || k.refused.Revision.ID != refused.Revision.ID {
			k.refuse(refused)
		}
		if hold := k.holding(); hold != nil {
			return k.stay(ctx, hold)
		}
		return nil
	}
	if err == nil {
		k.note(func(s *Status) {
			if s.Fetched.Revision.ID != rev.ID {
				s.Fetched = Stage{Revision: rev, Time: k.now().UTC()}
			}
		})
	}
	hold := k.holding()
	if hold == nil {
		if err != nil {
			return err
		}
		return k.take(ctx, rev)
	}
	// The newest revision waits. It stays refused if it was.
	if err == nil && k.refused != nil && k.refused.Revision.ID != rev.ID && k.refused.Revision.ID != hold.Revision.ID {
		k.refused = nil
		k.note(func(s *Status) { s.Refused = nil })
	}
	if e := k.stay(ctx, hold); e != nil {
		return e
	}
	return err
}

// refusal makes of an error of the source what is to be said of the commit that
// the source refuses, at that gate or as unverified; nil if it is no such error.
func refusal(err error, gate string) *RefusedError {
	unverified, fetch := new(source.UnverifiedError), new(source.FetchError)
	var id string
	switch {
	case errors.As(err, &unverified):
		id, gate, err = unverified.Commit, Verified, unverified.Err
	case errors.As(err, &fetch) && fetch.Kind == source.Refused && fetch.Commit != "":
		id = fetch.Commit
		if err = fetch.Err; errors.Unwrap(err) != nil {
			err = errors.Unwrap(err) // without the name of the source
		}
	default:
		return nil
	}
	return &RefusedError{source.Revision{ID: id}, gate, schema.Diagnostics{{
		Severity: schema.Error, Pos: schema.Position{File: "."}, Message: err.Error(),
	}}}
}

// stay brings the held revision back if it does not serve, as after a restart
// without the kept site.
func (k *Keeper) stay(ctx context.Context, hold *Hold) error {
	switch serving := k.Current(); {
	case serving != nil && (hold.Revision.ID == "" || hold.Revision.ID == serving.Revision.ID):
		return nil
	case hold.Revision.ID == "":
		return fmt.Errorf("%s: x2broker unfreeze follows the source again", hold.Reason)
	}
	if err := k.take(ctx, hold.Revision); err != nil {
		return fmt.Errorf("an operator's %s holds %s (x2broker un%s follows the source again): %w", hold.Kind, hold.Revision.ID, hold.Kind, err)
	}
	return nil
}

// take leads one revision through the gates and serves it, unless it serves or
// is refused already.
func (k *Keeper) take(ctx context.Context, rev source.Revision) error {
	if k.refused != nil && k.refused.Revision.ID == rev.ID {
		return nil
	}
	if serving := k.Current(); serving != nil && serving.Revision.ID == rev.ID {
		if k.refused != nil {
			k.log.Info("source is back at the revision that serves", "revision", rev.ID)
			k.refused = nil
			k.note(func(s *Status) { s.Refused = nil })
		}
		return nil
	}
	c, err := k.prepare(ctx, rev, true)
	if err != nil {
		return err
	}
	if c.refused != nil {
		k.refuse(c.refused)
		return nil
	}
	k.swap.Lock()
	defer k.swap.Unlock()
	if h := k.held(); h != nil && h.Revision.ID != rev.ID {
		return nil // an operator was faster
	}
	k.serveKept(c, "fetched")
	return nil
}

// A candidate is a revision that went through the gates: either snap or refused
// is set.
type candidate struct {
	tree    *source.Tree
	snap    *Snapshot
	refused *RefusedError
}

// prepare leads a revision through the gates; the lock-out guard is one of them
// unless an operator asks for the revision himself. Its error is of the source
// or of the context.
func (k *Keeper) prepare(ctx context.Context, rev source.Revision, guarded bool) (*candidate, error) {
	// What Fetch gave it has just accepted; what an operator names, some time ago.
	if err := k.accepts(ctx, rev); err != nil {
		if refused := refusal(err, Verified); refused != nil {
			refused.Revision = rev
			return &candidate{refused: refused}, nil
		}
		return nil, err
	}
	if k.verified != nil {
		k.note(func(s *Status) { s.Verified = Stage{Revision: rev, Time: k.now().UTC(), Reason: *k.verified} })
	}
	tree, err := k.source.Tree(ctx, rev)
	if refused := refusal(err, Compiled); refused != nil { // what is in it cannot be read by a compiler
		refused.Revision = rev
		return &candidate{refused: refused}, nil
	}
	if err != nil {
		return nil, err
	}
	began := k.now()
	snap, diags := k.build(ctx, rev, tree)
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case snap == nil:
		return &candidate{refused: &RefusedError{rev, Compiled, diags}}, nil
	}
	k.note(func(s *Status) { s.Compiled = k.reached(rev, began) })
	began = k.now()
	var failures schema.Diagnostics
	for _, f := range RunCases(ctx, snap) {
		failures = append(failures, f.Diagnostic())
	}
	failures = append(failures, k.test(ctx, tree)...)
	if guarded && len(failures) == 0 {
		failures = k.protect(ctx, rev, snap)
	}
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case len(failures) > 0:
		return &candidate{refused: &RefusedError{rev, Tested, append(diags, failures...)}}, nil
	}
	k.note(func(s *Status) { s.Tested = k.reached(rev, began) })
	if k.audience != nil {
		warm(ctx, snap, k.audience(), k.now())
	}
	return &candidate{tree: tree, snap: snap}, nil
}

// reached is a stage that a revision has reached now.
func (k *Keeper) reached(rev source.Revision, began time.Time) Stage {
	now := k.now()
	return Stage{Revision: rev, Time: now.UTC(), Took: now.Sub(began)}
}

// serveKept keeps the revision on disk, and then serves it: a crash right after
// the first answer must not lose what gave it. Called with swap locked.
func (k *Keeper) serveKept(c *candidate, reason string) {
	k.keep(c.snap, c.tree)
	k.writeUnkept()
	k.serve(c.snap, reason)
}

// serve swaps the snapshot in. Requests that began with the old one end with it.
// Called with swap locked.
func (k *Keeper) serve(snap *Snapshot, reason string) {
	now := k.now().UTC()
	snap.Compiled = now
	before := k.current.Swap(snap)
	k.remember(snap.Revision, k.hold != nil || reason == keptOnDisk)
	if k.hold == nil || k.refused != nil && k.refused.Revision.ID == snap.Revision.ID {
		k.refused = nil
	}
	k.note(func(s *Status) {
		s.Serving = Stage{Revision: snap.Revision, Time: now, Reason: reason}
		s.Inputs = snap.Inputs
		if reason != keptOnDisk {
			s.Unused = nil
		}
		if k.refused == nil {
			s.Refused = nil
		}
	})
	log := k.revision(snap.Revision)
	if before != nil {
		log = log.With("before", before.Revision.ID)
	}
	log.Info("revision serves", "from", reason, "digest", snap.Inputs.Digest(), "profiles", len(snap.Catalog.Profiles),
		"servers", len(snap.Catalog.Servers), "warnings", len(snap.Warnings))
	k.logDiagnostics(slog.LevelWarn, snap.Revision, snap.Warnings)
	if before == nil {
		close(k.first)
	}
}

// refuse remembers a revision that does not pass a gate, so that it is neither
// compiled nor logged again.
func (k *Keeper) refuse(refused *RefusedError) {
	k.refused = refused
	rev, diags := refused.Revision, refused.Diagnostics
	shown := worstFirst(diags)
	shown = shown[:min(len(shown), logged)]
	now := k.now().UTC()
	k.note(func(s *Status) {
		stage := Stage{Revision: rev, Time: now, Reason: summary(diags, shown[0])}
		switch refused.Gate {
		case Fetched:
			s.Fetched = stage
		case Verified:
			s.Verified = stage
		case Tested:
			s.Tested = stage
		default:
			s.Compiled = stage
		}
		s.Refused = &Refusal{Revision: rev, Gate: refused.Gate, Time: now, Diagnostics: shown, Total: len(diags)}
	})
	log := k.revision(rev).With("gate", refused.Gate, "errors", countErrors(diags))
	if serving := k.Current(); serving != nil {
		log.Error("revision refused, the last good one serves on", "serving", serving.Revision.ID)
	} else {
		log.Error("revision refused, and there is no good one to serve")
	}
	k.logDiagnostics(slog.LevelError, rev, shown)
}

// summary says in one line what is wrong.
func summary(diags schema.Diagnostics, first schema.Diagnostic) string {
	text := strings.TrimPrefix(first.String(), ".: ") // what is about the whole commit has no place
	if n := countErrors(diags); n != 1 {
		return fmt.Sprintf("%d errors, the first: %s", n, text)
	}
	return "1 error: " + text
}

// failed logs what keeps the source from being read, once for each reason.
func (k *Keeper) failed(err error) {
	k.note(func(s *Status) {
		if s.Failures++; s.Failures == 1 {
			s.FailingSince = k.now().UTC()
		}
		s.Fetched.Reason = err.Error()
	})
	level := slog.LevelWarn
	if k.failure == err.Error() {
		level = slog.LevelDebug
	}
	k.failure = err.Error()
	text, fetch := "site cannot be read, trying again", new(source.FetchError)
	switch errors.As(err, &fetch); fetch.Kind {
	case source.Lasting:
		text = "site cannot be read until somebody corrects this, trying again slowly"
	case source.Refused:
		text = "newest commit of the site cannot be used, waiting for another"
	}
	k.log.Log(context.Background(), level, text, "err", err, "serving", k.servingID())
}

func (k *Keeper) recovered() {
	k.note(func(s *Status) {
		s.Failures, s.FailingSince = 0, time.Time{}
		if s.Refused == nil || s.Refused.Gate != Fetched {
			s.Fetched.Reason = ""
		}
	})
	if k.failure != "" {
		k.log.Info("site can be read again")
	}
	k.failure = ""
}

func (k *Keeper) servingID() string {
	if snap := k.Current(); snap != nil {
		return snap.Revision.ID
	}
	return ""
}

// revision gives a logger that names a revision in its records.
func (k *Keeper) revision(rev source.Revision) *slog.Logger {
	return k.log.With("revision", rev.ID, "subject", rev.Subject, "author", rev.Author)
}

// logDiagnostics writes one record for each of the first diagnostics. What the
// site says is in attributes only, where the handler escapes it.
func (k *Keeper) logDiagnostics(level slog.Level, rev source.Revision, diags schema.Diagnostics) {
	for _, d := range diags[:min(len(diags), logged)] {
		k.log.LogAttrs(context.Background(), level, "diagnostic",
			slog.String("revision", rev.ID), slog.String("severity", string(d.Severity)),
			slog.String("at", d.Pos.String()), slog.String("path", d.Path), slog.String("message", d.Message))
	}
}

// worstFirst gives errors before warnings, each in their order.
func worstFirst(diags schema.Diagnostics) schema.Diagnostics {
	rank := func(d schema.Diagnostic) int {
		if d.Severity == schema.Error {
			return 0
		}
		return 1
	}
	diags = slices.Clone(diags)
	slices.SortStableFunc(diags, func(a, b schema.Diagnostic) int { return cmp.Compare(rank(a), rank(b)) })
	return diags
}

func countErrors(diags schema.Diagnostics) int {
	n := 0
	for _, d := range diags {
		if d.Severity == schema.Error {
			n++
		}
	}
	return n
}
