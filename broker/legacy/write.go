package legacy

import (
	"fmt"
	"strings"

	"cuelang.org/go/cue/ast"
)

// Files are the files of the site, by slash-separated path: all but the copies
// of schema and library that `x2broker vendor` puts beside them.
func (i *Import) Files() (map[string][]byte, error) {
	files := map[string][]byte{}
	var err error
	write := func(name string, head, tail []Comment, fields ...*node) {
		data, e := file("site", head, tail, fields...)
		if e != nil && err == nil {
			err = fmt.Errorf("write %s: %w", name, e)
		}
		files[name] = data
	}
	site := named("site")
	site.put("name", ast.NewString("X2Go"), said("As people know it: the old broker had no name."))
	site.put("timezone", ast.NewString("UTC"), said(`Policies see the clock in this zone, like "Europe/Berlin".`))
	write("site.cue", nil, nil, site)
	if len(i.Servers) > 0 {
		write("servers.cue", nil, nil, i.serversNode())
	}

	names := fileNames{"defaults": true}
	if len(i.lifted) > 0 || len(i.header) > 0 || len(i.loose) > 0 {
		write("profiles/defaults.cue", join(i.header, i.loose), nil, i.defaultsNode()...)
	}
	for n, p := range i.Profiles {
		var tail []Comment
		if n == len(i.Profiles)-1 {
			tail = i.trailer
		}
		write(names.of(p.ID), nil, tail, p.node())
	}
	return files, err
}

// join puts an empty line between comments that were apart.
func join(groups ...[]Comment) []Comment {
	var out []Comment
	for _, g := range groups {
		if len(out) > 0 && len(g) > 0 {
			out = append(out, Comment{})
		}
		out = append(out, g...)
	}
	return out
}

func (i *Import) serversNode() *node {
	servers := named("servers").with(said("The hosts of the profiles: one is named here once."))
	for _, s := range i.Servers {
		n := named(s.ID)
		if s.Address != s.ID {
			n.put("address", ast.NewString(s.Address), nil)
		}
		if s.Port != 22 {
			n.put("port", expr(s.Port), nil)
		}
		if s.Name != s.ID {
			n.put("hostname", ast.NewString(s.Name), nil)
		}
		servers.add(n)
	}
	return servers
}

func (i *Import) defaultsNode() []*node {
	if len(i.lifted) == 0 {
		return nil
	}
	all := pattern()
	for _, first := range order {
		for _, l := range i.lifted {
			if first != "" && strings.HasPrefix(l.path, first) {
				all.put(l.path, fallback(l.value), l.comments)
			}
		}
	}
	return []*node{named("profiles").add(all).
		with(said("What the profiles have in common. A profile may say otherwise."))}
}

// order is that of the fields of a profile.
var order = []string{"name", "x2go.", "hosts.", "", "autologin", "usebrokerpass", "icon"}

func (p *Profile) node() *node {
	n := named(p.ID)
	for _, first := range order {
		if first == "" {
			p.access.put(n, nil)
			n.kids[len(n.kids)-1].with(p.acl) // access or legacyACL
			continue
		}
		for _, f := range p.fields {
			if strings.HasPrefix(f.path, first) {
				n.put(f.path, expr(f.value), f.comments)
			}
		}
	}
	return named("profiles").with(p.comments).add(n)
}
