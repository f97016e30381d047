package legacy

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/x2broker/x2broker/schema"
)

// Safe is the ACL that a site gets: the same, but for a list of denied clients
// with an entry that is no address. The old broker ignored the whole list; here
// its other entries hold, so that nobody sees more than there, and a list meant to
// deny is never open.
func (a ACL) Safe() ACL {
	if len(a.deny.unread) == 0 {
		return a
	}
	if len(a.Clients.Allow) == 0 || len(a.allow.unread) > 0 {
		return nobody
	}
	a.Clients.Deny = slices.DeleteFunc(slices.Clone(a.Clients.Deny), func(e string) bool { return slices.Contains(a.deny.unread, e) })
	a.deny.unread = nil
	return a
}

// Access gives the ACL as a profile's access. It is not ok if access cannot say
// the same: when an allowed user may be in a denied group, which access never
// shows, and for ACLs that hide the profile from everybody. LegacyACL is for
// these.
func (a *ACL) Access() (access schema.Access, ok bool) {
	from, notFrom, ok := a.places()
	if !ok {
		return schema.Access{}, false
	}
	if access, ok = a.people(); !ok {
		return schema.Access{}, false
	}
	access.From, access.Deny.From = from, notFrom
	named := slices.Concat(access.Users, access.Groups, access.Deny.Users, access.Deny.Groups)
	if slices.ContainsFunc(named, func(name string) bool { return name == "" || name != strings.TrimSpace(name) }) {
		return schema.Access{}, false // access takes them for mistakes
	}
	return access, access.Everyone || len(access.Users)+len(access.Groups) > 0
}

// hidesFromAll reports whether the lists show the profile to nobody.
func (a *ACL) hidesFromAll() bool {
	if _, _, ok := a.places(); !ok {
		return true
	}
	access, ok := a.people()
	return ok && !access.Everyone && len(access.Users)+len(access.Groups) == 0
}

// places gives access.from and access.deny.from, not ok if no client is allowed.
func (a *ACL) places() (from, notFrom []string, ok bool) {
	if !a.Clients.any() {
		return nil, nil, true
	}
	allow, deny := a.clientLists()
	if len(allow) == 0 || !a.Clients.AllowFirst && slices.Contains(deny, all) {
		return nil, nil, false
	}
	if !slices.Contains(allow, all) {
		from = allow
	}
	if !a.Clients.AllowFirst {
		notFrom = deny
	}
	return from, notFrom, true
}

// people gives access but for the places; not ok if access cannot say it.
func (a *ACL) people() (schema.Access, bool) {
	if !a.Users.any() && !a.Groups.any() {
		return schema.Access{Everyone: true}, true
	}
	users, groups := a.Users.people(), a.Groups.people().named()
	someUsers, allUsers := without(users.Allow, all), slices.Contains(users.Allow, all)
	noUsers, noneOfAll := without(users.Deny, all), slices.Contains(users.Deny, all)
	switch {
	case allUsers && users.AllowFirst:
		return schema.Access{Everyone: true}, true
	case noneOfAll && !users.AllowFirst:
		return schema.Access{}, true
	case allUsers:
		return schema.Access{Everyone: true, Deny: schema.Deny{Users: noUsers}}, true
	case noneOfAll:
		return schema.Access{Users: someUsers}, true
	}
	if users.AllowFirst {
		noUsers = without(noUsers, someUsers...)
	} else {
		someUsers = without(someUsers, noUsers...)
	}
	if groups.AllowFirst {
		groups.Deny = nil
	}
	access := schema.Access{Users: someUsers, Groups: groups.Allow, Deny: schema.Deny{Users: noUsers, Groups: groups.Deny}}
	if len(groups.Allow) == 0 || slices.Contains(groups.Deny, all) {
		return schema.Access{Users: someUsers}, true
	}
	if slices.Contains(groups.Allow, all) {
		access.Everyone, access.Users, access.Groups = true, nil, nil
	}
	return access, len(groups.Deny) == 0 || len(someUsers) == 0
}

// LegacyACL gives the ACL as a profile's legacyACL, which always can say it.
func (a *ACL) LegacyACL() *schema.LegacyACL {
	legacy := &schema.LegacyACL{Users: a.Users.people().legacy(), Groups: a.Groups.people().named().legacy()}
	legacy.Clients.AllowFirst = a.Clients.AllowFirst
	legacy.Clients.Allow, legacy.Clients.Deny = a.clientLists()
	people := len(legacy.Users.Allow) + len(legacy.Users.Deny) + len(legacy.Groups.Allow) + len(legacy.Groups.Deny)
	if a.Clients.any() && len(legacy.Clients.Allow) == 0 || people == 0 && (a.Users.any() || a.Groups.any()) {
		return &schema.LegacyACL{Users: schema.LegacyRule{Deny: []string{all}}}
	}
	return legacy
}

// clientLists gives the lists of clients as a site has them: masked CIDRs and ALL,
// each once. Both are empty if one that allows could not be read, and the one
// that denies if it could not. IPv4 in the form of IPv6 is left out: neither broker
// has such clients.
func (a *ACL) clientLists() (allow, deny []string) {
	if len(a.allow.unread) > 0 {
		return nil, nil
	}
	allow = canonical(a.Clients.Allow)
	if len(a.deny.unread) == 0 {
		deny = canonical(a.Clients.Deny)
	}
	return allow, deny
}

func canonical(entries []string) []string {
	var out []string
	for _, e := range entries {
		if e != all {
			p, ok := parseNetwork(e)
			if !ok || p.Addr().Is4In6() {
				continue
			}
			e = p.String()
		}
		if !slices.Contains(out, e) {
			out = append(out, e)
		}
	}
	return out
}

func (r Rule) legacy() schema.LegacyRule {
	return schema.LegacyRule{Allow: r.Allow, Deny: r.Deny, AllowFirst: r.AllowFirst}
}

// named is the rule without the empty name, which is one of users only: of who
// gives none.
func (r Rule) named() Rule { return Rule{without(r.Allow, ""), without(r.Deny, ""), r.AllowFirst} }

// people is the rule with each name once, without those that nobody can have
// because no client can send them.
func (r *Rule) people() Rule {
	possible := func(names []string) []string {
		var out []string
		for _, n := range names {
			if !slices.Contains(out, n) && len(n) <= schema.MaxText && utf8.ValidString(n) && !strings.ContainsFunc(n, unicode.IsControl) {
				out = append(out, n)
			}
		}
		return out
	}
	return Rule{possible(r.Allow), possible(r.Deny), r.AllowFirst}
}

// without gives the names that are not among the others.
func without(names []string, others ...string) []string {
	var out []string
	for _, n := range names {
		if !slices.Contains(others, n) {
			out = append(out, n)
		}
	}
	return out
}
