package json

import (
	"bytes"
	"slices"
	"strings"

	"github.com/x2broker/x2broker/broker/session"
)

// A listText is an offer as clients read it, in the pieces between which the
// user's name belongs. All users who are offered the same share one; what is a
// request's own, name and ticket, is never in it.
type listText [][]byte

// listKey is that of the listText among what is derived from an offer.
type listKey struct{}

// textOf gives the text of an offer, written once.
func textOf(offer *session.Offer) listText {
	return offer.Derive(listKey{}, func() any { return newListText(offer.Profiles) }).(listText)
}

func newListText(profiles []session.Profile) listText {
	b := &bytes.Buffer{}
	if len(profiles) == 0 {
		writeMember(b, 1, "profiles", object{})
		return listText{b.Bytes()}
	}
	var text listText
	writeKey(b, 1, "profiles")
	b.WriteString("{\n")
	for i, p := range profiles {
		writeKey(b, 2, p.ID)
		b.WriteString("{\n")
		members := membersOf(p)
		for j, m := range members {
			writeKey(b, 3, m.key)
			if m.key == "user" {
				text, b = append(text, b.Bytes()), &bytes.Buffer{}
			} else {
				writeValue(b, 3, m.value)
			}
			writeEnd(b, j, len(members))
		}
		writeIndent(b, 2)
		b.WriteByte('}')
		writeEnd(b, i, len(profiles))
	}
	writeIndent(b, 1)
	b.WriteString("},\n")
	return append(text, b.Bytes())
}

// writeEnd ends the i-th of n members.
func writeEnd(b *bytes.Buffer, i, n int) {
	if i < n-1 {
		b.WriteByte(',')
	}
	b.WriteByte('\n')
}

// texts are the keys for which python-x2go (0.6.1.3) expects a text, among those
// that a site may set. It fails at a text or a list under any other key, and the
// user sees no profile at all; numbers and true or false do no harm.
var texts = map[string]bool{
	"clipboard": true, "command": true, "directrdpsettings": true, "iconvfrom": true, "iconvto": true,
	"layout": true, "pack": true, "rdpclient": true, "rdpoptions": true, "rdpserver": true,
	"soundsystem": true, "sshproxyhost": true, "sshproxykeyfile": true, "sshproxytype": true,
	"sshproxyuser": true, "type": true, "variant": true, "xdmcpserver": true,
}

// membersOf gives the keys of a profile, sorted. That of the user has no value.
func membersOf(p session.Profile) object {
	o := object{{"name", p.Name}, {"host", p.Hosts}, {"sshport", p.Port}, {"user", nil}}
	if p.Icon != "" {
		o = append(o, member{"icon", p.Icon})
	}
	if p.UseBrokerPass {
		o = append(o, member{"usebrokerpass", true})
	}
	if p.Autologin {
		o = append(o, member{"autologin", true})
	}
	for _, s := range p.Settings {
		value := s.Value
		switch v := value.(type) {
		case bool:
			if s.Key == "setdpi" { // a number with the reference broker
				value = map[bool]int{true: 1}[v]
			}
		case string:
			if s.Key == "export" {
				value = folders(v)
			} else if !texts[s.Key] {
				continue
			}
		case []string:
			if s.Key != "applications" {
				continue
			}
		}
		o = append(o, member{s.Key, value})
	}
	return o.sort()
}

// folders gives the value of export, "/home/a:1;/data:0;", as the library has it:
// whether to share each folder from the start. It fails at the text, unless that
// is empty.
func folders(export string) any {
	shared := map[string]bool{}
	for entry := range strings.SplitSeq(export, ";") {
		folder, atOnce := strings.TrimSpace(entry), true
		if n := len(folder) - 2; n >= 0 && strings.ContainsAny(folder[n:n+1], ":#") && strings.ContainsAny(folder[n+1:], "01") {
			folder, atOnce = folder[:n], folder[n+1:] == "1"
		}
		if folder != "" {
			shared[folder] = atOnce
		}
	}
	if len(shared) == 0 {
		return ""
	}
	o := make(object, 0, len(shared))
	for folder, atOnce := range shared {
		o = append(o, member{folder, atOnce})
	}
	return o.sort()
}

// sort sorts by key.
func (o object) sort() object {
	slices.SortFunc(o, func(a, b member) int { return strings.Compare(a.key, b.key) })
	return o
}

// size bounds what write writes for a user of an ordinary name.
func (t listText) size(user string) int {
	n := len(t) * (2 + len(user))
	for _, piece := range t {
		n += len(piece)
	}
	return n
}

// write writes the list for one user.
func (t listText) write(b *bytes.Buffer, user string) {
	for i, piece := range t {
		if i > 0 {
			writeString(b, user)
		}
		b.Write(piece)
	}
}
