package rehearse

import (
	"maps"
	"slices"
	"strings"

	"github.com/x2broker/x2broker/client"
)

// settings compares what a profile means at both brokers, key by key.
func (x *run) settings(older, newer client.Profile) {
	names := slices.Sorted(maps.Keys(older.Raw))
	for name := range newer.Raw {
		if _, ok := older.Raw[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		switch name {
		case "status":
			x.status(older, newer)
		case "host", "sshport", "key": // not read from the list: the selection has them
		default:
			x.setting(older, newer, name)
		}
	}
}

// setting compares one key.
func (x *run) setting(older, newer client.Profile, name string) {
	k, known := keys[name]
	a, b := k.read(older, name), k.read(newer, name)
	if !known || k.reader == nobody { // then there is no client's way to read it
		a.means, b.means = a.meant, b.meant
	}
	switch {
	case a.means == b.means:
	case !known:
		x.note(older.ID, name, "%s: %s at the old broker, %s at the new one; X2Go Client knows no such key", name, k.show(a), k.show(b))
	case k.reader == nobody:
		x.note(older.ID, name, "%s: %s at the old broker, %s at the new one; no client takes it from a broker", name, k.show(a), k.show(b))
	case b.means == a.meant: // the client garbles what the old broker sends
		x.note(older.ID, name, "%s: X2Go Client reads %s from the old broker; from the new one it reads %s, which is what is written there", name, k.show(a), k.show(b))
	case k.reader == pyhoca:
		x.differs(older.ID, name, "%s: %s at the old broker, %s at the new one; PyHoca takes it, X2Go Client does not", name, k.show(a), k.show(b))
	default:
		x.differs(older.ID, name, "%s: %s at the old broker, %s at the new one", name, k.show(a), k.show(b))
	}
}

// hosts compares the servers that a list names, when those of the selections
// have been. X2Go Client connects to the latter, except for RDP and XDMCP without
// X2Go.
func (x *run) hosts(older, newer client.Profile) {
	a, b := hostsOf(older), hostsOf(newer)
	told := slices.ContainsFunc(x.result.Differences, func(f Finding) bool { return f.Profile == older.ID && f.About == "server" })
	if slices.Equal(a, b) || told {
		return
	}
	if direct(older) || direct(newer) {
		x.differs(older.ID, "host", "host: %s at the old broker, %s at the new one", some(a), some(b))
		return
	}
	x.note(older.ID, "host", "host: %s at the old broker, %s at the new one; X2Go Client shows it, and connects to the server of the selection", some(a), some(b))
}

// hostsOf gives the servers that a list names, in order, lower case.
func hostsOf(p client.Profile) []string {
	var out []string
	for _, h := range strings.Split(p.Keys["host"], ",") {
		if h = strings.ToLower(strings.TrimSpace(h)); h != "" {
			out = append(out, h)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// direct reports whether the client itself connects to the host of the list.
func direct(p client.Profile) bool {
	is := func(name string) bool { return keys[name].read(p, name).means == "true" }
	switch keys["command"].read(p, "command").means {
	case "RDP":
		return is("directrdp")
	case "XDMCP":
		return is("directxdmcp")
	}
	return false
}

// states are what X2Go Client writes below the name of a profile.
var states = map[string]string{"R": "running", "S": "suspended"}

// status compares whether users see that they have a session.
func (x *run) status(older, newer client.Profile) {
	show := func(p client.Profile) string {
		if s, ok := states[p.Keys["status"]]; ok {
			return "a " + s + " session"
		}
		return "no session"
	}
	if a, b := show(older), show(newer); a != b {
		x.differs(older.ID, "status", "status: the old broker shows %s, the new one %s", a, b)
	}
}

// some names the members of a list for people.
func some(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
