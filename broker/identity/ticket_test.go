package identity

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

func goldenKey() ticketKey { return keyWith(0x10, 31) }

// keyWith makes a key that differs from the golden one in the first byte of its
// id or the last of its secret.
func keyWith(first, last byte) ticketKey {
	random := []byte{first, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17}
	for i := range 31 {
		random = append(random, byte(i))
	}
	random = append(random, last)
	k, err := newTicketKey(bytes.NewReader(random))
	if err != nil {
		panic(err)
	}
	return k
}

// goldenTickets were computed by another program from the description of the
// form alone.
var goldenTickets = []struct {
	name, typed, address, text string
}{
	{
		"IPv4", "Alice", "192.0.2.7",
		"ARAREhMUFRYXoKGio6SlpqeoqaqrrK2urwZzdGF0aWMFYWxpY2UFQWxpY2UEwAACBwAAAABpVbkAAAAAB40Ir5q1TuCrgGd1MTpNfn0RjpUaa78jq8jZJqSkdNsD",
	},
	{
		"IPv6", "ÄLICE@example.edu", "2001:db8:1:2:3:4:5:6",
		"ARAREhMUFRYXoKGio6SlpqeoqaqrrK2urwZzdGF0aWMFYWxpY2USw4RMSUNFQGV4YW1wbGUuZWR1CCABDbgAAQACAAAAAGlVuQAAAAAHgJN2l6HlINPat4YeDoLz2z77cQLLrvn8jtuv24Alg2Y",
	},
}

func TestTicketHasTheFormThatIsWrittenDown(t *testing.T) {
	for _, tc := range goldenTickets {
		t.Run(tc.name, func(t *testing.T) {
			want := ticket{
				authenticator: "static",
				canonical:     "alice",
				typed:         tc.typed,
				network:       clientNet(addr(tc.address)),
				login:         1767225600, // 2026-01-01T00:00:00Z
				generation:    7,
			}
			for i := range want.chain {
				want.chain[i] = byte(0xa0 + i)
			}
			want.sign(goldenKey())
			if got := want.encode(); got != tc.text {
				t.Errorf("encoded\n%s, want\n%s", got, tc.text)
			}
			got, err := decodeTicket(tc.text)
			if err != nil {
				t.Fatal(err)
			}
			if got != want {
				t.Errorf("decoded\n%+v, want\n%+v", got, want)
			}
			if !got.authentic(goldenKey()) {
				t.Error("not authentic")
			}
		})
	}
}

func TestTheLongestTicketFits(t *testing.T) {
	k := ticket{
		authenticator: strings.Repeat("a", maxAuthenticatorName),
		canonical:     strings.Repeat("b", MaxName),
		typed:         strings.Repeat("c", MaxName),
		network:       clientNet(addr("2001:db8::1")),
	}
	k.sign(goldenKey())
	text := k.encode()
	if len(text) != 874 {
		t.Errorf("%d bytes, the comment says 874", len(text))
	}
	if got, err := decodeTicket(text); err != nil || got != k {
		t.Errorf("decoded %v, %v", got, err)
	}
}

func TestThereIsOneTextForOneTicket(t *testing.T) {
	text := goldenTickets[0].text
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	with := func(i int, b byte) string {
		changed := append([]byte(nil), raw...)
		changed[i] = b
		return encode(changed)
	}
	const authenticator, address = 25, 44 // where their lengths are
	for name, variant := range map[string]string{
		"empty":                          "",
		"padded":                         text + "=",
		"padded twice":                   text + "==",
		"the other alphabet":             base64.RawStdEncoding.EncodeToString([]byte("\xfb\xff\xfe")) + text[4:],
		"a line end in it":               text[:40] + "\n" + text[40:],
		"a line end after it":            text + "\n",
		"a CR after it":                  text + "\r",
		"a blank before it":              " " + text,
		"a blank after it":               text + " ",
		"percent":                        "%41" + text[1:],
		"NUL":                            text + "\x00",
		"not ASCII":                      text + "ä",
		"unused bits set":                goldenTickets[1].text[:len(goldenTickets[1].text)-1] + "Z",
		"a byte more":                    encode(append(append([]byte(nil), raw...), 0)),
		"a byte less":                    encode(raw[:len(raw)-1]),
		"a letter less":                  text[:len(text)-1],
		"twice":                          text + text,
		"too long":                       strings.Repeat("A", maxTicket+1),
		"version 0":                      with(0, 0),
		"version 2":                      with(0, 2),
		"no authenticator":               with(authenticator, 0),
		"authenticator eats the rest":    with(authenticator, 255),
		"address of 5 bytes":             with(address, 5),
		"no address":                     with(address, 0),
		"address longer than all":        with(address, 255),
		"login before 1970":              with(address+5, 0x80),
		"a reply's line":                 "AUTHID:" + text,
		"the reference broker's cookies": "3f0c6a2e-7c53-4d4b-9f31-0a8c5f1c2d3e",
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := decodeTicket(variant); !errors.Is(err, errTicketForm) {
				t.Errorf("decoded to %v, %v", got, err)
			}
		})
	}
}

func TestEveryChangedBitIsNoticed(t *testing.T) {
	for _, tc := range goldenTickets {
		raw, err := base64.RawURLEncoding.DecodeString(tc.text)
		if err != nil {
			t.Fatal(err)
		}
		for i := range raw {
			for bit := range 8 {
				changed := append([]byte(nil), raw...)
				changed[i] ^= 1 << bit
				got, err := decodeTicket(base64.RawURLEncoding.EncodeToString(changed))
				if err == nil && got.authentic(goldenKey()) {
					t.Errorf("%s: byte %d bit %d changed and still authentic", tc.name, i, bit)
				}
			}
		}
	}
}

func TestAnotherKeyIsNotOurs(t *testing.T) {
	got, err := decodeTicket(goldenTickets[0].text)
	if err != nil {
		t.Fatal(err)
	}
	if got.authentic(keyWith(0x10, 30)) || got.authentic(keyWith(0x11, 31)) {
		t.Error("authentic with another key")
	}
}

func FuzzDecodeTicket(f *testing.F) {
	for _, tc := range goldenTickets {
		f.Add(tc.text)
		f.Add(tc.text[:len(tc.text)-1])
		f.Add(tc.text + "A")
	}
	for _, s := range []string{
		"", "A", "AQ", "AQ==", "-_-_", "a b", "AUTHID", "\n", "\x00", "ä", "%00",
		strings.Repeat("A", 114), strings.Repeat("A", maxTicket), strings.Repeat("_", maxTicket+1),
		"3f0c6a2e-7c53-4d4b-9f31-0a8c5f1c2d3e",
		base64.RawURLEncoding.EncodeToString([]byte("\x01" + strings.Repeat("\x01", 200))),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := decodeTicket(text)
		if err != nil {
			if got != (ticket{}) {
				t.Errorf("an error and %v", got)
			}
			return
		}
		if again := got.encode(); again != text {
			t.Errorf("%q decodes, and encodes to %q", text, again)
		}
		if got.authentic(goldenKey()) && text != goldenTickets[0].text && text != goldenTickets[1].text {
			t.Errorf("forged: %q", text)
		}
	})
}
