package identity

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/bcrypt"
)

func TestStaticAuthenticates(t *testing.T) {
	long := strings.Repeat("x", 72)
	s, rounds := newStatic(t, StaticConfig{Users: map[string]StaticUser{
		"alice": {Hash: hashOf(t, "right", 4), Groups: []string{"staff", "admins", "staff"}},
		"bob":   {Hash: hashOf(t, "Grüße 😀", 5)},
		"long":  {Hash: hashOf(t, long, 4)},
		"short": {Hash: hashOf(t, "a", 4)},
	}})
	for name, tc := range map[string]struct {
		user, password string
		want           error
	}{
		"right":                              {"alice", "right", nil},
		"right, not ASCII":                   {"bob", "Grüße 😀", nil},
		"right, 72 bytes":                    {"long", long, nil},
		"wrong":                              {"alice", "wrong", ErrWrongPassword},
		"names are compared byte for byte":   {"Alice", "right", ErrUnknownUser},
		"unknown":                            {"mallory", "right", ErrUnknownUser},
		"empty":                              {"alice", "", ErrNoPassword},
		"empty, unknown":                     {"mallory", "", ErrNoPassword},
		"73 bytes with the right beginning":  {"long", long + "x", ErrWrongPassword},
		"a NUL does not repeat the password": {"short", "a\x00a", ErrWrongPassword},
		"a NUL does not end the password":    {"short", "a\x00", ErrWrongPassword},
		"the hash is not the password":       {"alice", string(s.users["alice"].hash), ErrWrongPassword},
	} {
		t.Run(name, func(t *testing.T) {
			rounds.Store(0)
			id, err := s.Authenticate(t.Context(), Credentials{Name: tc.user, Password: tc.password})
			if !errors.Is(err, tc.want) {
				t.Fatalf("error %v, want %v", err, tc.want)
			}
			if err == nil && id.Name != tc.user {
				t.Errorf("name %q", id.Name)
			}
			want := int64(1 << 5) // the costliest in the table
			switch {
			case errors.Is(err, ErrNoPassword):
				want = 0
			case err == nil && tc.user != "bob":
				want = 1 << 4
			}
			if got := rounds.Load(); got != want {
				t.Errorf("%d rounds, want %d", got, want)
			}
		})
	}
}

func TestStaticGivesGroupsByPasswordAndByName(t *testing.T) {
	s, _ := newStatic(t, StaticConfig{Name: "table", Users: map[string]StaticUser{
		"alice": {Hash: hashOf(t, "right", 4), Groups: []string{"staff", "admins", "staff"}},
	}})
	want := Identity{Name: "alice", Groups: []string{"admins", "staff"}, Authenticator: "table"}
	for range 2 { // the second time after the first answer was spoilt
		byPassword, err := s.Authenticate(t.Context(), Credentials{Name: "alice", Password: "right"})
		if diff := cmp.Diff(want, byPassword); err != nil || diff != "" {
			t.Errorf("error %v, identity (-want +got):\n%s", err, diff)
		}
		byName, err := s.Lookup(t.Context(), "alice")
		if diff := cmp.Diff(want, byName); err != nil || diff != "" {
			t.Errorf("error %v, identity (-want +got):\n%s", err, diff)
		}
		byPassword.Groups[0], byName.Groups[0] = "root", "root"
	}
	if _, err := s.Lookup(t.Context(), "Alice"); !errors.Is(err, ErrUnknownUser) {
		t.Errorf("lookup of an unknown name: %v", err)
	}
}

func TestStaticUnderstandsHashesOfOtherTools(t *testing.T) {
	// The password is "sweet"; the three versions differ in name only.
	h := hashOf(t, "sweet", 4)
	for _, version := range []string{"$2a", "$2b", "$2y"} {
		s, _ := newStatic(t, StaticConfig{Users: map[string]StaticUser{"test": {Hash: version + h[3:]}}})
		if _, err := s.Authenticate(t.Context(), Credentials{Name: "test", Password: "sweet"}); err != nil {
			t.Errorf("%s: %v", version, err)
		}
	}
}

