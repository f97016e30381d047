package snapshot

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/x2broker/x2broker/broker/source"
)

func TestKeptSitesReadBackAsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		files := rapid.MapOfN(rapid.StringMatching(`([a-zä]{1,3}/){0,2}[a-zä "]{1,3}\.(cue|rego)`),
			rapid.SliceOfN(rapid.Byte(), 0, 50), 0, 10).Draw(t, "files")
		tree, err := source.FromFiles(files)
		if err != nil {
			t.Skip(err)
		}
		rev := source.Revision{
			ID: rapid.String().Draw(t, "id"), Subject: rapid.String().Draw(t, "subject"),
			Time: time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "time"), 0).UTC(),
		}
		number := rapid.Int64Range(0, 1<<62).Draw(t, "number")
		parts, err := encodeKept(number, keptHeader{Source: "a source", Revision: rev, Rules: "r"}, tree)
		if err != nil {
			t.Fatal(err)
		}
		data := bytes.Join(parts, nil)
		header, got, err := decodeKept(data)
		if err != nil || header.Source != "a source" || header.Revision != rev || header.Rules != "r" || got.Digest() != tree.Digest() {
			t.Fatalf("read %+v %v", header, err)
		}
		if n, id := keptLine(data); n != number || id != rev.ID {
			t.Fatalf("the file says that it is number %d, %q", n, id)
		}
	})
}

func TestHeadersThatLieAreRefused(t *testing.T) {
	for _, c := range []struct {
		name, header, content string
	}{
		{"no header", "", ""},
		{"not JSON", "x\n", ""},
		{"negative size", `{"files":[{"path":"a.cue","size":-1}]}` + "\n", ""},
		{"too large", `{"files":[{"path":"a.cue","size":9223372036854775807}]}` + "\n", "x"},
		{"too little content", `{"files":[{"path":"a.cue","size":2}]}` + "\n", "x"},
		{"too much content", `{"files":[{"path":"a.cue","size":1}]}` + "\n", "xy"},
		{"twice", `{"files":[{"path":"a.cue","size":1},{"path":"a.cue","size":1}]}` + "\n", "xy"},
		{"outside", `{"files":[{"path":"../a.cue","size":1}]}` + "\n", "x"},
		{"absolute", `{"files":[{"path":"/a.cue","size":1}]}` + "\n", "x"},
		{"file and directory", `{"files":[{"path":"a","size":0},{"path":"a/b.cue","size":0}]}` + "\n", ""},
	} {
		if _, tree, err := decodeContent([]byte(c.header + c.content)); err == nil || tree != nil {
			t.Errorf("%s: accepted", c.name)
		}
	}
}

func TestAKeptSiteThatIsTooLongIsNotReadToItsEnd(t *testing.T) {
	r := strings.NewReader(strings.Repeat("x", 100))
	if _, err := readKept(r, 100, 10); err == nil || r.Len() != 89 {
		t.Errorf("%d bytes left, %v", r.Len(), err)
	}
	if data, err := readKept(strings.NewReader("0123456789"), 3, 10); err != nil || len(data) != 10 {
		t.Errorf("%q, %v", data, err)
	}
}

func FuzzDecodeContent(f *testing.F) {
	f.Add([]byte("{}\n"))
	f.Add([]byte(`{"source":"s","revision":{"id":"a","time":"2026-01-05T12:00:00Z"},"files":[{"path":"a.cue","size":1}]}` + "\nx"))
	f.Fuzz(func(t *testing.T, data []byte) {
		header, tree, err := decodeContent(data)
		if err != nil {
			if tree != nil {
				t.Error("a tree and an error")
			}
			return
		}
		sum := 0
		for range header.Files {
			sum++
		}
		line, err := json.Marshal(header)
		if err != nil || len(line) == 0 {
			t.Fatalf("header of %d files does not encode: %v", sum, err)
		}
	})
}

func TestDelay(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		poll     time.Duration
		failures int
		jitter   float64
		want     time.Duration
	}{
		{30 * s, 0, 0, 30 * s},
		{30 * s, 0, 0.999, 32997 * time.Millisecond},
		{30 * s, 1, 0, 60 * s},
		{30 * s, 2, 0, 120 * s},
		{30 * s, 3, 0, 240 * s},
		{30 * s, 4, 0, 300 * s},
		{30 * s, 1 << 30, 0, 300 * s},
		{30 * s, 4, 0.5, 285 * s},
		{s / 10, 4, 0, s},
		{4 * time.Minute, 1, 0, 5 * time.Minute},
		{time.Hour, 1, 0, time.Hour},
		{time.Hour, 9, 0.5, time.Hour},
	} {
		if got := delay(c.poll, c.failures, c.jitter); got != c.want {
			t.Errorf("delay(%v, %d, %v) = %v, want %v", c.poll, c.failures, c.jitter, got, c.want)
		}
	}
}

func TestWhenTheSourceIsAskedAgain(t *testing.T) {
	const poll = 30 * time.Second
	for name, c := range map[string]struct {
		err  error
		want [3]time.Duration // after the first, second and third time
	}{
		"good":             {nil, [3]time.Duration{poll, poll, poll}},
		"away":             {errors.New("away"), [3]time.Duration{2 * poll, 4 * poll, 8 * poll}},
		"a commit refused": {&RefusedError{}, [3]time.Duration{poll, poll, poll}},
		"a commit that may not be used": {
			&source.FetchError{Kind: source.Refused, Err: errors.New("x")}, [3]time.Duration{poll, poll, poll},
		},
		"a wrong token": {
			fmt.Errorf("x: %w", &source.FetchError{Kind: source.Lasting, Err: errors.New("x")}), [3]time.Duration{10 * poll, 10 * poll, 10 * poll},
		},
		"a server that wants a pause": {
			&source.FetchError{RetryAfter: 3 * poll, Err: errors.New("x")}, [3]time.Duration{3 * poll, 4 * poll, 8 * poll},
		},
		"a server that wants peace": {
			&source.FetchError{RetryAfter: 1 << 60, Err: errors.New("x")}, [3]time.Duration{time.Hour, time.Hour, time.Hour},
		},
	} {
		b := backoff{poll: poll}
		var got [3]time.Duration
		for i := range got {
			got[i] = b.next(c.err, 0)
		}
		if got != c.want {
			t.Errorf("%s: asked again after %v, want %v", name, got, c.want)
		}
		if again := b.next(nil, 0); again != poll {
			t.Errorf("%s: after it is over, asked again after %v", name, again)
		}
	}
}
