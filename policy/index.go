package policy

import (
	"maps"
	"net/netip"
	"slices"
)

// An index gives the profiles that a request may see: all that it sees and a few
// more. The policy is then asked about these alone, so that the answer is the
// policy's own; the index must only never leave one out.
type index struct {
	ids    []string // of all profiles, sorted
	always []int32  // places in ids of those that are always asked about
	equal  map[atom][]int32
	cidrs  map[netip.Prefix][]int32
	bits   map[bool][]int // lengths of the prefixes in cidrs, by whether they are of IPv4
}

// newIndex makes an index of what is known of profiles; those of which nothing
// is known are always asked about. Of the conditions that a conjunction implies
// it takes the one that the fewest profiles share and the fewest requests meet.
func newIndex(ids []string, known map[string]*facts) *index {
	x := &index{ids: ids, cidrs: map[netip.Prefix][]int32{}, bits: map[bool][]int{}}

	type entry struct {
		profiles int // that mention the atom
		postings []int32
	}
	entries := map[atom]*entry{}
	of := make([][]*entry, len(ids)) // by profile, of its atoms
	for i, id := range ids {
		f := known[id]
		if f == nil || f.unclear {
			continue
		}
		of[i] = make([]*entry, len(f.atoms))
		for j, a := range f.atoms {
			e := entries[a]
			if e == nil {
				e = &entry{}
				entries[a] = e
			}
			e.profiles++
			of[i][j] = e
		}
	}

	for i, id := range ids {
		f, n := known[id], int32(i)
		if f == nil || f.unclear || slices.ContainsFunc(f.ways, func(w [][]uint16) bool { return len(w) == 0 }) {
			x.always = append(x.always, n)
			continue
		}
		for _, way := range f.ways {
			rarest := slices.MinFunc(way, func(a, b []uint16) int {
				cost := func(atoms []uint16) (sum int) {
					for _, j := range atoms {
						sum += of[i][j].profiles * commonness(f.atoms[j].field)
					}
					return sum
				}
				return cost(a) - cost(b)
			})
			for _, j := range rarest {
				if e := of[i][j]; len(e.postings) == 0 || e.postings[len(e.postings)-1] != n {
					e.postings = append(e.postings, n)
				}
			}
		}
	}

	x.equal = make(map[atom][]int32, len(entries))
	for a, e := range entries {
		switch {
		case len(e.postings) == 0:
		case a.field == clientAddress:
			x.addCIDR(netip.MustParsePrefix(a.text), e.postings)
		default:
			x.equal[a] = e.postings
		}
	}
	for _, bits := range x.bits {
		slices.Sort(bits)
	}
	return x
}

// commonness weighs how many requests meet a condition on a part of the input. A
// site has many users, who each have a few of its groups, and a few networks that
// everybody comes from.
func commonness(part fields) int {
	switch part {
	case userName, account:
		return 1
	case userGroups:
		return 2
	case clientNetworks, clientAddress:
		return 8
	}
	return 16
}

func (x *index) addCIDR(p netip.Prefix, postings []int32) {
	x.cidrs[p] = postings
	if v4 := p.Addr().Is4(); !slices.Contains(x.bits[v4], p.Bits()) {
		x.bits[v4] = append(x.bits[v4], p.Bits())
	}
}

// candidates gives the ids of the profiles that a request from this address may
// see, sorted.
func (x *index) candidates(r Request, address netip.Addr, networks []string) []string {
	found := map[int32]bool{}
	add := func(postings []int32) {
		for _, n := range postings {
			found[n] = true
		}
	}
	add(x.always)
	add(x.equal[atom{userName, r.User}])
	add(x.equal[atom{account, r.Account}])
	add(x.equal[atom{clientFrontend, r.Frontend}])
	add(x.equal[atom{task, r.Task}])
	for _, g := range r.Groups {
		add(x.equal[atom{userGroups, g}])
	}
	for _, n := range networks {
		add(x.equal[atom{clientNetworks, n}])
	}
	for _, bits := range x.bits[address.Is4()] {
		if p, err := address.Prefix(bits); err == nil {
			add(x.cidrs[p])
		}
	}
	ids := make([]string, 0, len(found))
	for _, n := range slices.Sorted(maps.Keys(found)) {
		ids = append(ids, x.ids[n])
	}
	return ids
}
