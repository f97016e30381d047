package session

import (
	"context"
	"log/slog"

	"github.com/x2broker/x2broker/schema"
)

// Assigned is a granted list for clients that list and never select.
type Assigned struct {
	Grant    // without a ticket: such clients send their password each time
	Profiles []Assignment
}

// Assignment is a profile and where to start its session.
type Assignment struct {
	*schema.Profile
	Address string // DNS name or IP address, never empty
	Port    int
}

// Assign gives the profiles that the user may select, each with the server that
// Select would choose now; those for which there is none are left out. Nothing
// is counted at the servers: which profile the user takes, the broker never
// hears. To policies it is a select.
func (s *Service) Assign(ctx context.Context, req Request) (out Assigned, err error) {
	defer s.done("list", req, s.now(), &out.Grant, &err)
	req.Account = ""
	d, err := s.enter(ctx, req, "select")
	if err != nil {
		return Assigned{}, err
	}
	out.Grant = d.recognised()
	if req.Zeroconf {
		if s.zeroconf == nil {
			return Assigned{}, d.refuse(ctx, errNotOffered, "zeroconf is switched off")
		}
		out.Profiles = []Assignment{{s.zeroconf.Profiles[0].Profile, zeroconfHost, zeroconfPort}}
		return out, nil
	}
	left := 0
	for _, p := range d.visible(ctx).Profiles {
		if ctx.Err() != nil {
			return Assigned{}, d.refuse(ctx, errNoServer, "the request ended", slog.Any("error", context.Cause(ctx)))
		}
		choice, err := s.farm.Choose(ctx, d.snap.Catalog, d.snap.Policy, d.request, p)
		if err != nil {
			left++
			d.note(ctx, slog.LevelDebug, "profile left out", slog.String("profile", p.ID), slog.Any("error", err))
			continue
		}
		out.Profiles = append(out.Profiles, Assignment{p, choice.Server.Address, choice.Server.Port})
	}
	d.note(ctx, slog.LevelInfo, "listed", slog.Int("profiles", len(out.Profiles)), slog.Int("without_server", left))
	return out, nil
}
