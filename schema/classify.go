package schema

import (
	"bytes"
	"crypto/sha256"
	"path"
	"slices"
	"strings"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/literal"
	"cuelang.org/go/cue/parser"
	"cuelang.org/go/cue/token"
)

// A sourceFile is a CUE file of the site and what its syntax alone tells. It
// depends on the name and the content of the file only, and is never changed.
type sourceFile struct {
	name string
	dir  string
	data []byte
	hash [sha256.Size]byte // of name and data

	unread  string // why it cannot be read
	err     error  // it does not parse
	pkg     string
	refused []attribute // attributes that a site may not have
	circles []Position  // comprehensions that make profiles from all profiles
	imports []string
	labels  []label // top-level regular fields
	ids     []label // second level of the fields that hold things by id
	access  []label // fields of access, as "deny.users", and of legacyACL, as "legacyACL.users.allow", by profile

	// leaf: nothing but profiles under literal ids, none of which looks at the
	// others. Leaves can be evaluated in any company.
	leaf bool
	// computes: it may make profiles whose ids are not written anywhere, or looks
	// at all profiles. All files that see it must be evaluated together.
	computes bool
	// plain: nothing but fields of the top level that a site has, which only those
	// can see who mention them.
	plain bool
	// mentions are the fields of the top level that something here may refer to.
	mentions fieldSet
	// usesVendored: it may use what only the site's copy of the bindings defines.
	usesVendored bool
	// chooses: which server is meant may be a choice, which the site's copy of the
	// bindings decides by what servers there are.
	chooses bool
}

// A label is a field written with a literal name.
type label struct {
	field string // top-level field
	id    string // below it; "" for the field itself
	pos   Position
}

// A fieldSet has a bit for each field of topLevel.
type fieldSet uint8

const allFields = ^fieldSet(0)

// has gives the fields of the top level that the file has.
func (f *sourceFile) has() fieldSet {
	var set fieldSet
	for _, l := range f.labels {
		if i := slices.Index(topLevel, l.field); i >= 0 {
			set |= 1 << i
		}
	}
	return set
}

type attribute struct {
	name string
	pos  Position
}

// aside reports whether the file is for cue's commands or tests, which are no
// part of the package: it must be well formed, and that is all.
func (f *sourceFile) aside() bool {
	return strings.HasSuffix(f.name, "_tool.cue") || strings.HasSuffix(f.name, "_test.cue")
}

// parse gives a fresh syntax tree: resolving identifiers changes it, so that
// two instances must not share one.
func (f *sourceFile) parse() (*ast.File, error) {
	return parser.ParseFile(f.name, f.data)
}

// hashFile names a file with its content.
func hashFile(name string, data []byte) (sum [sha256.Size]byte) {
	h := sha256.New()
	h.Write([]byte(name))
	h.Write([]byte{0})
	h.Write(data)
	h.Sum(sum[:0])
	return sum
}

// classify looks at a file.
func classify(name string, data []byte, hash [sha256.Size]byte) *sourceFile {
	f := &sourceFile{name: name, dir: path.Dir(name), data: data, hash: hash}
	f.usesVendored = bytes.Contains(data, []byte("_serverRE"))
	if quickLeaf(f) {
		return f
	}
	return f.classify()
}

// classify parses the file and looks at it.
func (f *sourceFile) classify() *sourceFile {
	tree, err := f.parse()
	if err != nil {
		f.err = err
		return f
	}
	f.pkg = tree.PackageName()
	for spec := range tree.ImportSpecs() {
		f.imports = append(f.imports, importPath(spec))
	}
	c := classifier{file: f, self: bytes.Contains(f.data, []byte("self"))}
	// Many files have the word "profiles" once, as a label of the top level.
	words := bytes.Count(f.data, []byte("profiles"))
	c.reads = words > 1 || words == 1 && !slices.ContainsFunc(tree.Decls, func(d ast.Decl) bool {
		field, is := d.(*ast.Field)
		if !is {
			return false
		}
		name, _ := fieldName(field)
		return name == "profiles"
	})
	if bytes.IndexByte(f.data, '@') >= 0 {
		ast.Walk(tree, c.attributes, nil)
	}
	c.declarations(tree)
	f.chooses = chooses(tree)
	for i, name := range topLevel {
		if bytes.Contains(f.data, []byte(name)) && mentions(tree, name) || c.self && mentions(tree, "self") {
			f.mentions |= 1 << i
		}
	}
	return f
}

