package legacy

import (
	"reflect"
	"slices"
	"strings"
)

// lifted is a default of all profiles, written once.
type lifted struct {
	path     string
	value    any
	comments []Comment
}

// lift finds the values that [DEFAULT] has or that all profiles share, and
// leaves in each profile what differs from them.
func (i *importer) lift() {
	var paths []string
	for _, p := range i.Profiles {
		for _, f := range p.fields {
			if f.path != "name" && !slices.Contains(paths, f.path) {
				paths = append(paths, f.path)
			}
		}
	}
	for _, path := range paths {
		value, ok := i.common(path)
		if ok {
			i.lifted = append(i.lifted, lifted{path, value, i.defaultComments(path)})
		}
		for _, p := range i.Profiles {
			i.settle(p, path, value, ok)
		}
	}
}

// common gives the value of a field that most profiles have. There is none when
// a profile has to be without that field, and when x2broker has the same one.
func (i *importer) common(path string) (any, bool) {
	var value any
	var inherited []any // as [DEFAULT] came out, which is not the same for all: SHADOW has one host of it
	same := len(i.Profiles) > 1 && path != "hosts.ids"
	for n, p := range i.Profiles {
		f := p.field(path)
		switch {
		case f == nil && ownDefault(path) == nil:
			return nil, false
		case f == nil:
			same = false
		case f.at.Section == defaultSection:
			inherited = append(inherited, f.value)
		default:
			same = same && (n == 0 || reflect.DeepEqual(value, f.value))
			value = f.value
		}
	}
	if len(inherited) > 0 {
		value, same = mostFrequent(inherited), true
	}
	return value, same && !reflect.DeepEqual(value, ownDefault(path))
}

// mostFrequent gives the value that is there most often, of several the first.
func mostFrequent(values []any) any {
	var distinct []any
	var counts []int
	for _, v := range values {
		n := slices.IndexFunc(distinct, func(d any) bool { return reflect.DeepEqual(d, v) })
		if n < 0 {
			n, distinct, counts = len(distinct), append(distinct, v), append(counts, 0)
		}
		counts[n]++
	}
	return distinct[slices.Index(counts, slices.Max(counts))]
}

// settle leaves a field in a profile only where its default would say something
// else, or a comment explains it.
func (i *importer) settle(p *Profile, path string, value any, isLifted bool) {
	f := p.field(path)
	if !isLifted {
		value = ownDefault(path)
	}
	switch {
	case f == nil && isLifted && (path != "x2go.rootless" || !p.desktop()):
		p.set(path, ownDefault(path), Origin{}, nil)
	case f != nil && len(f.comments) == 0 && reflect.DeepEqual(f.value, value):
		p.unset(path)
	}
}

// desktop reports whether the broker sends the command as a desktop.
func (p *Profile) desktop() bool { return desktops[strings.ToUpper(p.Options["command"])] }

// ownDefault is what x2broker sends for a field that is not written, nil if
// nothing.
func ownDefault(path string) any {
	if key, ok := strings.CutPrefix(path, "x2go."); ok {
		return builtin[key]
	}
	if path == "icon" {
		return nil
	}
	return topFields[path]
}

// defaultComments are those of the option of [DEFAULT] behind a field.
func (i *importer) defaultComments(path string) []Comment {
	name := strings.TrimPrefix(path, "x2go.")
	if path == "hosts.ids" {
		name = "host"
	}
	o, _ := i.file.Defaults.Option(name)
	return o.Comments
}
