package source

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
)

// What the store says of verification: the commit that Config.Verify accepted
// last, and Config.Rules of then. A crash between the two has the commit checked
// once more.
const (
	verifiedRef plumbing.ReferenceName = "refs/x2broker/verified"
	rulesName   string                 = "x2broker-rules"
)

// Rules is Config.Rules.
func (g *Git) Rules() string { return g.rules }

// Accepts asks whether a commit that Fetch gave some time may serve by the rules
// of now. It asks the store and not the repository. The error is an
// [*UnverifiedError] if it may not; any other leaves open whether it may.
func (g *Git) Accepts(ctx context.Context, rev Revision) error {
	if g.verify == nil {
		return nil
	}
	commit := plumbing.NewHash(rev.ID)
	g.mu.Lock()
	defer g.mu.Unlock()
	err := withStore(g.dir, false, func(s *store) error {
		if _, err := s.commit(commit); err != nil {
			return err
		}
		before := false // an accepted one, if by rules of earlier
		base, err := g.base(ctx, s)
		if err == nil && !g.accepted.IsZero() {
			before, err = s.descends(ctx, commit, g.accepted)
		}
		switch {
		case err != nil:
			return err
		case before && !base.IsZero():
			return nil
		case before:
			return g.ask(ctx, s, commit, func(o *Objects) error { return g.recheck(ctx, o, commit) })
		}
		return g.ask(ctx, s, commit, func(o *Objects) error { return g.verify(ctx, o, base, commit) })
	})
	if err != nil && !isRefused(err) {
		return fmt.Errorf("verify commit %s of site %q: %w", rev.ID, g, err)
	}
	return err
}

// accept asks Verify, if there is one, about a commit, and remembers across
// restarts and clones which one it accepted last.
func (g *Git) accept(ctx context.Context, s *store, commit plumbing.Hash) error {
	if g.verify == nil {
		return nil
	}
	base, err := g.base(ctx, s)
	if err != nil {
		return err
	}
	if _, err := s.Reference(verifiedRef); err != nil && !g.accepted.IsZero() {
		// A new store takes the place of the old one also if the commit is refused.
		// It does not say by which rules: they are asked once more.
		if err := s.SetReference(plumbing.NewHashReference(verifiedRef, g.accepted)); err != nil {
			return &damageError{err}
		}
	}
	tolerated := false
	err = g.ask(ctx, s, commit, func(o *Objects) error {
		err := g.verify(ctx, o, base, commit)
		tolerated = errors.Is(err, ErrTolerated)
		return err
	})
	if err != nil || tolerated {
		return err
	}
	if err := s.SetReference(plumbing.NewHashReference(verifiedRef, commit)); err != nil {
		return &damageError{err}
	}
	if err := s.setRules(g.rules); err != nil {
		return &damageError{err}
	}
	g.accepted, g.fallen = commit, false
	return nil
}

// base gives the commit that was accepted last, zero for none: one that was
// accepted by other rules than those of now only if these accept it too.
func (g *Git) base(ctx context.Context, s *store) (plumbing.Hash, error) {
	if !g.known {
		commit, rules := g.lastAccepted(s)
		fallen := false
		if !commit.IsZero() && g.rules != "" && rules != g.rules {
			err := g.ask(ctx, s, commit, func(o *Objects) error { return g.recheck(ctx, o, commit) })
			switch {
			case err != nil && !isRefused(err):
				return commit, err
			case s.lacks(commit): // Verify says that the history was rewritten
			case err != nil:
				g.log.Warn("what was accepted is not by the rules of now: all is verified again", "site", g.String(), "commit", commit, "reason", err)
				fallen = true
			default:
				if err := s.setRules(g.rules); err != nil {
					g.log.Debug("cannot write down by which rules the site was verified", "err", err)
				}
			}
		}
		g.accepted, g.fallen, g.known = commit, fallen, true
	}
	if g.fallen {
		return plumbing.ZeroHash, nil
	}
	return g.accepted, nil
}

// ask calls one of the functions of Config. The error is an [*UnverifiedError]
// if they refuse the commit.
func (g *Git) ask(ctx context.Context, s *store, commit plumbing.Hash, question func(*Objects) error) error {
	objects := &Objects{store: s}
	err := question(objects)
	objects.store = nil
	damage := new(damageError)
	switch {
	case err == nil, errors.Is(err, ErrTolerated):
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case !errors.As(err, &damage):
	case errors.Is(err, plumbing.ErrObjectNotFound):
		// A commit that is not there may be one of a history that was rewritten
		// before a clone; another clone would not bring it back.
		err = fmt.Errorf("%s", damage)
	default:
		return damage
	}
	return &UnverifiedError{commit.String(), err}
}

// lastAccepted gives the commit that the store says was accepted last, and by
// which rules; a new store, that of which it takes the place.
func (g *Git) lastAccepted(s *store) (commit plumbing.Hash, rules string) {
	if ref, err := s.Reference(verifiedRef); err == nil {
		return ref.Hash(), s.acceptedBy()
	}
	_ = withStore(g.dir, false, func(old *store) error { // none, or damaged
		if ref, err := old.Reference(verifiedRef); err == nil {
			commit, rules = ref.Hash(), old.acceptedBy()
		}
		return nil
	})
	return commit, rules
}

func (s *store) acceptedBy() string {
	text, _ := os.ReadFile(filepath.Join(s.dir, rulesName)) // none are other rules
	return strings.TrimSpace(string(text))
}

func (s *store) setRules(rules string) error {
	return os.WriteFile(filepath.Join(s.dir, rulesName), []byte(rules+"\n"), 0o600)
}

func (s *store) lacks(commit plumbing.Hash) bool {
	_, err := s.EncodedObjectSize(commit)
	return errors.Is(err, plumbing.ErrObjectNotFound)
}
