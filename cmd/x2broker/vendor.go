package main

import (
	"errors"
	"fmt"

	"github.com/x2broker/x2broker/broker/check"
)

type vendorCmd struct {
	Site   string `default:"." placeholder:"DIR" help:"Directory of the site. Default: the current directory."`
	Format string `default:"text" enum:"text,json" help:"How to print: ${enum}."`
}

// Run renews the copies that a site keeps for plain cue and opa, and says what
// it did also when something failed.
func (c *vendorCmd) Run(io stdio) error {
	files, err := check.Vendor(c.Site)
	if err != nil {
		err = fmt.Errorf("vendor: %w", err)
	}
	if c.Format == "json" {
		if files == nil {
			files = []check.Vendored{}
		}
		return errors.Join(err, writeJSON(io.out, files))
	}
	for _, f := range files {
		note := ""
		if f.Action == check.Kept {
			note = " (you changed it: delete it and run x2broker vendor again for the one of this version)"
		}
		fmt.Fprintf(io.out, "%-9s %s%s\n", f.Action, f.Path, note)
	}
	return err
}
