package schema

import (
	"regexp"
	"strings"
	"testing"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/token"
)

// table is the Markdown table of a definition's fields. That of the client's
// keys has a column for their sources.
func table(t *testing.T, name string) string {
	t.Helper()
	_, lit := definition(t, name)
	keys := name == "#X2Go"
	header := []string{"field", "is", "default", "meaning"}
	if keys {
		header = append(header, "taken from a broker by")
	}
	var b strings.Builder
	line := func(cells []string) {
		b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
	}
	line(header)
	b.WriteString("|" + strings.Repeat("---|", len(header)) + "\n")
	for _, r := range rows(lit, "") {
		if r.meaning == "" {
			t.Errorf("%s: %s has no comment in the schema", name, r.key)
		}
		cells := []string{"`" + r.key + "`", escaped(r.kind), escaped(r.defText(keys)), escaped(r.meaning)}
		switch from := sourceText(r.source); {
		case keys:
			cells = append(cells, from)
		case from != "":
			cells[3] += " Taken by " + from + "."
		}
		line(cells)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func escaped(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

// A docRow is a field as its table shows it.
type docRow struct {
	key, kind, meaning string
	def                string // as the comment says it, "" if it does not
	byBroker           bool   // def is what the broker sends or assumes
	required           bool
	source             string // see [source]; "" if it is no key of a client
}

func (r docRow) defText(sent bool) string {
	switch {
	case r.required:
		return "required"
	case r.def == "" && sent:
		return "client"
	case r.def == "":
		return ""
	case !r.byBroker:
		return "client (" + r.def + ")"
	}
	return r.def
}

// rows lists the fields of a struct, those within them behind a dot.
func rows(lit *ast.StructLit, prefix string) []docRow {
	var out []docRow
	for _, d := range lit.Elts {
		f, ok := d.(*ast.Field)
		if !ok {
			continue
		}
		key, ok := fieldName(f)
		if !ok {
			continue
		}
		r := docRow{key: prefix + key, required: f.Constraint == token.NOT}
		text, from := cutSource(comment(f))
		r.source = from
		r.meaning, r.def, r.byBroker = split(text)
		inner, path := structIn(f.Value, r.key)
		r.kind = kind(f.Value)
		out = append(out, r)
		if inner != nil {
			out = append(out, rows(inner, path+".")...)
		}
	}
	return out
}

// split takes the default from the end of a comment.
func split(text string) (meaning, def string, byBroker bool) {
	meaning, def, ok := strings.Cut(text, "Default: ")
	if !ok {
		return text, "", false
	}
	def, byClient := strings.CutSuffix(strings.TrimSuffix(def, "."), ", by the client")
	return strings.TrimSpace(meaning), def, !byClient
}

// A source is the last line of a client key's comment: which client takes the
// key from a broker, since which release, and where in its source.
var source = regexp.MustCompile(`(?s)^(.*) (` +
	`X2Go Client \d+(?:\.\d+){3} and later \(\w+\.cpp\)` +
	`|Python X2Go \d+(?:\.\d+){3} and later \(\w+\.py\), not X2Go Client` +
	`|No client: neither X2Go Client \d+(?:\.\d+){3} \(\w+\.cpp\) nor Python X2Go \d+(?:\.\d+){3} \(\w+\.py\)` +
	`)\.$`)

// cutSource takes the source from the end of a comment; without one it is "".
func cutSource(text string) (rest, from string) {
	if m := source.FindStringSubmatch(text); m != nil {
		return m[1], m[2]
	}
	return text, ""
}

// sourceText sets the name of a file as Markdown does.
func sourceText(from string) string {
	return regexp.MustCompile(`\((\w+\.\w+)\)`).ReplaceAllString(from, "(`$1`)")
}

// units are words that say what a number counts.
var units = regexp.MustCompile(`pixels|dots per inch|TCP port|Number of|^Link speed: 0 |from 0\b`)

func TestEveryClientKeyNamesItsSourceAndUnit(t *testing.T) {
	_, keys := definition(t, "#X2Go")
	for _, row := range rows(keys, "") {
		if row.source == "" {
			t.Errorf("x2go.%s: the comment does not end with the client, its version and its file, like "+
				`"X2Go Client 3.99.0.0 and later (onmainwindow.cpp)."`, row.key)
		}
		if regexp.MustCompile("^whole number").MatchString(row.kind) && !units.MatchString(row.meaning) {
			t.Errorf("x2go.%s is a number: the comment does not say of what: %s", row.key, row.meaning)
		}
	}
	_, profile := definition(t, "#Profile")
	for _, row := range rows(profile, "") {
		_, client := brokerKeys[row.key]
		if client && row.key != "name" && row.source == "" {
			t.Errorf("%s is a key of the client; its comment names no client", row.key)
		}
	}
}
