package identity

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/bcrypt"
)

// reference is a hash of "password" from the tests of the reference
// implementation (github.com/P-H-C/phc-winner-argon2, src/test.c).
const reference = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"

func TestStaticUnderstandsArgon2id(t *testing.T) {
	long := strings.Repeat("x", 100)
	s, _ := newStatic(t, StaticConfig{Users: map[string]StaticUser{"alice": {Hash: reference}, "long": {Hash: cheapArgon(long, 8)}}})
	for password, want := range map[string]error{"password": nil, "Password": ErrWrongPassword, "": ErrNoPassword, reference: ErrWrongPassword} {
		if _, err := s.Authenticate(t.Context(), Credentials{Name: "alice", Password: password}); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", password, err, want)
		}
	}
	for password, want := range map[string]error{long: nil, long[:72]: ErrWrongPassword, long + "x": ErrWrongPassword} {
		if _, err := s.Authenticate(t.Context(), Credentials{Name: "long", Password: password}); !errors.Is(err, want) {
			t.Errorf("%d bytes: %v, want %v", len(password), err, want)
		}
	}
}

// cheapArgon is a hash that takes as much memory in KiB.
func cheapArgon(password string, memory uint32) string {
	h := argonHash{argonSetting: argonSetting{memory: memory, time: 1, threads: 1, length: 16}, salt: []byte("somesalt")}
	h.digest = h.sum(password, h.salt)
	return h.text()
}

func TestArgon2idHashesThatAreRefused(t *testing.T) {
	const salt, digest = "c29tZXNhbHQ", "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
	with := func(settings string) string { return "$argon2id$v=19$" + settings + "$" + salt + "$" + digest }
	for name, tc := range map[string]struct{ hash, want string }{
		"another version":           {strings.Replace(reference, "v=19", "v=16", 1), "v=19"},
		"no version":                {strings.Replace(reference, "v=19$", "", 1), "want $argon2id$"},
		"a part more":               {reference + "$", "want $argon2id$"},
		"all of the memory":         {with("m=4194304,t=1,p=1"), "m=4194304: want 8 to 262144 KiB"},
		"a number that wraps":       {with("m=4294967304,t=1,p=1"), "whole numbers"},
		"no memory":                 {with("m=7,t=1,p=1"), "m=7: want 8 to"},
		"too little for its p":      {with("m=31,t=1,p=4"), "m=31: want 32 to"},
		"hours":                     {with("m=262144,t=64,p=1"), "a login would take too long"},
		"more passes than that":     {with("m=8,t=4294967295,p=1"), "a login would take too long"},
		"no pass":                   {with("m=256,t=0,p=1"), "t=0"},
		"no thread":                 {with("m=256,t=1,p=0"), "p=0: want 1 to 16"},
		"many threads":              {with("m=256,t=1,p=17"), "p=17: want 1 to 16"},
		"another order":             {with("t=1,m=256,p=1"), "whole numbers"},
		"a zero in front":           {with("m=0256,t=1,p=1"), "whole numbers"},
		"a sign":                    {with("m=+256,t=1,p=1"), "whole numbers"},
		"something behind":          {with("m=256,t=1,p=1,data=x"), "whole numbers"},
		"a short salt":              {strings.Replace(reference, salt, "c29t", 1), "salt"},
		"a padded salt":             {strings.Replace(reference, salt, salt+"==", 1), "salt"},
		"a short digest":            {strings.Replace(reference, digest, "nf65", 1), "digest"},
		"a line end in the digest":  {reference[:len(reference)-4] + "\n" + reference[len(reference)-4:], "digest"},
		"a long digest":             {reference + strings.Repeat("AAAA", 20), "digest"},
		"argon2i, which is another": {strings.Replace(reference, "argon2id", "argon2i", 1), "is not a bcrypt hash"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := NewStatic(StaticConfig{Users: map[string]StaticUser{"alice": {Hash: tc.hash}}})
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "nf65") {
				t.Errorf("error %v, want %q", err, tc.want)
			}
		})
	}
}

// work is what a login computed: rounds of bcrypt, and settings of argon2id.
type work struct {
	rounds   int64
	settings map[argonSetting]int
}

