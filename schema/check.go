package schema

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// hosts is what there is to know of a profile until all servers are known.
type hosts struct {
	profile *Profile
	given   bool
	hasIDs  bool
	refused bool // CUE refused some of it
	clean   bool // the profile's own texts are all right, see clean

	hasAccess    bool
	brokenAccess bool // CUE refused some of it
	ids          []string
	labels       map[string]string

	labelKey string // labels as one text
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
	s.checkProfiles(cat)
	for _, name := range slices.Sorted(maps.Keys(cat.Cases)) {
		s.checkCase(cat.Cases[name], cat)
	}
}

// checkProfiles notes what it finds by profile.
func (s *site) checkProfiles(cat *Catalog) {
	s.said = map[string]Diagnostics{}
	rest := s.diags
	for _, h := range s.hosts {
		s.diags = nil
		if !h.clean {
			s.checkProfile(h.profile)
		}
		s.checkAccess(h, cat)
		s.checkHosts(h, cat)
		if len(s.diags) > 0 {
			s.said[h.profile.ID] = s.diags
		}
	}
	s.diags = rest
}

func (s *site) checkSite(cat *Catalog) {
	if why := badText(cat.Site.Name); why != "" {
		s.errorAt([]string{"site", "name"}, "%s", why)
	}
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
	below := below("servers", srv.ID)
	s.checkID("server", srv.ID, below)
	if a, err := netip.ParseAddr(srv.Address); err == nil {
		switch {
		case a.Zone() != "":
			s.errorAt(below("address"), "%q has a zone, which means nothing at the client", srv.Address)
		case a.Is6():
			s.warnAt(below("address"), "X2Go Client cannot dial a literal IPv6 address: give a name")
		}
	} else if !addressPattern.MatchString(srv.Address) {
		s.errorAt(below("address"), "%q is no DNS name and no IP address (the port has a field of its own)", srv.Address)
	}
	if why := badText(srv.Hostname); why != "" {
		s.errorAt(below("hostname"), "%s", why)
	}
}

// clean reports whether checkProfile has nothing to say. It depends on the
// profile alone, and is remembered with it.
func clean(p *Profile) bool {
	s := &site{index: newIndex(nil)}
	s.checkProfile(p)
	return len(s.diags) == 0
}

// checkProfile looks at what a profile says by itself. Paths are made only where
// there is something to say.
func (s *site) checkProfile(p *Profile) {
	below := below("profiles", p.ID)
	s.checkID("profile", p.ID, below)
	if p.ID == "General" || p.ID == "embedded" {
		s.errorAt(below(), "X2Go Client never shows a profile with the id %q: choose another", p.ID)
	}
	if why := badText(p.Name); why != "" {
		s.errorAt(below("name"), "%s", why)
	}
	if why := badText(p.Icon); why != "" {
		s.errorAt(below("icon"), "%s", why)
	}
	for _, set := range p.Settings {
		switch v := set.Value.(type) {
		case string:
			if why := badText(v); why != "" {
				s.errorAt(below("x2go", set.Key), "%s", why)
			}
		case []string:
			for i, e := range v {
				if why := badEntry(e); why != "" {
					s.errorAt(below("x2go", set.Key, itoa(i)), "%s", why)
				}
			}
		}
	}
	a := &p.Access
	s.checkNames(a.Users, below, "users")
	s.checkNames(a.Groups, below, "groups")
	s.checkNames(a.Deny.Users, below, "deny", "users")
	s.checkNames(a.Deny.Groups, below, "deny", "groups")
	s.checkCIDRs(a.From, below, "from")
	s.checkCIDRs(a.Deny.From, below, "deny", "from")
	if p.LegacyACL != nil {
		s.checkLegacyACL(p.LegacyACL, below)
	}
}

// checkAccess looks at what needs the whole site.
func (s *site) checkAccess(h hosts, cat *Catalog) {
	below := below("profiles", h.profile.ID)
	a := &h.profile.Access
	s.checkFrom(a.From, cat, below, "from")
	s.checkFrom(a.Deny.From, cat, below, "deny", "from")
	switch {
	case h.profile.LegacyACL != nil:
		s.checkLegacyPlace(h, below)
	case h.brokenAccess || a.Everyone || len(a.Users) > 0 || len(a.Groups) > 0:
	case !h.hasAccess:
		s.warnAt(below(), "has no access, so that only a policy of the site's own can show it: write access: groups: [\"...\"], or access: everyone: true")
	default:
		s.warnAt(below("access"), "grants nobody: only a policy of the site's own can show this profile (a network alone grants nobody; everyone: true grants all)")
	}
}

// below makes paths to the fields of a thing.
func below(kind, id string) func(...string) []string {
	return func(fields ...string) []string { return append([]string{kind, id}, fields...) }
}

// checkNames looks at a list of users or groups below access.
func (s *site) checkNames(names []string, below func(...string) []string, field ...string) {
	for i, n := range names {
		why := badText(n)
		if n == "" || n != strings.TrimSpace(n) {
			why = fmt.Sprintf("%q is no name of a user or group", n)
		}
		if why != "" {
			s.errorAt(append(append(below("access"), field...), itoa(i)), "%s", why)
		}
	}
}

