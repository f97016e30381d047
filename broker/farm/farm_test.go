package farm_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"testing/fstest"
	"time"

	"github.com/x2broker/x2broker/broker/farm"
	"github.com/x2broker/x2broker/policy"
	"github.com/x2broker/x2broker/schema"
)

const site = `package site

site: name: "S"
servers: {
	small: {labels: pool: "all", weight: 50}
	usual: {labels: pool: "all"}
	large: {labels: pool: "all", weight: 200}
	drained: {labels: pool: "all", weight: 1000, state: "drain"}
	down: {labels: pool: "other", state: "maintenance"}
	tiny: {labels: pool: "tiny", capacity: sessions: 2}
}
profiles: {
	office: {name: "O", hosts: labels: pool: "all", access: everyone: true}
	gone: {name: "G", hosts: ids: ["down"], access: everyone: true}
	tiny: {name: "T", hosts: ids: ["tiny"], access: everyone: true}
}
`

type fixture struct {
	t       *testing.T
	catalog *schema.Catalog
	engine  *policy.Engine
	farm    *farm.Farm
	now     time.Time
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, now: time.Unix(1e9, 0)}
	var diags schema.Diagnostics
	f.catalog, diags = schema.NewCompiler().Compile(t.Context(), fstest.MapFS{"site.cue": {Data: []byte(site)}})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	if f.engine, diags = policy.Compile(t.Context(), f.catalog, nil); diags.HasErrors() {
		t.Fatal(diags)
	}
	f.farm = farm.New(func() time.Time { return f.now }, rand.New(rand.NewPCG(1, 2)).IntN)
	return f
}

func (f *fixture) place(user, profile string) (farm.Choice, error) {
	req := policy.Request{User: user, Account: user, Address: netip.MustParseAddr("192.0.2.1"), Frontend: "plain", Task: "select", Time: f.now}
	return f.farm.Place(f.t.Context(), f.catalog, f.engine, req, f.catalog.Profiles[profile])
}

func TestPlacementsFollowTheWeights(t *testing.T) {
	f := newFixture(t)
	got := map[string]int{}
	const n = 700
	for i := range n {
		choice, err := f.place(fmt.Sprint("user", i), "office")
		if err != nil {
			t.Fatal(err)
		}
		got[choice.Server.ID]++
	}
	for id, want := range map[string]int{"small": 100, "usual": 200, "large": 400} {
		if d := got[id] - want; d < -2 || d > 2 {
			t.Errorf("%s has %d sessions, want %d", id, got[id], want)
		}
	}
	if got["drained"] > 0 {
		t.Error("a drained server got new sessions")
	}
}

func TestWhereNoServerIsNobodyIsPlaced(t *testing.T) {
	f := newFixture(t)
	if _, err := f.place("alice", "gone"); !errors.Is(err, farm.ErrNoServer) {
		t.Errorf("maintenance: got %v", err)
	}
}

func TestAFullServerTakesNoMore(t *testing.T) {
	f := newFixture(t)
	for _, user := range []string{"alice", "bob"} {
		if _, err := f.place(user, "tiny"); err != nil {
			t.Fatal(err)
		}
	}
	choice, err := f.place("carol", "tiny")
	if !errors.Is(err, farm.ErrNoServer) || choice.Placement.Excluded["tiny"] != "full: 2 of 2 sessions" {
		t.Errorf("got %v, %v", choice.Placement.Excluded, err)
	}
	if _, err := f.place("alice", "tiny"); err != nil {
		t.Errorf("who starts over takes no second place: %v", err)
	}
	f.now = f.now.Add(9 * time.Hour)
	if _, err := f.place("carol", "tiny"); err != nil {
		t.Errorf("placements never end: %v", err)
	}
}

func TestAChoiceIsNoPlacement(t *testing.T) {
	f := newFixture(t)
	req := policy.Request{User: "alice", Account: "alice", Address: netip.MustParseAddr("192.0.2.1"), Frontend: "uccs", Task: "select", Time: f.now}
	for i := range 5 { // of a server with room for two
		req.Account = fmt.Sprint("user", i)
		choice, err := f.farm.Choose(t.Context(), f.catalog, f.engine, req, f.catalog.Profiles["tiny"])
		if err != nil || choice.Server.ID != "tiny" {
			t.Fatalf("%d: %v, %v", i, choice.Server, err)
		}
	}
}
