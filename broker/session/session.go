// Package session holds the use cases that every frontend offers: log in, list
// the session profiles, select one.
//
// It decides nothing itself. Who somebody is decides broker/identity, what he
// may see decides the policy of the snapshot, which server wins decides
// broker/farm. A request uses one snapshot from beginning to end, and what it
// does to tickets and placements is done last, when nothing can refuse it any
// more.
package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/x2broker/x2broker/broker/farm"
	"github.com/x2broker/x2broker/broker/identity"
	"github.com/x2broker/x2broker/broker/snapshot"
	"github.com/x2broker/x2broker/policy"
	"github.com/x2broker/x2broker/schema"
)

// maxWaiting bounds the requests that wait for the first snapshot; maxWait is
// how long each may.
const (
	maxWaiting = 256
	maxWait    = 30 * time.Second
)

// ErrNotReady means that there is no snapshot yet to answer from.
var ErrNotReady = errors.New("the broker has no site yet")

// RefusedError means that somebody who proved who he is may not have what he
// asked for. Its reason is made to be shown to him.
type RefusedError struct{ Reason string }

// Error gives the reason.
func (e *RefusedError) Error() string { return e.Reason }

// The reasons that do not come from a policy. A hidden profile and one that
// does not exist are alike.
var (
	errNotOffered = &RefusedError{"this session profile is not available"}
	errNoServer   = &RefusedError{"no server is available for this session profile"}
	errAccount    = &RefusedError{"this account is not available"}
	errPolicy     = &RefusedError{"refused by the policy of the site"}
)

// Snapshots gives the snapshot to answer from.
type Snapshots interface {
	// Current gives the one that serves, nil before the first.
	Current() *snapshot.Snapshot
	// Wait blocks until there is one.
	Wait(context.Context) (*snapshot.Snapshot, error)
}

// Gate decides whether credentials open the door.
type Gate interface {
	Login(context.Context, identity.Credentials) (*identity.Login, error)
}

// Service offers the use cases. It is safe for concurrent use.
type Service struct {
	snapshots Snapshots
	gate      Gate
	farm      *farm.Farm
	now       func() time.Time
	log       *slog.Logger
	waiting   chan struct{}
	maxWait   time.Duration
	observe   func(Done) // nil for nobody
}

// New returns a Service.
func New(snapshots Snapshots, gate Gate, f *farm.Farm, now func() time.Time, log *slog.Logger) *Service {
	return &Service{
		snapshots: snapshots, gate: gate, farm: f, now: now, log: log,
		waiting: make(chan struct{}, maxWaiting), maxWait: maxWait,
	}
}

// Credentials are what a request brings along to prove who it is from, and
// DeniedError is how they are refused; see broker/identity.
type (
	Credentials = identity.Credentials
	DeniedError = identity.DeniedError
)

// Request is what all use cases need to know.
type Request struct {
	Credentials
	Account  string // server account asked for (login=); "" is the user himself
	Frontend string // "plain", for policies
}

// Grant is the part that all granted answers share.
type Grant struct {
	User     string // canonical name
	Groups   []string
	Ticket   string // for the client's next request; "" when it shall keep what it has
	Revision string // of the snapshot that decided
}

// Listing is a granted list.
type Listing struct {
	Grant
	Profiles []Profile // by id
}

// Profile is a session profile as offered to one user.
type Profile struct {
	*schema.Profile
	Hosts []string // addresses of a few of its servers, for display only; not empty
	Port  int      // SSH port of the first of them
	User  string   // name to log in with there
}

// Setting is an X2Go Client key with its value: a string, int, bool or []string.
type Setting = schema.Setting

// Selection is a granted select: where to start the session.
type Selection struct {
	Grant
	Address string // DNS name or IP address, never empty
	Port    int
}

// maxHosts bounds the servers that a list names per profile; clients show them
// and do nothing else with them.
const maxHosts = 8

// Login only logs in, and hands out a ticket.
func (s *Service) Login(ctx context.Context, req Request) (out Grant, err error) {
	defer s.done("login", req, s.now(), &out, &err)
	d, err := s.enter(ctx, req, "login")
	if err != nil {
		return Grant{}, err
	}
	d.log.InfoContext(ctx, "logged in")
	return d.grant(), nil
}

// Verify tells whether Login would succeed, and leaves the ticket as it is.
func (s *Service) Verify(ctx context.Context, req Request) (out Grant, err error) {
	defer s.done("verify", req, s.now(), &out, &err)
	d, err := s.enter(ctx, req, "login")
	if err != nil {
		return Grant{}, err
	}
	return Grant{User: d.login.Identity.Name, Groups: d.login.Identity.Groups, Revision: d.snap.Revision.ID}, nil
}

// List gives the profiles that the policy shows to the user. The account does
// not count: clients ask for one when they select.
func (s *Service) List(ctx context.Context, req Request) (listing Listing, err error) {
	defer s.done("list", req, s.now(), &listing.Grant, &err)
	req.Account = ""
	d, err := s.enter(ctx, req, "list")
	if err != nil {
		return Listing{}, err
	}
	ids, failed := d.snap.Policy.Visible(ctx, d.request)
	for id, err := range failed {
		d.log.WarnContext(ctx, "profile hidden because the policy failed", "profile", id, "error", err)
	}
	catalog := d.snap.Catalog
	out := make([]Profile, 0, len(ids))
	for _, id := range ids {
		out = append(out, offer(catalog, catalog.Profiles[id], d.login.Identity.Name))
	}
	d.log.InfoContext(ctx, "listed", "profiles", len(out))
	return Listing{Grant: d.grant(), Profiles: out}, nil
}

