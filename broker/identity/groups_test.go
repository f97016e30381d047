package identity

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fakeGroups is a source of groups.
type fakeGroups struct {
	of    map[string][]string
	err   error
	asked []string
}

func (f *fakeGroups) Name() string { return "directory" }

func (f *fakeGroups) Groups(_ context.Context, name string) ([]string, error) {
	f.asked = append(f.asked, name)
	groups, ok := f.of[name]
	switch {
	case f.err != nil:
		return nil, f.err
	case !ok:
		return nil, ErrUnknownUser
	}
	return groups, nil
}

// aliceAnywhere is a chain of two authenticators with a source of groups behind.
func aliceAnywhere(t *testing.T, source GroupSource, clock *fakeClock) (*Chain, *lookAuth) {
	t.Helper()
	look := &lookAuth{fakeAuth: fakeAuth{name: "look", user: "ALICE", password: "pw"}, canonical: "alice", groups: []string{"own"}}
	c := newChain(t, &fakeAuth{name: "table", user: "bob", password: "pw"}, look)
	if err := c.AddGroups(source, time.Minute, clock.Now); err != nil {
		t.Fatal(err)
	}
	return c, look
}

func TestGroupsAreAddedForTheCanonicalName(t *testing.T) {
	source := &fakeGroups{of: map[string][]string{"alice": {"staff", "own"}, "ALICE": {"root"}}}
	c, _ := aliceAnywhere(t, source, newClock())
	want := Identity{Name: "alice", Groups: []string{"own", "staff"}, Authenticator: "look"}
	byPassword, err := c.Authenticate(t.Context(), Credentials{Name: "ALICE", Password: "pw"})
	if diff := cmp.Diff(want, byPassword); err != nil || diff != "" {
		t.Errorf("%v, by password (-want +got):\n%s", err, diff)
	}
	byName, err := c.Lookup(t.Context(), "look", "alice")
	if diff := cmp.Diff(want, byName); err != nil || diff != "" {
		t.Errorf("%v, by name (-want +got):\n%s", err, diff)
	}
	bob, err := c.Authenticate(t.Context(), Credentials{Name: "bob", Password: "pw"})
	if diff := cmp.Diff([]string{"a", "z"}, bob.Groups); err != nil || diff != "" {
		t.Errorf("%v, whom the source does not know (-want +got):\n%s", err, diff)
	}
}

func TestARemovalFromAGroupCountsWithinTheAge(t *testing.T) {
	clock := newClock()
	source := &fakeGroups{of: map[string][]string{"alice": {"staff"}}}
	c, _ := aliceAnywhere(t, source, clock)
	has := func() string {
		t.Helper()
		id, err := c.Lookup(t.Context(), "look", "alice")
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(id.Groups, " ")
	}
	if got := has(); got != "own staff" {
		t.Fatalf("groups %q", got)
	}
	source.of["alice"] = nil
	clock.Advance(time.Minute - 1)
	if got := has(); got != "own staff" || len(source.asked) != 1 {
		t.Errorf("before the minute is over: groups %q, asked %q", got, source.asked)
	}
	clock.Advance(1)
	if got := has(); got != "own" || len(source.asked) != 2 {
		t.Errorf("after the minute: groups %q, asked %q", got, source.asked)
	}
	clock.Advance(-time.Hour)
	if has(); len(source.asked) != 3 {
		t.Error("an answer from the future was used")
	}
}

// A group that is missing may be one that is denied something.
func TestASourceThatCannotAnswerDenies(t *testing.T) {
	for name, err := range map[string]error{
		"an error":                    errors.New("on fire"),
		"what would look untried":     fmt.Errorf("dial: %w", ErrNotTried),
		"what would be as wrong as":   ErrWrongPassword,
		"what would be as good as no": ErrNoPassword,
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := aliceAnywhere(t, &fakeGroups{err: err}, newClock())
			id, got := c.Authenticate(t.Context(), Credentials{Name: "ALICE", Password: "pw"})
			if got == nil || errors.Is(got, err) || id.Name != "" {
				t.Errorf("by password: %v, %v", id, got)
			}
			if id, got := c.Lookup(t.Context(), "look", "alice"); got == nil || id.Name != "" {
				t.Errorf("by name: %v, %v", id, got)
			}
		})
	}
}

