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

// A kept site is one file:
//
//	x2broker kept site 2\n
//	<SHA-256 of all that follows this line, 64 hex digits>\n
//	<number, the highest for what served last> "<id of the revision>"\n
//	<keptHeader as one line of JSON>\n
//	<the bytes of the files, one after the other, in the order of the header>
//
// The digest finds what a crash or a disk damaged. Against people, the mode of
// the state directory protects.
const keptMagic = "x2broker kept site 2\n"

// maxKeptBytes is more than any tree within the limits takes.
const maxKeptBytes = source.MaxTreeBytes + 4*source.MaxEntries*source.MaxPathBytes

type keptHeader struct {
	Source   string          `json:"source"` // the name of the source
	Revision source.Revision `json:"revision"`
	Rules    string          `json:"rules"` // by which it was verified, see [Verifying]; "" if by none
	Inputs   Inputs          `json:"inputs"`
	Files    []keptFile      `json:"files"`
}

type keptFile struct {
	Path string `json:"path"`
	Size int    `json:"size"` // bytes
}

// encodeKept gives the parts of a kept site's file, in order. The contents are
// not copied.
func encodeKept(number int64, header keptHeader, tree *source.Tree) ([][]byte, error) {
	parts := [][]byte{nil, nil}
	header.Files = nil
	for path, data := range tree.Files() {
		header.Files = append(header.Files, keptFile{Path: path, Size: len(data)})
		parts = append(parts, data)
	}
	line, err := json.Marshal(header)
	if err != nil {
		return nil, err
	}
	parts[1] = fmt.Appendf(nil, "%d %q\n%s\n", number, header.Revision.ID, line)
	h := sha256.New()
	for _, part := range parts {
		h.Write(part)
	}
	parts[0] = fmt.Appendf(nil, "%s%x\n", keptMagic, h.Sum(nil))
	return parts, nil
}

// checkKept gives the content of a kept site whose digest is right.
func checkKept(data []byte) ([]byte, error) {
	rest, ok := bytes.CutPrefix(data, []byte(keptMagic))
	if !ok {
		return nil, fmt.Errorf("does not begin with %q", keptMagic)
	}
	digest, rest, ok := bytes.Cut(rest, []byte("\n"))
	if sum := sha256.Sum256(rest); !ok || string(digest) != hex.EncodeToString(sum[:]) {
		return nil, errors.New("digest is wrong: truncated or damaged")
	}
	return rest, nil
}

// decodeKept reads what encodeKept wrote.
func decodeKept(data []byte) (keptHeader, *source.Tree, error) {
	content, err := checkKept(data)
	if err != nil {
		return keptHeader{}, nil, err
	}
	_, content, _ = bytes.Cut(content, []byte("\n"))
	return decodeContent(content)
}

// keptDigest gives the digest that stands in what encodeKept wrote.
func keptDigest(data []byte) string {
	rest, _ := bytes.CutPrefix(data, []byte(keptMagic))
	digest, _, _ := bytes.Cut(rest, []byte("\n"))
	return string(digest)
}

// keptLine gives what the first bytes of a file say of it; zero if they are not
// of a kept site.
func keptLine(data []byte) (number int64, revision string) {
	rest, _ := bytes.CutPrefix(data, []byte(keptMagic))
	_, rest, _ = bytes.Cut(rest, []byte("\n"))
	line, _, whole := bytes.Cut(rest, []byte("\n"))
	if n, err := fmt.Sscanf(string(line), "%d %q", &number, &revision); !whole || err != nil || n != 2 || number < 0 {
		return 0, ""
	}
	return number, revision
}

// decodeContent reads the header and the files. It shares data.
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

// readKept reads a kept site of about that size, but no more of it than one can
// be long.
func readKept(r io.Reader, size, limit int64) ([]byte, error) {
	var b bytes.Buffer
	b.Grow(int(min(size, limit)) + bytes.MinRead)
	_, err := b.ReadFrom(io.LimitReader(r, min(limit, math.MaxInt64-1)+1))
	if err == nil && int64(b.Len()) > limit {
		err = fmt.Errorf("more than %d bytes", limit)
	}
	return b.Bytes(), err
}
