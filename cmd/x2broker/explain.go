package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"time"

	"github.com/x2broker/x2broker/broker/check"
	"github.com/x2broker/x2broker/broker/source"
)

type explainCmd struct {
	User    string   `required:"" help:"Name of the user, as the identity source gives it."`
	Group   []string `sep:"none" help:"A group of the user. May be repeated."`
	Address string   `required:"" help:"IP address of the client."`
	Profile string   `help:"Explain this profile only, with its servers."`
	Time    string   `placeholder:"RFC3339" help:"Moment of the request, like 2026-02-16T09:00:00+01:00. Default: now."`
	Account string   `help:"Server account to act as. Default: the user's own."`
	Facts   string   `placeholder:"FILE" help:"JSON file with facts about servers, like {\"ts01\": {\"sessions\": 3}}. Default: all are idle."`
	All     bool     `help:"List hidden profiles, however many there are."`
	Site    string   `default:"." placeholder:"DIR|URL" help:"Site to ask: a directory, or file:// and the path of a Git repository. Default: the current directory."`
	Ref     string   `default:"main" help:"Branch of a Git repository."`
	Format  string   `default:"text" enum:"text,json" help:"How to print: ${enum}."`
}

// Run says what a user gets and why.
func (c *explainCmd) Run(ctx context.Context, io stdio) error {
	q, err := c.question()
	if err != nil {
		return usageError(err)
	}
	store, err := os.MkdirTemp("", "x2broker-explain-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(store)
	src, err := source.Open(source.Config{URL: c.Site, Ref: c.Ref, StoreDir: store, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return usageError(err)
	}
	explained, err := check.Explain(ctx, src, q)
	if err != nil {
		return fmt.Errorf("explain: %w", err)
	}
	if c.Format == "json" {
		err = writeJSON(io.out, explained)
	} else {
		err = explained.Write(io.out)
	}
	if err == nil && explained.Diagnostics.HasErrors() {
		return &exitError{exitSite, errSaid}
	}
	return err
}

// question reads the flags.
func (c *explainCmd) question() (check.Question, error) {
	q := check.Question{User: c.User, Groups: c.Group, Account: c.Account, Profile: c.Profile, All: c.All, Time: time.Now()}
	var err error
	if q.Address, err = netip.ParseAddr(c.Address); err != nil {
		return q, fmt.Errorf("--address %q is no IP address", c.Address)
	}
	if c.Time != "" {
		if q.Time, err = time.Parse(time.RFC3339, c.Time); err != nil {
			return q, fmt.Errorf("--time %q is no time like 2026-02-16T09:00:00+01:00", c.Time)
		}
	}
	if c.Facts != "" {
		f, err := os.Open(c.Facts)
		if err != nil {
			return q, fmt.Errorf("--facts: %w", err)
		}
		defer f.Close()
		if q.Facts, err = check.ReadFacts(f); err != nil {
			return q, fmt.Errorf("--facts %s: %w", c.Facts, err)
		}
	}
	return q, nil
}
