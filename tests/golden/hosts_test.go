package golden_test

import (
	"net"
	"regexp"
	"strings"
)

var (
	dialable = regexp.MustCompile(`^[A-Za-z0-9\[][^()]*$`)
	selected = regexp.MustCompile(`SERVER:(.*):([0-9]+)\n`)
)

// dialled gives a profile the host and port that a selection of the case gives,
// or the addresses of its hosts.
func (x *exchange) dialled(p *listed) {
	for i, s := range x.t.Steps {
		if i == 0 || !strings.HasSuffix(s.Request.Body, "&sid="+p.id) {
			continue
		}
		if server := selected.FindStringSubmatch(mended(s.Response.Body)); server != nil {
			p.set("host", server[1])
			p.set("sshport", server[2])
		}
		return
	}
	switch hosts := p.value("host").(type) {
	case string:
		members := strings.Split(hosts, ",")
		for i, host := range members {
			members[i] = address(host)
		}
		p.set("host", strings.Join(members, ","))
	case []any:
		for i, host := range hosts {
			hosts[i] = address(host.(string))
		}
	}
}

// mended gives a selection an address that can be dialled, where the old broker
// makes 0.0.0.0 of one or puts a second port behind one.
func mended(selection string) string {
	old := selected.FindStringSubmatch(selection)
	if old == nil {
		return selection
	}
	server, port := old[1], old[2]
	if server == "0.0.0.0" {
		server, port = "n1", "2200" // the name of the host in all of these
	}
	if host, own, err := net.SplitHostPort(server); err == nil {
		server, port = host, own
	}
	return strings.Replace(selection, old[0], "SERVER:"+server+":"+port+"\n", 1)
}

// address is that of a host in the cases that name one.
func address(host string) string {
	if a, ok := map[string]string{"s-E1": "10.0.2.11", "s-E2": "10.0.2.12", "a": "10.0.2.11"}[host]; ok {
		return a
	}
	return host
}
