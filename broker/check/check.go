// Package check tells what a site repository is worth before it serves.
package check

import (
	"context"
	"fmt"
	"io"

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
}

// Check compiles the newest revision of the source. The error says that it
// could not be read; what is wrong with it is in the Report.
func Check(ctx context.Context, src source.Source) (Report, error) {
	r := Report{Site: src.String(), Diagnostics: schema.Diagnostics{}}
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
	r.Diagnostics = append(r.Diagnostics, diags...)
	if snap != nil {
		r.OK = true
		r.Profiles = len(snap.Catalog.Profiles)
		r.Servers = len(snap.Catalog.Servers)
	}
	return r, nil
}

// Write prints the report for people: a line for each diagnostic, and a last
// one that sums up.
func (r Report) Write(w io.Writer) error {
	errors, warnings := 0, 0
	for _, d := range r.Diagnostics {
		if d.Severity == schema.Error {
			errors++
		} else {
			warnings++
		}
		if _, err := fmt.Fprintln(w, d); err != nil {
			return err
		}
	}
	sum := fmt.Sprintf("%s: ok, %s and %s", r.Site, count(r.Profiles, "profile"), count(r.Servers, "server"))
	if !r.OK {
		sum = fmt.Sprintf("%s: %s", r.Site, count(errors, "error"))
	}
	if warnings > 0 {
		sum += ", " + count(warnings, "warning")
	}
	_, err := fmt.Fprintln(w, sum)
	return err
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
