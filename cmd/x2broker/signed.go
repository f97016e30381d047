package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/x2broker/x2broker/broker/config"
	"github.com/x2broker/x2broker/broker/source"
	"github.com/x2broker/x2broker/broker/source/verify"
)

// verified is what the status says of commits in this mode of verify.
func verified(mode string) *string {
	said := ""
	switch mode {
	case config.VerifyEnforce:
	case config.VerifyWarn:
		said = "mode warn: the log says what enforce would refuse"
	default:
		return nil
	}
	return &said
}

// verification has a Git source ask about each new commit, but not in mode off.
func verification(src *source.Config, cfg config.Verify, log *slog.Logger) error {
	if cfg.Mode == "" || cfg.Mode == config.VerifyOff {
		return nil
	}
	verifier, err := verify.New(cfg.Rules)
	if err != nil {
		return err
	}
	verdict := func(ctx context.Context, report verify.Report, err error) error {
		for _, c := range report.Commits {
			for _, w := range c.Warnings {
				log.WarnContext(ctx, "commit verified with a warning", "commit", c.Hash, "signer", c.Signer, "warning", w)
			}
		}
		if err == nil {
			err = report.Err()
		}
		return err
	}
	src.Verify = func(ctx context.Context, objects *source.Objects, accepted, tip plumbing.Hash) error {
		report, err := verifier.Verify(ctx, objects, accepted, tip, time.Now())
		err = verdict(ctx, report, err)
		if cfg.Mode == config.VerifyEnforce {
			return err
		}
		if err != nil {
			log.WarnContext(ctx, "mode enforce would refuse the newest commit", "commit", tip.String(), "reason", err)
		}
		return source.ErrTolerated
	}
	if cfg.Mode == config.VerifyEnforce {
		src.Rules = cfg.Mode + " " + cfg.Rules.Digest()
		src.Recheck = func(ctx context.Context, objects *source.Objects, accepted plumbing.Hash) error {
			report, err := verifier.Recheck(ctx, objects, accepted, time.Now())
			return verdict(ctx, report, err)
		}
	}
	return nil
}
