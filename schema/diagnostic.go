package schema

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Position is a place in a file of the site. Line and Column count from 1;
// both are 0 when only the file is known.
type Position struct {
	File   string `json:"file"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
}

// IsValid reports whether the position names a file.
func (p Position) IsValid() bool { return p.File != "" }

// compare orders positions by file, line and column.
func (p Position) compare(q Position) int {
	return cmp.Or(cmp.Compare(p.File, q.File), cmp.Compare(p.Line, q.Line), cmp.Compare(p.Column, q.Column))
}

// String gives file:line:col, as editors and compilers write it.
func (p Position) String() string {
	switch {
	case p.File == "":
		return "-"
	case p.Line == 0:
		return p.File
	case p.Column == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Severity tells what a Diagnostic means for the commit.
type Severity string

// The severities. A site with an Error does not compile.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
)

// Diagnostic is one thing to say about a site: where, what is wrong, what
// would be right.
type Diagnostic struct {
	Severity Severity   `json:"severity"`
	Pos      Position   `json:"position"`
	Path     string     `json:"path,omitempty"` // CUE path or Rego rule, "profiles.office.name"
	Message  string     `json:"message"`        // one plain sentence, lower case, with the remedy
	Related  []Position `json:"related,omitempty"`
}

// String gives "file:line:col: [warning: ]path: message (see also ...)".
func (d Diagnostic) String() string {
	var b strings.Builder
	b.WriteString(d.Pos.String())
	b.WriteString(": ")
	if d.Severity == Warning {
		b.WriteString("warning: ")
	}
	if d.Path != "" {
		b.WriteString(d.Path)
		b.WriteString(": ")
	}
	b.WriteString(d.Message)
	for i, p := range d.Related {
		if i == 0 {
			b.WriteString(" (see also ")
		} else {
			b.WriteString(", ")
		}
		b.WriteString(p.String())
		if i == len(d.Related)-1 {
			b.WriteString(")")
		}
	}
	return b.String()
}

// Diagnostics is all that there is to say about a site.
type Diagnostics []Diagnostic

// HasErrors reports whether the site must not serve.
func (ds Diagnostics) HasErrors() bool {
	return slices.ContainsFunc(ds, func(d Diagnostic) bool { return d.Severity == Error })
}

// Sort orders by file, line, column, path and message, and drops repetitions.
func (ds Diagnostics) Sort() Diagnostics {
	slices.SortStableFunc(ds, func(a, b Diagnostic) int {
		return cmp.Or(
			a.Pos.compare(b.Pos),
			cmp.Compare(a.Path, b.Path),
			cmp.Compare(a.Message, b.Message),
		)
	})
	return slices.CompactFunc(ds, func(a, b Diagnostic) bool {
		return a.Severity == b.Severity && a.Pos == b.Pos && a.Path == b.Path && a.Message == b.Message
	})
}
