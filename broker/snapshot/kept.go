package snapshot

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/x2broker/x2broker/broker/source"
)

// The kept site is one file:
//
//	x2broker kept site 1\n
//	<SHA-256 of all that follows this line, 64 hex digits>\n
//	<keptHeader as one line of JSON>\n
//	<the bytes of the files, one after the other, in the order of the header>
//
// The digest finds what a crash or a disk damaged. Against people, the mode of
// the state directory protects.
const keptMagic = "x2broker kept site 1\n"

// maxKeptBytes is more than any tree within the limits takes.
const maxKeptBytes = source.MaxTreeBytes + 4*source.MaxEntries*source.MaxPathBytes

type keptHeader struct {
	Source   string          `json:"source"` // the name of the source
	Revision source.Revision `json:"revision"`
	Files    []keptFile      `json:"files"`
}

type keptFile struct {
	Path string `json:"path"`
	Size int    `json:"size"` // bytes
}

// encodeKept gives the parts of a kept site's file, in order. The contents are
// not copied.
func encodeKept(name string, rev source.Revision, tree *source.Tree) ([][]byte, error) {
	header := keptHeader{Source: name, Revision: rev}
	parts := [][]byte{nil, nil}
	for path, data := range tree.Files() {
		header.Files = append(header.Files, keptFile{Path: path, Size: len(data)})
		parts = append(parts, data)
	}
	line, err := json.Marshal(header)
	if err != nil {
		return nil, err
	}
	parts[1] = append(line, '\n')
	h := sha256.New()
	for _, part := range parts {
		h.Write(part)
	}
	parts[0] = fmt.Appendf(nil, "%s%x\n", keptMagic, h.Sum(nil))
	return parts, nil
}

// decodeKept reads what encodeKept wrote.
func decodeKept(data []byte) (name string, rev source.Revision, tree *source.Tree, err error) {
	fail := func(format string, args ...any) (string, source.Revision, *source.Tree, error) {
		return "", source.Revision{}, nil, fmt.Errorf(format, args...)
	}
	rest, ok := bytes.CutPrefix(data, []byte(keptMagic))
	if !ok {
		return fail("does not begin with %q", keptMagic)
	}
	digest, rest, ok := bytes.Cut(rest, []byte("\n"))
	if sum := sha256.Sum256(rest); !ok || string(digest) != hex.EncodeToString(sum[:]) {
		return fail("digest is wrong: truncated or damaged")
	}
	header, tree, err := decodeContent(rest)
	if err != nil {
		return fail("%w", err)
	}
	return header.Source, header.Revision, tree, nil
}

// keptDigest gives the digest that stands in what encodeKept wrote.
func keptDigest(data []byte) string {
	rest, _ := bytes.CutPrefix(data, []byte(keptMagic))
	digest, _, _ := bytes.Cut(rest, []byte("\n"))
	return string(digest)
}

// decodeContent reads what stands behind the digest. It shares data.
func decodeContent(data []byte) (header keptHeader, tree *source.Tree, err error) {
	line, rest, ok := bytes.Cut(data, []byte("\n"))
	if !ok {
		return header, nil, errors.New("no header")
	}
	if err := json.Unmarshal(line, &header); err != nil {
		return header, nil, fmt.Errorf("header: %w", err)
	}
	files := make(map[string][]byte, min(len(header.Files), source.MaxEntries))
	for _, f := range header.Files {
		if _, twice := files[f.Path]; twice || f.Size < 0 || f.Size > len(rest) {
			return header, nil, fmt.Errorf("header: file %q is listed twice or has a wrong size", f.Path)
		}
		files[f.Path], rest = rest[:f.Size:f.Size], rest[f.Size:]
	}
	if len(rest) > 0 {
		return header, nil, fmt.Errorf("%d bytes more than the header says", len(rest))
	}
	tree, err = source.FromFiles(files)
	return header, tree, err
}

// readKept reads a kept site, but no more of it than one can be long.
func readKept(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, min(limit, math.MaxInt64-1)+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("more than %d bytes", limit)
	}
	return data, err
}
