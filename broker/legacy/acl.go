package legacy

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// An ACL says who saw a profile of the old broker, in its terms.
type ACL struct {
	Users   Rule
	Groups  Rule
	Clients Rule

	allow, deny networks // what the lists of Clients mean
}

// A Rule is the pair of lists that the old broker has for users, for groups and
// for clients.
type Rule struct {
	Allow      []string
	Deny       []string
	AllowFirst bool // who is in both lists is allowed
}

// A Problem is a part of an ACL that the old broker understood in another way
// than it reads, or not at all.
type Problem struct {
	Option string // "acl-clients-deny"
	Entry  string // of the list; the whole value if that is not a list
	Text   string // what is wrong and what to do
}

// all stands for everybody in a list. It is the name of no user and no group.
const all = "ALL"

// ParseACL reads the options that begin with acl- as they hold for one profile:
// inherited ones are among them, and those without a value count as absent.
// Problems come in the order of the options' names. An ACL with problems is what
// the old broker made of it, and nobody sees a profile with a list that it could
// not read.
func ParseACL(options map[string]string) (ACL, []Problem) {
	var a ACL
	var problems []Problem
	for _, kind := range []struct {
		name string
		rule *Rule
	}{{"clients", &a.Clients}, {"groups", &a.Groups}, {"users", &a.Users}} {
		kind.rule.AllowFirst = strings.TrimSpace(options["acl-"+kind.name+"-order"]) == "allow-deny"
		for _, list := range []struct {
			name    string
			entries *[]string
		}{{"allow", &kind.rule.Allow}, {"deny", &kind.rule.Deny}} {
			option := "acl-" + kind.name + "-" + list.name
			entries, err := splitList(options[option])
			if err != nil {
				return nobody, append(problems, Problem{option, options[option], err.Error()})
			}
			*list.entries = entries
		}
	}
	a.allow, a.deny = readNetworks(a.Clients.Allow), readNetworks(a.Clients.Deny)
	for _, entry := range a.allow.unread {
		problems = append(problems, Problem{"acl-clients-allow", entry, notAnAddress +
			", which made the old broker hide the profile from everybody: give the addresses or networks that are meant"})
	}
	for _, entry := range a.deny.unread {
		effect := ", which made the old broker ignore the whole list; the site heeds the other entries"
		if len(a.Clients.Allow) == 0 {
			effect = ", and a list of denied clients alone made the old broker hide the profile from everybody"
		}
		problems = append(problems, Problem{"acl-clients-deny", entry, notAnAddress + effect + ": give the addresses or networks that are meant"})
	}
	return a, problems
}

const notAnAddress = "is neither an address nor a network"

// nobody is the ACL that hides a profile from everybody.
var nobody = ACL{Users: Rule{Deny: []string{all}}}

var (
	evaluated = regexp.MustCompile(`(?s)^\[.*\]$`)
	// A list as Python writes it, of texts without anything to be evaluated in them.
	pythonText = `(?:'[^'\\\n]*'|"[^"\\\n]*")`
	pythonList = regexp.MustCompile(`^\[\s*(?:` + pythonText + `\s*(?:,\s*` + pythonText + `\s*)*,?\s*)?\]$`)
	pythonItem = regexp.MustCompile(pythonText)
)

// splitList gives the entries of a list, empty ones too. The old broker evaluates
// a value in brackets as Python; only lists of plain texts are read here.
func splitList(value string) ([]string, error) {
	value = strings.TrimSpace(value)
	if value == "" {
		return nil, nil
	}
	if !evaluated.MatchString(value) {
		entries := strings.Split(value, ",")
		for i := range entries {
			entries[i] = strings.TrimSpace(entries[i])
		}
		return entries, nil
	}
	if !pythonList.MatchString(value) {
		return nil, fmt.Errorf("is evaluated as Python by the old broker: write the entries with commas between them, without brackets")
	}
	entries := pythonItem.FindAllString(value, -1)
	for i, e := range entries {
		entries[i] = e[1 : len(e)-1]
	}
	return entries, nil
}

// Decide reports whether the old broker lists the profile for a user in these
// groups at this address. All compare exactly; an IPv4 address in the form of
// IPv6 is one of IPv6.
func (a *ACL) Decide(user string, groups []string, address netip.Addr) bool {
	if !a.admits(address) {
		return false
	}
	if !a.Users.any() && !a.Groups.any() {
		return true
	}
	switch a.Users.decide(func(entry string) bool { return entry == user || entry == all }) {
	case yes:
		return true
	case no:
		return false
	}
	return a.Groups.decide(func(entry string) bool { return entry == all || slices.Contains(groups, entry) }) == yes
}

// admits reports whether the address passes the lists of clients: a list with an
// entry that is no address counts as empty, and one to allow empties the other.
func (a *ACL) admits(address netip.Addr) bool {
	if !a.Clients.any() {
		return true
	}
	if len(a.allow.unread) > 0 {
		return false
	}
	inDeny := len(a.deny.unread) == 0 && a.deny.contain(address)
	return a.Clients.verdict(a.allow.contain(address), inDeny) == yes
}

type verdict int

const (
	undecided verdict = iota
	yes
	no
)

// any reports whether one of the lists has entries.
func (r *Rule) any() bool { return len(r.Allow)+len(r.Deny) > 0 }

func (r *Rule) decide(is func(entry string) bool) verdict {
	return r.verdict(slices.ContainsFunc(r.Allow, is), slices.ContainsFunc(r.Deny, is))
}

func (r *Rule) verdict(inAllow, inDeny bool) verdict {
	switch {
	case inAllow && (r.AllowFirst || !inDeny):
		return yes
	case inDeny:
		return no
	}
	return undecided
}
