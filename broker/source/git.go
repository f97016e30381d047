package source

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
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
	path    string // of the repository
	name    string // its URL, for people
	ref     plumbing.ReferenceName
	dir     string // the store
	timeout time.Duration
	log     *slog.Logger

	mu  sync.Mutex
	tip plumbing.Hash // what the ref was at the last Fetch, a commit or a tag
	rev Revision      // the commit that tip leads to
}

func newGit(cfg Config) (*Git, error) {
	shown := redact(cfg.URL)
	u, err := url.Parse(cfg.URL)
	switch {
	case err != nil:
		return nil, fmt.Errorf("site %q: not a URL: write a %% in a path as %%25", shown)
	case u.Host != "" && u.Host != "localhost", !filepath.IsAbs(u.Path), u.RawQuery != "", u.Fragment != "":
		return nil, fmt.Errorf("site %q: write file:// and an absolute path, as in file:///srv/site.git", shown)
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
		path:    u.Path,
		name:    shown,
		ref:     ref,
		dir:     filepath.Join(cfg.StoreDir, "site.git"),
		timeout: cfg.Timeout,
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
// store lacks. A ref whose history was rewritten is followed.
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

// Tree reads the files of a commit. If the store turns out damaged it is
// replaced and the commit read once more.
func (g *Git) Tree(ctx context.Context, rev Revision) (*Tree, error) {
	if !plumbing.IsHash(rev.ID) {
		return nil, fmt.Errorf("site %q: %q is not a commit: give 40 hex digits", g, rev.ID)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	tree, err := readTree(ctx, g.dir, plumbing.NewHash(rev.ID))
	if damage := new(damageError); errors.As(err, &damage) {
		fetch, cancel := context.WithTimeout(ctx, g.timeout)
		defer cancel()
		if err := g.clone(fetch, err); err != nil {
			return nil, g.explain(fetch, err)
		}
		tree, err = readTree(ctx, g.dir, plumbing.NewHash(rev.ID))
	}
	if err != nil {
		return nil, fmt.Errorf("site %q: commit %s: %w", g, rev.ID, err)
	}
	return tree, nil
}

// follow brings tip, rev and the store up to the ref.
func (g *Git) follow(ctx context.Context) error {
	remote, err := g.connect(ctx)
	if err != nil {
		return err
	}
	defer remote.Close()
	if remote.tip == g.tip {
		return nil
	}
	// go-git adds a pack with each fetch and never repacks.
	if _, err := os.Stat(g.dir); err != nil || packs(g.dir) >= maxPacks {
		return g.clone(ctx, nil)
	}
	rev, err := remote.fetchInto(g.dir)
	if damage := new(damageError); errors.As(err, &damage) && ctx.Err() == nil {
		return g.clone(ctx, err)
	}
	if err == nil {
		g.tip, g.rev = remote.tip, rev
	}
	return err
}

// clone fetches into a new store and puts it in the place of the old one; why
// is what was wrong with that, nil for nothing. A crash in between leaves no
// store, or a new one.
func (g *Git) clone(ctx context.Context, why error) error {
	if why != nil {
		g.log.Warn("local copy of the site cannot be used, cloning anew", "site", g.String(), "store", g.dir, "err", why)
	}
	remote, err := g.connect(ctx)
	if err != nil {
		return err
	}
	defer remote.Close()
	fresh := g.dir + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return fmt.Errorf("remove what an interrupted clone left: %w", err)
	}
	if err := os.MkdirAll(fresh, 0o700); err != nil {
		return fmt.Errorf("make a directory for the site's objects: %w", err)
	}
	rev, err := remote.fetchInto(fresh)
	if err == nil {
		err = os.RemoveAll(g.dir)
	}
	if err == nil {
		err = os.Rename(fresh, g.dir)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(fresh))
	}
	g.tip, g.rev = remote.tip, rev
	return nil
}

// remote is the repository, which has just said what the ref is.
type remote struct {
	*uploadPack
	adv *packp.AdvRefs
	tip plumbing.Hash
}

// connect asks the repository for its refs; the caller must close the remote.
func (g *Git) connect(ctx context.Context) (*remote, error) {
	conn, err := startUploadPack(ctx, g.path)
	if err != nil {
		return nil, err
	}
	adv, err := conn.AdvertisedReferences()
	if err == nil {
		if tip, ok := adv.References[g.ref.String()]; ok {
			return &remote{conn, adv, tip}, nil
		}
		err = g.noRef(adv.References)
	} else {
		err = fmt.Errorf("read the refs: %w", err)
	}
	conn.Close()
	return nil, err
}
