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
	"net/netip"
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

	// CanChangePassword says whether there is any password to be changed.
	CanChangePassword() bool
	// ChangePassword asks allow before it changes anything.
	ChangePassword(ctx context.Context, c identity.Credentials, newPassword string, allow func(identity.Identity) error) error
	Event(context.Context, identity.Credentials) (id identity.Identity, live bool, err error)

	// Open says whether nobody needs a password. The others are for connections
	// that prove once, for all their requests, who is there.
	Open() bool
	Connect(context.Context, identity.Credentials, identity.Ask) (*identity.Proof, error)
	ConnectAs(context.Context, identity.Credentials) (*identity.Proof, error)
	ConnectUID(ctx context.Context, uid uint32, name string, address netip.Addr) (*identity.Proof, error)
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
	zeroconf  *Offer     // nil: switched off
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

// Entry says how logins are doing; see broker/identity.
type Entry = identity.GateStatus

// Request is what all use cases need to know.
type Request struct {
	Credentials
	Account  string // server account asked for (login=); "" is the user himself
	Frontend string // "plain", "json", "uccs" or "ssh", for policies
	Zeroconf bool   // about the profile of [Service.Zeroconf], not about those of the site
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
	*Offer
}

// An Offer is what a list shows. All users who are shown the same share one,
// which must not be changed; the name to log in with is that of the grant.
type Offer struct {
	Profiles []Profile // by id
	listing  *policy.Listing
}

// Derive gives what make makes of the offer, such as its text for a client. It is
// made once for a key and kept as long as the offer; as in a context, a key is of
// a type that its package does not share. What make gives must depend on nothing
// but the offer.
func (o *Offer) Derive(key any, make func() any) any { return o.listing.Derive(key, make) }

// Profile is a session profile as offered.
type Profile struct {
	*schema.Profile
	Hosts []string // addresses of a few of its servers, for display only; not empty
	Port  int      // SSH port of the first of them
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
	d.note(ctx, slog.LevelInfo, "logged in")
	return d.grant(), nil
}

// Verify tells whether Login would succeed, and leaves the ticket as it is.
func (s *Service) Verify(ctx context.Context, req Request) (out Grant, err error) {
	defer s.done("verify", req, s.now(), &out, &err)
	d, err := s.enter(ctx, req, "login")
	if err != nil {
		return Grant{}, err
	}
	return d.recognised(), nil
}

// Event takes note of what a client says during a session: that it goes on, or
// has ended. Its ticket proves who says so, never a password, and stays as it is;
// an expired one is granted, and what it says counts for nothing. Nothing is done
// about sessions yet.
func (s *Service) Event(ctx context.Context, req Request) (out Grant, err error) {
	defer s.done("event", req, s.now(), &out, &err)
	snap, err := s.snapshot(ctx)
	if err != nil {
		return Grant{}, err
	}
	id, live, err := s.gate.Event(ctx, req.Credentials)
	if err != nil || !live {
		return Grant{Revision: snap.Revision.ID}, err
	}
	return Grant{User: id.Name, Groups: id.Groups, Revision: snap.Revision.ID}, nil
}

// List gives the profiles that the policy shows to the user. The account does
// not count: clients ask for one when they select.
func (s *Service) List(ctx context.Context, req Request) (out Listing, err error) {
	defer s.done("list", req, s.now(), &out.Grant, &err)
	req.Account = ""
	d, err := s.enter(ctx, req, "list")
	if err != nil {
		return Listing{}, err
	}
	offer := s.zeroconf
	if !req.Zeroconf {
		offer = offerOf(d.snap.Catalog, d.visible(ctx))
	} else if offer == nil {
		return Listing{}, d.refuse(ctx, errNotOffered, "zeroconf is switched off")
	}
	d.note(ctx, slog.LevelInfo, "listed", slog.Int("profiles", len(offer.Profiles)))
	return Listing{Grant: d.grant(), Offer: offer}, nil
}

// visible asks the policy what the user is shown.
func (d *door) visible(ctx context.Context) *policy.Listing {
	listing := d.snap.Policy.Visible(ctx, d.request)
	for id, err := range listing.Failed {
		d.note(ctx, slog.LevelWarn, "profile hidden because the policy failed", slog.String("profile", id), slog.Any("error", err))
	}
	return listing
}

// offerKey is that of the offer among what is derived from a listing.
type offerKey struct{}

