package main

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/x2broker/x2broker/broker/config"
	"github.com/x2broker/x2broker/broker/identity"
	"github.com/x2broker/x2broker/broker/identity/authd"
	"github.com/x2broker/x2broker/broker/identity/endpoint"
	"github.com/x2broker/x2broker/broker/identity/ldap"
)

// openRemote gives an authenticator that asks elsewhere, nil for another type.
func openRemote(a config.Authenticator, log *slog.Logger) (identity.Authenticator, error) {
	switch {
	case a.PAM != nil:
		return authd.NewClient(a.PAM.Socket), nil
	case a.LDAP != nil:
		return openDirectory(*a.LDAP, log)
	case a.HTTPS != nil:
		return endpoint.New(*a.HTTPS)
	}
	return nil, nil
}

func openDirectory(c ldap.Config, log *slog.Logger) (*ldap.Directory, error) {
	directory, warnings, err := ldap.New(c, time.Now, log)
	for _, w := range warnings {
		log.Warn(w)
	}
	return directory, err
}

// keepAnswers adds the other sources of groups to the chain, and lets answers
// serve as long as broker.cue says. members are those of cfg, in its order.
func keepAnswers(chain *identity.Chain, members []identity.Authenticator, cfg *config.Config, log *slog.Logger) error {
	for i, a := range cfg.Authenticators {
		if a.MaxAge > 0 {
			chain.KeepLookups(members[i].Name(), a.MaxAge, time.Now)
		}
	}
	for _, g := range cfg.Groups {
		var source identity.GroupSource
		if g.PAM != nil {
			source = authd.NewClient(g.PAM.Socket)
		} else if directory, err := openDirectory(*g.LDAP, log); err != nil {
			return fmt.Errorf("groups: %w", err)
		} else {
			source = directory
		}
		if err := chain.AddGroups(source, g.MaxAge, time.Now); err != nil {
			return err
		}
	}
	return nil
}
