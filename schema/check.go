package schema

import (
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// hosts is what a profile says about its servers, until all servers are known.
type hosts struct {
	profile *Profile
	given   bool
	hasIDs  bool
	refused bool // CUE refused some id
	ids     []string
	labels  map[string]string
}

var (
	addressPattern = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$`)
	networkPattern = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._-]*$`)
)

// check finds the mistakes that the schema's types cannot express.
func (s *site) check(cat *Catalog) {
	s.checkSite(cat)
	for _, id := range slices.Sorted(maps.Keys(cat.Servers)) {
		s.checkServer(cat.Servers[id])
	}
	for _, h := range s.hosts {
		s.checkProfile(h.profile, cat)
		s.checkHosts(h, cat)
	}
	for _, name := range slices.Sorted(maps.Keys(cat.Cases)) {
		s.checkCase(cat.Cases[name], cat)
	}
}

func (s *site) checkSite(cat *Catalog) {
	s.checkText(cat.Site.Name, "site", "name")
	switch zone := cat.Site.Timezone; zone {
	case "":
		cat.Site.Timezone, cat.Site.Location = "UTC", time.UTC
	default:
		location, err := time.LoadLocation(zone)
		if err != nil || zone == "Local" {
			s.errorAt([]string{"site", "timezone"}, "%q is no IANA time zone: write one like \"Europe/Berlin\" or \"UTC\"", zone)
			location = time.UTC
		}
		cat.Site.Location = location
	}
	for name := range cat.Networks {
		if !networkPattern.MatchString(name) {
			s.errorAt([]string{"networks", name}, "a network name begins with a letter and has only letters, digits, . _ -")
		}
	}
}

// prefixes parses CIDRs and refuses host bits, which are a typing error more
// often than not.
func (s *site) prefixes(where, cidrs []string) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(cidrs))
	for i, c := range cidrs {
		if p, ok := s.prefix(append(slices.Clone(where), itoa(i)), c); ok {
			out = append(out, p)
		}
	}
	return out
}

func (s *site) prefix(where []string, cidr string) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(cidr)
	if err != nil {
		if a, err := netip.ParseAddr(cidr); err == nil && a.Zone() == "" {
			s.errorAt(where, "%q is an address, not a network: write %q", cidr, netip.PrefixFrom(a, a.BitLen()).String())
			return p, false
		}
		s.errorAt(where, "%q is no network in CIDR form, like \"10.0.0.0/8\" or \"2001:db8::/32\"", cidr)
		return p, false
	}
	if p.Masked() != p {
		s.errorAt(where, "%q has bits set behind its prefix: write %q", cidr, p.Masked().String())
		return p, false
	}
	if p.Addr().Is4In6() {
		s.errorAt(where, "%q is an IPv4 network in IPv6 notation and would match nobody: write it as IPv4", cidr)
		return p, false
	}
	return p, true
}

func (s *site) checkServer(srv *Server) {
	where := []string{"servers", srv.ID}
	s.checkID("server", where, srv.ID)
	if a, err := netip.ParseAddr(srv.Address); err == nil {
		switch {
		case a.Zone() != "":
			s.errorAt(append(where, "address"), "%q has a zone, which means nothing at the client", srv.Address)
		case a.Is6():
			s.warnAt(append(where, "address"), "X2Go Client cannot dial a literal IPv6 address: give a name")
		}
	} else if !addressPattern.MatchString(srv.Address) {
		s.errorAt(append(where, "address"), "%q is no DNS name and no IP address (the port has a field of its own)", srv.Address)
	}
	s.checkText(srv.Hostname, append(where, "hostname")...)
}

func (s *site) checkProfile(p *Profile, cat *Catalog) {
	where := []string{"profiles", p.ID}
	s.checkID("profile", where, p.ID)
	if p.ID == "General" || p.ID == "embedded" {
		s.errorAt(where, "X2Go Client never shows a profile with the id %q: choose another", p.ID)
	}
	s.checkText(p.Name, append(where, "name")...)
	s.checkText(p.Icon, append(where, "icon")...)
	for _, set := range p.Settings {
		switch v := set.Value.(type) {
		case string:
			s.checkText(v, append(where, "x2go", set.Key)...)
		case []string:
			for i, e := range v {
				s.checkText(e, append(where, "x2go", set.Key, itoa(i))...)
				if strings.ContainsAny(e, ",") {
					s.errorAt(append(where, "x2go", set.Key, itoa(i)), "%q has a comma, which separates entries at the client", e)
				}
			}
		}
	}
	a := &p.Access
	for _, l := range []struct {
		field string
		names []string
	}{{"users", a.Users}, {"groups", a.Groups}, {"deny.users", a.Deny.Users}, {"deny.groups", a.Deny.Groups}} {
		for i, n := range l.names {
			path := append(append(slices.Clone(where), "access"), append(splitDots(l.field), itoa(i))...)
			if n == "" || n != strings.TrimSpace(n) {
				s.errorAt(path, "%q is no name of a user or group", n)
			}
			s.checkText(n, path...)
		}
	}
	a.From = s.checkFrom(append(where, "access", "from"), a.From, cat)
	a.Deny.From = s.checkFrom(append(where, "access", "deny", "from"), a.Deny.From, cat)
	if !a.Everyone && len(a.Users) == 0 && len(a.Groups) == 0 {
		s.warnAt(append(where, "access"), "grants nobody: only a policy of the site's own can show this profile (a network alone grants nobody; everyone: true grants all)")
	}
}

