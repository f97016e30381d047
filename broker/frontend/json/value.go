package json

import (
	"bytes"
	"fmt"
	"strconv"
	"unicode/utf16"
)

// An object is written in its order.
type object []member

type member struct {
	key   string
	value any // string, int, bool, []string or object
}

const indent = "    "

// writeMember writes a member of an object that is depth deep, and the comma
// behind it.
func writeMember(b *bytes.Buffer, depth int, key string, value any) {
	writeKey(b, depth, key)
	writeValue(b, depth, value)
	b.WriteString(",\n")
}

func writeKey(b *bytes.Buffer, depth int, key string) {
	writeIndent(b, depth)
	writeString(b, key)
	b.WriteString(": ")
}

func writeIndent(b *bytes.Buffer, depth int) {
	for range depth {
		b.WriteString(indent)
	}
}

// writeValue writes as Python does with an indentation of four blanks.
func writeValue(b *bytes.Buffer, depth int, value any) {
	switch v := value.(type) {
	case string:
		writeString(b, v)
	case int:
		b.Write(strconv.AppendInt(b.AvailableBuffer(), int64(v), 10))
	case bool:
		b.WriteString(strconv.FormatBool(v))
	case []string:
		writeAll(b, depth, '[', ']', len(v), func(i int) { writeString(b, v[i]) })
	case object:
		writeAll(b, depth, '{', '}', len(v), func(i int) {
			writeString(b, v[i].key)
			b.WriteString(": ")
			writeValue(b, depth+1, v[i].value)
		})
	default:
		panic(fmt.Sprintf("json: a value of type %T", value))
	}
}

// writeAll writes the n elements of a list or an object.
func writeAll(b *bytes.Buffer, depth int, open, end byte, n int, write func(i int)) {
	b.WriteByte(open)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
		writeIndent(b, depth+1)
		write(i)
	}
	if n > 0 {
		b.WriteByte('\n')
		writeIndent(b, depth)
	}
	b.WriteByte(end)
}

// writeString writes printable ASCII as it is, and the rest as \uXXXX in UTF-16.
func writeString(b *bytes.Buffer, s string) {
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteByte(byte(r))
		case ' ' <= r && r <= '~':
			b.WriteByte(byte(r))
		default:
			writeEscaped(b, r)
		}
	}
	b.WriteByte('"')
}

func writeEscaped(b *bytes.Buffer, r rune) {
	switch r {
	case '\n':
		b.WriteString(`\n`)
	case '\r':
		b.WriteString(`\r`)
	case '\t':
		b.WriteString(`\t`)
	case '\b':
		b.WriteString(`\b`)
	case '\f':
		b.WriteString(`\f`)
	default:
		for _, u := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(b, `\u%04x`, u)
		}
	}
}