// offerOf says what clients need to know of the profiles of a listing.
func offerOf(catalog *schema.Catalog, listing *policy.Listing) *Offer {
	return listing.Derive(offerKey{}, func() any {
		o := &Offer{Profiles: make([]Profile, 0, len(listing.Profiles)), listing: listing}
		for _, p := range listing.Profiles {
			o.Profiles = append(o.Profiles, profile(catalog, p))
		}
		return o
	}).(*Offer)
}

// profile adds the servers: those in maintenance are not worth showing.
func profile(catalog *schema.Catalog, p *schema.Profile) Profile {
	out := Profile{Profile: p}
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
	d.about = append(d.about, slog.String("profile", profileID))
	if req.Zeroconf {
		return s.selectZeroconf(ctx, d, profileID)
	}
	if d.snap.Catalog.Profiles[profileID] == nil {
		return Selection{}, d.refuse(ctx, errNotOffered, "unknown profile")
	}
	profile, err := d.snap.Policy.Sees(ctx, d.request, profileID)
	if err != nil {
		return Selection{}, d.refuse(ctx, errNotOffered, "hidden because the policy failed", slog.Any("error", err))
	}
	if profile == nil {
		return Selection{}, d.refuse(ctx, errNotOffered, "hidden profile")
	}
	choice, err := s.farm.Place(ctx, d.snap.Catalog, d.snap.Policy, d.request, profile)
	if err != nil {
		return Selection{}, d.refuse(ctx, errNoServer, "no server", slog.Any("error", err), slog.Any("excluded", choice.Placement.Excluded))
	}
	d.note(ctx, slog.LevelInfo, "selected", slog.String("server", choice.Server.ID),
		slog.Float64("score", choice.Placement.Scores[choice.Server.ID]),
		slog.Any("winners", choice.Placement.Winners), slog.Int("draw", choice.Draw))
	return Selection{Grant: d.grant(), Address: choice.Server.Address, Port: choice.Server.Port}, nil
}

// A door is a request that has come in: authenticated, and not denied by the
// policy.
type door struct {
	snap    *snapshot.Snapshot
	login   *identity.Login
	request policy.Request
	log     *slog.Logger
	about   []slog.Attr // begin each record
}

// note logs. A logger With attributes would format them for each request, and any
// logger would look for the caller, whom nobody asks for.
func (d *door) note(ctx context.Context, level slog.Level, text string, attrs ...slog.Attr) {
	h := d.log.Handler()
	if !h.Enabled(ctx, level) {
		return
	}
	r := slog.NewRecord(time.Now(), level, text, 0)
	r.AddAttrs(d.about...)
	r.AddAttrs(attrs...)
	_ = h.Handle(ctx, r) // as slog does
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
	return s.admit(ctx, req, task, snap, login)
}

// admit asks the policy about a login. The error is a *RefusedError.
func (s *Service) admit(ctx context.Context, req Request, task string, snap *snapshot.Snapshot, login *identity.Login) (*door, error) {
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
		log: s.log, about: []slog.Attr{
			slog.String("task", task), slog.String("user", user),
			slog.String("address", req.Address.String()), slog.String("revision", snap.Revision.ID),
		},
	}
	decision, err := snap.Policy.Login(ctx, d.request)
	if err != nil {
		return nil, d.refuse(ctx, errPolicy, "the login policy failed", slog.Any("error", err))
	}
	if len(decision.Deny) > 0 {
		return nil, d.refuse(ctx, &RefusedError{decision.Deny[0], RefusedLogin}, "denied by policy", slog.Any("reasons", decision.Deny))
	}
	for _, a := range decision.Accounts {
		if a == account {
			return d, nil
		}
	}
	return nil, d.refuse(ctx, errAccount, "account not allowed", slog.String("account", account))
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
	g := d.recognised()
	g.Ticket = d.login.Renew()
	return g
}

// recognised is a grant that leaves tickets as they are.
func (d *door) recognised() Grant {
	return Grant{User: d.login.Identity.Name, Groups: d.login.Identity.Groups, Revision: d.snap.Revision.ID}
}

func (d *door) refuse(ctx context.Context, err *RefusedError, why string, attrs ...slog.Attr) error {
	d.note(ctx, slog.LevelInfo, "refused", append([]slog.Attr{slog.String("reason", why)}, attrs...)...)
	return err
}