// A classifier walks one file.
type classifier struct {
	file        *sourceFile
	self, reads bool // it is worth looking for "self" and for uses of "profiles"
}

// looksAtProfiles reports whether n can see profiles other than by a label.
func (c *classifier) looksAtProfiles(n ast.Node) bool {
	return c.reads && mentions(n, "profiles") || c.self && mentions(n, "self")
}

func (c *classifier) attributes(n ast.Node) bool {
	a, is := n.(*ast.Attribute)
	if !is {
		return true
	}
	switch key, _ := a.Split(); key {
	case "if", "ignore", "extern", "embed":
		c.file.refused = append(c.file.refused, attribute{key, position(a.Pos())})
	}
	return true
}

// declarations looks at the top level.
func (c *classifier) declarations(tree *ast.File) {
	f := c.file
	f.leaf, f.plain = true, true
	for _, d := range tree.Decls {
		switch d := d.(type) {
		case *ast.Package, *ast.ImportDecl, *ast.CommentGroup:
		case *ast.Field:
			c.field(d)
		case *ast.LetClause:
			f.leaf, f.plain = false, false
			f.computes = f.computes || c.looksAtProfiles(d)
		default: // a comprehension or an embedding can make anything
			f.leaf, f.plain, f.computes = false, false, true
			if made, is := d.(*ast.Comprehension); is && mentionsLabel(made.Value, "profiles") {
				c.circle(made)
			}
		}
	}
	f.leaf = f.leaf && len(f.ids) > 0
	f.plain = f.plain && len(f.labels) > 0
}

func (c *classifier) field(d *ast.Field) {
	f := c.file
	name, literal := fieldName(d)
	if literal && !isHidden(name) {
		f.labels = append(f.labels, label{field: name, pos: position(d.Label.Pos())})
	}
	if !literal {
		// A dynamic label, or a pattern over the top level.
		f.leaf, f.plain, f.computes = false, false, true
		return
	}
	if !slices.Contains(topLevel, name) {
		f.plain = false
	}
	if name != "profiles" {
		f.leaf = false
	}
	f.computes = f.computes || d.Alias != nil || c.looksAtProfiles(d.Value)
	s, isStruct := d.Value.(*ast.StructLit)
	if !isStruct {
		// cases: x & {...} and the like: still a value of that field alone.
		f.leaf = false
		f.computes = f.computes || name == "profiles"
		return
	}
	for _, e := range s.Elts {
		field, is := e.(*ast.Field)
		if !is {
			if made, is := e.(*ast.Comprehension); is && name == "profiles" {
				c.circle(made)
			}
			if _, comment := e.(*ast.CommentGroup); !comment {
				f.leaf = false
				f.computes = f.computes || name == "profiles"
			}
			continue
		}
		id, literal := fieldName(field)
		switch {
		case literal && isRegular(field):
			f.ids = append(f.ids, label{field: name, id: id, pos: position(field.Label.Pos())})
			if name == "profiles" {
				c.access(id, "", field.Value, 0)
			}
		case isPattern(field), literal:
			f.leaf = false
		default:
			f.leaf = false
			f.computes = f.computes || name == "profiles"
		}
	}
	if f.computes {
		f.leaf = false
	}
}

// circle notes a comprehension that ranges over the profiles to make profiles.
// Whether CUE finds that out, and what it makes of it, depends on the order of
// the files.
func (c *classifier) circle(made *ast.Comprehension) {
	for _, clause := range made.Clauses {
		if over, is := clause.(*ast.ForClause); is && c.looksAtProfiles(over.Source) {
			c.file.circles = append(c.file.circles, position(made.Pos()))
			return
		}
	}
}

