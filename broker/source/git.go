package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
)

// Git reads one ref of a Git repository. Objects are kept in a bare store of
// our own, never checked out. The store is a cache: what the ref is, the
// repository is asked each time, and a store that is damaged, half written or
// of some other repository is replaced without harm.
type Git struct {
	dial    dialer
	name    string // its URL, for people
	ref     plumbing.ReferenceName
	dir     string // the store
	timeout time.Duration
	verify  func(context.Context, *Objects, plumbing.Hash, plumbing.Hash) error
	recheck func(context.Context, *Objects, plumbing.Hash) error
	rules   string
	log     *slog.Logger

	mu       sync.Mutex
	tip      plumbing.Hash // what the ref was at the last Fetch, a commit or a tag
	rev      Revision      // the commit that tip leads to
	known    bool          // what follows has been read
	accepted plumbing.Hash // the commit that verify accepted last, zero for none
	fallen   bool          // it is not by the rules of now
	barred   plumbing.Hash // a tip that cannot be fetched, whatever is tried
	why      error         // what is wrong with it
	tree     *Tree         // that was read last
	treeID   string        // its commit
	unfitID  string        // a commit whose tree cannot be used
	unfit    error         // what is wrong with it
}

func newGit(cfg Config) (*Git, error) {
	shown := redact(cfg.URL)
	dial, err := dialerFor(cfg.URL, cfg.Auth)
	switch {
	case err != nil:
		return nil, fmt.Errorf("site %q: %w", shown, err)
	case cfg.StoreDir == "":
		return nil, fmt.Errorf("site %q: no directory given to keep its objects in", shown)
	}
	ref := plumbing.ReferenceName(cfg.Ref)
	switch {
	case cfg.Ref == "":
		ref = "refs/heads/main"
	case !strings.HasPrefix(cfg.Ref, "refs/"):
		ref = plumbing.NewBranchReferenceName(cfg.Ref)
	}
	if ref.Validate() != nil {
		return nil, fmt.Errorf("site %q: ref %q is not a name that Git allows: write a branch as main, a tag as refs/tags/v1", shown, cfg.Ref)
	}
	g := &Git{
		dial:    dial,
		name:    shown,
		ref:     ref,
		dir:     filepath.Join(cfg.StoreDir, "site.git"),
		timeout: cfg.Timeout,
		verify:  cfg.Verify,
		recheck: cfg.Recheck,
		rules:   cfg.Rules,
		log:     cfg.Log,
	}
	if g.timeout <= 0 {
		g.timeout = FetchTimeout
	}
	return g, nil
}

// String gives the URL, without password, and the ref.
func (g *Git) String() string { return fmt.Sprintf("%s %s", g.name, g.ref) }

// Fetch asks the repository for the ref and, if it has moved, fetches what the
// store lacks. A ref whose history was rewritten is followed. The error is a
// [*FetchError]; the revisions that were given before can still be read.
func (g *Git) Fetch(ctx context.Context) (Revision, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, g.timeout)
	defer cancel()
	if err := g.follow(ctx); err != nil {
		return Revision{}, g.explain(ctx, err)
	}
	return g.rev, nil
}

