package schema

import (
	"net/netip"
	"strings"

	"cuelang.org/go/cue"
)

// legacyFields are the fields of a legacyACL by their path below it: of each kind
// in the order of rules, the lists in that of lists.
var legacyFields = func() (fields []legacyField) {
	for _, kind := range []string{"users", "groups", "clients"} {
		for _, name := range []string{"allow", "deny", "order"} {
			fields = append(fields, legacyField{kind + "." + name, cue.MakePath(cue.Str(kind)), cue.MakePath(cue.Str(name))})
		}
	}
	return fields
}()

type legacyField struct {
	name       string
	kind, path cue.Path
}

// legacyPrefix begins the names of the fields of a legacyACL where those of
// access are kept, too.
const legacyPrefix = "legacyACL."

// rules are those of a legacyACL in a fixed order.
func (l *LegacyACL) rules() []*LegacyRule { return []*LegacyRule{&l.Users, &l.Groups, &l.Clients} }

// lists are all lists in a fixed order.
func (l *LegacyACL) lists() []*[]string {
	var out []*[]string
	for _, r := range l.rules() {
		out = append(out, &r.Allow, &r.Deny)
	}
	return out
}

func decodeLegacyACL(v cue.Value) *LegacyACL {
	l := &LegacyACL{Pos: map[string]Position{}}
	for i, f := range legacyFields {
		value, rule := look(look(v, f.kind), f.path), l.rules()[i/3]
		switch i % 3 {
		case 0:
			rule.Allow = stringList(value)
		case 1:
			rule.Deny = stringList(value)
		case 2:
			rule.AllowFirst = text(value, "", "") == "allow-deny"
		}
	}
	for _, list := range []*[]string{&l.Clients.Allow, &l.Clients.Deny} {
		for i, e := range *list {
			if a, err := netip.ParseAddr(e); err == nil && a.Zone() == "" {
				(*list)[i] = netip.PrefixFrom(a, a.BitLen()).String()
			}
		}
	}
	return l
}

// position notes where the fields come from: where a file writes them below the
// profile's id, or where CUE says that their values are.
func (l *LegacyACL) position(v cue.Value, written map[string]Position) {
	for i, f := range legacyFields {
		if pos, ok := written[legacyPrefix+f.name]; ok {
			l.Pos[f.name] = pos
			continue
		}
		rule := l.rules()[i/3]
		if given := []bool{len(rule.Allow) > 0, len(rule.Deny) > 0, rule.AllowFirst}; given[i%3] {
			if pos := computedPosition(look(look(v, f.kind), f.path)); pos.IsValid() {
				l.Pos[f.name] = pos
			}
		}
	}
}

// checkLegacyACL looks at what a profile's legacyACL says by itself.
func (s *site) checkLegacyACL(l *LegacyACL, below func(...string) []string) {
	where := func(field string, i int) []string {
		return append(append(below("legacyACL"), strings.Split(field, ".")...), itoa(i))
	}
	lists := l.lists()
	for i, field := range []string{"users.allow", "users.deny", "groups.allow", "groups.deny"} {
		for j, name := range *lists[i] {
			if why := badText(name); why != "" {
				s.errorAt(where(field, j), "%s", why)
			}
		}
	}
	for i, field := range []string{"clients.allow", "clients.deny"} {
		for j, e := range *lists[4+i] {
			switch p, err := netip.ParsePrefix(e); {
			case e == LegacyAll:
			case err == nil && p.Masked() == p && !p.Addr().Is4In6():
			case !strings.Contains(e, "/") && networkPattern.MatchString(e):
				s.errorAt(where(field, j), "%q is no address, no CIDR and not ALL: names of networks are for access.from", e)
			default:
				s.prefix(where(field, j), e)
			}
		}
	}
}

// checkLegacyPlace looks at whether a legacyACL is in its place.
func (s *site) checkLegacyPlace(h hosts, below func(...string) []string) {
	entries := 0
	for _, list := range h.profile.LegacyACL.lists() {
		entries += len(*list)
	}
	switch {
	case h.hasAccess:
		s.errorAt(below("legacyACL"), "give access or legacyACL, not both")
	case entries == 0 && !h.brokenAccess:
		s.errorAt(below("legacyACL"), "names nobody, which the Python broker took for everybody: write access: everyone: true, or leave it out")
	}
}

func (k *keeper) legacyACL(l *LegacyACL) *keptLegacyACL {
	if l == nil {
		return nil
	}
	out := &keptLegacyACL{Pos: k.positions(l.Pos)}
	for _, list := range l.lists() {
		out.Lists = append(out.Lists, k.texts(*list))
	}
	for _, r := range l.rules() {
		out.AllowFirst = append(out.AllowFirst, r.AllowFirst)
	}
	return out
}

func (t *texts) legacyACL(kept *keptLegacyACL) *LegacyACL {
	if kept == nil {
		return nil
	}
	l := &LegacyACL{Pos: t.positions(kept.Pos)}
	for i, list := range l.lists() {
		*list = t.texts(kept.Lists[i])
	}
	for i, r := range l.rules() {
		r.AllowFirst = kept.AllowFirst[i]
	}
	return l
}
