package plain

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// What QSettings makes of a value is shown with the real client in tests/e2e;
// here is what it must be given (Qt 5's own writer agrees).
func TestValuesAreWrittenForQSettings(t *testing.T) {
	for in, want := range map[string]string{
		"Office":           `Office`,
		"":                 ``,
		"a, b; c":          `"a, b; c"`,
		`say "hi"`:         `say \"hi\"`,
		`C:\temp`:          `C:\\temp`,
		"Büro":             `B\xfcro`,
		"ü €":              `\xfc \x20ac`,
		"Büfade":           `B\xfc\x66\x61\x64\x65`, // hex digits behind an escape
		"ü1":               `\xfc\x31`,
		"üx1":              `\xfcx1`,
		"🖥 desk":           `\xd83d\xdda5 desk`,
		" outer blanks ":   `" outer blanks "`,
		"a=b#c%20":         `a=b#c%20`,
		"@ByteArray(x)":    `@@ByteArray(x)`,
		"@, x":             `"@@, x"`,
		"\ttab":            `\x9tab`,
		`comma, "ü" quote`: `"comma, \"\xfc\" quote"`,
	} {
		var b bytes.Buffer
		writeValue(&b, in)
		if got := b.String(); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}

func TestNoValueBreaksItsLine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b bytes.Buffer
		writeValue(&b, rapid.String().Draw(t, "value"))
		for _, c := range b.Bytes() {
			if c < ' ' || c > '~' {
				t.Fatalf("byte %#x in %q", c, b.String())
			}
		}
	})
}