func TestNewStaticRefusesWhatItCannotCheck(t *testing.T) {
	good := hashOf(t, "pw", 4)
	for name, tc := range map[string]struct {
		user string
		u    StaticUser
		want string
	}{
		"clear text":          {"alice", StaticUser{Hash: "hunter2"}, `user "alice"`},
		"empty hash":          {"alice", StaticUser{}, "x2broker passwd"},
		"another scheme":      {"alice", StaticUser{Hash: "$6$salt$" + good}, "bcrypt"},
		"the broken version":  {"alice", StaticUser{Hash: "$2x" + good[3:]}, "bcrypt"},
		"no version":          {"alice", StaticUser{Hash: "$2$" + good[3:]}, "bcrypt"},
		"cost 3":              {"alice", StaticUser{Hash: good[:4] + "03" + good[6:]}, "bcrypt"},
		"cost 32":             {"alice", StaticUser{Hash: good[:4] + "32" + good[6:]}, "bcrypt"},
		"cut short":           {"alice", StaticUser{Hash: good[:59]}, "bcrypt"},
		"a byte more":         {"alice", StaticUser{Hash: good + "a"}, "bcrypt"},
		"a line end":          {"alice", StaticUser{Hash: good[:59] + "\n"}, "bcrypt"},
		"empty name":          {"", StaticUser{Hash: good}, `user ""`},
		"control character":   {"al\nice", StaticUser{Hash: good}, `user "al\nice"`},
		"C1 control":          {"al\u0085ice", StaticUser{Hash: good}, "control characters"},
		"name not UTF-8":      {"al\xffice", StaticUser{Hash: good}, "UTF-8"},
		"name of 256 bytes":   {strings.Repeat("a", 256), StaticUser{Hash: good}, "1 to 255 bytes"},
		"group without name":  {"alice", StaticUser{Hash: good, Groups: []string{""}}, `group ""`},
		"group with line end": {"alice", StaticUser{Hash: good, Groups: []string{"a\n"}}, `group "a\n"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := NewStatic(StaticConfig{Users: map[string]StaticUser{tc.user: tc.u}})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("error %v, want %q", err, tc.want)
			}
			if tc.u.Hash != "" && strings.Contains(err.Error(), tc.u.Hash) {
				t.Errorf("the error shows the hash: %v", err)
			}
		})
	}
}

func TestNewStaticNamesEveryBadUserInOrder(t *testing.T) {
	_, _, err := NewStatic(StaticConfig{Users: map[string]StaticUser{"b": {}, "a": {}, "c": {}}})
	var at []int
	for _, name := range []string{`"a"`, `"b"`, `"c"`} {
		at = append(at, strings.Index(err.Error(), name))
	}
	if at[0] < 0 || at[1] < at[0] || at[2] < at[1] {
		t.Errorf("positions %v in:\n%v", at, err)
	}
}

func TestNewStaticWarnings(t *testing.T) {
	at := func(cost string) StaticUser { return StaticUser{Hash: "$2b$" + cost + "$" + strings.Repeat("a", 53)} }
	_, got, err := NewStatic(StaticConfig{Users: map[string]StaticUser{
		"weak": at("09"), "fine": at("10"), "slow": at("16"), "fair": at("15"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"authenticator \"static\": user \"slow\": bcrypt cost 16 makes every login attempt, of unknown users too, take seconds; make a new hash with `x2broker passwd`",
		"authenticator \"static\": user \"weak\": bcrypt cost 9 is below 10 and quickly guessed if the file leaks; make a new hash with `x2broker passwd`",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func TestAnEmptyTableLetsNobodyIn(t *testing.T) {
	s, warnings, err := NewStatic(StaticConfig{})
	if err != nil || len(warnings) != 1 {
		t.Fatalf("%v, warnings %q", err, warnings)
	}
	s.compare = func([]byte, []byte) error { return nil } // even if everything matched
	if _, err := s.Authenticate(t.Context(), Credentials{Name: "alice", Password: "pw"}); !errors.Is(err, ErrUnknownUser) {
		t.Errorf("error %v", err)
	}
}

func TestWaitingForAHashEndsWithTheContext(t *testing.T) {
	s, _ := newStatic(t, StaticConfig{Concurrency: 1, Users: map[string]StaticUser{"alice": {Hash: hashOf(t, "pw", 4)}}})
	hashing, finish := make(chan struct{}), make(chan struct{})
	compare := s.compare
	s.compare = func(hash, password []byte) error {
		close(hashing)
		<-finish
		return compare(hash, password)
	}
	first := make(chan error)
	firstCtx, cancelFirst := context.WithCancel(t.Context())
	go func() {
		_, err := s.Authenticate(firstCtx, Credentials{Name: "alice", Password: "pw"})
		first <- err
	}()
	<-hashing

	ctx, cancel := context.WithCancel(t.Context())
	second := make(chan error)
	go func() {
		_, err := s.Authenticate(ctx, Credentials{Name: "alice", Password: "pw"})
		second <- err
	}()
	cancel()
	if err := <-second; !errors.Is(err, ErrNotTried) || !errors.Is(err, context.Canceled) {
		t.Errorf("waiting: error %v, want ErrNotTried and context.Canceled", err)
	}
	cancelFirst()
	close(finish)
	if err := <-first; err != nil {
		t.Errorf("a comparison that has begun is finished: %v", err)
	}
}

func TestHashPassword(t *testing.T) {
	for name, tc := range map[string]struct {
		password string
		cost     int
		ok       bool
	}{
		"fine":              {"correct horse", 4, true},
		"72 bytes":          {strings.Repeat("é", 36), 4, true},
		"empty":             {"", 4, false},
		"73 bytes":          {strings.Repeat("x", 73), 4, false},
		"line end":          {"pw\n", 4, false},
		"NUL":               {"p\x00w", 4, false},
		"DEL":               {"p\x7fw", 4, false},
		"not UTF-8":         {"p\xffw", 4, false},
		"cost 3":            {"pw", 3, false},
		"cost 0 is not 10":  {"pw", 0, false},
		"cost 32":           {"pw", 32, false},
		"negative cost":     {"pw", -1, false},
		"blank is a letter": {" ", 4, true},
	} {
		t.Run(name, func(t *testing.T) {
			h, err := HashPassword(tc.password, tc.cost)
			if (err == nil) != tc.ok {
				t.Fatalf("error %v, want ok %v", err, tc.ok)
			}
			if !tc.ok {
				return
			}
			if cost, ok := bcryptCost(h); !ok || cost != tc.cost {
				t.Errorf("cost %d, %v", cost, ok)
			}
			if err := bcrypt.CompareHashAndPassword([]byte(h), []byte(tc.password)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestDecoysAreHashes(t *testing.T) {
	for cost := bcrypt.MinCost; cost <= bcrypt.MaxCost; cost++ {
		if got, ok := bcryptCost(string(decoyHash(cost))); !ok || got != cost {
			t.Errorf("decoy of cost %d: cost %d, %v", cost, got, ok)
		}
	}
	if err := bcrypt.CompareHashAndPassword(decoyHash(4), []byte("pw")); !errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) {
		t.Errorf("a decoy is not computed to the end: %v", err)
	}
}