// checkFrom resolves entries of from: each is the name of a network or a CIDR.
func (s *site) checkFrom(where, entries []string, cat *Catalog) []string {
	for i, e := range entries {
		path := append(slices.Clone(where), itoa(i))
		if networkPattern.MatchString(e) && !strings.Contains(e, "/") {
			if _, ok := cat.Networks[e]; !ok {
				s.errorAt(path, "no network is named %q%s", e, didYouMean(e, slices.Collect(maps.Keys(cat.Networks))))
			}
			continue
		}
		s.prefix(path, e)
	}
	return entries
}

// checkHosts finds the servers of a profile.
func (s *site) checkHosts(h hosts, cat *Catalog) {
	where := []string{"profiles", h.profile.ID, "hosts"}
	switch {
	case !h.given || (!h.hasIDs && len(h.labels) == 0):
		s.errorAt(where, "no server can start this profile: write hosts: ids: [\"a-server\"] or hosts: labels: {...}")
		return
	case h.hasIDs && len(h.labels) > 0:
		s.errorAt(where, "give ids or labels, not both")
		return
	case h.hasIDs && len(h.ids) == 0 && !h.refused:
		s.errorAt(where, "ids is empty, so that no server can start this profile")
		return
	}
	if h.hasIDs {
		for i, id := range h.ids {
			if cat.Servers[id] == nil {
				s.errorAt(append(where, "ids", itoa(i)), "no server has the id %q%s", id, didYouMean(id, slices.Collect(maps.Keys(cat.Servers))))
				continue
			}
			h.profile.Servers = append(h.profile.Servers, id)
		}
	} else {
		for id, srv := range cat.Servers {
			if hasLabels(srv.Labels, h.labels) {
				h.profile.Servers = append(h.profile.Servers, id)
			}
		}
		if len(h.profile.Servers) == 0 {
			s.errorAt(append(where, "labels"), "no server has these labels, so that no server can start this profile")
		}
	}
	slices.Sort(h.profile.Servers)
	h.profile.Servers = slices.Compact(h.profile.Servers)
}

func hasLabels(have, want map[string]string) bool {
	for k, v := range want {
		if got, ok := have[k]; !ok || got != v {
			return false
		}
	}
	return true
}

func (s *site) checkCase(c *Case, cat *Catalog) {
	where := []string{"cases", c.Name}
	given := s.caseTexts[c.Name]
	address, err := netip.ParseAddr(given[0])
	if err != nil || address.Zone() != "" {
		s.errorAt(append(where, "address"), "%q is no IP address", given[0])
	}
	c.Address = address.Unmap()
	c.Time = time.Date(2026, 1, 5, 12, 0, 0, 0, cat.Site.Location)
	if given[1] != "" {
		t, err := time.Parse(time.RFC3339, given[1])
		if err != nil {
			s.errorAt(append(where, "time"), "%q is no time like \"2026-03-02T09:00:00+01:00\"", given[1])
		}
		c.Time = t.In(cat.Site.Location)
	}
	if len(c.Sees)+len(c.Hides)+len(c.Select) == 0 && c.Exactly == nil {
		s.errorAt(where, "expects nothing: give at least one of sees, hides, exactly, select")
	}
	known := func(field string, ids []string) {
		if s.broken {
			return // it may be in the file that cannot be read
		}
		for i, id := range ids {
			if cat.Profiles[id] == nil {
				s.errorAt(append(slices.Clone(where), field, itoa(i)), "no profile has the id %q%s", id, didYouMean(id, slices.Collect(maps.Keys(cat.Profiles))))
			}
		}
	}
	known("sees", c.Sees)
	known("hides", c.Hides)
	known("exactly", c.Exactly)
	for _, id := range slices.Sorted(maps.Keys(c.Select)) {
		sel, at := c.Select[id], append(slices.Clone(where), "select", id)
		if cat.Profiles[id] == nil && !s.broken {
			s.errorAt(at, "no profile has the id %q%s", id, didYouMean(id, slices.Collect(maps.Keys(cat.Profiles))))
		}
		if (sel.Wins == "") == (len(sel.WinsOneOf) == 0) {
			s.errorAt(at, "give either wins or winsOneOf")
		}
		for _, srv := range slices.Concat(slices.Sorted(maps.Keys(sel.Facts)), sel.WinsOneOf, []string{sel.Wins}) {
			if srv != "" && cat.Servers[srv] == nil {
				s.errorAt(at, "no server has the id %q%s", srv, didYouMean(srv, slices.Collect(maps.Keys(cat.Servers))))
			}
		}
	}
}

func (s *site) checkID(kind string, where []string, id string) {
	if !idPattern.MatchString(id) || len(id) > MaxIDLength {
		s.errorAt(where, "a %s id has only letters, digits, . _ - and at most %d of them", kind, MaxIDLength)
	}
}

// checkText refuses what would break the lines of the protocol.
func (s *site) checkText(text string, where ...string) {
	switch {
	case len(text) > MaxText:
		s.errorAt(where, "is longer than %d bytes", MaxText)
	case !utf8.ValidString(text):
		s.errorAt(where, "is not valid UTF-8")
	case strings.ContainsFunc(text, unicode.IsControl):
		s.errorAt(where, "has a control character such as a line break, which no client can read")
	}
}

func (s *site) errorAt(where []string, format string, args ...any) {
	s.errorf(s.index.at(where...), joinPath(where), format, args...)
}

func (s *site) warnAt(where []string, format string, args ...any) {
	s.warnf(s.index.at(where...), joinPath(where), format, args...)
}

func splitDots(field string) []string { return strings.Split(field, ".") }
