package check

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/x2broker/x2broker/broker/snapshot"
	"github.com/x2broker/x2broker/broker/source"
	"github.com/x2broker/x2broker/policy"
	"github.com/x2broker/x2broker/schema"
)

// mostHidden is how many hidden profiles are explained without being asked for.
const mostHidden = 20

// A Question is what [Explain] explains.
type Question struct {
	User    string
	Groups  []string
	Account string // server account; empty for the user's own
	Address netip.Addr
	Time    time.Time
	Profile string                  // empty for all
	All     bool                    // hidden profiles too, however many
	Facts   map[string]policy.Facts // by server; those not named are idle
}

// Explained is the answer. It is also its JSON form.
type Explained struct {
	Site        string             `json:"site"`
	Revision    source.Revision    `json:"revision"`
	Diagnostics schema.Diagnostics `json:"diagnostics"` // of a site that does not compile; never null

	Who       Who                  `json:"who"`
	Login     Login                `json:"login"`
	Granted   int                  `json:"granted"`  // profiles, explained or not
	Hidden    int                  `json:"hidden"`   // likewise
	Profiles  []policy.Explanation `json:"profiles"` // granted ones first, then by id; never null
	Placement *Placement           `json:"placement,omitempty"`

	rules map[string][]schema.Position // of the broker's, where the site defines them
	one   bool                         // a profile was asked for
}

// Who is the request that is explained.
type Who struct {
	User     string    `json:"user"`
	Groups   []string  `json:"groups"` // never null
	Account  string    `json:"account"`
	Address  string    `json:"address"`
	Networks []string  `json:"networks"` // of the site, that hold the address; never null
	Time     time.Time `json:"time"`     // in the site's zone
}

// Login is what the policy says of the login. A user who is refused gets none of
// the profiles.
type Login struct {
	Allowed  bool            `json:"allowed"`  // not denied, and the account is one of his
	Deny     []policy.Denial `json:"deny"`     // never null
	Accounts []string        `json:"accounts"` // never null
	Error    string          `json:"error,omitempty"`
}

// Placement is what the policy says of the servers of one profile.
type Placement struct {
	Servers []Candidate `json:"servers"` // by id, never null
	Error   string      `json:"error,omitempty"`
}

// Candidate is a server of the profile.
type Candidate struct {
	Server   string   `json:"server"`
	Score    *float64 `json:"score,omitempty"`
	Excluded string   `json:"excluded,omitempty"` // why it does not win
	Wins     bool     `json:"wins"`               // among equals, the broker draws
}

// Explain says what the user gets from the newest revision of the source, and
// why: from the policies as they serve, asked as by a list or, about one profile,
// as by a select. The error says that the source could
// not be read, or that the site has no such profile; a site that does not
// compile gives its diagnostics and nothing else.
func Explain(ctx context.Context, src source.Source, q Question) (Explained, error) {
	x := Explained{
		Site: src.String(), Diagnostics: schema.Diagnostics{}, Profiles: []policy.Explanation{},
		Login: Login{Deny: []policy.Denial{}, Accounts: []string{}}, one: q.Profile != "",
	}
	snap, _, diags, err := build(ctx, src, &x.Revision)
	if err != nil || snap == nil {
		x.Diagnostics = append(x.Diagnostics, diags...)
		return x, err
	}
	if err := known(snap.Catalog, q); err != nil {
		return x, err
	}
	x.rules = map[string][]schema.Position{}
	for _, rule := range []string{"x2go.access.visible", "x2go.placement.scores", "x2go.placement.excluded"} {
		x.rules[rule] = snap.Policy.Defined(rule)
	}
	r := policy.Request{
		User: q.User, Groups: q.Groups, Account: q.Account,
		Address: q.Address, Frontend: "plain", Time: q.Time, Task: "list",
	}
	if x.one {
		r.Task = "select"
	}
	if r.Account == "" {
		r.Account = r.User
	}
	x.Who = who(snap.Catalog, r)
	x.login(ctx, snap, r)
	if err := x.profiles(ctx, snap, r, q); err != nil {
		return x, err
	}
	if x.one && x.Profiles[0].Visible {
		x.placement(ctx, snap, r, q)
	}
	return x, ctx.Err()
}

// build compiles the newest revision of a source. The snapshot is nil if it does
// not compile.
func build(ctx context.Context, src source.Source, rev *source.Revision) (*snapshot.Snapshot, *source.Tree, schema.Diagnostics, error) {
	var err error
	if *rev, err = src.Fetch(ctx); err != nil {
		return nil, nil, nil, err
	}
	tree, err := src.Tree(ctx, *rev)
	if err != nil {
		return nil, nil, nil, err
	}
	snap, diags := snapshot.Build(ctx, schema.NewCompiler(), *rev, tree)
	return snap, tree, diags, ctx.Err()
}

