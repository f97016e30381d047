package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/x2broker/x2broker/schema"
)

// legacyPrefix begins the names of the fields of a legacyACL where those of
// access are named, too.
const legacyPrefix = "legacyACL."

// legacyPattern finds the lists of a legacyACL in a line of the library that asks
// whether somebody is in one: `_is(acl.users.deny)`.
var legacyPattern = regexp.MustCompile(`\b_(?:is|in|at)\(acl\.((?:users|groups|clients)\.(?:allow|deny))\)`)

// againstLegacyACL is [Engine.against] for a list of a legacyACL.
func againstLegacyACL(field string, l *schema.LegacyACL, r Request) (is, has string) {
	kind, which, _ := strings.Cut(strings.TrimPrefix(field, legacyPrefix), ".")
	address := r.Address.Unmap().WithZone("")
	var rule schema.LegacyRule
	var whose string
	mine := func(entry string) bool { return entry == r.User }
	switch kind {
	case "users":
		rule, whose = l.Users, fmt.Sprintf("the user is %q", r.User)
	case "groups":
		rule, whose = l.Groups, r.User+" is in "+inWords(sorted(r.Groups), "no group")
		mine = func(entry string) bool { return slices.Contains(r.Groups, entry) }
	case "clients":
		rule, whose = l.Clients, "the client is at "+address.String()
		mine = func(entry string) bool { return inNetwork(entry, address) }
	}
	list := rule.Allow
	if which == "deny" {
		list = rule.Deny
	}
	if len(list) == 0 {
		return "", ""
	}
	others := func(entry string) bool { return entry != schema.LegacyAll && !mine(entry) }
	if both := slices.DeleteFunc(slices.Clone(list), others); len(both) > 0 {
		has = "has " + inWords(both, "")
	}
	return "is " + shorten(term(list).String()) + "; " + whose, has
}
