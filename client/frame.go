package client

import (
	"crypto/rand"
	"fmt"
	"net/url"
	"strings"
	"unicode"
)

// command is what X2Go Client 4.1.2.2 runs over ssh:// for a task: the path of
// the URL with these options, in this order.
func (c *Client) command(path string, fields url.Values) (string, error) {
	ticket, account, profile := fields.Get("authid"), fields.Get("login"), fields.Get("sid")
	for _, w := range []struct{ what, text string }{
		{"the path of the URL", strings.ReplaceAll(path, " ", "")},
		{"the user name", c.User},
		{"the ticket that the broker gave", ticket},
		{"the account", account},
		{"the profile id", strings.ReplaceAll(profile, " ", "")},
	} {
		if i := strings.IndexFunc(w.text, special); i >= 0 {
			return "", fmt.Errorf("%s has a %q: X2Go Client would send it as it is, and a shell at the broker would take it for a command", w.what, []rune(w.text[i:])[0])
		}
	}
	out := path + " --user " + c.User
	if profile == "" && ticket != "" {
		out += " --authid " + ticket
	}
	out += " --task " + fields.Get("task")
	if profile != "" {
		out += ` --sid "` + profile + `"`
		if ticket != "" {
			out += " --authid " + ticket
		}
	}
	if account != "" {
		out += " --login " + account
	}
	return out, nil
}

// special is whether a shell takes a character for more than itself.
func special(r rune) bool {
	return !unicode.IsPrint(r) || unicode.IsSpace(r) || strings.ContainsRune("'\"`\\$;&|<>()[]{}*?!#~^", r)
}

// frame is what X2Go Client puts around a command: only what comes between the
// two lines counts, so that what a login shell says does not.
func frame(command, mark string) string {
	return `bash -l -c 'echo "X2GODATABEGIN:` + mark + `"; export PATH="/usr/local/bin:/usr/bin:/bin";export TERM="dumb"; ` +
		command + `; echo "X2GODATAEND:` + mark + `";'`
}

// newMark is a random UUID, which no earlier answer can hold.
func newMark() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// framed cuts out what is between the two lines.
func framed(output, mark string) (text string, ok bool) {
	_, rest, begun := strings.Cut(output, "X2GODATABEGIN:"+mark+"\n")
	text, _, ended := strings.Cut(rest, "X2GODATAEND:"+mark)
	return text, begun && ended
}
