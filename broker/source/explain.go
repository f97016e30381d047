package source

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
)

// explain says what went wrong with a repository, with the remedy where there
// is a known one. ctx is the context of the fetch that failed.
func (g *Git) explain(ctx context.Context, err error) *FetchError {
	found := &FetchError{Kind: Passing}
	if told := new(FetchError); errors.As(err, &told) {
		found.Kind, found.Commit, found.RetryAfter = told.Kind, told.Commit, told.RetryAfter
	}
	fail := func(kind Kind, format string, args ...any) *FetchError {
		found.Kind = kind
		found.Err = fmt.Errorf("site %q: %w", g, fmt.Errorf(format, args...))
		return found
	}
	var (
		refused *UnverifiedError
		limit   *limitError
		large   *largeError
		dns     *net.DNSError
		dial    *net.OpError
	)
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fail(Passing, "no answer in time (at most %s): check that the repository can be reached: %w", g.timeout, ctx.Err())
	case ctx.Err() != nil:
		return fail(Passing, "fetch: %w", ctx.Err())
	case errors.As(err, &refused), errors.As(err, &limit), errors.As(err, &large):
		return fail(Refused, "%w", err)
	case errors.Is(err, exec.ErrNotFound):
		return fail(Lasting, "file:// needs the git program: install git")
	case errors.Is(err, transport.ErrEmptyRemoteRepository):
		return fail(Passing, "the repository is empty: push a first commit to it")
	case errors.Is(err, transport.ErrRepositoryNotFound):
		return fail(Passing, "repository not found: check the url, and that this user may read it")
	case strings.Contains(err.Error(), "dubious ownership"):
		return fail(Lasting, "%w: make this user its owner, or run git config --system --add safe.directory with its path", err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, packp.ErrEmptyInput):
		return fail(Passing, "the repository's answer breaks off: if this stays, run git fsck there: %w", err)
	case strings.Contains(err.Error(), "object-format=sha256"):
		return fail(Lasting, "the repository uses SHA-256 object ids, which this version cannot read: make one with git init --object-format=sha1")
	case certificateProblem(err) != "":
		return fail(Lasting, "%s: %w", certificateProblem(err), err)
	case errors.As(err, &dns):
		return fail(Passing, "cannot find the host %s: check the url, and this machine's name servers: %w", dns.Name, err)
	case errors.As(err, &dial) && dial.Op == "dial":
		return fail(Passing, "cannot connect: check that the server runs, and that no firewall is in between: %w", err)
	}
	return fail(found.Kind, "%w", &plainError{err})
}

// plainError is an error in whose text strangers may have written.
type plainError struct{ error }

const maxErrorBytes = 1000 // of their text

func (e *plainError) Error() string { return shortText(e.error.Error(), maxErrorBytes) }
func (e *plainError) Unwrap() error { return e.error }

// certificateProblem says why a server's certificate is not accepted; "" if
// that is not what is wrong.
func certificateProblem(err error) string {
	var (
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
		other   *tls.CertificateVerificationError
	)
	switch {
	case errors.As(err, &unknown):
		return "the server's certificate is from an authority that is not trusted here: name the authority's PEM file as site.auth.caFile"
	case errors.As(err, &name):
		return "the server's certificate is for another name: correct the url, or the server's certificate"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the server's certificate has expired, or a clock is wrong: renew it"
	case errors.As(err, &other):
		return "the server's certificate cannot be used"
	}
	return ""
}

// saidBy gives what the program says first on its error output, as an error;
// nil if that is nothing, or only about how the conversation ended.
func saidBy(stderr string) error {
	line, _, _ := strings.Cut(strings.TrimSpace(stderr), "\n")
	line = plainText(strings.TrimPrefix(strings.TrimPrefix(line, "fatal: "), "ERROR: "))
	switch {
	case line == "", strings.Contains(line, "hung up"): // the latter is about us
		return nil
	case strings.Contains(line, "does not appear to be a git repository"), strings.HasPrefix(line, "Repository not found"):
		return transport.ErrRepositoryNotFound
	}
	return fmt.Errorf("git: %s", line)
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