// chooses reports whether n has a choice between more than plain values, a
// choice within a list, or ids that are no list of strings.
func chooses(n ast.Node) bool {
	found := false
	lists := 0
	ast.Walk(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ListLit:
			lists++
		case *ast.BinaryExpr:
			found = found || n.Op == token.OR && (lists > 0 || !isPlain(n.X) || !isPlain(n.Y))
		case *ast.Field:
			if name, _ := fieldName(n); name == "ids" {
				found = found || !isStrings(n.Value)
			}
		}
		return !found
	}, func(n ast.Node) {
		if _, is := n.(*ast.ListLit); is {
			lists--
		}
	})
	return found
}

// isPlain reports whether e is a literal, a type or a choice of such, and no
// list or struct.
func isPlain(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit:
		return true
	case *ast.Ident:
		return slices.Contains([]string{"bool", "string", "int", "number", "float", "true", "false", "null"}, e.Name)
	case *ast.UnaryExpr:
		return isPlain(e.X)
	case *ast.ParenExpr:
		return isPlain(e.X)
	case *ast.BinaryExpr:
		return isPlain(e.X) && isPlain(e.Y)
	}
	return false
}

// isStrings reports whether e is a list of literal strings.
func isStrings(e ast.Expr) bool {
	list, is := e.(*ast.ListLit)
	return is && !slices.ContainsFunc(list.Elts, func(e ast.Expr) bool {
		lit, is := e.(*ast.BasicLit)
		return !is || lit.Kind != token.STRING
	})
}

// mentionsLabel reports whether a field of that name is written below n.
func mentionsLabel(n ast.Node, name string) bool {
	found := false
	ast.Walk(n, func(n ast.Node) bool {
		if f, is := n.(*ast.Field); is {
			l, _ := fieldName(f)
			found = found || l == name
		}
		return !found
	}, nil)
	return found
}

// access notes where a profile writes the fields of its access: at depth 0 the
// profile, below it access itself, below that deny; and those of its legacyACL,
// below which are the kinds.
func (c *classifier) access(id, prefix string, e ast.Expr, depth int) {
	for {
		b, is := e.(*ast.BinaryExpr) // {...} & more
		if !is {
			break
		}
		e = b.X
	}
	s, is := e.(*ast.StructLit)
	if !is {
		return
	}
	for _, d := range s.Elts {
		field, is := d.(*ast.Field)
		if !is {
			continue
		}
		name, literal := fieldName(field)
		switch {
		case !literal, depth == 0 && name != "access" && name != "legacyACL":
		case depth == 0 && name == "access":
			c.access(id, "", field.Value, 1)
		case depth == 0:
			c.access(id, legacyPrefix, field.Value, 1)
		case depth == 1 && (name == "deny" && prefix == "" || prefix == legacyPrefix):
			c.access(id, prefix+name+".", field.Value, 2)
		default:
			c.file.access = append(c.file.access, label{field: prefix + name, id: id, pos: position(field.Label.Pos())})
		}
	}
}

// isPattern reports whether the label is [x]: a constraint, which makes no field.
func isPattern(f *ast.Field) bool {
	_, ok := f.Label.(*ast.ListLit)
	return ok
}

// isRegular reports whether a field makes something: x?: and x!: constrain only.
func isRegular(f *ast.Field) bool {
	l, _ := fieldName(f)
	return f.Constraint == token.ILLEGAL && !isHidden(l)
}

// isHidden reports whether a label is of a hidden field or a definition, which
// are free.
func isHidden(label string) bool {
	return strings.HasPrefix(label, "_") || strings.HasPrefix(label, "#")
}

// mentions reports whether an identifier of that name is used below n. It does
// not resolve scopes, and errs on the side of yes.
func mentions(n ast.Node, name string) bool {
	found := false
	var walk func(ast.Node) bool
	walk = func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			// The label is no use of the name, unless it is computed.
			switch n.Label.(type) {
			case *ast.Ident, *ast.BasicLit:
			default:
				ast.Walk(n.Label, walk, nil)
			}
			if n.Value != nil {
				ast.Walk(n.Value, walk, nil)
			}
			return false
		case *ast.Package:
			return false
		case *ast.SelectorExpr:
			ast.Walk(n.X, walk, nil) // x.profiles is no use of profiles
			return false
		case *ast.Ident:
			found = found || n.Name == name
		}
		return !found
	}
	ast.Walk(n, walk, nil)
	return found
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
