package schema

import (
	"bytes"
	"context"
	"maps"
	"slices"
)

// A base is the last site without mistakes. Most commits change a few leaves
// and nothing that others could see: their site is the base with these profiles
// exchanged, and everything else in it need not be looked at again.
type base struct {
	site    *site
	catalog *Catalog
	// units are those of each leaf that is alone in all of them; it has no others.
	units map[string][]*unit
}

// newBase is nil for a site with errors.
func newBase(s *site, units []*unit, catalog *Catalog, diags Diagnostics) *base {
	if diags.HasErrors() || s.importsSite {
		return nil
	}
	b := &base{site: s, catalog: catalog, units: make(map[string][]*unit, len(units))}
	joined := map[string]bool{}
	for _, u := range units {
		for _, f := range u.library {
			if f.leaf {
				joined[f.name] = true
			}
		}
		for _, f := range u.leaves {
			b.units[f.name] = append(b.units[f.name], u)
			if len(u.leaves) > 1 {
				joined[f.name] = true
			}
		}
	}
	for name := range joined {
		delete(b.units, name)
	}
	return b
}

// patch makes the site of s, which has been read, from the base. It reports
// false if more has changed than a few leaves, or if something is wrong with
// them.
func (b *base) patch(ctx context.Context, c *Compiler, s *site) (*Catalog, Diagnostics, bool) {
	old := b.site
	if len(s.diags) > 0 || len(s.all) != len(old.all) || !bytes.Equal(s.moduleFile, old.moduleFile) {
		return nil, nil, false
	}
	var changed []*sourceFile
	for name, f := range s.all {
		switch before := old.all[name]; {
		case before == f:
		case before == nil, f.unread != "":
			return nil, nil, false
		case before.hash == f.hash:
		case !b.exchangeable(before, f):
			return nil, nil, false
		default:
			changed = append(changed, f)
		}
	}
	if len(changed) == 0 {
		return b.catalog, old.merge(), true
	}
	if len(changed) > minShard { // the rest costs little beside these
		return nil, nil, false
	}
	var units []*unit
	for _, f := range changed {
		for _, u := range b.units[f.name] {
			more := *u
			more.leaves = []*sourceFile{f}
			more.key = key(more.leaves, u.libraryKey[:])
			more.outcome = c.done[more.key]
			units = append(units, &more)
		}
	}
	old.evaluateUnits(ctx, c, units)
	return b.exchange(c, s, changed, units)
}

// exchangeable reports whether f can take the place of the leaf before without
// a difference to any other file.
func (b *base) exchangeable(before, f *sourceFile) bool {
	if !f.leaf || f.err != nil || len(f.refused) > 0 || b.units[f.name] == nil ||
		f.pkg != before.pkg || f.mentions != before.mentions || f.usesVendored != before.usesVendored || f.chooses != before.chooses ||
		!slices.Equal(f.imports, before.imports) ||
		!slices.EqualFunc(f.ids, before.ids, func(x, y label) bool { return x.id == y.id }) {
		return false
	}
	return !slices.ContainsFunc(f.ids, func(l label) bool {
		owner := b.site.owners["profiles"][l.id]
		return owner == nil || owner.dir != f.dir
	})
}

// exchange gives the catalog of the base with the profiles of the changed files.
func (b *base) exchange(c *Compiler, s *site, changed []*sourceFile, units []*unit) (*Catalog, Diagnostics, bool) {
	catalog := *b.catalog
	catalog.Profiles = maps.Clone(b.catalog.Profiles)
	files := map[string][]*sourceFile{}
	for _, f := range changed {
		files[f.dir] = append(files[f.dir], f)
	}
	s.index, s.byLabels = newIndex(files), b.site.byLabels
	for _, u := range units {
		if u.outcome == nil || u.outcome.failure != nil {
			return nil, nil, false
		}
		if u.in.dir != u.leaves[0].dir {
			continue // inherited: it only had to be right
		}
		for _, l := range u.leaves[0].ids {
			d := u.outcome.profiles[l.id]
			if d == nil {
				return nil, nil, false
			}
			p, h := d.profile, d.hosts // a copy: the outcome is used again
			p.Pos, h.profile = s.idPosition("profiles", l.id), &p
			catalog.Profiles[l.id] = &p
			s.hosts = append(s.hosts, h)
		}
	}
	s.checkProfiles(&catalog)
	if s.merge().HasErrors() {
		return nil, nil, false
	}

	next := *b.site
	next.all = s.all
	next.said = maps.Clone(b.site.said)
	for _, h := range s.hosts {
		delete(next.said, h.profile.ID)
	}
	maps.Copy(next.said, s.said)
	after := &base{site: &next, catalog: &catalog, units: maps.Clone(b.units)}
	for _, f := range changed {
		after.units[f.name] = slices.DeleteFunc(slices.Clone(units), func(u *unit) bool { return u.leaves[0] != f })
	}
	c.base = after
	return &catalog, next.merge(), true
}