// known refuses names that the site does not have.
func known(cat *schema.Catalog, q Question) error {
	if _, ok := cat.Profiles[q.Profile]; q.Profile != "" && !ok {
		ids := slices.Sorted(maps.Keys(cat.Profiles))
		return fmt.Errorf("the site has no profile %q%s", q.Profile, schema.DidYouMean(q.Profile, ids))
	}
	for _, id := range slices.Sorted(maps.Keys(q.Facts)) {
		if _, ok := cat.Servers[id]; !ok {
			servers := slices.Sorted(maps.Keys(cat.Servers))
			return fmt.Errorf("the site has no server %q, of which there are facts%s", id, schema.DidYouMean(id, servers))
		}
	}
	return nil
}

func who(cat *schema.Catalog, r policy.Request) Who {
	w := Who{
		User: r.User, Groups: append([]string{}, r.Groups...), Account: r.Account,
		Address: r.Address.String(), Networks: []string{}, Time: r.Time.In(cat.Site.Location),
	}
	for _, name := range slices.Sorted(maps.Keys(cat.Networks)) {
		if slices.ContainsFunc(cat.Networks[name].Prefixes, func(p netip.Prefix) bool { return p.Contains(r.Address.Unmap()) }) {
			w.Networks = append(w.Networks, name)
		}
	}
	return w
}

func (x *Explained) login(ctx context.Context, snap *snapshot.Snapshot, r policy.Request) {
	login, denials, err := snap.Policy.ExplainLogin(ctx, r)
	if err != nil {
		x.Login.Error = err.Error()
		return
	}
	x.Login.Allowed = len(login.Deny) == 0 && slices.Contains(login.Accounts, r.Account)
	x.Login.Deny = append(x.Login.Deny, denials...)
	x.Login.Accounts = append(x.Login.Accounts, login.Accounts...)
}

// profiles explains those that are granted, and hidden ones if they are few or
// asked for.
func (x *Explained) profiles(ctx context.Context, snap *snapshot.Snapshot, r policy.Request, q Question) error {
	var granted []string
	for _, p := range snap.Policy.Visible(ctx, r).Profiles {
		granted = append(granted, p.ID)
	}
	hidden := slices.DeleteFunc(slices.Sorted(maps.Keys(snap.Catalog.Profiles)), func(id string) bool { return slices.Contains(granted, id) })
	x.Granted, x.Hidden = len(granted), len(hidden)
	ids := granted
	if q.All || len(hidden) <= mostHidden {
		ids = append(ids, hidden...)
	}
	if x.one {
		ids = []string{q.Profile}
	}
	for _, id := range ids {
		e, err := snap.Policy.Explain(ctx, r, id)
		if err != nil {
			return err
		}
		x.Profiles = append(x.Profiles, e)
	}
	return nil
}

func (x *Explained) placement(ctx context.Context, snap *snapshot.Snapshot, r policy.Request, q Question) {
	x.Placement = &Placement{Servers: []Candidate{}}
	p, err := snap.Policy.Place(ctx, r, q.Profile, q.Facts)
	if err != nil {
		x.Placement.Error = err.Error()
		return
	}
	for _, id := range snap.Catalog.Profiles[q.Profile].Servers {
		c := Candidate{Server: id, Excluded: p.Excluded[id], Wins: slices.Contains(p.Winners, id)}
		if score, ok := p.Scores[id]; ok {
			c.Score = &score
		}
		x.Placement.Servers = append(x.Placement.Servers, c)
	}
}

// ReadFacts reads what is known of servers, as policies see it at
// input.servers: {"ts01": {"sessions": 3, "age_s": 12}}.
func ReadFacts(r io.Reader) (map[string]policy.Facts, error) {
	var read map[string]struct {
		Sessions     int     `json:"sessions"`
		Inflight     int     `json:"inflight"`
		Load1        float64 `json:"load1"`
		CPUs         int     `json:"cpus"`
		MemAvailable int64   `json:"mem_available"`
		MemTotal     int64   `json:"mem_total"`
		Age          float64 `json:"age_s"`
		Failures     int     `json:"failures"`
	}
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	if err := d.Decode(&read); err != nil {
		return nil, fmt.Errorf("facts, which are written {\"ts01\": {\"sessions\": 3}}: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	facts := make(map[string]policy.Facts, len(read))
	for id, f := range read {
		facts[id] = policy.Facts{
			Sessions: f.Sessions, Inflight: f.Inflight, Load1: f.Load1, CPUs: f.CPUs,
			MemAvailable: f.MemAvailable, MemTotal: f.MemTotal,
			Age: time.Duration(f.Age * float64(time.Second)), Failures: f.Failures,
		}
	}
	return facts, nil
}
