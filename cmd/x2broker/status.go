package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/x2broker/x2broker/broker/admin"
	"github.com/x2broker/x2broker/broker/config"
	"github.com/x2broker/x2broker/broker/snapshot"
)

// controlFlags name the broker that a command talks to.
type controlFlags struct {
	Config   string `type:"path" placeholder:"FILE" help:"broker.cue of the broker, for its state directory."`
	StateDir string `placeholder:"DIR" help:"State directory of the broker. Default: /var/lib/x2broker."`
	Format   string `enum:"text,json" default:"text" help:"text or json."`
}

func (f *controlFlags) client() (*admin.Client, error) {
	dir := f.StateDir
	if dir == "" {
		cfg := config.Default()
		if f.Config != "" {
			var err error
			if cfg, err = config.Load(f.Config); err != nil {
				return nil, usageError(err)
			}
		}
		dir = cfg.StateDir
	}
	return admin.NewClient(dir), nil
}

type statusCmd struct {
	controlFlags
	Wait    string        `placeholder:"COMMIT" help:"Wait until this commit serves (exit code 0), or is refused (3). 7 digits are enough."`
	Timeout time.Duration `default:"60s" help:"How long to wait, up to an hour."`
}

// Run prints the state of the running broker.
func (c *statusCmd) Run(ctx context.Context, io stdio) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	if c.Wait == "" {
		report, err := client.Status(ctx)
		if err != nil {
			return err
		}
		return c.print(io, report)
	}
	waited, err := client.Wait(ctx, c.Wait, c.Timeout)
	if err != nil {
		return err
	}
	if c.Format == "json" {
		err = writeJSON(io.out, waited)
	} else if waited.Outcome != admin.Serves {
		err = waited.Report.WriteText(io.out, time.Now())
	} else {
		_, err = fmt.Fprintln(io.out, servesText(c.Wait, waited.Report))
	}
	switch {
	case err != nil:
		return err
	case waited.Outcome == admin.Refuses:
		return &exitError{exitSite, fmt.Errorf("commit %s is refused", c.Wait)}
	case waited.Outcome == admin.Held:
		return fmt.Errorf("commit %s waits: an operator holds another one", c.Wait)
	case waited.Outcome != admin.Serves:
		return fmt.Errorf("commit %s does not serve after %v: is it pushed to the branch that the broker follows?", c.Wait, c.Timeout)
	}
	return nil
}

// servesText names the commit that serves if it is a newer one.
func servesText(commit string, r admin.Report) string {
	for _, s := range r.Stages {
		if s.Stage == snapshot.Serving && !strings.HasPrefix(s.Commit, strings.ToLower(commit)) {
			return fmt.Sprintf("%s serves, as part of %s", commit, s.Commit)
		}
	}
	return commit + " serves"
}

func (c *controlFlags) print(io stdio, r admin.Report) error {
	if c.Format == "json" {
		return writeJSON(io.out, r)
	}
	return r.WriteText(io.out, time.Now())
}

// said prints why a commit is refused, as check does, and gives its exit code.
func said(io stdio, err error) error {
	rejected := new(admin.RejectedError)
	if !errors.As(err, &rejected) || len(rejected.Diagnostics) == 0 {
		return err
	}
	for _, d := range rejected.Diagnostics {
		fmt.Fprintln(io.err, d)
	}
	return &exitError{exitSite, err}
}
