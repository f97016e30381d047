package ldap

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

const (
	memberOf = "memberOf"

	// maxGroups is how many groups a user may be in, and maxDepth how deep
	// groups may lie within groups. With more, the login is refused: to leave
	// some out could leave out one that is denied something.
	maxGroups = 1000
	maxDepth  = 16

	batch = 50 // groups whose groups are asked for in one search
)

var errTooManyGroups = fmt.Errorf("groups: the user is in more than %d", maxGroups)

// groupRules is a [Groups], checked.
type groupRules struct {
	base          string
	baseDN        *ldap.DN
	filter        template
	nameAttribute string
	memberOf      bool
	walk          bool
}

func newGroupRules(c Groups) (*groupRules, error) {
	r := &groupRules{base: c.Base, nameAttribute: c.NameAttribute, memberOf: c.MemberOf, walk: c.Nested == NestedWalk}
	var err error
	if r.baseDN, err = ldap.ParseDN(c.Base); err != nil || c.Base == "" {
		return nil, fmt.Errorf("groupSearch.base: %q is no distinguished name, like \"ou=groups,dc=example,dc=org\"", c.Base)
	}
	if r.nameAttribute == "" {
		r.nameAttribute = DefaultGroupNameAttribute
	}
	switch c.Nested {
	case NestedNone, NestedWalk:
	case NestedAD:
		if c.MemberOf || c.Filter != "" {
			return nil, errors.New("groupSearch.nested: \"ad\" brings its own search: leave out filter and memberOf")
		}
		c.Filter = "(member:1.2.840.113556.1.4.1941:={dn})" // LDAP_MATCHING_RULE_IN_CHAIN
	default:
		return nil, fmt.Errorf("groupSearch.nested: %q is none of \"walk\", \"ad\"", c.Nested)
	}
	if c.MemberOf {
		if c.Filter != "" {
			return nil, errors.New("groupSearch: give filter or memberOf, not both")
		}
		return r, nil
	}
	if c.Filter == "" {
		c.Filter = DefaultGroupFilter
	}
	if r.filter, err = parseTemplate("groupSearch.filter", c.Filter); err != nil {
		return nil, err
	}
	if r.walk && r.filter.has(placeUser) {
		return nil, fmt.Errorf("groupSearch.nested: \"walk\" finds groups by {dn}, but the filter %q has {user}: groups that hold names hold no groups", c.Filter)
	}
	return r, nil
}

// groupsOf gives the names of a user's groups, in no order.
func (d *Directory) groupsOf(ctx context.Context, u user) ([]string, error) {
	if d.groups == nil {
		return nil, nil
	}
	w := &walk{directory: d, rules: d.groups, seen: map[string]bool{}}
	var err error
	if d.groups.memberOf {
		err = w.upMemberOf(ctx, u.memberOf)
	} else {
		err = w.upMembers(ctx, u)
	}
	if err != nil {
		return nil, err
	}
	return w.names, nil
}

// walk goes from a user to his groups, and from those to theirs, each once, so
// that groups that contain each other end it.
type walk struct {
	directory *Directory
	rules     *groupRules
	seen      map[string]bool // by normalized name of the entry
	names     []string
}

// upMembers searches for groups that have the user as a member, then for groups
// that have those.
func (w *walk) upMembers(ctx context.Context, u user) error {
	filters := []string{w.rules.filter.with(u.name, u.dn)}
	for depth := 1; len(filters) > 0; depth++ {
		if depth > maxDepth {
			return fmt.Errorf("groups: more than %d levels", maxDepth)
		}
		var found []string
		for _, filter := range filters {
			entries, err := w.search(ctx, w.rules.base, ldap.ScopeWholeSubtree, filter)
			if err != nil {
				return err
			}
			for _, e := range entries {
				fresh, err := w.add(e.DN, e)
				if err != nil {
					return err
				}
				if fresh {
					found = append(found, w.rules.filter.with("", e.DN))
				}
			}
		}
		filters = filters[:0]
		for w.rules.walk && len(found) > 0 {
			n := min(batch, len(found))
			filters = append(filters, "(|"+strings.Join(found[:n], "")+")")
			found = found[n:]
		}
	}
	return nil
}

// upMemberOf follows the attribute memberOf and reads each group.
func (w *walk) upMemberOf(ctx context.Context, level []string) error {
	for depth := 1; len(level) > 0; depth++ {
		if depth > maxDepth {
			return fmt.Errorf("groups: more than %d levels", maxDepth)
		}
		var next []string
		for _, dn := range level {
			above, err := w.follow(ctx, dn)
			if err != nil {
				return err
			}
			next = append(next, above...)
		}
		level = next
	}
	return nil
}

func (w *walk) follow(ctx context.Context, dn string) (above []string, err error) {
	parsed, err := ldap.ParseDN(dn)
	if err != nil {
		return nil, fmt.Errorf("groups: memberOf %q: %w", dn, err)
	}
	if !w.rules.baseDN.AncestorOfFold(parsed) || w.seen[key(parsed)] {
		return nil, nil
	}
	entries, err := w.search(ctx, dn, ldap.ScopeBaseObject, "(objectClass=*)")
	if ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject) {
		return nil, nil // the group was deleted, its name was left
	}
	if err != nil {
		return nil, err
	}
	if len(entries) != 1 {
		return nil, fmt.Errorf("groups: %q cannot be read", dn)
	}
	if _, err := w.add(dn, entries[0]); err != nil || !w.rules.walk {
		return nil, err
	}
	return wholeGroups(entries[0])
}

func (w *walk) search(ctx context.Context, base string, scope int, filter string) ([]*ldap.Entry, error) {
	attributes := []string{w.rules.nameAttribute}
	if w.rules.memberOf {
		attributes = append(attributes, memberOf)
	}
	entries, more, err := w.directory.pool.search(ctx, query{base: base, scope: scope, filter: filter, attributes: attributes, limit: maxGroups})
	if err != nil {
		return nil, fmt.Errorf("groups: %w", err)
	}
	if more {
		return nil, errTooManyGroups
	}
	return entries, nil
}

// add takes a group's name, unless the group was there already.
func (w *walk) add(dn string, e *ldap.Entry) (fresh bool, err error) {
	parsed, err := ldap.ParseDN(dn)
	if err != nil {
		return false, fmt.Errorf("groups: %q: %w", dn, err)
	}
	if w.seen[key(parsed)] {
		return false, nil
	}
	if len(w.seen) == maxGroups {
		return false, errTooManyGroups
	}
	w.seen[key(parsed)] = true
	names := e.GetEqualFoldAttributeValues(w.rules.nameAttribute)
	if len(names) == 0 {
		return false, fmt.Errorf("groups: %q has no %s", dn, w.rules.nameAttribute)
	}
	w.names = append(w.names, names...)
	return true, nil
}

// key is the same for two spellings of a distinguished name.
func key(dn *ldap.DN) string { return strings.ToLower(dn.String()) }

// wholeGroups gives the groups that an entry names.
func wholeGroups(e *ldap.Entry) ([]string, error) {
	names, whole := attribute(e, memberOf)
	if !whole {
		return nil, errTooManyGroups
	}
	return names, nil
}

// attribute gives the values of an attribute. Active Directory cuts long ones
// off, and says so by an option in the attribute's name.
func attribute(e *ldap.Entry, name string) (values []string, whole bool) {
	for _, a := range e.Attributes {
		if len(a.Name) > len(name) && strings.EqualFold(a.Name[:len(name)+1], name+";") {
			return nil, false
		}
	}
	return e.GetEqualFoldAttributeValues(name), true
}
