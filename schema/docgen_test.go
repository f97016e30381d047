package schema

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/literal"
	"cuelang.org/go/cue/parser"
	"cuelang.org/go/cue/token"
	"github.com/google/go-cmp/cmp"
)

// The pages are the schema's comments in another form. {{#Name}} stands for the
// table of that definition.
var pages = map[string]string{
	"../docs/profiles.md": `# The fields of a profile

` + generated + `

A profile is written in any directory; its id is its label, of letters, digits and ` + "`. _ -`" + `:

` + "```cue" + `
package site

profiles: "office-xfce": {
	name: "Office desktop"
	x2go: {command: "XFCE", fullscreen: true}
	hosts: labels: pool: "staff"
	access: groups: ["staff"]
}
` + "```" + `

How folders give defaults to many profiles is on [the page about sites](site.md#folders).

{{#Profile}}

## access

{{doc #Access}}

{{#Access}}

## legacyACL

{{doc #LegacyACL}}

{{#LegacyACL}}

## x2go

What the session is like, in the names of X2Go Client's own settings. A default is what the broker sends for a key that
the profile does not have. "Client" in that column: the broker then sends nothing, and the client decides; where its
default is known, it follows in brackets.

The last column names the client that takes the key from a broker, the first release that does, and the file of its
source, as X2Go Client 4.1.2.2 and Python X2Go 0.6.1.3 name it. X2Go Client asks brokers since 3.99.0.0; Python X2Go, the
library of PyHoca, since 0.5.0.0. A key that no client takes has no effect.

The broker alone sets ` + "`host`, `sshport`, `status`, `key` and `user`; `name`, `icon`, `autologin` and `usebrokerpass`" + `
are fields of the profile.

{{#X2Go}}
`,
	"../docs/servers.md": `# The fields of the root directory

` + generated + `

Everything here is written in the root directory of the site, in files of any name. What is below ` + "`params`" + ` is the
site's own: any data that its policies need.

## site

{{#SiteInfo}}

## networks

{{doc #Networks}}

A name begins with a letter. No bits are set behind the prefix; a single address is written with /32 or /128.

` + "```cue" + `
package site

networks: campus: ["10.0.0.0/8", "2001:db8:1::/48"]
` + "```" + `

## servers

{{doc #Server}}

{{#Server}}

## cases

{{doc #Case}}

{{#Case}}
`,
}

const generated = "<!-- Written by `go test ./schema -run Docs -update` from the comments in schema/schema.cue. -->"

func TestDocsAreWhatTheSchemaSays(t *testing.T) {
	update := flag.Lookup("update")
	for name, template := range pages {
		want := render(t, template)
		if update != nil && update.Value.String() == "true" {
			if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("%s is not what the schema says: go test ./schema -run Docs -update (-schema +page):\n%s", name, diff)
		}
	}
}

// TestDocumentedDefaultsAreTheBrokers compares the words in the schema's
// comments with what is sent.
func TestDocumentedDefaultsAreTheBrokers(t *testing.T) {
	documented := map[string]docRow{}
	_, lit := definition(t, "#X2Go")
	for _, row := range rows(lit, "") {
		documented[row.key] = row
	}
	for _, r := range settingRules {
		var want string
		switch d := r.def.(type) {
		case []string:
			want = strings.Join(d, ", ")
		case string:
			want = d
			if d == "" {
				want = "empty"
			}
		default:
			want = fmt.Sprint(d)
		}
		row := documented[r.key]
		switch {
		case r.optional && row.byBroker:
			t.Errorf("x2go.%s: the schema promises that %q is sent; nothing is", r.key, row.def)
		case !r.optional && (row.def != want || !row.byBroker):
			t.Errorf("x2go.%s: the broker sends %q when it is not set; the schema says %q", r.key, want, row.def)
		}
	}
}

func render(t *testing.T, template string) string {
	t.Helper()
	return regexp.MustCompile(`\{\{(doc )?(#\w+)\}\}`).ReplaceAllStringFunc(template, func(s string) string {
		name := strings.Trim(s, "{}")
		if name, ok := strings.CutPrefix(name, "doc "); ok {
			f, _ := definition(t, name)
			return comment(f)
		}
		return table(t, name)
	})
}

