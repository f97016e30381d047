package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/x2broker/x2broker/broker/check"
	"github.com/x2broker/x2broker/broker/source"
)

type checkCmd struct {
	Site   string `default:"." placeholder:"DIR|URL" help:"Site to check: a directory, or the address of a Git repository. Default: the current directory."`
	Ref    string `default:"main" help:"Branch of a Git repository."`
	Format string `default:"text" enum:"text,json,github" help:"How to print: ${enum}."`
}

// Run checks a site.
func (c *checkCmd) Run(ctx context.Context, io stdio) error {
	if os.Getenv("GOGC") == "" {
		// Compiling a site makes much garbage: a quarter of the time for half as
		// much memory again (docs/performance.md).
		debug.SetGCPercent(200)
	}
	store, err := os.MkdirTemp("", "x2broker-check-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(store)
	src, err := source.Open(source.Config{URL: c.Site, Ref: c.Ref, StoreDir: store, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return usageError(err)
	}
	report, err := check.Check(ctx, src)
	if err != nil {
		return fmt.Errorf("check: %w", err)
	}
	switch c.Format {
	case "json":
		err = writeJSON(io.out, report)
	case "github":
		err = report.WriteGitHub(io.out)
	default:
		err = report.Write(io.out)
	}
	switch {
	case err != nil:
		return err
	case report.Diagnostics.HasErrors():
		return &exitError{exitSite, errSaid}
	case !report.OK:
		return &exitError{exitCase, errSaid}
	}
	return nil
}
