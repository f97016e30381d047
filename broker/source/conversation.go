package source

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"sync"

	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/transport"
)

// conversation is one exchange with `git upload-pack`, wherever that runs:
// first the refs, then at most one pack. It speaks protocol 0, which every
// server knows. It ends when the context ends that it was begun with, whatever
// the other side does.
type conversation interface {
	// refs reads the refs of the repository; once.
	refs() (*packp.AdvRefs, error)
	// pack asks for a pack, which ends with the reader's EOF; once, after refs.
	pack(*packp.UploadPackRequest) (io.Reader, error)
	close()
}

// What one fetch may bring. A fetch beyond a limit is refused as a whole.
const (
	MaxFetchBytes = 256 << 20 // received
	MaxRefBytes   = 16 << 20  // of the list of refs
	MaxObjects    = 500_000   // in one pack
	MaxObject     = 16 << 20  // bytes of one object, unpacked
)

// limited reads until a limit, beyond which it gives err.
type limited struct {
	r    io.Reader
	left int64
	err  error
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left < 0 {
		return 0, l.err
	}
	n, err := l.r.Read(p[:min(int64(len(p)), l.left+1)])
	if l.left -= int64(n); l.left < 0 {
		return n - 1, l.err
	}
	return n, err
}

var (
	errManyRefs = &limitError{"the repository's list of refs has more than %d bytes: remove branches and tags, or give the site a repository of its own", MaxRefBytes}
	errManyByte = &limitError{"the repository sends more than %d bytes: give the site a repository of its own, with a shorter history", MaxFetchBytes}
)

// readRefs decodes what a repository begins with.
func readRefs(r io.Reader) (*packp.AdvRefs, error) {
	adv := packp.NewAdvRefs()
	err := adv.Decode(&limited{r, MaxRefBytes, errManyRefs})
	if errors.Is(err, packp.ErrEmptyAdvRefs) || err == nil && adv.IsEmpty() {
		return nil, transport.ErrEmptyRemoteRepository
	}
	if err != nil {
		return nil, err
	}
	transport.FilterUnsupportedCapabilities(adv.Capabilities)
	return adv, nil
}

// writeRequest writes what is wanted and what is there already. A repository
// that keeps no state between two requests must not see a flush in between.
func writeRequest(w io.Writer, req *packp.UploadPackRequest, stateless bool) error {
	return errors.Join(
		req.UploadRequest.Encode(w),
		req.UploadHaves.Encode(w, !stateless),
		pktline.NewEncoder(w).Encodef("done\n"),
	)
}

// readPack gives the pack of the answer to a request.
func readPack(r io.Reader, req *packp.UploadPackRequest) (io.Reader, error) {
	res := packp.NewUploadPackResponse(req)
	if err := res.Decode(io.NopCloser(&limited{r, MaxFetchBytes, errManyByte})); err != nil {
		return nil, err
	}
	switch {
	case req.Capabilities.Supports(capability.Sideband64k):
		return sideband.NewDemuxer(sideband.Sideband64k, res), nil
	case req.Capabilities.Supports(capability.Sideband):
		return sideband.NewDemuxer(sideband.Sideband, res), nil
	}
	return res, nil
}

// stream is a conversation over two pipes, to a program here or at a server.
type stream struct {
	in     io.WriteCloser
	out    io.Reader
	stderr *beginning
	hangUp func() // ends reads and writes, and waits for the program
}

const stderrBytes = 4096 // of what the program says are kept

func (s *stream) refs() (*packp.AdvRefs, error) {
	adv, err := readRefs(s.out)
	return adv, s.says(err)
}

func (s *stream) pack(req *packp.UploadPackRequest) (io.Reader, error) {
	w := bufio.NewWriter(s.in)
	if err := errors.Join(writeRequest(w, req, false), w.Flush(), s.in.Close()); err != nil {
		return nil, s.says(err)
	}
	r, err := readPack(s.out, req)
	return r, s.says(err)
}

func (s *stream) close() { s.hangUp() }

// says ends the conversation after an error and gives what the program said
// about it, or, if it said nothing, the error.
func (s *stream) says(err error) error {
	if limit := new(limitError); err == nil || errors.As(err, &limit) {
		return err
	}
	s.hangUp()
	if said := saidBy(s.stderr.String()); said != nil {
		return said
	}
	return err
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