func TestGroupsThatNobodyCanHaveDeny(t *testing.T) {
	for _, g := range []string{"", "a\nb", "\xff"} {
		c, _ := aliceAnywhere(t, &fakeGroups{of: map[string][]string{"alice": {g}}}, newClock())
		if id, err := c.Authenticate(t.Context(), Credentials{Name: "ALICE", Password: "pw"}); err == nil {
			t.Errorf("%q: let in as %v", g, id)
		}
	}
}

func TestAnOpenDoorGivesNoGroups(t *testing.T) {
	none, err := NewNone(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := newChain(t, none).AddGroups(&fakeGroups{}, 0, newClock().Now); err == nil {
		t.Error("anybody could give himself the groups of any name")
	}
}

func TestALookupServesForAMinuteAtMost(t *testing.T) {
	clock := newClock()
	c, look := aliceAnywhere(t, &fakeGroups{}, clock)
	c.KeepLookups("look", time.Hour, clock.Now)
	ask := func() error {
		_, err := c.Lookup(t.Context(), "look", "alice")
		return err
	}
	if err := ask(); err != nil || ask() != nil || look.lookups != 1 {
		t.Fatalf("%v, %d lookups", err, look.lookups)
	}
	look.lookupErr = ErrUnknownUser
	clock.Advance(MaxLookupAge)
	for want := 2; want < 4; want++ { // an error is not kept
		if err := ask(); !errors.Is(err, ErrUnknownUser) || look.lookups != want {
			t.Errorf("after a minute: %v, %d lookups, want %d", err, look.lookups, want)
		}
	}
	look.lookupErr = nil
	if _, err := c.Authenticate(t.Context(), Credentials{Name: "ALICE", Password: "pw"}); err != nil || ask() != nil || look.lookups != 3 {
		t.Errorf("%v; after a login the lookup asked again", err)
	}
}

func TestKeptAnswersAreBounded(t *testing.T) {
	clock := newClock()
	r := newRecent[int](time.Minute, clock.Now)
	for i := range 3 * maxRecent {
		r.put(fmt.Sprint(i), i, clock.Now())
	}
	if len(r.of) > maxRecent {
		t.Errorf("%d answers are kept", len(r.of))
	}
}

func TestASlowAnswerDoesNotReplaceALaterOne(t *testing.T) {
	clock := newClock()
	r := newRecent[string](time.Minute, clock.Now)
	got, err := r.get("alice", func() (string, error) {
		clock.Advance(time.Second)
		r.put("alice", "new", clock.Now())
		return "old", nil
	})
	if got != "old" || err != nil {
		t.Fatal(got, err)
	}
	if got, _ := r.get("alice", nil); got != "new" {
		t.Errorf("kept %q", got)
	}
}

func TestALockedAccountEndsTheSearch(t *testing.T) {
	second := &fakeAuth{name: "second", user: "alice", password: "pw"}
	c := newChain(t, &fakeAuth{name: "first", err: ErrExpired}, second)
	if _, err := c.Authenticate(t.Context(), Credentials{Name: "alice", Password: "pw"}); !errors.Is(err, ErrExpired) || second.asked > 0 {
		t.Errorf("%v, the second was asked %d times", err, second.asked)
	}
}

func TestNamesThatNobodyCanHaveAreADenial(t *testing.T) {
	for _, name := range []string{"a\nb", "\xff", strings.Repeat("a", MaxName+1)} {
		c := newChain(t, &lookAuth{fakeAuth: fakeAuth{name: "odd", user: "alice", password: "pw"}, canonical: name})
		if id, err := c.Authenticate(t.Context(), Credentials{Name: "alice", Password: "pw"}); err == nil {
			t.Errorf("%q: let in as %v", name, id)
		}
	}
}