// offer says what a client needs to know of a profile: servers in maintenance
// are not worth showing.
func offer(catalog *schema.Catalog, p *schema.Profile, user string) Profile {
	out := Profile{Profile: p, User: user}
	for _, id := range p.Servers {
		server := catalog.Servers[id]
		if server.State == schema.Maintenance || len(out.Hosts) == maxHosts {
			continue
		}
		if len(out.Hosts) == 0 {
			out.Port = server.Port
		}
		out.Hosts = append(out.Hosts, server.Address)
	}
	if len(out.Hosts) == 0 {
		first := catalog.Servers[p.Servers[0]]
		out.Hosts, out.Port = []string{first.Address}, first.Port
	}
	return out
}

// Select chooses a server for a profile. Whether the user may see the profile
// is decided again: a list proves nothing.
func (s *Service) Select(ctx context.Context, req Request, profileID string) (selection Selection, err error) {
	defer s.done("select", req, s.now(), &selection.Grant, &err)
	d, err := s.enter(ctx, req, "select")
	if err != nil {
		return Selection{}, err
	}
	d.log = d.log.With("profile", profileID)
	profile := d.snap.Catalog.Profiles[profileID]
	if profile == nil {
		return Selection{}, d.refuse(ctx, errNotOffered, "unknown profile")
	}
	sees, err := d.snap.Policy.Sees(ctx, d.request, profileID)
	if err != nil {
		return Selection{}, d.refuse(ctx, errNotOffered, "hidden because the policy failed", "error", err)
	}
	if !sees {
		return Selection{}, d.refuse(ctx, errNotOffered, "hidden profile")
	}
	choice, err := s.farm.Place(ctx, d.snap.Catalog, d.snap.Policy, d.request, profile)
	if err != nil {
		return Selection{}, d.refuse(ctx, errNoServer, "no server", "error", err, "excluded", choice.Placement.Excluded)
	}
	d.log.InfoContext(ctx, "selected", "server", choice.Server.ID, "score", choice.Placement.Scores[choice.Server.ID],
		"winners", choice.Placement.Winners, "draw", choice.Draw)
	return Selection{Grant: d.grant(), Address: choice.Server.Address, Port: choice.Server.Port}, nil
}

// A door is a request that has come in: authenticated, and not denied by the
// policy.
type door struct {
	snap    *snapshot.Snapshot
	login   *identity.Login
	request policy.Request
	log     *slog.Logger
}

// enter authenticates and asks the policy about the login. The error is
// ErrNotReady, a *DeniedError or a *RefusedError.
func (s *Service) enter(ctx context.Context, req Request, task string) (*door, error) {
	snap, err := s.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	login, err := s.gate.Login(ctx, req.Credentials)
	if err != nil {
		return nil, err
	}
	user := login.Identity.Name
	account := req.Account
	if account == "" || account == req.Name {
		account = user
	}
	d := &door{
		snap: snap, login: login,
		request: policy.Request{
			User: user, Groups: login.Identity.Groups, Account: account,
			Address: req.Address, Frontend: req.Frontend, Time: s.now(), Task: task,
		},
		log: s.log.With("task", task, "user", user, "address", req.Address.String(), "revision", snap.Revision.ID),
	}
	decision, err := snap.Policy.Login(ctx, d.request)
	if err != nil {
		return nil, d.refuse(ctx, errPolicy, "the login policy failed", "error", err)
	}
	if len(decision.Deny) > 0 {
		return nil, d.refuse(ctx, &RefusedError{decision.Deny[0]}, "denied by policy", "reasons", decision.Deny)
	}
	for _, a := range decision.Accounts {
		if a == account {
			return d, nil
		}
	}
	return nil, d.refuse(ctx, errAccount, "account not allowed", "account", account)
}

// snapshot gives the current snapshot, or waits a while for the first.
func (s *Service) snapshot(ctx context.Context) (*snapshot.Snapshot, error) {
	if snap := s.snapshots.Current(); snap != nil {
		return snap, nil
	}
	select {
	case s.waiting <- struct{}{}:
	default:
		return nil, fmt.Errorf("%w: too many requests wait for it", ErrNotReady)
	}
	defer func() { <-s.waiting }()
	ctx, cancel := context.WithTimeout(ctx, s.maxWait)
	defer cancel()
	snap, err := s.snapshots.Wait(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotReady, err)
	}
	return snap, nil
}

// grant turns or issues the ticket; nothing may refuse the request after it.
func (d *door) grant() Grant {
	return Grant{User: d.login.Identity.Name, Groups: d.login.Identity.Groups, Ticket: d.login.Renew(), Revision: d.snap.Revision.ID}
}

func (d *door) refuse(ctx context.Context, err *RefusedError, why string, attrs ...any) error {
	d.log.InfoContext(ctx, "refused", append([]any{"reason", why}, attrs...)...)
	return err
}