// structIn is the struct that a field holds, by name or directly, and the path
// to it.
func structIn(e ast.Expr, at string) (*ast.StructLit, string) {
	lit, ok := e.(*ast.StructLit)
	if !ok {
		return nil, ""
	}
	if value := pattern(lit); value != nil {
		return structIn(value, at+".ID")
	}
	return lit, at
}

// pattern is the value of a struct that has any names, like [string]: string.
func pattern(lit *ast.StructLit) ast.Expr {
	if len(lit.Elts) != 1 {
		return nil
	}
	f, ok := lit.Elts[0].(*ast.Field)
	if !ok {
		return nil
	}
	if _, ok := f.Label.(*ast.ListLit); !ok {
		return nil
	}
	return f.Value
}

// kind says a type in words.
func kind(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		switch e.Name {
		case "string", "number":
			return map[string]string{"string": "text", "number": "number"}[e.Name]
		case "int":
			return "whole number"
		case "bool":
			return "true or false"
		}
		return "struct, [below](#" + strings.ToLower(strings.TrimPrefix(e.Name, "#")) + ")"
	case *ast.BasicLit:
		return "`" + e.Value + "`"
	case *ast.ListLit:
		if rest, ok := e.Elts[0].(*ast.Ellipsis); ok {
			return "list of " + plural(kind(rest.Type))
		}
	case *ast.StructLit:
		value := pattern(e)
		switch {
		case value == nil:
			return "struct"
		case kind(value) == "text":
			return "texts by name"
		}
		return "struct by id"
	case *ast.BinaryExpr:
		if e.Op == token.OR {
			return strings.ReplaceAll(kind(e.X), " or ", ", ") + " or " + kind(e.Y)
		}
		return ranged(e)
	}
	return "?"
}

func plural(kind string) string {
	return strings.NewReplacer("text", "texts", "not empty", "none empty").Replace(kind)
}

// ranged says a type with bounds, like int & >=1 & <=9.
func ranged(e *ast.BinaryExpr) string {
	var base, low, high, rest string
	var walk func(ast.Expr)
	walk = func(e ast.Expr) {
		switch e := e.(type) {
		case *ast.BinaryExpr:
			walk(e.X)
			walk(e.Y)
		case *ast.UnaryExpr:
			bound, _ := e.X.(*ast.BasicLit)
			switch e.Op {
			case token.GEQ:
				low = bound.Value
			case token.LEQ:
				high = bound.Value
			case token.NEQ:
				rest = ", not empty"
			case token.MAT:
				expression, _ := literal.Unquote(bound.Value)
				rest = " of `" + strings.TrimSuffix(strings.TrimPrefix(expression, "^["), "]+$") + "`"
			}
		default:
			base = kind(e)
		}
	}
	walk(e)
	switch {
	case low != "" && high != "":
		return base + ", " + low + " to " + high
	case low != "":
		return base + ", from " + low
	}
	return base + rest
}

// comment is the text above a field, as one paragraph.
func comment(n ast.Node) string {
	var lines []string
	for _, g := range ast.Comments(n) {
		if !g.Doc {
			continue
		}
		for _, c := range g.List {
			lines = append(lines, strings.TrimSpace(strings.TrimPrefix(c.Text, "//")))
		}
	}
	return strings.Join(lines, " ")
}

// definition is a definition of the schema, with the comments that
// [definitions] leaves out.
func definition(t *testing.T, name string) (f *ast.Field, lit *ast.StructLit) {
	t.Helper()
	tree, err := parser.ParseFile(schemaFile, schemaSource, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range tree.Decls {
		if f, ok := d.(*ast.Field); ok {
			if label, _ := fieldName(f); label == name {
				lit, _ := f.Value.(*ast.StructLit)
				return f, lit
			}
		}
	}
	t.Fatalf("the schema has no %s", name)
	return nil, nil
}