// Tree reads the files of a commit; what it has in common with the tree that
// was read before is shared. If the store turns out damaged it is replaced and
// the commit read once more. What is wrong with the commit itself is a
// [*FetchError] of the kind Refused.
func (g *Git) Tree(ctx context.Context, rev Revision) (*Tree, error) {
	if !plumbing.IsHash(rev.ID) {
		return nil, fmt.Errorf("site %q: %q is not a commit: give 40 hex digits", g, rev.ID)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	switch rev.ID {
	case g.treeID:
		return g.tree, nil
	case g.unfitID:
		return nil, g.unfit
	}
	tree, err := readTree(ctx, g.dir, plumbing.NewHash(rev.ID), g.tree)
	if lost := new(damageError); errors.As(err, &lost) {
		fetch, cancel := context.WithTimeout(ctx, g.timeout)
		defer cancel()
		if err := g.clone(fetch, err); err != nil && !isRefused(err) {
			return nil, g.explain(fetch, err)
		}
		tree, err = readTree(ctx, g.dir, plumbing.NewHash(rev.ID), g.tree)
	}
	damage := new(damageError)
	switch {
	case err == nil:
		g.tree, g.treeID = tree, rev.ID
		return tree, nil
	case ctx.Err() != nil, errors.As(err, &damage):
		return nil, fmt.Errorf("site %q: commit %s: %w", g, rev.ID, err)
	}
	g.unfitID = rev.ID
	g.unfit = &FetchError{Kind: Refused, Commit: rev.ID, Err: fmt.Errorf("site %q: commit %s: %w", g, rev.ID, err)}
	return nil, g.unfit
}

// Descends reports whether commit descends from ancestor, or is the same: if
// the newest revision does not descend from the one before, history was
// rewritten. Both are ids of commits that Fetch gave. It is an error if the
// store lacks a commit, or if more than [MaxSteps] would have to be looked at.
func (g *Git) Descends(ctx context.Context, ancestor, commit string) (yes bool, err error) {
	if !plumbing.IsHash(ancestor) || !plumbing.IsHash(commit) {
		return false, fmt.Errorf("site %q: %q, %q: give two commits of 40 hex digits", g, ancestor, commit)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	err = withStore(g.dir, false, func(s *store) (err error) {
		yes, err = s.descends(ctx, plumbing.NewHash(ancestor), plumbing.NewHash(commit))
		return err
	})
	if err != nil {
		return false, fmt.Errorf("site %q: %w", g, err)
	}
	return yes, nil
}

// follow brings tip, rev and the store up to the ref.
func (g *Git) follow(ctx context.Context) error {
	remote, err := g.connect(ctx)
	if err != nil {
		return err
	}
	defer remote.close()
	switch remote.tip {
	case g.tip:
		return nil
	case g.barred:
		return g.why
	}
	if _, err := os.Stat(g.dir); err != nil {
		return g.clone(ctx, nil)
	}
	// Each fetch adds a pack, and nothing puts them together.
	if packs(g.dir) >= maxPacks {
		if err = g.clone(ctx, nil); err == nil || ctx.Err() != nil {
			return err
		}
		g.log.Warn("cannot clone the site anew to save space, adding to the old copy", "site", g.String(), "store", g.dir, "err", err)
	}
	rev, err := g.fetchInto(ctx, remote, g.dir)
	if damage := new(damageError); errors.As(err, &damage) && ctx.Err() == nil {
		return g.clone(ctx, err)
	}
	return g.took(remote, rev, err)
}

// took remembers how fetching a tip ended.
func (g *Git) took(remote *remote, rev Revision, err error) error {
	limit, large := new(limitError), new(largeError)
	switch {
	case err == nil:
		g.tip, g.rev, g.barred = remote.tip, rev, plumbing.ZeroHash
	case errors.As(err, &limit), errors.As(err, &large):
		err = &FetchError{Kind: Refused, Commit: remote.tip.String(), Err: err}
		g.barred, g.why = remote.tip, err // it would only be as large again
	}
	return err
}

// clone fetches into a new store and puts it in the place of the old one; why
// is what was wrong with that, nil for nothing. A crash at any time leaves what
// the old store or the new one says was accepted.
func (g *Git) clone(ctx context.Context, why error) error {
	if why != nil {
		g.log.Warn("local copy of the site cannot be used, cloning anew", "site", g.String(), "store", g.dir, "err", why)
	}
	remote, err := g.connect(ctx)
	if err != nil {
		return err
	}
	defer remote.close()
	fresh, old := g.dir+".new", g.dir+".old"
	if _, err := os.Stat(g.dir); errors.Is(err, fs.ErrNotExist) {
		_ = os.Rename(fresh, g.dir) // a crash came between the two renames below
	}
	if err := errors.Join(os.RemoveAll(fresh), os.RemoveAll(old)); err != nil {
		return fmt.Errorf("remove what an interrupted clone left: %w", err)
	}
	if err := os.MkdirAll(fresh, 0o700); err != nil {
		return fmt.Errorf("make a directory for the site's objects: %w", err)
	}
	rev, err := g.fetchInto(ctx, remote, fresh)
	if err != nil && !isRefused(err) { // the commits before a refused one are good
		return g.took(remote, rev, errors.Join(err, os.RemoveAll(fresh)))
	}
	if err := os.Rename(g.dir, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, os.RemoveAll(fresh))
	}
	if err := os.Rename(fresh, g.dir); err != nil {
		return err
	}
	_ = os.RemoveAll(old) // or at the next clone
	return g.took(remote, rev, err)
}

// remote is the repository, which has just said what the ref is.
type remote struct {
	conversation
	adv *packp.AdvRefs
	tip plumbing.Hash
}

// connect asks the repository for its refs; the caller must close the remote.
func (g *Git) connect(ctx context.Context) (*remote, error) {
	conn, err := g.dial(ctx)
	if err != nil {
		return nil, err
	}
	adv, err := conn.refs()
	if err == nil {
		if tip, ok := adv.References[g.ref.String()]; ok {
			return &remote{conn, adv, tip}, nil
		}
		err = g.noRef(adv.References)
	}
	conn.close()
	return nil, err
}
