package json

import (
	"bytes"
	"strings"

	"github.com/x2broker/x2broker/broker/frontend"
	"github.com/x2broker/x2broker/broker/session"
)

// A listText is the answer to a list, in the pieces between which the ticket and
// the user's name belong. All users who are offered the same share one; what is a
// request's own, name and ticket, is never in it.
type listText [][]byte

// listKey is that of a listText among what is derived from an offer.
type listKey struct{ ticket bool }

// textOf gives the text of an offer with or without a ticket, written once.
func textOf(offer *session.Offer, ticket bool) listText {
	return offer.Derive(listKey{ticket}, func() any { return newListText(offer.Profiles, ticket) }).(listText)
}

// gap stands where something is left out. No text of a site has a control
// character.
const gap = "\x00"

func newListText(profiles []session.Profile, ticket bool) listText {
	all := map[string]any{}
	for _, p := range profiles {
		all[p.ID] = valuesOf(p)
	}
	g := session.Grant{}
	if ticket {
		g.Ticket = gap
	}
	reply := granted(g, "listprofiles")
	reply["profiles"] = all
	var b, mark bytes.Buffer
	write(&b, reply)
	frontend.WriteJSON(&mark, gap, "")
	return bytes.Split(b.Bytes(), mark.Bytes())
}

// write writes the list for one user: the first gap is that of the ticket, if he
// has one, and the others are those of his name.
func (t listText) write(b *bytes.Buffer, g session.Grant) {
	var user, ticket bytes.Buffer
	frontend.WriteJSON(&user, g.User, "")
	first := user.Bytes()
	if g.Ticket != "" {
		frontend.WriteJSON(&ticket, g.Ticket, "")
		first = ticket.Bytes()
	}
	n := len(first) + len(t)*user.Len()
	for _, piece := range t {
		n += len(piece)
	}
	b.Grow(n)
	for i, piece := range t {
		switch i {
		case 0:
		case 1:
			b.Write(first)
		default:
			b.Write(user.Bytes())
		}
		b.Write(piece)
	}
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

// valuesOf gives the keys of a profile.
func valuesOf(p session.Profile) map[string]any {
	values := map[string]any{"name": p.Name, "host": p.Hosts, "sshport": p.Port, "user": gap}
	if p.Icon != "" {
		values["icon"] = p.Icon
	}
	if p.UseBrokerPass {
		values["usebrokerpass"] = true
	}
	if p.Autologin {
		values["autologin"] = true
	}
	for _, s := range p.Settings {
		switch v := s.Value.(type) {
		case bool:
			values[s.Key] = v
			if s.Key == "setdpi" { // a number with the reference broker
				values[s.Key] = map[bool]int{true: 1}[v]
			}
		case string:
			if s.Key == "export" {
				values[s.Key] = folders(v)
			} else if texts[s.Key] {
				values[s.Key] = v
			}
		case []string:
			if s.Key == "applications" {
				values[s.Key] = append([]string{}, v...) // never null
			}
		default:
			values[s.Key] = v
		}
	}
	return values
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
	return shared
}
