package authd

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var unexported = cmp.AllowUnexported(Request{}, prompt{}, answer{})

var messages = []any{
	Request{kind: kindAuthenticate, Name: "alice", Password: "p w% é", Address: "192.0.2.1", Converse: true},
	Request{kind: kindAuthenticate, Name: "", Password: ""},
	Request{kind: kindLookup, Name: "müller@example.org"},
	Request{kind: kindChange, Name: "alice", Password: "old", New: strings.Repeat("n", maxPassword), Address: "2001:db8::1"},
	answer{ok: true, text: "123456"},
	answer{},
	goOn(true),
	goOn(false),
	prompt{EchoOff, "Password: "},
	prompt{ErrorText, "line\nline"},
	confirm{Name: "alice", UID: 1 << 31, Home: "/home/alice", Groups: []string{"alice", "staff"}},
	Result{Code: OK, User: User{Name: "alice", UID: 1000, Home: "/home/alice", Groups: []string{"alice"}}},
	Result{Code: Wrong, Delay: 2_000_000},
	Result{Code: Failed, Text: "why"},
}

func TestMessagesArriveAsTheyWereSent(t *testing.T) {
	var wire bytes.Buffer
	for _, m := range messages {
		if err := write(&wire, m); err != nil {
			t.Fatalf("%#v: %v", m, err)
		}
	}
	for _, want := range messages {
		got, err := read(&wire)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, unexported); diff != "" {
			t.Errorf("message (-want +got):\n%s", diff)
		}
	}
	if _, err := read(&wire); !errors.Is(err, io.EOF) {
		t.Errorf("after the last message: %v, want EOF", err)
	}
}

func TestATruncatedMessageIsNone(t *testing.T) {
	for _, m := range messages {
		var wire bytes.Buffer
		if err := write(&wire, m); err != nil {
			t.Fatal(err)
		}
		whole := wire.Bytes()
		for n := 1; n < len(whole); n++ {
			if got, err := read(bytes.NewReader(whole[:n])); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%#v cut to %d bytes: got %#v, %v", m, n, got, err)
			}
			// Also when its length is right for what is there.
			if n > 4 {
				if got, err := decode(whole[4:n]); !errors.Is(err, errMalformed) {
					t.Errorf("%#v cut to %d bytes: decoded %#v, %v", m, n, got, err)
				}
			}
		}
	}
}

func TestBadMessagesAreRefused(t *testing.T) {
	lookup := func(name string) []byte {
		b, err := encode(Request{kind: kindLookup, Name: name})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, b := range map[string][]byte{
		"nothing":                {},
		"unknown kind":           {99},
		"bytes left over":        append(lookup("alice"), 0),
		"NUL in a name":          lookup("al\x00ice"),
		"line break in a name":   lookup("al\nice"),
		"a name that is no UTF":  lookup("al\xffice"),
		"a name of 256 bytes":    lookup(strings.Repeat("a", 256)),
		"a flag of 2":            {byte(kindGoOn), 2},
		"an unknown style":       {byte(kindPrompt), 9, 0, 0},
		"code 0":                 slices.Concat([]byte{byte(kindResult), 0}, make([]byte, 2+4+2+2+4+2)),
		"a list that is not all": {byte(kindConfirm), 0, 1, 'a', 0, 0, 0, 0, 0, 0, 255, 255, 0, 0},
	} {
		if got, err := decode(b); !errors.Is(err, errMalformed) {
			t.Errorf("%s: got %#v, %v", name, got, err)
		}
	}
	for name, head := range map[string]string{
		"no byte":      "\x00\x00\x00\x00",
		"one too many": "\x00\x01\x00\x01",
		"4 GiB":        "\xff\xff\xff\xff",
	} {
		// The reader ends after the length: refused before more is read.
		if _, err := read(strings.NewReader(head)); !errors.Is(err, errMalformed) {
			t.Errorf("length of %s: %v", name, err)
		}
	}
}

func TestAMessageThatIsTooLargeIsNotSent(t *testing.T) {
	u := User{Name: "alice", Groups: slices.Repeat([]string{strings.Repeat("g", 200)}, 400)}
	var wire bytes.Buffer
	if err := write(&wire, Result{Code: OK, User: u}); err == nil || wire.Len() > 0 {
		t.Errorf("sent %d bytes, error %v", wire.Len(), err)
	}
}

// FuzzWire reads as both ends do. What is accepted has one form only.
func FuzzWire(f *testing.F) {
	for _, m := range messages {
		b, err := encode(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decode(b)
		if err != nil {
			if !errors.Is(err, errMalformed) {
				t.Errorf("error %v", err)
			}
			return
		}
		again, err := encode(m)
		if err != nil || !bytes.Equal(b, again) {
			t.Errorf("%#v was %x and becomes %x, %v", m, b, again, err)
		}
	})
}
