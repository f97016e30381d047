package golden_test

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
)

// A listing is a list of session profiles in the form of the plain frontend.
type listing struct {
	before   string // what comes before the list
	profiles []*listed
}

type listed struct {
	id   string
	keys [][2]string // with their values
}

const (
	listBegin = "START_USER_SESSIONS\n\n"
	listEnd   = "END_USER_SESSIONS\n"
)

// edit changes each profile of a list; text that is none stays as it is.
func edit(text string, change func(*listed)) string {
	before, list, ok := strings.Cut(text, listBegin)
	if !ok {
		return text
	}
	var b strings.Builder
	b.WriteString(before + listBegin)
	for part := range strings.SplitSeq(strings.TrimSuffix(list, listEnd), "\n\n") {
		if part == "" {
			continue
		}
		id, lines, _ := strings.Cut(part, "\n")
		p := &listed{id: strings.TrimSuffix(strings.TrimPrefix(id, "["), "]")}
		for line := range strings.SplitSeq(lines, "\n") {
			key, value, _ := strings.Cut(line, "=")
			p.keys = append(p.keys, [2]string{key, value})
		}
		change(p)
		b.WriteString("[" + p.id + "]\n")
		for _, k := range p.keys {
			b.WriteString(k[0] + "=" + k[1] + "\n")
		}
		b.WriteString("\n")
	}
	return b.String() + listEnd
}

// drop removes a key.
func (p *listed) drop(key string) {
	p.keys = slices.DeleteFunc(p.keys, func(k [2]string) bool { return k[0] == key })
}

// set changes a key, or adds it.
func (p *listed) set(key, value string) {
	for i, k := range p.keys {
		if k[0] == key {
			p.keys[i][1] = value
			return
		}
	}
	p.keys = append(p.keys, [2]string{key, value})
}

// get gives the value of a key.
func (p *listed) get(key string) (string, bool) {
	for _, k := range p.keys {
		if k[0] == key {
			return k[1], true
		}
	}
	return "", false
}

// keyOrder is the order in which this broker sends keys: that of the old one for
// a profile that sets none but name and host.
var keyOrder = strings.Fields(`name host command kdrive defsndport useiconv iconvfrom height export quality fullscreen layout useexports width
	speed soundsystem print type sndport xinerama variant usekbd fstunnel applications multidisp sshproxyport sound rootless iconvto
	soundtunnel dpi sshport setdpi pack user directrdp
	published maxdim display clipboard startsoundsystem startembed krblogin krbdelegation usesshproxy sshproxytype sshproxyhost sshproxyuser
	sshproxyautologin sshproxykrblogin sshproxysameuser sshproxysamepass sshproxysamekey sshproxykeyfile usebrokerpassforproxy
	usebrokeruserforproxy rdpclient rdpport directrdpsettings rdpserver rdpoptions xdmcpserver directxdmcp xdmcpclient directxdmcpsettings
	shadowuser shadowdisplay shadowfullaccess icon usebrokerpass autologin`)

// sort puts the keys into the order of this broker, others behind them.
func (p *listed) sort() {
	place := func(key string) int {
		if i := slices.Index(keyOrder, key); i >= 0 {
			return i
		}
		return len(keyOrder)
	}
	slices.SortStableFunc(p.keys, func(a, b [2]string) int { return place(a[0]) - place(b[0]) })
}

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
			continue
		case c == '@' && i == 0:
			b.WriteString("@@")
			continue
		case c < ' ' || c > '~' || escaped && strings.ContainsRune("0123456789abcdefABCDEF", c):
			for _, unit := range utf16.Encode([]rune{c}) {
				b.WriteString(`\x` + strconv.FormatUint(uint64(unit), 16))
			}
			escaped = true
			continue
		}
		b.WriteRune(c)
		escaped = false
	}
	if strings.ContainsAny(value, ",;") || strings.TrimSpace(value) != value {
		return `"` + b.String() + `"`
	}
	return b.String()
}
