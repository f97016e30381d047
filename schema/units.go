package schema

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"slices"
)

// A unit is a set of files that are evaluated together, without the files of
// other leaves: a library alone, or a library with leaves.
//
// Evaluating one big package takes CUE more than its share of time and memory.
// As leaves do not look at each other, it makes no difference to a profile with
// which others it is evaluated, and only leaves that have changed, or whose
// library has, need to be evaluated at all.
type unit struct {
	in      *instance
	key     unitKey
	library []*sourceFile
	fields  fieldSet      // of the top level that its files can see
	leaves  []*sourceFile // that share ids, most often one; none for the library itself
	outcome *outcome      // once it is known

	libraryKey unitKey // of a unit with leaves: its key without them
}

// units splits what an instance sees; not at all if something computes profiles.
func (s *site) units(in *instance, packages []byte, computes bool) []*unit {
	all := s.packageFiles(in.dir, "site")
	if i := slices.IndexFunc(all, s.isVendored); i >= 0 {
		rest := slices.Delete(slices.Clone(all), i, i+1)
		if len(rest) > 0 && !slices.ContainsFunc(rest, func(f *sourceFile) bool { return f.chooses }) {
			all = rest
		}
	}
	var library, leaves []*sourceFile
	for _, f := range all {
		computes = computes || f.computes
		if f.leaf {
			leaves = append(leaves, f)
		} else {
			library = append(library, f)
		}
	}
	if computes {
		return []*unit{{in: in, key: key(all, packages), library: all, fields: allFields}}
	}
	library, leaves = promote(library, leaves)
	out := []*unit{{in: in, key: key(library, packages), library: library, fields: allFields}}
	forLeaves, fields := visible(library, leaves)
	libraryKey := key(forLeaves, packages)
	for _, group := range groups(leaves) {
		out = append(out, &unit{in: in, key: key(group, libraryKey[:]), library: forLeaves, fields: fields, leaves: group, libraryKey: libraryKey})
	}
	return out
}

// isVendored reports whether the file is the x2broker.cue that this x2broker
// writes. It refuses no more than the built-in bindings and the checks behind
// them, and takes CUE a third of its time on a large site.
func (s *site) isVendored(f *sourceFile) bool {
	return f.name == VendoredBinding && bytes.Equal(f.data, vendoredBindingSource) && !s.usesVendored
}

// visible gives the fields that leaves can see, directly or not, and the files
// of the library without those that have other fields only.
func visible(library, leaves []*sourceFile) ([]*sourceFile, fieldSet) {
	needed := fieldSet(1) << slices.Index(topLevel, "profiles")
	for _, f := range leaves {
		needed |= f.mentions
	}
	for {
		before := needed
		out := library[:0:0]
		for _, f := range library {
			if !f.plain || f.has()&needed != 0 {
				out = append(out, f)
				needed |= f.has() | f.mentions
			}
		}
		if needed == before {
			return out, needed
		}
	}
}

// promote moves leaves to the library that write an id which the library writes
// too: the library would be incomplete without them.
func promote(library, leaves []*sourceFile) (_, _ []*sourceFile) {
	ids := map[string]bool{}
	add := func(f *sourceFile) {
		for _, l := range f.ids {
			if l.field == "profiles" {
				ids[l.id] = true
			}
		}
	}
	for _, f := range library {
		add(f)
	}
	if len(ids) == 0 {
		return library, leaves
	}
	for {
		rest := leaves[:0:0]
		for _, f := range leaves {
			if slices.ContainsFunc(f.ids, func(l label) bool { return ids[l.id] }) {
				library = append(library, f)
				add(f)
			} else {
				rest = append(rest, f)
			}
		}
		if len(rest) == len(leaves) {
			return library, leaves
		}
		leaves = rest
	}
}

// groups joins leaves that write the same id.
func groups(leaves []*sourceFile) [][]*sourceFile {
	leader := make([]int, len(leaves)) // union-find, by index
	var find func(int) int
	find = func(i int) int {
		if leader[i] != i {
			leader[i] = find(leader[i])
		}
		return leader[i]
	}
	owner := make(map[string]int, len(leaves))
	for i, f := range leaves {
		leader[i] = i
		for _, l := range f.ids {
			if j, ok := owner[l.id]; ok {
				leader[find(i)] = find(j)
			} else {
				owner[l.id] = i
			}
		}
	}
	at := map[int]int{}
	var out [][]*sourceFile
	for i, f := range leaves {
		n, ok := at[find(i)]
		if !ok {
			n = len(out)
			at[find(i)] = n
			out = append(out, nil)
		}
		out[n] = append(out[n], f)
	}
	return out
}

// packages names all that the site's files import from it.
func (s *site) packages() []byte {
	imported := map[string]bool{}
	for _, f := range s.all {
		for _, p := range f.imports {
			imported[p] = true
		}
	}
	h := sha256.New()
	h.Write([]byte(s.module + "@" + s.major))
	for _, p := range sortedKeys(imported) {
		dir, pkg, ok := s.ownPackage(p)
		if !ok {
			continue
		}
		s.importsSite = s.importsSite || pkg == "site"
		for _, f := range s.packageFiles(dir, pkg) {
			h.Write(f.hash[:])
		}
	}
	return h.Sum(nil)
}

// key names files, in any order, and more.
func key(files []*sourceFile, more ...[]byte) unitKey {
	h := sha256.New()
	sorted := files
	if len(files) > 1 {
		sorted = slices.SortedFunc(slices.Values(files), func(a, b *sourceFile) int { return cmp.Compare(a.name, b.name) })
	}
	for _, f := range sorted {
		h.Write(f.hash[:])
	}
	for _, m := range more {
		h.Write(m)
	}
	return unitKey(h.Sum(nil))
}
