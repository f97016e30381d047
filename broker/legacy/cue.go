package legacy

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/format"
	"cuelang.org/go/cue/token"
)

// A node is a field of a CUE file: a value, or a struct of further nodes.
type node struct {
	label    ast.Label
	comments []Comment
	value    ast.Expr // nil for a struct
	kids     []*node
}

func named(label string) *node { return &node{label: ast.NewStringLabel(label)} }

// pattern is the label [string], for all fields of a struct.
func pattern() *node { return &node{label: ast.NewList(ast.NewIdent("string"))} }

func (n *node) add(kids ...*node) *node {
	n.kids = append(n.kids, kids...)
	return n
}

func (n *node) with(comments []Comment) *node {
	n.comments = append(n.comments, comments...)
	return n
}

// put makes a field below n, by its path.
func (n *node) put(path string, value ast.Expr, comments []Comment) {
	first, rest, more := strings.Cut(path, ".")
	var kid *node
	for _, k := range n.kids {
		if name, _, err := ast.LabelName(k.label); err == nil && name == first {
			kid = k
		}
	}
	if kid == nil {
		kid = named(first)
		n.add(kid)
	}
	if more {
		kid.put(rest, value, comments)
		return
	}
	kid.value, kid.comments = value, comments
}

// field writes a chain like a: b: 1 where there is one thing in a struct, and
// braces else. A comment stands above the chain.
func (n *node) field() *ast.Field {
	if len(n.kids) == 1 && len(n.comments) == 0 {
		n.comments, n.kids[0].comments = n.kids[0].comments, nil
	}
	ast.SetRelPos(n.label, token.Blank) // the formatter makes chains of labels with a position only
	f := &ast.Field{Label: n.label, Value: n.value}
	if n.value == nil {
		s := &ast.StructLit{}
		if len(n.kids) != 1 || len(n.kids[0].comments) > 0 {
			s.Lbrace, s.Rbrace = token.Blank.Pos(), token.Newline.Pos()
		}
		for k, kid := range n.kids {
			kf := kid.field()
			if s.Lbrace.IsValid() {
				separate(kf, token.Newline, k > 0)
			}
			s.Elts = append(s.Elts, kf)
		}
		f.Value = s
	}
	if group := comment(n.comments); group != nil {
		ast.AddComment(f, group)
	}
	return f
}

// separate begins a new line, and leaves one empty above a comment.
func separate(f *ast.Field, rel token.RelPos, notFirst bool) {
	if groups := ast.Comments(f); len(groups) > 0 && notFirst {
		ast.SetRelPos(groups[0].List[0], token.NewSection)
	}
	ast.SetRelPos(f, rel)
}

// comment writes comments of an old file as those of CUE.
func comment(comments []Comment) *ast.CommentGroup {
	if len(comments) == 0 {
		return nil
	}
	group := &ast.CommentGroup{Doc: true}
	for _, c := range comments {
		text := commentText(c.Text)
		if text == "" && len(group.List) == 0 {
			continue
		}
		group.List = append(group.List, &ast.Comment{Text: strings.TrimRight("// "+text, " ")})
	}
	for n := len(group.List); n > 0 && group.List[n-1].Text == "//"; n-- {
		group.List = group.List[:n-1]
	}
	if len(group.List) == 0 {
		return nil
	}
	return group
}

// commentText takes off the marks of an INI file, and what CUE cannot bear.
func commentText(text string) string {
	bare := strings.TrimLeft(text, "#;")
	if len(text)-len(bare) > 1 { // a frame
		bare = strings.TrimRight(bare, "#;")
	}
	bare = strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case unicode.IsControl(r), r == '\uFEFF':
			return unicode.ReplacementChar
		}
		return r
	}, bare)
	return strings.TrimRightFunc(strings.TrimPrefix(bare, " "), unicode.IsSpace)
}

// said makes comments of sentences of ours.
func said(lines ...string) []Comment {
	var out []Comment
	for _, l := range lines {
		out = append(out, Comment{Text: l})
	}
	return out
}

// perLine is how many entries of a list go in one line.
const perLine = 6

// expr writes a value.
func expr(value any) ast.Expr {
	switch v := value.(type) {
	case bool:
		return ast.NewBool(v)
	case int:
		return ast.NewLit(token.INT, strconv.Itoa(v))
	case string:
		return ast.NewString(v)
	case []string:
		list := &ast.ListLit{}
		for _, e := range v {
			s := ast.NewString(e)
			if len(v) > perLine {
				ast.SetRelPos(s, token.Newline)
				list.Rbrack = token.Newline.Pos()
			}
			list.Elts = append(list.Elts, s)
		}
		return list
	}
	panic(fmt.Sprintf("legacy: no CUE for a %T", value))
}

// fallback writes a default that a profile may change.
func fallback(value any) ast.Expr {
	var kind ast.Expr
	switch value.(type) {
	case bool:
		kind = ast.NewIdent("bool")
	case int:
		kind = ast.NewIdent("int")
	case string:
		kind = ast.NewIdent("string")
	case []string:
		kind = ast.NewList(&ast.Ellipsis{Type: ast.NewIdent("string")})
	}
	return ast.NewBinExpr(token.OR, &ast.UnaryExpr{Op: token.MUL, X: expr(value)}, kind)
}

// file writes a file of package site, or one without a package.
func file(pkg string, head, tail []Comment, fields ...*node) ([]byte, error) {
	f := &ast.File{}
	if group := comment(head); group != nil {
		group.Doc = false
		f.Decls = append(f.Decls, group)
	}
	if pkg != "" {
		f.Decls = append(f.Decls, &ast.Package{Name: ast.NewIdent(pkg)})
	}
	for _, n := range fields {
		d := n.field()
		separate(d, token.NewSection, true)
		f.Decls = append(f.Decls, d)
	}
	if group := comment(tail); group != nil {
		group.Doc = false
		ast.SetRelPos(group.List[0], token.NewSection)
		f.Decls = append(f.Decls, group)
	}
	return format.Node(f)
}
