package legacy

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A Server is a host of the old broker, as one or more profiles name it.
type Server struct {
	ID      string // in the site
	Name    string // as the old broker called it, and as the server calls itself
	Address string // what clients dial
	Port    int

	at   Origin // where it is first named
	same string // of which other server it is a variant, "" if of none
}

// A host is one entry of the option host.
type host struct {
	name, address string
	port          int // 0: that of the option sshport
}

var (
	hostWithAddress = regexp.MustCompile(`(?s)^.* \(.*\)$`)
	singleLabel     = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`)
	// Labels begin with a letter, and two letters end the name, with or without a dot before them.
	dnsName    = regexp.MustCompile(`^([A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.?)+[A-Za-z]{2,}$`)
	shortIPv4  = regexp.MustCompile(`^([0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])(\.([0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])){1,2}$`)
	digitsOnly = regexp.MustCompile(`^[0-9]+$`)
	namePort   = regexp.MustCompile(`^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+)):([0-9]{1,5})$`)
)

// A hostProblem says in what the old broker understood an entry otherwise than
// it reads.
type hostProblem struct {
	text, remedy string
	lost         bool // nobody could reach that server, or x2broker cannot name it
}

// parseHost reads an entry as the old broker does: a name, or a name and an
// address in parentheses. The host is the one to dial; its name is empty if
// there is none.
func parseHost(entry string) (host, *hostProblem) {
	if !hostWithAddress.MatchString(entry) {
		return parsePlainHost(entry)
	}
	words := strings.Split(entry, " ")
	h := host{name: words[0]}
	h.address = h.name
	inner := words[1]
	if len(inner) > 1 {
		inner = inner[1 : len(inner)-1]
	} else {
		inner = ""
	}
	address, port := inner, 0
	if i := strings.LastIndexByte(inner, ':'); digitsOnly.MatchString(inner[i+1:]) {
		var err error
		port, err = strconv.Atoi(inner[i+1:])
		if err != nil || port < 1 || port > 65535 {
			return h, &hostProblem{
				inner[i+1:] + " is no port from 1 to 65535, and above that the old broker answers with status 500; the site has the name alone",
				"write the port that is meant", true,
			}
		}
		address = inner[:max(i, 0)]
	}
	const write = "write name (address) or name (address:port), with one blank between them"
	switch {
	case address == "" || address == "*" || address == ":":
		return h, &hostProblem{
			"the old broker made the address 0.0.0.0 of it, which no client can dial; the site has the name alone", write, true,
		}
	case !validHostName(h.name) || !validAddress(address):
		return h, &hostProblem{
			"the old broker could not read the address and used the name alone; so does the site",
			"if the address is meant, write it into servers.cue", false,
		}
	}
	h.address, h.port = address, port
	return h, nil
}

func parsePlainHost(entry string) (host, *hostProblem) {
	if _, err := netip.ParseAddr(entry); err == nil {
		return host{name: entry, address: entry}, nil
	}
	if m := namePort.FindStringSubmatch(entry); m != nil {
		name := m[1] + m[2]
		port, _ := strconv.Atoi(m[3])
		return host{name, name, port}, &hostProblem{
			fmt.Sprintf("the old broker sent it with one more port behind it, which no client can dial; the site has address %s, port %d", name, port),
			"nothing, if that is meant", false,
		}
	}
	return host{name: entry, address: entry}, nil
}

func validHostName(name string) bool {
	return singleLabel.MatchString(name) || dnsName.MatchString(name)
}

func validAddress(address string) bool {
	if a, err := netip.ParseAddr(address); err == nil {
		return a.Zone() == ""
	}
	return dnsName.MatchString(address) || shortIPv4.MatchString(address)
}

// dialable is what a site takes as the address of a server.
var dialable = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$`)

// farm gathers the servers of all profiles.
type farm struct {
	servers map[host]*Server
	ids     map[string]*Server
}

func newFarm() *farm { return &farm{map[host]*Server{}, map[string]*Server{}} }

// server gives the server of an entry. Entries with the same name, address and
// port are one; with the same name and something else each is one, and what
// differs is in its id.
func (f *farm) server(h host, at Origin) *Server {
	if s := f.servers[h]; s != nil {
		return s
	}
	s := &Server{Name: h.name, Address: h.address, Port: h.port, at: at}
	id := safeID(h.name)
	if first := f.ids[id]; first != nil {
		s.same = id
		if first.Address != h.address {
			id += "-" + safeID(h.address)
		}
		if first.Port != h.port {
			id += "-" + strconv.Itoa(h.port)
		}
	}
	s.ID = unused(id, func(id string) bool { return f.ids[id] != nil })
	f.servers[h], f.ids[s.ID] = s, s
	return s
}

// sorted gives the servers by id.
func (f *farm) sorted() []*Server {
	var out []*Server
	for _, id := range slices.Sorted(maps.Keys(f.ids)) {
		out = append(out, f.ids[id])
	}
	return out
}
