package frontend

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf16"
)

// WriteJSON writes a value as Python's json.dumps does with sorted keys and an
// indentation: keys of maps sorted, those of structs in their order, all but
// printable ASCII as \uXXXX, no line break at the end. Values that have no JSON
// are mistakes in the caller.
func WriteJSON(b *bytes.Buffer, value any, indent string) {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	if err := e.Encode(value); err != nil {
		panic(err)
	}
	// Only inside of strings is there anything but ASCII.
	for _, r := range string(bytes.TrimRight(text.Bytes(), "\n")) {
		if r < 0x7f {
			b.WriteByte(byte(r))
			continue
		}
		for _, u := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(b, `\u%04x`, u)
		}
	}
}
