package golden_test

import (
	"strconv"
	"strings"
	"unicode/utf16"
)

func utf16Units(r rune) []uint16 { return utf16.Encode([]rune{r}) }

// readable writes a value so that QSettings reads it as it is meant: quoted where
// it has a comma, a semicolon or outer blanks, and other characters than ASCII
// as \x with the digits of UTF-16, as well as a hex digit behind one of these.
func readable(value string) string {
	if value == "" {
		return ""
	}
	var b strings.Builder
	escaped := false
	for i, c := range value {
		switch {
		case c == '"' || c == '\\':
			b.WriteString(`\` + string(c))
			escaped = false
		case c == '@' && i == 0:
			b.WriteString("@@")
		case c < ' ' || c > '~' || escaped && strings.ContainsRune("0123456789abcdefABCDEF", c):
			for _, unit := range utf16Units(c) {
				b.WriteString(`\x` + strconv.FormatUint(uint64(unit), 16))
			}
			escaped = true
		default:
			b.WriteRune(c)
			escaped = false
		}
	}
	if strings.ContainsAny(value, ",;") || strings.TrimSpace(value) != value {
		return `"` + b.String() + `"`
	}
	return b.String()
}
