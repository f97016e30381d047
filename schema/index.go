package schema

import (
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/literal"
	"cuelang.org/go/cue/token"
)

// An index finds where the site's files write things. CUE's own positions are
// often empty or point into the schema. Ids are known at once; what is below
// them is looked up in the files when there is something to say about it.
type index struct {
	ids    map[string]map[string][]idSite // by field and id
	tops   map[string][]*sourceFile       // files of package site that have a top-level field
	walked map[*sourceFile]bool
	fields map[string]writtenField // by path
}

// An idSite is a file that writes an id as a label.
type idSite struct {
	file *sourceFile
	pos  Position
}

// A writtenField is a path that a file writes as literal labels.
type writtenField struct {
	path []string
	pos  Position
}

func newIndex(files map[string][]*sourceFile) index {
	x := index{
		ids: map[string]map[string][]idSite{}, tops: map[string][]*sourceFile{},
		walked: map[*sourceFile]bool{}, fields: map[string]writtenField{},
	}
	for _, dir := range sortedKeys(files) {
		for _, f := range files[dir] {
			if f.pkg != "site" {
				continue
			}
			for _, l := range f.labels {
				x.tops[l.field] = append(x.tops[l.field], f)
			}
			for _, l := range f.ids {
				if x.ids[l.field] == nil {
					x.ids[l.field] = map[string][]idSite{}
				}
				x.ids[l.field][l.id] = append(x.ids[l.field][l.id], idSite{f, l.pos})
			}
		}
	}
	return x
}

// id gives the files that write an id, in file order.
func (x *index) id(field, id string) []idSite { return x.ids[field][id] }

// find gives the position of the path or of its nearest ancestor that a file
// writes.
func (x *index) find(p []string) (Position, bool) {
	if len(p) == 0 {
		return Position{}, false
	}
	if len(p) >= 2 && len(x.id(p[0], p[1])) > 0 {
		for _, s := range x.id(p[0], p[1]) {
			x.walk(s.file)
		}
	} else {
		for _, f := range x.tops[p[0]] {
			x.walk(f)
		}
	}
	for n := len(p); n > 0; n-- {
		if f, ok := x.fields[joinPath(p[:n])]; ok {
			return f.pos, n == len(p)
		}
	}
	return Position{}, false
}

// at is find for a place that surely is below a known field.
func (x *index) at(p ...string) Position {
	pos, _ := x.find(p)
	return pos
}

// walk notes all that a file writes.
func (x *index) walk(f *sourceFile) {
	if x.walked[f] {
		return
	}
	x.walked[f] = true
	tree, err := f.parse()
	if err != nil {
		return // reported when it was read
	}
	for _, d := range tree.Decls {
		field, is := d.(*ast.Field)
		if !is {
			continue
		}
		if name, ok := fieldName(field); ok {
			x.note([]string{name}, field.Label.Pos())
			x.expression([]string{name}, field.Value)
		}
	}
}

func (x *index) note(p []string, pos token.Pos) {
	if !pos.IsValid() {
		return
	}
	key, at := joinPath(p), position(pos)
	// The first of several, in whatever order the files are walked.
	if before, ok := x.fields[key]; !ok || at.compare(before.pos) < 0 {
		x.fields[key] = writtenField{path: p, pos: at}
	}
}

func (x *index) expression(prefix []string, e ast.Expr) {
	below := func(l string) []string { return append(prefix[:len(prefix):len(prefix)], l) }
	switch e := e.(type) {
	case *ast.StructLit:
		for _, d := range e.Elts {
			switch d := d.(type) {
			case *ast.Field:
				if l, ok := fieldName(d); ok && !isHidden(l) {
					x.note(below(l), d.Label.Pos())
					x.expression(below(l), d.Value)
				}
			case *ast.EmbedDecl:
				x.expression(prefix, d.Expr)
			}
		}
	case *ast.ListLit:
		for i, element := range e.Elts {
			x.note(below(itoa(i)), element.Pos())
			x.expression(below(itoa(i)), element)
		}
	case *ast.ParenExpr:
		x.expression(prefix, e.X)
	case *ast.BinaryExpr:
		if e.Op == token.AND {
			x.expression(prefix, e.X)
			x.expression(prefix, e.Y)
		}
	}
}

// joinPath writes a path as CUE does: quoted where a part is no identifier.
func joinPath(parts []string) string {
	n := len(parts)
	for _, p := range parts {
		n += len(p)
	}
	b := make([]byte, 0, n)
	for i, p := range parts {
		if i > 0 {
			b = append(b, '.')
		}
		if ast.IsValidIdent(p) || isNumber(p) {
			b = append(b, p...)
		} else {
			b = append(b, literal.String.Quote(p)...)
		}
	}
	return string(b)
}
