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
	"github.com/x2broker/x2broker/policy"
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

	// Cases are checked, and Rego tests run, when the site compiles.
	Cases    int                    `json:"cases"`
	Failures []snapshot.CaseFailure `json:"failures"` // never null
	Tests    policy.TestReport      `json:"tests"`
}

// Check compiles the newest revision of the source. The error says that it
// could not be read; what is wrong with it is in the Report.
func Check(ctx context.Context, src source.Source) (Report, error) {
	r, _, err := compiled(ctx, src)
	return r, err
}

// compiled also gives the site, nil if it does not compile.
func compiled(ctx context.Context, src source.Source) (Report, *snapshot.Snapshot, error) {
	r := Report{
		Site: src.String(), Diagnostics: schema.Diagnostics{}, Failures: []snapshot.CaseFailure{},
		Tests: policy.TestReport{Failures: []policy.TestFailure{}, Coverage: policy.Coverage{Uncovered: []policy.Uncovered{}}},
	}
	snap, tree, diags, err := build(ctx, src, &r.Revision)
	if err != nil {
		return r, nil, err
	}
	r.Diagnostics = append(append(r.Diagnostics, diags...), VendorWarnings(tree)...).Sort()
	if snap == nil {
		return r, nil, ctx.Err()
	}
	r.Profiles = len(snap.Catalog.Profiles)
	r.Servers = len(snap.Catalog.Servers)
	r.Cases = len(snap.Catalog.Cases)
	r.Failures = append(r.Failures, snapshot.RunCases(ctx, snap)...)
	if r.Tests, err = snapshot.RunTests(ctx, tree); err != nil {
		return r, snap, err
	}
	r.OK = len(r.Failures) == 0 && len(r.Tests.Failures) == 0
	return r, snap, ctx.Err()
}

// Write prints the report for people: a line for each diagnostic, a paragraph
// for each failing case and test, and last lines that sum up.
func (r Report) Write(w io.Writer) error {
	p := printer{w: w}
	for _, d := range r.Diagnostics {
		p.printf("%s\n", d)
	}
	for _, f := range r.Failures {
		p.printf("%s: case %q fails\n    who       %s\n    expected  %s\n    got       %s\n    decided   %s\n",
			f.Pos, f.Case, f.Who, f.Expected, f.Got, f.Rule)
	}
	r.writeTests(&p)
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
	for _, f := range r.Tests.Failures {
		diagnostics = append(diagnostics, f.Diagnostic())
	}
	notes, _ := r.notes()
	for _, d := range diagnostics {
		message := d.Message
		if d.Path != "" {
			message = d.Path + ": " + message
		}
		p.command(string(d.Severity), d.Pos, message)
	}
	for _, u := range notes {
		p.command("notice", u.Pos, uncovered(u))
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
	case len(r.Failures)+len(r.Tests.Failures) > 0:
		if n := len(r.Failures); n > 0 {
			parts = append(parts, fmt.Sprintf("%s in %s", count(n, "failure"), count(r.Cases, "case")))
		}
		if n := len(r.Tests.Failures); n > 0 {
			parts = append(parts, fmt.Sprintf("%s in %s", count(n, "failure"), count(r.Tests.Tests(), "rego test")))
		}
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

// command prints one workflow command.
func (p *printer) command(name string, pos schema.Position, message string) {
	p.printf("::%s file=%s", name, property.Replace(pos.File))
	if pos.Line > 0 {
		p.printf(",line=%d,col=%d", pos.Line, pos.Column)
	}
	p.printf("::%s\n", data.Replace(message))
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
