package session

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/x2broker/x2broker/policy"
	"github.com/x2broker/x2broker/schema"
)

// The profile that zeroconf requests are about.
const (
	zeroconfID   = "localhost"
	zeroconfHost = "localhost"
	zeroconfPort = 22
)

// Zeroconf switches the profile LOCALHOST on: requests with Zeroconf set are
// about it and nothing else. Everybody who may log in gets it; it leads to the
// client's own machine and runs the command. Call it before the first request.
func (s *Service) Zeroconf(command string) error {
	value, err := schema.CheckSetting("command", command)
	if err != nil {
		return fmt.Errorf("command of zeroconf: %w", err)
	}
	blank := &schema.Profile{ID: zeroconfID, Name: "LOCALHOST"}
	p := blank.WithSettings(map[string]any{"command": value})
	s.zeroconf = &Offer{
		Profiles: []Profile{{Profile: p, Hosts: []string{zeroconfHost}, Port: zeroconfPort}},
		listing:  &policy.Listing{Profiles: []*schema.Profile{p}},
	}
	return nil
}

func (s *Service) selectZeroconf(ctx context.Context, d *door, profileID string) (Selection, error) {
	if s.zeroconf == nil || profileID != zeroconfID {
		return Selection{}, d.refuse(ctx, errNotOffered, "not the profile of zeroconf")
	}
	d.note(ctx, slog.LevelInfo, "selected", slog.String("server", zeroconfHost))
	return Selection{Grant: d.grant(), Address: zeroconfHost, Port: zeroconfPort}, nil
}
