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
			out = append(out, Profile{ID: strings.TrimSuffix(id, "]"), Keys: map[string]string{}})
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if ok && len(out) > 0 {
			out[len(out)-1].Keys[key] = parseValue(value)
		}
	}
	return out
}

// parseValue reads a value as QSettings does: quotes, \" \\ \n \t and \xHHHH in
// UTF-16, outside quotes a semicolon starts a comment. Unquoted commas stay,
// although QSettings makes a list of them.
func parseValue(s string) string {
	s = strings.TrimSpace(s)
	var out []uint16
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			quoted = !quoted
		case c == ';' && !quoted:
			return finish(out)
		case c == '\\' && i+1 < len(s):
			i++
			switch s[i] {
			case 'x':
				end := i + 1
				for end < len(s) && isHex(s[end]) {
					end++
				}
				if n, err := strconv.ParseUint(s[i+1:end], 16, 16); err == nil {
					out = append(out, uint16(n))
				}
				i = end - 1
			case 'n':
				out = append(out, '\n')
			case 't':
				out = append(out, '\t')
			default:
				out = append(out, uint16(s[i]))
			}
		default:
			out = append(out, uint16(c)) // bytes are Latin-1 to the client
		}
	}
	return finish(out)
}

// finish undoes the doubling of a leading @, which marks types of QSettings.
func finish(units []uint16) string {
	s := string(utf16.Decode(units))
	if strings.HasPrefix(s, "@@") {
		return s[1:]
	}
	return s
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}
