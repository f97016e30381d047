package schema

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// read reads the tree. Files that are as before are not parsed again.
func (s *site) read(before map[string]*sourceFile, workers int) error {
	err := fs.WalkDir(s.tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := path.Base(name)
		if name != "." && (base[0] == '.' || base[0] == '_') {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		switch {
		case d.Type()&fs.ModeSymlink != 0:
			s.errorf(Position{File: name}, "", "symbolic links are not read: put the file itself here")
			return nil
		case d.IsDir() && base == "cue.mod":
			if name != "cue.mod" {
				s.errorf(Position{File: name}, "", "a site has one cue.mod, in its root: remove this one")
			}
			return fs.SkipDir
		case d.IsDir() || path.Ext(name) != ".cue":
			return nil
		case !d.Type().IsRegular():
			s.errorf(Position{File: name}, "", "not a regular file")
			return nil
		}
		s.names = append(s.names, name)
		return nil
	})
	if err != nil {
		return err
	}
	files := make([]*sourceFile, len(s.names))
	inParallel(workers, len(files), func(i int) { files[i] = s.readFile(s.names[i], before[s.names[i]]) })
	s.all = make(map[string]*sourceFile, len(files))
	for i, name := range s.names {
		s.all[name] = files[i]
	}
	s.readModule()
	return nil
}

// order finds the instances.
func (s *site) order() {
	s.files = map[string][]*sourceFile{}
	brokenDirs := map[string]bool{}
	for _, name := range s.names {
		if f := s.all[name]; !s.add(f) {
			s.broken = true
			brokenDirs[f.dir] = true
		}
	}
	s.checkModule()
	s.index = newIndex(s.files)
	s.findInstances(brokenDirs)
}

// inParallel calls f for 0 to n-1, in chunks.
func inParallel(workers, n int, f func(int)) {
	const chunk = 64
	var next atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for {
				from := int(next.Add(chunk)) - chunk
				if from >= n {
					return
				}
				for i := from; i < min(from+chunk, n); i++ {
					f(i)
				}
			}
		})
	}
	wg.Wait()
}

// readFile classifies one file, unless it is as before.
func (s *site) readFile(name string, before *sourceFile) (f *sourceFile) {
	defer func() {
		if r := recover(); r != nil { // as from CUE's parser
			f = &sourceFile{name: name, dir: path.Dir(name), unread: fmt.Sprintf("CUE's parser failed: %v", r)}
		}
	}()
	data, err := fs.ReadFile(s.tree, name)
	switch {
	case err != nil:
		return &sourceFile{name: name, dir: path.Dir(name), unread: "cannot be read: " + plainError(err).Error()}
	case len(data) > MaxFileBytes:
		return &sourceFile{name: name, dir: path.Dir(name), unread: fmt.Sprintf("is larger than %d bytes: split it", MaxFileBytes)}
	case before != nil && before.data != nil && bytes.Equal(before.data, data):
		return before
	}
	hash := hashFile(name, data)
	if before != nil && before.data == nil && before.hash == hash { // from a file of Save
		f := *before
		f.data = data
		return &f
	}
	return classify(name, data, hash)
}

// add takes one file in and reports whether it can be evaluated.
func (s *site) add(f *sourceFile) bool {
	s.usesVendored = s.usesVendored || f.usesVendored && f.name != VendoredBinding
	switch {
	case f.unread != "":
		s.errorf(Position{File: f.name}, "", "%s", f.unread)
		return false
	case f.err != nil:
		s.report(f.err, nil)
		return false
	case f.pkg == "":
		s.errorf(Position{File: f.name}, "", "has no package clause: begin the file with `package site`")
		return false
	}
	for _, a := range f.refused {
		s.errorf(a.pos, "", "@%s is not supported: a site is the same on every machine", a.name)
	}
	for _, pos := range f.circles {
		s.errorf(pos, "profiles", "profiles are made here from all profiles, which has no certain result: range over a hidden field instead")
	}
	if f.pkg == "site" && !f.aside() {
		s.checkLabels(f)
	}
	if len(f.refused) > 0 {
		return false
	}
	if f.aside() {
		s.aside = append(s.aside, f)
		return true
	}
	s.files[f.dir] = append(s.files[f.dir], f)
	return true
}

// checkLabels refuses top-level fields that a site does not have, or has in its
// root only.
func (s *site) checkLabels(f *sourceFile) {
	for _, l := range f.labels {
		switch {
		case !slices.Contains(topLevel, l.field):
			s.errorf(l.pos, l.field, "unknown top-level field%s (a site has %s; hidden _fields, #Definitions and let are free)",
				DidYouMean(l.field, topLevel), strings.Join(topLevel, ", "))
		case f.dir != "." && l.field != "profiles":
			s.errorf(l.pos, l.field, "%s may stand in the root directory of the site only", l.field)
		}
	}
}

// findInstances orders the directories of package site, parents first.
func (s *site) findInstances(brokenDirs map[string]bool) {
	dirs := make([]string, 0, len(s.files))
	other := map[string]*sourceFile{}
	for dir, files := range s.files {
		first := map[string]*sourceFile{}
		for _, f := range files {
			if first[f.pkg] == nil {
				first[f.pkg] = f
			}
		}
		if len(first) > 1 {
			for pkg, f := range first {
				if pkg != "site" {
					s.errorf(Position{File: f.name}, "", "package %s shares a directory with package site: move it to a directory of its own, or did you mean `package site`?", pkg)
				}
			}
		}
		if first["site"] != nil {
			dirs = append(dirs, dir)
			continue
		}
		other[dir] = files[0]
	}
	slices.SortFunc(dirs, func(a, b string) int {
		// "." sorts before "a/b": by depth, then by name.
		if d := depth(a) - depth(b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	for _, f := range s.aside {
		if with := s.files[f.dir]; len(with) > 0 && with[0].pkg != f.pkg {
			s.errorf(Position{File: f.name}, "", "package %s shares a directory with package %s", f.pkg, with[0].pkg)
		}
	}
	byDir := map[string]*instance{}
	for _, dir := range dirs {
		in := &instance{dir: dir}
		for _, d := range chain(dir) {
			in.broken = in.broken || brokenDirs[d]
			if d != dir && byDir[d] != nil && in.parent == nil {
				in.parent = byDir[d]
				in.parent.ids = map[string]map[string]bool{"servers": {}, "profiles": {}}
			}
		}
		byDir[dir] = in
		s.instances = append(s.instances, in)
	}
	s.checkOrphans(other)
}

// checkOrphans warns of packages that nothing imports: most likely a profile in
// a file with the wrong package clause.
func (s *site) checkOrphans(packages map[string]*sourceFile) {
	imported := map[string]bool{}
	for _, f := range s.all {
		for _, p := range f.imports {
			if dir, _, ok := s.ownPackage(p); ok {
				imported[dir] = true
			}
		}
	}
	for dir, f := range packages {
		if !imported[dir] {
			s.warnf(Position{File: f.name}, "", "package %s is imported by no file, so nothing here has an effect: did you mean `package site`?", f.pkg)
		}
	}
}

// chain is a directory and those above it, up to the root.
func chain(dir string) []string {
	out := []string{dir}
	for dir != "." {
		dir = path.Dir(dir)
		out = append(out, dir)
	}
	return out
}

func depth(dir string) int { return len(chain(dir)) - 1 }
