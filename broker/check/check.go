// Package check tells what a site repository is worth before it serves.
package check

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/x2broker/x2broker/broker/snapshot"
	"github.com/x2broker/x2broker/broker/source"
	"github.com/x2broker/x2broker/schema"
)

// Report is the outcome of a check. It is also its JSON form.
type Report struct {
	Site        string             `json:"site"`
	Revision    source.Revision    `json:"revision"`
	OK          bool               `json:"ok"`
	Profiles    int                `json:"profiles"`
	Servers     int                `json:"servers"`
	Diagnostics schema.Diagnostics `json:"diagnostics"` // never null

	// Cases are checked when the site compiles.
	Cases    int                    `json:"cases"`
	Failures []snapshot.CaseFailure `json:"failures"` // never null
}

// Check compiles the newest revision of the source. The error says that it
// could not be read; what is wrong with it is in the Report.
func Check(ctx context.Context, src source.Source) (Report, error) {
	r := Report{Site: src.String(), Diagnostics: schema.Diagnostics{}, Failures: []snapshot.CaseFailure{}}
	rev, err := src.Fetch(ctx)
	if err != nil {
		return r, err
	}
	r.Revision = rev
	tree, err := src.Tree(ctx, rev)
	if err != nil {
		return r, err
	}
	snap, diags := snapshot.Build(ctx, schema.NewCompiler(), rev, tree)
	r.Diagnostics = append(append(r.Diagnostics, diags...), VendorWarnings(tree)...).Sort()
	if snap == nil {
		return r, ctx.Err()
	}
	r.Profiles = len(snap.Catalog.Profiles)
	r.Servers = len(snap.Catalog.Servers)
	r.Cases = len(snap.Catalog.Cases)
	r.Failures = append(r.Failures, snapshot.RunCases(ctx, snap)...)
	r.OK = len(r.Failures) == 0
	return r, ctx.Err()
}

// Write prints the report for people: a line for each diagnostic, a paragraph
// for each failing case, and a last line that sums up.
func (r Report) Write(w io.Writer) error {
	p := printer{w: w}
	for _, d := range r.Diagnostics {
		p.printf("%s\n", d)
	}
	for _, f := range r.Failures {
		p.printf("%s: case %q fails\n    who       %s\n    expected  %s\n    got       %s\n    decided   %s\n",
			f.Pos, f.Case, f.Who, f.Expected, f.Got, f.Rule)
	}
	p.printf("%s: %s\n", r.Site, r.summary())
	return p.err
}

// WriteGitHub prints the report as workflow commands, which GitHub and Forgejo
// show at the lines of the pull request.
func (r Report) WriteGitHub(w io.Writer) error {
	p := printer{w: w}
	diagnostics := slices.Clone(r.Diagnostics)
	for _, f := range r.Failures {
		diagnostics = append(diagnostics, f.Diagnostic())
	}
	for _, d := range diagnostics {
		message := d.Message
		if d.Path != "" {
			message = d.Path + ": " + message
		}
		p.printf("::%s file=%s", d.Severity, property.Replace(d.Pos.File))
		if d.Pos.Line > 0 {
			p.printf(",line=%d,col=%d", d.Pos.Line, d.Pos.Column)
		}
		p.printf("::%s\n", data.Replace(message))
	}
	p.printf("%s: %s\n", r.Site, r.summary())
	return p.err
}

// Workflow commands escape what would end them.
var (
	data     = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	property = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

func (r Report) summary() string {
	errors, warnings := 0, 0
	for _, d := range r.Diagnostics {
		if d.Severity == schema.Error {
			errors++
		} else {
			warnings++
		}
	}
	var parts []string
	switch {
	case errors > 0:
		parts = append(parts, count(errors, "error"))
	case len(r.Failures) > 0:
		parts = append(parts, fmt.Sprintf("%s in %s", count(len(r.Failures), "failure"), count(r.Cases, "case")))
	default:
		parts = append(parts, "ok", count(r.Profiles, "profile"), count(r.Servers, "server"), count(r.Cases, "case"))
	}
	if warnings > 0 {
		parts = append(parts, count(warnings, "warning"))
	}
	return strings.Join(parts, ", ")
}

// A printer remembers the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