// checkCIDRs looks at the entries of a list of networks below access that are
// no names.
func (s *site) checkCIDRs(entries []string, below func(...string) []string, field ...string) {
	for i, e := range entries {
		if isNetworkName(e) {
			continue
		}
		if p, err := netip.ParsePrefix(e); err != nil || p.Masked() != p || p.Addr().Is4In6() {
			s.prefix(append(append(below("access"), field...), itoa(i)), e)
		}
	}
}

// checkFrom looks at those that are names.
func (s *site) checkFrom(entries []string, cat *Catalog, below func(...string) []string, field ...string) {
	for i, e := range entries {
		if _, known := cat.Networks[e]; !known && isNetworkName(e) {
			s.errorAt(append(append(below("access"), field...), itoa(i)), "no network is named %q%s", e, DidYouMean(e, slices.Collect(maps.Keys(cat.Networks))))
		}
	}
}

func isNetworkName(entry string) bool {
	return !strings.Contains(entry, "/") && networkPattern.MatchString(entry)
}

// checkHosts finds the servers of a profile.
func (s *site) checkHosts(h hosts, cat *Catalog) {
	where := []string{"profiles", h.profile.ID, "hosts"}
	switch {
	case h.refused && !h.hasIDs && len(h.labels) == 0:
		return // CUE says what is wrong with it
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
				s.errorAt(append(where, "ids", itoa(i)), "no server has the id %q%s", id, DidYouMean(id, slices.Collect(maps.Keys(cat.Servers))))
				continue
			}
			h.profile.Servers = append(h.profile.Servers, id)
		}
		slices.Sort(h.profile.Servers)
		h.profile.Servers = slices.Compact(h.profile.Servers)
	} else {
		h.profile.Servers = s.labelled(h.labelKey, h.labels, cat)
		if len(h.profile.Servers) == 0 {
			s.errorAt(append(where, "labels"), "no server has these labels, so that no server can start this profile")
		}
	}
}

// labelled gives the servers with these labels, sorted. Profiles have few
// different sets of labels, and share what it gives.
func (s *site) labelled(key string, labels map[string]string, cat *Catalog) []string {
	if ids, known := s.byLabels[key]; known {
		return ids
	}
	var ids []string
	for _, id := range sortedKeys(cat.Servers) {
		if hasLabels(cat.Servers[id].Labels, labels) {
			ids = append(ids, id)
		}
	}
	s.byLabels[key] = ids
	return ids
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
	// It may be in a file that cannot be read, or have no value.
	missing := func(id string) bool {
		return cat.Profiles[id] == nil && !s.broken && len(s.index.id("profiles", id)) == 0
	}
	known := func(field string, ids []string) {
		for i, id := range ids {
			if missing(id) {
				s.errorAt(append(slices.Clone(where), field, itoa(i)), "no profile has the id %q%s", id, DidYouMean(id, slices.Collect(maps.Keys(cat.Profiles))))
			}
		}
	}
	known("sees", c.Sees)
	known("hides", c.Hides)
	known("exactly", c.Exactly)
	for _, id := range slices.Sorted(maps.Keys(c.Select)) {
		sel, at := c.Select[id], append(slices.Clone(where), "select", id)
		if missing(id) {
			s.errorAt(at, "no profile has the id %q%s", id, DidYouMean(id, slices.Collect(maps.Keys(cat.Profiles))))
		}
		if (sel.Wins == "") == (len(sel.WinsOneOf) == 0) {
			s.errorAt(at, "give either wins or winsOneOf")
		}
		for _, srv := range slices.Concat(slices.Sorted(maps.Keys(sel.Facts)), sel.WinsOneOf, []string{sel.Wins}) {
			if srv != "" && cat.Servers[srv] == nil {
				s.errorAt(at, "no server has the id %q%s", srv, DidYouMean(srv, slices.Collect(maps.Keys(cat.Servers))))
			}
		}
	}
}

func (s *site) checkID(kind, id string, below func(...string) []string) {
	if !idPattern.MatchString(id) || len(id) > MaxIDLength {
		s.errorAt(below(), "a %s id has only letters, digits, . _ - and at most %d of them", kind, MaxIDLength)
	}
}

// badText says why a text would break the lines of the protocol, "" if it would
// not.
func badText(text string) string {
	switch {
	case len(text) > MaxText:
		return fmt.Sprintf("is longer than %d bytes", MaxText)
	case !utf8.ValidString(text):
		return "is not valid UTF-8"
	case strings.ContainsFunc(text, unicode.IsControl):
		return "has a control character such as a line break, which no client can read"
	}
	return ""
}

// badEntry is badText for an entry of a list.
func badEntry(text string) string {
	if why := badText(text); why != "" {
		return why
	}
	if strings.Contains(text, ",") {
		return fmt.Sprintf("%q has a comma, which separates entries at the client", text)
	}
	return ""
}

func (s *site) errorAt(where []string, format string, args ...any) {
	s.errorf(s.index.at(where...), joinPath(where), format, args...)
}

func (s *site) warnAt(where []string, format string, args ...any) {
	s.warnf(s.index.at(where...), joinPath(where), format, args...)
}
