package legacy

import (
	"iter"
	"net/netip"
	"slices"
	"strings"

	"github.com/x2broker/x2broker/schema"
)

// A question is who asks for a profile, and from where.
type question struct {
	user    string
	other   bool // the user is none that a list names
	groups  []string
	address netip.Addr
}

// questions are all that may have different answers, by the old broker or by the
// site, for one profile.
//
// Both decide by which of the profile's lists the user's name is in, which of them
// have one of his groups, and which of them the address is in, and by nothing else:
// [ACL.Decide] and the library look at a request in no other way. So users who are
// in the same lists get the same answers, and one of each class stands for all: of
// the names in the lists, and of all other names. A set of groups comes to the
// lists that its members are in, together; all that sets can come to are found by
// adding one group after the other. Addresses are asked where the lists they are
// in change, see [addresses]. Each class of users with each of groups and each of
// addresses is one question.
func questions(old *ACL, profile *schema.Profile, catalog *schema.Catalog) iter.Seq[question] {
	lists := listsOf(old, profile, catalog)
	users, groups, addresses := lists.users(), lists.groups(), lists.addresses()
	return func(yield func(question) bool) {
		for _, u := range users {
			for _, g := range groups {
				for _, a := range addresses {
					if !yield(question{u.name, u.other, g, a}) {
						return
					}
				}
			}
		}
	}
}

// lists are those of one profile, of the old broker and of the site.
type lists struct {
	userNames  [][]string
	groupNames [][]string
	networks   [][]netip.Prefix
}

// A class has a bit for each list, set if somebody is in it. There are at most
// eight lists of a kind.
type class uint8

func listsOf(old *ACL, p *schema.Profile, catalog *schema.Catalog) lists {
	users, groups := old.Users.people(), old.Groups.people().named()
	l := lists{
		userNames:  [][]string{users.Allow, users.Deny, p.Access.Users, p.Access.Deny.Users},
		groupNames: [][]string{groups.Allow, groups.Deny, p.Access.Groups, p.Access.Deny.Groups},
		networks:   [][]netip.Prefix{old.allow.prefixes, old.deny.prefixes, prefixes(p.Access.From, catalog), prefixes(p.Access.Deny.From, catalog)},
	}
	if a := p.LegacyACL; a != nil {
		l.userNames = append(l.userNames, a.Users.Allow, a.Users.Deny)
		l.groupNames = append(l.groupNames, a.Groups.Allow, a.Groups.Deny)
		l.networks = append(l.networks, prefixes(a.Clients.Allow, catalog), prefixes(a.Clients.Deny, catalog))
	}
	return l
}

// prefixes are the networks of a list in a site, which may be named.
func prefixes(list []string, catalog *schema.Catalog) []netip.Prefix {
	var out []netip.Prefix
	for _, e := range list {
		if p, err := netip.ParsePrefix(e); err == nil {
			out = append(out, p)
		} else {
			out = append(out, catalog.Networks[e].Prefixes...)
		}
	}
	return out
}

// classes of the names in the lists.
func classes(lists [][]string) map[string]class {
	in := map[string]class{}
	for i, list := range lists {
		for _, name := range list {
			in[name] |= 1 << i
		}
	}
	return in
}

type user struct {
	name  string
	other bool
}

// users gives the first name of each class and one that is in no list.
func (l *lists) users() []user {
	in := classes(l.userNames)
	other := "somebody"
	for in[other] != 0 {
		other += "-else"
	}
	out := []user{{other, true}}
	for _, name := range firsts(in) {
		out = append(out, user{name, false})
	}
	return out
}

// groups gives a set of groups for all that sets can come to, the empty one first.
func (l *lists) groups() [][]string {
	in := classes(l.groupNames)
	known := map[class]bool{0: true}
	reached := []class{0}
	sets := [][]string{{}}
	for i := 0; i < len(sets); i++ {
		for _, g := range firsts(in) {
			if together := reached[i] | in[g]; !known[together] {
				known[together] = true
				reached = append(reached, together)
				sets = append(sets, append(slices.Clone(sets[i]), g))
			}
		}
	}
	return sets
}

// firsts gives the first name of each class, in the order of names.
func firsts(in map[string]class) []string {
	first := map[class]string{}
	for name, c := range in {
		if before, ok := first[c]; !ok || name < before {
			first[c] = name
		}
	}
	var out []string
	for _, name := range first {
		out = append(out, name)
	}
	slices.SortFunc(out, strings.Compare)
	return out
}

// mapped are the addresses of IPv4 in the form of IPv6. No client has one: it is
// taken for the IPv4 address.
var mapped = netip.MustParsePrefix("::ffff:0:0/96")

// addresses gives an address of each class. Along all addresses of a kind, the
// lists that they are in change only where a network begins and behind its end: so
// each stretch of addresses that are in the same lists begins there, or with the
// lowest address of all.
func (l *lists) addresses() []netip.Addr {
	starts := []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified(), behind(mapped)}
	for _, list := range l.networks {
		for _, p := range list {
			starts = append(starts, p.Masked().Addr())
			if next := behind(p); next.IsValid() {
				starts = append(starts, next)
			}
		}
	}
	type kind struct {
		in  class
		is4 bool
	}
	known := map[kind]bool{}
	var out []netip.Addr
	slices.SortFunc(starts, netip.Addr.Compare)
	for _, a := range slices.Compact(starts) {
		if a.Is4In6() {
			continue
		}
		k := kind{is4: a.Is4()}
		for i, list := range l.networks {
			if slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) }) {
				k.in |= 1 << i
			}
		}
		if !known[k] {
			known[k] = true
			out = append(out, a)
		}
	}
	return out
}

// behind gives the address that follows the network; none follows the highest.
func behind(p netip.Prefix) netip.Addr {
	bytes := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(bytes)*8; i++ {
		bytes[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(bytes)
	return last.Next()
}
