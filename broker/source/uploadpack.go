package source

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
)

// uploadPack is one conversation with `git upload-pack` about a repository on
// this machine: first the refs, then one pack. It does what go-git's own file
// transport does, with the same methods, but ends when its context ends
// whatever the program and its children do; go-git's waits for them for ever.
type uploadPack struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout io.ReadCloser
	out    *bufio.Reader // of stdout
	stderr *beginning
	unhook func() bool
}

const (
	killDelay   = 2 * time.Second // from the end of the context to closing the pipes
	stderrBytes = 4096            // of what git says are kept
)

// startUploadPack starts the program; the caller must close it.
func startUploadPack(ctx context.Context, path string) (*uploadPack, error) {
	cmd := exec.CommandContext(ctx, "git", "upload-pack", path)
	// The text of errors is looked at, and go-git speaks protocol 0.
	cmd.Env = append(os.Environ(), "LC_ALL=C", "GIT_PROTOCOL=")
	cmd.WaitDelay = killDelay
	killChildrenToo(cmd)
	u := &uploadPack{cmd: cmd, stderr: &beginning{limit: stderrBytes}}
	cmd.Stderr = u.stderr
	var err error
	if u.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if u.stdout, err = cmd.StdoutPipe(); err != nil {
		return nil, errors.Join(err, u.stdin.Close())
	}
	if err := cmd.Start(); err != nil {
		return nil, err // closes the pipes
	}
	u.out = bufio.NewReader(u.stdout)
	// A child that outlives the kill would keep a read waiting.
	u.unhook = context.AfterFunc(ctx, func() {
		_ = u.stdin.Close()
		_ = u.stdout.Close()
	})
	return u, nil
}

// AdvertisedReferences reads the refs of the repository; once.
func (u *uploadPack) AdvertisedReferences() (*packp.AdvRefs, error) {
	adv := packp.NewAdvRefs()
	err := adv.Decode(u.out)
	if errors.Is(err, packp.ErrEmptyAdvRefs) || err == nil && adv.IsEmpty() {
		return nil, transport.ErrEmptyRemoteRepository
	}
	if err != nil {
		return nil, u.says(err)
	}
	transport.FilterUnsupportedCapabilities(adv.Capabilities)
	return adv, nil
}

// UploadPack asks for a pack; once. The pack ends with the response's EOF.
func (u *uploadPack) UploadPack(req *packp.UploadPackRequest) (*packp.UploadPackResponse, error) {
	w := bufio.NewWriter(u.stdin)
	err := errors.Join(
		req.UploadRequest.Encode(w),
		req.UploadHaves.Encode(w, true),
		pktline.NewEncoder(w).Encodef("done\n"),
		w.Flush(),
		u.stdin.Close(),
	)
	if err != nil {
		return nil, u.says(err)
	}
	res := packp.NewUploadPackResponse(req)
	if err := res.Decode(io.NopCloser(u.out)); err != nil {
		return nil, u.says(err)
	}
	return res, nil
}

// Close ends the conversation and waits for the program. Its exit status says
// nothing: hanging up on it is normal.
func (u *uploadPack) Close() {
	_ = u.stdin.Close()
	_ = u.stdout.Close()
	_ = u.cmd.Wait()
	u.unhook()
}

// says ends the conversation after an error and gives what git said about it,
// or, if it said nothing, the error.
func (u *uploadPack) says(err error) error {
	u.Close()
	line, _, _ := strings.Cut(u.stderr.String(), "\n")
	line = plainText(strings.TrimPrefix(line, "fatal: "))
	switch {
	case line == "", strings.Contains(line, "hung up"): // the latter is about us
		return err
	case strings.Contains(line, "does not appear to be a git repository"):
		return transport.ErrRepositoryNotFound
	}
	return fmt.Errorf("git: %s", line)
}

// beginning keeps the first bytes that are written to it.
type beginning struct {
	limit int
	mu    sync.Mutex // a child of git may still write when the wait is over
	buf   bytes.Buffer
}

func (b *beginning) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.buf.Write(p[:min(len(p), max(0, b.limit-b.buf.Len()))])
	return len(p), nil
}

func (b *beginning) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
