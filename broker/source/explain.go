package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
)

// explain says what went wrong with a repository, with the remedy where there
// is a known one. ctx is the context of the fetch that failed.
func (g *Git) explain(ctx context.Context, err error) error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("site %q: %w", g, fmt.Errorf(format, args...))
	}
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fail("no answer in time (at most %s): check that the repository can be reached: %w", g.timeout, ctx.Err())
	case ctx.Err() != nil:
		return fail("fetch: %w", ctx.Err())
	case errors.Is(err, exec.ErrNotFound):
		return fail("file:// needs the git program: install git")
	case errors.Is(err, transport.ErrEmptyRemoteRepository):
		return fail("the repository is empty: push a first commit to it")
	case errors.Is(err, transport.ErrRepositoryNotFound):
		return fail("repository not found: check the url, and that this user may read it")
	case strings.Contains(err.Error(), "dubious ownership"):
		return fail("%w: make this user its owner, or run git config --system --add safe.directory with its path", err)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, packp.ErrEmptyInput):
		return fail("the repository's answer breaks off: run git fsck there: %w", err)
	case strings.Contains(err.Error(), "object-format=sha256"):
		return fail("the repository uses SHA-256 object ids, which this version cannot read: make one with git init --object-format=sha1")
	}
	return fail("%w", err)
}

// noRef says that the repository lacks the ref, and what it has.
func (g *Git) noRef(refs map[string]plumbing.Hash) error {
	if _, ok := refs[plumbing.NewTagReferenceName(g.ref.Short()).String()]; ok {
		return fmt.Errorf("no ref %s, but a tag: write refs/tags/%s", g.ref, g.ref.Short())
	}
	var branches []string
	for name := range refs {
		if branch, ok := strings.CutPrefix(name, "refs/heads/"); ok {
			branches = append(branches, branch)
		}
	}
	slices.Sort(branches)
	switch {
	case len(branches) == 0:
		return fmt.Errorf("no ref %s: the repository has no branches at all: push one", g.ref)
	case len(branches) > 5:
		return fmt.Errorf("no ref %s: correct the ref; there are %d branches, among them %s",
			g.ref, len(branches), strings.Join(branches[:5], ", "))
	}
	return fmt.Errorf("no ref %s: correct the ref; the branches are %s", g.ref, strings.Join(branches, ", "))
}
