package plain

import (
	"bytes"
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

// newListText writes nothing for no profiles, as the reference does: the client
// then says that there are none.
func newListText(profiles []session.Profile) listText {
	if len(profiles) == 0 {
		return listText{nil}
	}
	var text listText
	b := &bytes.Buffer{}
	b.WriteString("START_USER_SESSIONS\n\n")
	for _, p := range profiles {
		b.WriteByte('[')
		b.WriteString(p.ID)
		b.WriteString("]\n")
		writeLine(b, "name", p.Name)
		writeLine(b, "host", strings.Join(p.Hosts, ","))
		for _, s := range p.Settings {
			writeSetting(b, s)
			switch s.Key { // where the reference sends what the broker sets
			case "dpi":
				writeSetting(b, session.Setting{Key: "sshport", Value: p.Port})
			case "pack":
				b.WriteString("user=")
				text, b = append(text, b.Bytes()), &bytes.Buffer{}
				b.WriteByte('\n')
			}
		}
		if p.Icon != "" {
			writeLine(b, "icon", p.Icon)
		}
		if p.UseBrokerPass {
			b.WriteString("usebrokerpass=1\n")
		}
		if p.Autologin {
			b.WriteString("autologin=1\n")
		}
		b.WriteByte('\n')
	}
	b.WriteString("END_USER_SESSIONS\n")
	return append(text, b.Bytes())
}

// size bounds what write writes for a user of an ordinary name.
func (t listText) size(user string) int {
	n := len(t) * len(user)
	for _, piece := range t {
		n += len(piece)
	}
	return n
}

// write writes the list for one user.
func (t listText) write(b *bytes.Buffer, user string) {
	for i, piece := range t {
		if i > 0 {
			writeValue(b, user)
		}
		b.Write(piece)
	}
}
