package schema

import (
	"bytes"
	"slices"

	"cuelang.org/go/cue/literal"
	"cuelang.org/go/cue/scanner"
	"cuelang.org/go/cue/token"
)

// quickLeaf recognises the plainest leaves by their tokens alone: `package site`
// and one field profiles, with literal ids and no references or choices. Most files of a large site are like
// this, and parsing takes a fifth of the time that evaluating them does. It
// reports false for whatever it is not sure of; that is parsed then.
//
// Values are not looked into, so that a file may still turn out not to parse
// when it is evaluated.
func quickLeaf(f *sourceFile) bool {
	if bytes.Count(f.data, []byte("profiles")) != 1 || bytes.IndexByte(f.data, '@') >= 0 ||
		bytes.Contains(f.data, []byte("self")) || f.aside() {
		return false
	}
	q := quick{file: f}
	q.scanner.Init(token.NewFile(f.name, -1, len(f.data)), f.data, func(token.Pos, string, []any) { q.failed = true }, 0)
	q.next()
	q.next()
	if !q.leaf() || q.failed {
		f.ids, f.access, f.labels = nil, nil, nil
		return false
	}
	f.pkg, f.leaf, f.plain = "site", true, true
	return true
}

// A quick reads tokens with one of lookahead.
type quick struct {
	file    *sourceFile
	scanner scanner.Scanner
	failed  bool

	tok, ahead    token.Token
	lit, aheadLit string
	pos, aheadPos token.Pos
	passed        token.Pos // the label that was passed last
}

func (q *quick) next() {
	q.tok, q.lit, q.pos = q.ahead, q.aheadLit, q.aheadPos
	q.aheadPos, q.ahead, q.aheadLit = q.scanner.Scan()
	if q.ahead == token.INTERPOLATION || q.ahead == token.ILLEGAL {
		q.failed = true // the scanner needs the parser's help
		q.ahead = token.EOF
	}
	switch {
	case q.tok == token.OR:
		q.failed = true
	case q.tok == token.IDENT && q.ahead != token.COLON && !slices.Contains(literals, q.lit):
		q.failed = q.failed || q.file.labels != nil // behind the package clause
	}
}

// literals are identifiers that refer to nothing.
var literals = []string{"true", "false", "null"}

func (q *quick) leaf() bool {
	if q.tok != token.IDENT || q.lit != "package" || q.ahead != token.IDENT || q.aheadLit != "site" {
		return false
	}
	q.next()
	q.next()
	if q.tok != token.COMMA {
		return false
	}
	q.next()
	if q.tok != token.IDENT || q.lit != "profiles" || q.ahead != token.COLON {
		return false
	}
	q.file.labels = []label{{field: "profiles", pos: position(q.pos)}}
	q.next()
	q.next()
	if q.tok == token.LBRACE {
		q.next()
		for q.tok != token.RBRACE {
			if !q.profile() {
				return false
			}
			if q.tok == token.COMMA {
				q.next()
			}
		}
		q.next()
	} else if !q.profile() {
		return false
	}
	for q.tok == token.COMMA {
		q.next()
	}
	return q.tok == token.EOF && len(q.file.ids) > 0
}

// label gives the literal label before a colon.
func (q *quick) label() (string, bool) {
	if q.ahead != token.COLON {
		return "", false
	}
	switch q.tok {
	case token.IDENT:
		return q.lit, true
	case token.STRING:
		s, err := literal.Unquote(q.lit)
		return s, err == nil
	}
	return "", false
}

// profile reads one id with its value.
func (q *quick) profile() bool {
	id, ok := q.label()
	if !ok || isHidden(id) {
		return false
	}
	q.file.ids = append(q.file.ids, label{field: "profiles", id: id, pos: position(q.pos)})
	q.next()
	q.next()
	q.value(func(name string) {
		switch name {
		case "access":
			q.value(func(name string) {
				if name == "deny" {
					q.value(func(name string) { q.note(id, "deny."+name) })
				} else {
					q.note(id, name)
				}
			})
		case "legacyACL":
			q.value(func(kind string) {
				q.value(func(name string) { q.note(id, legacyPrefix+kind+"."+name) })
			})
		default:
			q.skip()
		}
	})
	return !q.failed
}

// note remembers where an access field is.
func (q *quick) note(id, field string) {
	q.file.access = append(q.file.access, label{field: field, id: id, pos: position(q.passed)})
	q.skip()
}

// value passes a value. Of a struct that is written out, it stops behind each
// literal label and lets each pass the field's value.
func (q *quick) value(each func(name string)) {
	if name, ok := q.label(); ok { // a: b: c
		q.field(name, each)
		return
	}
	if q.tok == token.LBRACE {
		q.next()
		for q.tok != token.RBRACE && !q.failed {
			if name, ok := q.label(); ok {
				q.field(name, each)
			} else {
				q.skip()
			}
			switch q.tok {
			case token.COMMA:
				q.next()
			case token.RBRACE:
			default:
				q.failed = true
			}
		}
		q.next()
	}
	q.skip() // all of it, or what is behind the struct
}

func (q *quick) field(name string, each func(name string)) {
	q.passed = q.pos
	q.next()
	q.next()
	each(name)
}

// skip passes everything up to the end of the value.
func (q *quick) skip() {
	for depth := 0; ; q.next() {
		switch q.tok {
		case token.LBRACE, token.LBRACK, token.LPAREN:
			depth++
		case token.RBRACE, token.RBRACK, token.RPAREN:
			if depth == 0 {
				return
			}
			depth--
		case token.COMMA:
			if depth == 0 {
				return
			}
		case token.EOF:
			q.failed = q.failed || depth > 0
			return
		}
	}
}
