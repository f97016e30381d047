package client

import (
	"strconv"
	"strings"
	"unicode/utf16"
)

// parseList reads the profiles between the markers of a reply.
func parseList(reply string) []Profile {
	_, list, ok := strings.Cut(reply, "START_USER_SESSIONS\n")
	if !ok {
		return nil
	}
	list, _, _ = strings.Cut(list, "END_USER_SESSIONS\n")
	var out []Profile
	for line := range strings.SplitSeq(list, "\n") {
		if id, ok := strings.CutPrefix(line, "["); ok {
			out = append(out, Profile{ID: strings.TrimSuffix(id, "]"), Keys: map[string]string{}, Raw: map[string]string{}})
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if ok && len(out) > 0 {
			p := out[len(out)-1]
			p.Keys[key], p.Raw[key] = parseValue(value), value
		}
	}
	return out
}

// parseValue reads a value as QSettings does, but keeps unquoted commas, of
// which QSettings makes a list.
func parseValue(s string) string { return finish(scan(latin1(s), true, nil)) }

// AsRead gives what X2Go Client makes of the text behind a key: one element, or
// several where unquoted commas make a list of it, which is as nothing to the
// client where it wants a text.
func AsRead(raw string) []string {
	var out []string
	last := scan(latin1(raw), true, func(units []uint16) {
		out = append(out, strings.TrimRight(finish(units), " \t"))
	})
	return append(out, finish(last))
}

// AsWritten gives what somebody means who writes quotes and escapes as QSettings
// has them, but text in UTF-8, and commas and semicolons as they are.
func AsWritten(raw string) string {
	return finish(scan(utf16.Encode([]rune(strings.TrimSpace(raw))), false, nil))
}

// latin1 takes bytes for characters, as the client does.
func latin1(s string) []uint16 {
	s = strings.TrimSpace(s)
	out := make([]uint16, len(s))
	for i := range len(s) {
		out[i] = uint16(s[i])
	}
	return out
}

// scan reads quotes, \" \\ \n \t and \xHHHH in UTF-16. Outside quotes a semicolon
// starts a comment, if there are comments, and a comma ends an element, if
// somebody wants the elements: next is given each as it ends. scan returns the
// last, or all there is.
func scan(in []uint16, comments bool, next func([]uint16)) []uint16 {
	var out []uint16
	quoted := false
	for i := 0; i < len(in); i++ {
		switch c := in[i]; {
		case c == '"':
			quoted = !quoted
		case c == ';' && !quoted && comments:
			return out
		case c == ',' && !quoted && next != nil:
			next(out)
			out = nil
			for i+1 < len(in) && (in[i+1] == ' ' || in[i+1] == '\t') {
				i++
			}
		case c == '\\' && i+1 < len(in):
			i++
			switch in[i] {
			case 'x':
				digits := ""
				for i+1 < len(in) && isHex(in[i+1]) {
					i++
					digits += string(rune(in[i]))
				}
				if n, err := strconv.ParseUint(digits, 16, 16); err == nil {
					out = append(out, uint16(n))
				}
			case 'n':
				out = append(out, '\n')
			case 't':
				out = append(out, '\t')
			default:
				out = append(out, in[i])
			}
		default:
			out = append(out, c)
		}
	}
	return out
}

// finish undoes the doubling of a leading @, which marks types of QSettings.
func finish(units []uint16) string {
	s := string(utf16.Decode(units))
	if strings.HasPrefix(s, "@@") {
		return s[1:]
	}
	return s
}

func isHex(c uint16) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}
