package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/x2broker/x2broker/broker/admin"
	"github.com/x2broker/x2broker/broker/snapshot"
)

// holdFlags are of all orders that hold a commit.
type holdFlags struct {
	controlFlags
	Until  string `placeholder:"TIME" help:"When the order ends: 8h, \"2026-03-02 09:00\" or 2026-03-02T09:00:00+01:00. Default: 24h."`
	Reason string `placeholder:"TEXT" help:"Why, for status and operator.log."`
}

type pinCmd struct {
	Commit string `arg:"" help:"Commit of the site's history; 7 digits are enough."`
	holdFlags
}

// Run serves that commit, if it passes all gates, and stays there.
func (c *pinCmd) Run(ctx context.Context, io stdio) error {
	return c.hold(io, func(client *admin.Client, until time.Time) (*snapshot.Hold, error) {
		return client.Pin(ctx, c.Commit, c.Reason, until)
	})
}

type rollbackCmd struct{ holdFlags }

// Run pins the commit that served before.
func (c *rollbackCmd) Run(ctx context.Context, io stdio) error {
	return c.hold(io, func(client *admin.Client, until time.Time) (*snapshot.Hold, error) {
		return client.Rollback(ctx, c.Reason, until)
	})
}

type freezeCmd struct{ holdFlags }

// Run keeps what serves.
func (c *freezeCmd) Run(ctx context.Context, io stdio) error {
	return c.hold(io, func(client *admin.Client, until time.Time) (*snapshot.Hold, error) {
		return client.Freeze(ctx, c.Reason, until)
	})
}

func (c *holdFlags) hold(io stdio, give func(*admin.Client, time.Time) (*snapshot.Hold, error)) error {
	until, err := parseUntil(c.Until, time.Now())
	if err != nil {
		return usageError(err)
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	hold, err := give(client, until)
	if err != nil {
		return said(io, err)
	}
	if c.Format == "json" {
		return writeJSON(io.out, hold)
	}
	what := strings.TrimPrefix(hold.Revision.Author+": "+hold.Revision.Subject, ": ")
	if what != "" {
		what = " (" + what + ")"
	}
	_, err = fmt.Fprintf(io.out, "serves %s%s until %s\nx2broker un%s follows the source again before that\n",
		hold.Revision.ID, what, hold.Until.Local().Format("2006-01-02 15:04 MST"), hold.Kind)
	return err
}

// parseUntil gives the zero time for "".
func parseUntil(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(s); err == nil {
		return now.Add(d), nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	if t, err := time.ParseInLocation("2006-01-02 15:04", s, now.Location()); err == nil {
		return t, nil
	}
	return time.Time{}, fmt.Errorf("--until %q is no time: write 8h, \"2026-03-02 09:00\" or 2026-03-02T09:00:00+01:00", s)
}

// liftFlags are of both orders that end another.
type liftFlags struct {
	controlFlags
	Reason string `placeholder:"TEXT" help:"Why, for operator.log."`
}

type (
	unpinCmd    struct{ liftFlags }
	unfreezeCmd struct{ liftFlags }
)

// Run ends pin and rollback.
func (c *unpinCmd) Run(ctx context.Context, io stdio) error { return c.lift(ctx, io, snapshot.Pin) }

// Run ends freeze.
func (c *unfreezeCmd) Run(ctx context.Context, io stdio) error {
	return c.lift(ctx, io, snapshot.Freeze)
}

func (c *liftFlags) lift(ctx context.Context, io stdio, kind string) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	if err := client.Lift(ctx, kind, c.Reason); err != nil {
		return err
	}
	if c.Format == "json" {
		return writeJSON(io.out, struct{}{})
	}
	_, err = fmt.Fprintln(io.out, "the source is followed again")
	return err
}
