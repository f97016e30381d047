package plain

import (
	"bytes"
	"strconv"
	"unicode/utf16"
)

// writeValue writes a value so that X2Go Client, which reads the list with
// QSettings, gets back what was meant: values with a comma or semicolon are
// quoted, other characters than printable ASCII are written \xHHHH in UTF-16,
// and a hex digit behind such an escape is escaped as well, because QSettings
// reads as many digits as there are. A leading @ would start one of QSettings'
// own types and is doubled (Qt 5, QSettings).
func writeValue(b *bytes.Buffer, s string) {
	if plainASCII(s) {
		b.WriteString(s)
		return
	}
	quote := s[0] == ' ' || s[len(s)-1] == ' '
	for i := range len(s) {
		quote = quote || s[i] == ',' || s[i] == ';'
	}
	if quote {
		b.WriteByte('"')
	}
	if s[0] == '@' {
		b.WriteByte('@')
	}
	escaped := false
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteByte(byte(r))
			escaped = false
		case r < ' ' || r > '~' || escaped && isHex(r):
			for _, u := range utf16.Encode([]rune{r}) {
				b.WriteString(`\x`)
				b.WriteString(strconv.FormatUint(uint64(u), 16))
			}
			escaped = true
		default:
			b.WriteByte(byte(r))
			escaped = false
		}
	}
	if quote {
		b.WriteByte('"')
	}
}

// plainASCII reports whether QSettings reads s as it is.
func plainASCII(s string) bool {
	if s == "" {
		return true
	}
	if s[0] == ' ' || s[0] == '@' || s[len(s)-1] == ' ' {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ', c > '~', c == ',', c == ';', c == '"', c == '\\':
			return false
		}
	}
	return true
}

func isHex(r rune) bool {
	return '0' <= r && r <= '9' || 'a' <= r && r <= 'f' || 'A' <= r && r <= 'F'
}
