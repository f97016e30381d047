package source

import (
	"bytes"
	"compress/zlib"
	"context"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// packOf makes a pack of raw entries that says it has so many.
func packOf(count uint32, entries ...[]byte) []byte {
	b := binary.BigEndian.AppendUint32([]byte("PACK\x00\x00\x00\x02"), count)
	b = append(b, bytes.Join(entries, nil)...)
	sum := sha1.Sum(b)
	return append(b, sum[:]...)
}

// entry makes one entry of a pack: its kind, its length, what comes before the
// content, and the content.
func entry(kind byte, length uint64, before, content []byte) []byte {
	head := []byte{kind<<4 | byte(length&15)}
	for length >>= 4; length > 0; length >>= 7 {
		head[len(head)-1] |= 0x80
		head = append(head, byte(length&127))
	}
	var packed bytes.Buffer
	w := zlib.NewWriter(&packed)
	_, _ = w.Write(content)
	_ = w.Close()
	return append(append(head, before...), packed.Bytes()...)
}

func TestPacksBeyondALimitAreRefusedBeforeTheyAreUnpacked(t *testing.T) {
	const blob, refDelta = 3, 7
	base := bytes.Repeat([]byte{1}, 20)
	// A few bytes that say: make a gigabyte of the base.
	bomb := binary.AppendUvarint([]byte{3}, 1<<30)
	small := append([]byte{3, 3}, 0x90, 3)
	for name, c := range map[string]struct {
		pack []byte
		want string // "" for no error
	}{
		"good":                    {packOf(2, entry(blob, 3, nil, []byte("abc")), entry(refDelta, 4, base, small)), ""},
		"delta of a gigabyte":     {packOf(1, entry(refDelta, uint64(len(bomb)), base, bomb)), "more than 16777216 bytes"},
		"delta longer than that":  {packOf(1, entry(refDelta, 1<<30, base, bomb)), "more than 16777216 bytes"},
		"large blob":              {packOf(1, entry(blob, MaxObject+1, nil, make([]byte, MaxObject+1))), "large object: blob "},
		"just small enough":       {packOf(1, entry(blob, MaxObject, nil, make([]byte, MaxObject))), ""},
		"four billion objects":    {packOf(1<<32 - 1), "more than 500000 objects"},
		"no pack":                 {[]byte("<html>"), "signature"},
		"more than it says":       {packOf(1, entry(blob, 2, nil, []byte("abc"))), "declared"},
		"cut":                     {packOf(1, entry(blob, 3, nil, []byte("abc")))[:20], "EOF"},
		"another checksum":        {append(packOf(0)[:31], 0), "checksum"},
		"fewer objects than said": {packOf(2, entry(blob, 3, nil, []byte("abc"))), ""},
	} {
		err := scanPack(bytes.NewReader(c.pack))
		if name == "fewer objects than said" {
			if err == nil {
				t.Errorf("%s: no error", name)
			}
			continue
		}
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// Unpacking what a few bytes make of themselves may take long.
func TestUnpackingEndsWithTheContext(t *testing.T) {
	dir := t.TempDir()
	packs := filepath.Join(dir, "objects", "pack")
	if err := os.MkdirAll(packs, 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	pack := &lastRead{bytes.NewReader(packOf(1, entry(3, 3, nil, []byte("abc")))), cancel}
	if err := receivePack(ctx, dir, pack); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if left, err := os.ReadDir(packs); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// lastRead calls end as soon as all was read.
type lastRead struct {
	r   *bytes.Reader
	end func()
}

func (l *lastRead) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if l.r.Len() == 0 {
		l.end()
	}
	return n, err
}

func FuzzScanPack(f *testing.F) {
	f.Add(packOf(1, entry(3, 3, nil, []byte("abc"))))
	f.Add(packOf(1, entry(7, 4, make([]byte, 20), []byte{3, 3, 0x90, 3})))
	f.Fuzz(func(_ *testing.T, pack []byte) {
		_ = scanPack(bytes.NewReader(pack)) // must return
	})
}

func TestLimitedGivesAllUpToItsLimit(t *testing.T) {
	over := errors.New("over")
	for _, c := range []struct {
		limit int64
		want  string
		err   error
	}{{3, "abc", over}, {4, "abcd", nil}, {5, "abcd", nil}, {0, "", over}} {
		got, err := io.ReadAll(&limited{strings.NewReader("abcd"), c.limit, over})
		if string(got) != c.want || !errors.Is(err, c.err) {
			t.Errorf("limit %d: %q, %v", c.limit, got, err)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-7": 0, "1e9": 0, "99999999999999": 0,
		"Mon, 05 Jan 2026 12:01:00 GMT": time.Minute, "Mon, 05 Jan 2026 11:00:00 GMT": 0,
	} {
		if got := retryAfter(header, now); got != want {
			t.Errorf("%q: %v, want %v", header, got, want)
		}
	}
}
