package keys

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// maxLine is the longest line in bytes, as with sshd.
const maxLine = 8 << 10

// entry is a line with a key.
type entry struct {
	line  int // from 1
	key   ssh.PublicKey
	from  *patterns // nil: from anywhere
	until time.Time // the zero value: for ever

	// never is why the key is not for the broker, "" if it is.
	never string
}

// refuses says why the line does not let its key in, "" if it does.
func (e entry) refuses(address netip.Addr, now time.Time) string {
	switch {
	case e.never != "":
		return e.never
	case !e.until.IsZero() && !now.Before(e.until):
		return "expired at " + e.until.Format(time.RFC3339)
	case e.from != nil && !e.from.match(address):
		return fmt.Sprintf("not from %v, says its from=", address)
	}
	return ""
}

// parseKeys reads lines of an authorized_keys file. Lines that are wrong count
// for nothing; the errors name them, and nothing secret that may stand in them.
func parseKeys(text string, zone *time.Location) (entries []entry, broken []error) {
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = trim(line)
		if line == "" || line[0] == '#' {
			continue
		}
		e, err := parseLine(line, zone)
		if err != nil {
			broken = append(broken, fmt.Errorf("line %d: %w", n, err))
			continue
		}
		e.line = n
		entries = append(entries, e)
	}
	return entries, broken
}

// trim takes off the end of a line, and blanks.
func trim(line string) string {
	return strings.Trim(strings.TrimRight(line, "\r\n"), " \t")
}

// parseLine reads "[options] type key [comment]".
func parseLine(line string, zone *time.Location) (entry, error) {
	var e entry
	if len(line) > maxLine {
		return e, fmt.Errorf("is longer than %d bytes", maxLine)
	}
	if kind, _ := cutBlank(line); !isKeyType(kind) {
		options, rest, ok := cutUnquoted(line, " \t")
		if !ok {
			return e, errors.New("has no key after its options, or a quote that does not end")
		}
		line = strings.TrimLeft(rest, " \t")
		e.parseOptions(options, zone)
	}
	var err error
	e.key, err = parseKey(line)
	return e, err
}

// parseKey reads "type key [comment]".
func parseKey(line string) (ssh.PublicKey, error) {
	kind, rest := cutBlank(line)
	if !isKeyType(kind) {
		return nil, errors.New("has no type of key, like ssh-ed25519, where one should stand")
	}
	text, _ := cutBlank(rest)
	blob, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, errors.New("the key is not whole: it is not base64")
	}
	key, err := ssh.ParsePublicKey(blob)
	if err != nil {
		return nil, errors.New("the key is not whole, or of a type that is not known")
	}
	if key.Type() != kind {
		return nil, fmt.Errorf("says %s before a key of the type %s", short(kind), short(key.Type()))
	}
	return key, nil
}

func isKeyType(s string) bool {
	return strings.HasPrefix(s, "ssh-") || strings.HasPrefix(s, "ecdsa-") || strings.HasPrefix(s, "sk-")
}

func cutBlank(s string) (field, rest string) {
	if i := strings.IndexAny(s, " \t"); i >= 0 {
		return s[:i], strings.TrimLeft(s[i:], " \t")
	}
	return s, ""
}

// cutUnquoted cuts at the first of some characters that is not in quotes; \"
// is a quote that neither begins nor ends any. ok is false if there is none, or
// a quote does not end.
func cutUnquoted(s, at string) (before, after string, ok bool) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && strings.HasPrefix(s[i+1:], `"`):
			i++
		case s[i] == '"':
			quoted = !quoted
		case !quoted && strings.IndexByte(at, s[i]) >= 0:
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}

// Options that limit or allow what the broker gives nobody: it forwards
// nothing and runs nothing on a terminal. That a key needs no touch changes
// nothing either: a touch is asked for.
var harmless = []string{
	"restrict",
	"agent-forwarding", "no-agent-forwarding",
	"port-forwarding", "no-port-forwarding",
	"x11-forwarding", "no-x11-forwarding",
	"pty", "no-pty", "user-rc", "no-user-rc",
	"touch-required", "no-touch-required", "no-verify-required",
}

// Options that say more than yes, and what that means here.
var withValue = map[string]string{
	"permitopen":   "",
	"permitlisten": "",
	"command":      "command= is for a key that may do this one thing elsewhere, not for the broker",
	"principals":   "principals= is for cert-authority, which is not followed here: set ssh.userCAs",
	"environment":  "environment= cannot be kept: the broker sets no environment",
	"tunnel":       "tunnel= is for a key that opens a tunnel, not for the broker",
}

// parseOptions takes what stands before the key. What it cannot keep makes the
// key one that is not for the broker.
func (e *entry) parseOptions(text string, zone *time.Location) {
	for more := true; more; {
		var option string
		option, text, more = cutUnquoted(text, ",")
		if why := e.parseOption(option, zone); why != "" && e.never == "" {
			e.never = why
		}
	}
}

func (e *entry) parseOption(option string, zone *time.Location) (never string) {
	name, value, hasValue := strings.Cut(option, "=")
	name = strings.ToLower(name)
	if !hasValue {
		switch {
		case slices.Contains(harmless, name):
			return ""
		case name == "cert-authority":
			return "cert-authority is not followed here: set ssh.userCAs"
		case name == "verify-required":
			return "verify-required cannot be kept: the broker cannot see whether the PIN was asked for"
		}
		return "the option " + short(name) + " is not known"
	}
	value, ok := unquote(value)
	if !ok {
		return "the option " + short(name) + " has no value in quotes"
	}
	switch name {
	case "from":
		if e.from != nil {
			return "from= is there twice"
		}
		var err error
		if e.from, err = parsePatterns(value); err != nil {
			return "from=: " + err.Error()
		}
		return ""
	case "expiry-time":
		t, err := parseTime(value, zone)
		if err != nil {
			return "expiry-time=: " + err.Error()
		}
		if e.until.IsZero() || t.Before(e.until) {
			e.until = t
		}
		return ""
	}
	if why, ok := withValue[name]; ok {
		return why
	}
	return "the option " + short(name) + " is not known"
}

// unquote wants the whole value within quotes.
func unquote(s string) (string, bool) {
	if len(s) < 2 || s[0] != '"' {
		return "", false
	}
	inside, after, ok := cutQuote(s[1:])
	return strings.ReplaceAll(inside, `\"`, `"`), ok && after == ""
}

// cutQuote cuts at the quote that ends a text.
func cutQuote(s string) (before, after string, ok bool) {
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && strings.HasPrefix(s[i+1:], `"`) {
			i++
			continue
		}
		if s[i] == '"' {
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}

// parseTime reads YYYYMMDD or YYYYMMDDHHMM[SS], with or without a Z or UTC.
func parseTime(s string, zone *time.Location) (time.Time, error) {
	body := strings.ToUpper(s)
	for _, utc := range []string{"Z", "UTC"} {
		if cut, ok := strings.CutSuffix(body, utc); ok {
			body, zone = cut, time.UTC
			break
		}
	}
	for _, layout := range []string{"20060102", "200601021504", "20060102150405"} {
		if len(body) != len(layout) {
			continue
		}
		if t, err := time.ParseInLocation(layout, body, zone); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%s is no time: write YYYYMMDD or YYYYMMDDHHMMSS, and a Z behind it for UTC", short(s))
}

// short quotes what somebody wrote, and no more of it than helps.
func short(s string) string {
	const most = 40
	if len(s) > most {
		return fmt.Sprintf("%.*q...", most, s)
	}
	return fmt.Sprintf("%q", s)
}