func TestAFailureCostsTheSameInATableOfBothKinds(t *testing.T) {
	s, rounds := newStatic(t, StaticConfig{Users: map[string]StaticUser{
		"weak":   {Hash: hashOf(t, "right", 4)},
		"strong": {Hash: hashOf(t, "right", 6)},
		"small":  {Hash: cheapArgon("right", 8)},
		"same":   {Hash: cheapArgon("right", 8)},
		"big":    {Hash: cheapArgon("right", 16)},
	}})
	settings := map[argonSetting]int{}
	s.argon = func(a argonSetting, password string, salt []byte) []byte {
		settings[a]++
		return a.sum(password, salt)
	}
	small, big := argonSetting{8, 1, 1, 16}, argonSetting{16, 1, 1, 16}
	want := work{1 << 6, map[argonSetting]int{small: 1, big: 1}}
	for _, name := range []string{"weak", "strong", "small", "same", "big", "nobody"} {
		for _, password := range []string{"wrong", strings.Repeat("x", 73)} {
			rounds.Store(0)
			clear(settings)
			if _, err := s.Authenticate(t.Context(), Credentials{Name: name, Password: password}); err == nil {
				t.Fatalf("%s: let in", name)
			}
			if diff := cmp.Diff(want, work{rounds.Load(), settings}, cmp.AllowUnexported(work{}, argonSetting{})); diff != "" {
				t.Errorf("%s, password of %d bytes (-want +got):\n%s", name, len(password), diff)
			}
		}
	}
	if _, err := s.Authenticate(t.Context(), Credentials{Name: "big", Password: "right"}); err != nil {
		t.Error(err)
	}
}

func TestATableOfArgon2idComputesNoBcrypt(t *testing.T) {
	s, _ := newStatic(t, StaticConfig{Users: map[string]StaticUser{"alice": {Hash: reference}}})
	s.compare = func([]byte, []byte) error {
		t.Error("bcrypt was computed")
		return bcrypt.ErrMismatchedHashAndPassword
	}
	for _, name := range []string{"alice", "nobody"} {
		if _, err := s.Authenticate(t.Context(), Credentials{Name: name, Password: "wrong"}); err == nil {
			t.Errorf("%s: let in", name)
		}
	}
}

func TestHashesComputedAtOnceHaveMemory(t *testing.T) {
	for memory, want := range map[int]int{256: 100, 64 << 10: 4, 100 << 10: 2, maxArgonMemory: 1} {
		hash := strings.Replace(reference, "m=256", fmt.Sprint("m=", memory), 1)
		s, _, err := NewStatic(StaticConfig{Concurrency: 100, Users: map[string]StaticUser{"alice": {Hash: hash}}})
		if err != nil || cap(s.slots) != want {
			t.Errorf("%d KiB each: %d at once, want %d (%v)", memory, cap(s.slots), want, err)
		}
	}
}

func TestWarningsOfArgon2id(t *testing.T) {
	with := func(settings string) StaticUser {
		return StaticUser{Hash: strings.Replace(reference, "m=256,t=2,p=1", settings, 1)}
	}
	_, got, err := NewStatic(StaticConfig{Users: map[string]StaticUser{
		"fine": with("m=19456,t=2,p=1"), "fair": with("m=7168,t=5,p=1"), "weak": with("m=19456,t=1,p=1"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"authenticator \"static\": user \"weak\": argon2id with m=19456,t=1,p=1 is below what OWASP asks for, like m=19456,t=2,p=1, and quickly guessed if the file leaks; make a new hash with `x2broker passwd --argon2id`",
		"authenticator \"static\": the table has 3 settings of argon2id, and every failed login costs one computation of each: make new hashes with `x2broker passwd`",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func TestHashArgon2id(t *testing.T) {
	hash, err := HashArgon2id("correct horse", &countingRand{})
	if err != nil || !strings.HasPrefix(hash, "$argon2id$v=19$m=65536,t=3,p=4$") {
		t.Fatalf("%s, %v", hash, err)
	}
	s, warnings, err := NewStatic(StaticConfig{Users: map[string]StaticUser{"alice": {Hash: hash}}})
	if err != nil || len(warnings) > 0 {
		t.Fatalf("%q, %v", warnings, err)
	}
	if _, err := s.Authenticate(t.Context(), Credentials{Name: "alice", Password: "correct horse"}); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"", "a\nb", "\xff", strings.Repeat("x", maxPassword+1)} {
		if hash, err := HashArgon2id(bad, &countingRand{}); err == nil {
			t.Errorf("%d bytes: %s", len(bad), hash)
		}
	}
}

func BenchmarkArgon2id(b *testing.B) {
	for b.Loop() {
		newArgon.sum("correct horse", decoySalt)
	}
}

func FuzzParseArgon(f *testing.F) {
	f.Add(reference)
	f.Add("$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, hash string) {
		if h, err := parseArgon(hash); err == nil && h.text() != hash {
			t.Errorf("%q is read as %q", hash, h.text())
		}
	})
}
