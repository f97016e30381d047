package schema

import (
	"path"
	"strings"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/literal"
	"cuelang.org/go/cue/token"
)

// An index remembers where the site's files write each path as literal labels.
// CUE's own positions are often empty or point into the schema.
type index struct {
	fields map[string]writtenField        // by path: where a field or element is written first
	ids    map[string]map[string][]idSite // "profiles" -> id -> where it is a label
}

// A writtenField is a path that a file writes as literal labels.
type writtenField struct {
	path []string
	pos  Position
}

// An idSite is a place where a file writes an id as a label.
type idSite struct {
	dir string
	pos Position
}

func newIndex() *index {
	return &index{fields: map[string]writtenField{}, ids: map[string]map[string][]idSite{}}
}

// add walks one top-level field.
func (x *index) add(label string, f *sourceFile, field *ast.Field) {
	if x.ids[label] == nil {
		x.ids[label] = map[string][]idSite{}
	}
	x.note([]string{label}, field.Label.Pos())
	x.walk([]string{label}, field.Value, f)
}

func (x *index) note(p []string, pos token.Pos) {
	key := joinPath(p)
	if _, ok := x.fields[key]; !ok && pos.IsValid() {
		x.fields[key] = writtenField{path: p, pos: position(pos)}
	}
}

func (x *index) walk(prefix []string, e ast.Expr, f *sourceFile) {
	switch e := e.(type) {
	case *ast.StructLit:
		for _, d := range e.Elts {
			switch d := d.(type) {
			case *ast.Field:
				label, ok := fieldName(d)
				if !ok {
					continue
				}
				p := append(prefix[:len(prefix):len(prefix)], label)
				x.note(p, d.Label.Pos())
				if len(p) == 2 {
					x.ids[p[0]][label] = append(x.ids[p[0]][label], idSite{dir: path.Dir(f.name), pos: position(d.Label.Pos())})
				}
				x.walk(p, d.Value, f)
			case *ast.EmbedDecl:
				x.walk(prefix, d.Expr, f)
			}
		}
	case *ast.ListLit:
		for i, elt := range e.Elts {
			p := append(prefix[:len(prefix):len(prefix)], itoa(i))
			x.note(p, elt.Pos())
			x.walk(p, elt, f)
		}
	case *ast.ParenExpr:
		x.walk(prefix, e.X, f)
	case *ast.BinaryExpr:
		if e.Op == token.AND {
			x.walk(prefix, e.X, f)
			x.walk(prefix, e.Y, f)
		}
	}
}

// find gives the position of the path or of its nearest ancestor that a file
// writes.
func (x *index) find(p []string) (Position, bool) {
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

// fieldName is the label of a field if it is written out: an identifier or a
// plain string.
func fieldName(f *ast.Field) (string, bool) {
	switch l := f.Label.(type) {
	case *ast.Ident:
		return l.Name, true
	case *ast.BasicLit:
		if l.Kind != token.STRING {
			return "", false
		}
		s, err := literal.Unquote(l.Value)
		return s, err == nil
	}
	return "", false
}

// position translates a position of CUE; places in the built-in schema, which
// no admin can open, become the zero Position.
func position(p token.Pos) Position {
	if !p.IsValid() || p.Filename() == "" || strings.HasPrefix(p.Filename(), "<") {
		return Position{}
	}
	return Position{File: p.Filename(), Line: p.Line(), Column: p.Column()}
}

// joinPath writes a path as CUE does: quoted where a part is no identifier.
func joinPath(parts []string) string {
	var b strings.Builder
	for i, p := range parts {
		if i > 0 {
			b.WriteByte('.')
		}
		if ast.IsValidIdent(p) || isNumber(p) {
			b.WriteString(p)
		} else {
			b.WriteString(literal.String.Quote(p))
		}
	}
	return b.String()
}
