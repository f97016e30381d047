package legacy

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// hosts gives a profile its servers; false means that it has none and is not
// part of the site.
func (i *importer) hosts(p *Profile, option, port *inherited, shadow bool, at Origin) bool {
	sshport := 22
	if port != nil {
		sshport = i.sshport(*port)
	}
	entries := []string{"localhost"}
	if option != nil {
		at = option.at
		list, err := splitList(option.Value)
		if err != nil {
			i.lossOnce(at, err.Error()+"; profiles with it are left out", "write the hosts with commas between them, without brackets")
			return i.omit(p)
		}
		entries = slices.DeleteFunc(slices.Clone(list), func(e string) bool { return e == "" })
	}
	if shadow && len(entries) > 1 {
		i.noteOnce(at, "for SHADOW the old broker took the first host, "+oneLine(entries[0])+"; so does the site", "")
		entries = entries[:1]
	}
	if len(entries) == 0 {
		i.lossOnce(at, "names no host, so that nobody could start it; profiles with it are left out", "name a host")
		return i.omit(p)
	}
	for _, entry := range entries {
		h, problem := parseHost(entry)
		if problem != nil {
			report := i.noteOnce
			if problem.lost {
				report = i.lossOnce
			}
			report(at, oneLine(entry)+": "+problem.text, problem.remedy)
		}
		if h.port == 0 {
			h.port = sshport
		}
		if !i.dialable(at, entry, h) {
			continue
		}
		if h.address == "localhost" {
			i.localhost(at, len(entries))
		}
		id := i.farm.server(h, at).ID
		if !slices.Contains(p.Servers, id) {
			p.Servers = append(p.Servers, id)
		}
	}
	if len(p.Servers) == 0 {
		i.lossOnce(at, "none of its hosts can be in a site; profiles with it are left out", "name a host")
		return i.omit(p)
	}
	if option != nil {
		i.carriedOnce(at, "servers.cue and hosts")
		p.set("hosts.ids", p.Servers, at, ownComments(*option))
	} else {
		i.noteOnce(at, "names no host, so that the old broker took localhost; so does the site", "write the server's name")
		p.set("hosts.ids", p.Servers, Origin{}, nil)
	}
	return true
}

// omit says of a profile that is left out that nothing of it is in the site.
func (i *importer) omit(p *Profile) bool {
	i.Report.loss(Origin{File: i.file.Name, Line: p.Line, Section: p.Section},
		"has no server that the site could name, and is left out with all of its options", "name a host, and import again")
	return false
}

func (i *importer) dialable(at Origin, entry string, h host) bool {
	if _, err := netip.ParseAddr(h.address); err == nil {
		return true
	}
	if dialable.MatchString(h.address) && badText(h.name) == nil {
		return true
	}
	what := oneLine(entry) + ":"
	if h.address != entry {
		what += " " + oneLine(h.address)
	}
	i.lossOnce(at, what+" is no DNS name and no address, so that no client can dial it; it is left out",
		"write its name in DNS, or name (address)")
	return false
}

func (i *importer) localhost(at Origin, hosts int) {
	if hosts > 1 {
		i.lossOnce(at, "the old broker sent its own host name in place of localhost; x2broker sends localhost, which is the client's own machine",
			"write the name of that machine")
		return
	}
	i.noteOnce(at, "localhost is the client's own machine to a client, as it was before", "if the broker's machine is meant, write its name into servers.cue")
}

// sshport gives the port of hosts that have none of their own.
func (i *importer) sshport(o inherited) int {
	n, err := parseInt(o.Value)
	port, tooLong := strconv.Atoi(n)
	switch {
	case err != nil:
		why := err.Error()
		if o.Value == notSet {
			why = "a profile must have a port"
		}
		i.lossOnce(o.at, why+", so that the old broker answers every request with status 500; 22 is assumed", "write a port from 1 to 65535")
	case tooLong != nil || port < 1 || port > 65535:
		i.lossOnce(o.at, "is no port from 1 to 65535; 22 is assumed", "write the port that is meant")
	default:
		i.carriedOnce(o.at, "servers.cue: port")
		return port
	}
	return 22
}

// servers notes what differs between servers of one name.
func (i *importer) servers() {
	for _, s := range i.Servers {
		if a, err := netip.ParseAddr(s.Address); err == nil && a.Is6() {
			i.Report.note(s.at, "server "+s.ID+" has an IPv6 address, which X2Go Client cannot dial: `x2broker check` warns of it",
				"give a name in servers.cue")
		}
		if s.same != "" && strings.HasPrefix(s.ID, s.same) {
			i.Report.note(s.at, "profiles give host "+s.Name+" different addresses or ports: "+s.same+" and "+s.ID+" are servers of their own",
				"if they are one machine, make them one in servers.cue")
		}
	}
}
