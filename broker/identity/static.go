package identity

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// StaticUser is one entry of the table of a [Static].
type StaticUser struct {
	Hash   string // bcrypt, $2a$ $2b$ or $2y$, cost 4 to 31; or argon2id
	Groups []string
}

// StaticConfig describes a [Static].
type StaticConfig struct {
	Name        string                // "" for "static"
	Users       map[string]StaticUser // by name; names are compared byte for byte
	Concurrency int                   // hashes computed at once, 0 for one per usable processor; fewer if they took more than 256 MiB
}

// Static knows the users of a table in the broker's own settings.
//
// bcrypt uses the first 72 bytes of a password, and many tools drop the rest
// without a word. For users with such a hash Static refuses longer passwords,
// right or wrong: a password of which only a part counts is not the one its
// owner believes in.
//
// A failure costs the same whoever it was that failed: the rounds of the
// costliest bcrypt hash in the table, and a computation for each setting of
// argon2id in it.
type Static struct {
	name     string
	users    map[string]staticUser
	digests  map[string]chainID // of the hashes, to see at the next start which have changed
	cost     int                // the highest of bcrypt in the table, 0 for none
	settings []argonSetting     // those in the table, each once
	slots    chan struct{}
	compare  func(hash, password []byte) error // bcrypt; tests count
	argon    argonFunc
}

// staticUser has either kind of hash.
type staticUser struct {
	hash   []byte // bcrypt
	cost   int
	argon  *argonHash
	groups []string
}

var (
	_ Authenticator = (*Static)(nil)
	_ Lookuper      = (*Static)(nil)
	_ Decoy         = (*Static)(nil)
)

// NewStatic checks the table and returns warnings about hashes that are too
// weak or too slow, in the order of names. The error names each bad user and
// the remedy, never a hash.
func NewStatic(c StaticConfig) (*Static, []string, error) {
	s := &Static{
		name:    c.Name,
		users:   make(map[string]staticUser, len(c.Users)),
		digests: hashDigests(c.Users),
		compare: bcrypt.CompareHashAndPassword,
		argon:   argonSetting.sum,
	}
	if s.name == "" {
		s.name = "static"
	}
	var warnings []string
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(c.Users)) {
		user, err := checkStaticUser(name, c.Users[name])
		if err != nil {
			errs = append(errs, fmt.Errorf("authenticator %q: %w", s.name, err))
			continue
		}
		if w := user.warning(name); w != "" {
			warnings = append(warnings, fmt.Sprintf("authenticator %q: %s", s.name, w))
		}
		s.users[name] = user
		s.cost = max(s.cost, user.cost)
		if a := user.argon; a != nil && !slices.Contains(s.settings, a.argonSetting) {
			s.settings = append(s.settings, a.argonSetting)
		}
	}
	if len(errs) > 0 {
		return nil, nil, errors.Join(errs...)
	}
	if len(s.users) == 0 {
		s.cost = DefaultCost
		warnings = append(warnings, fmt.Sprintf("authenticator %q: has no users", s.name))
	}
	if n := len(s.settings); n > manySettings {
		warnings = append(warnings, fmt.Sprintf("authenticator %q: the table has %d settings of argon2id, and every failed login costs one computation of each: make new hashes with `x2broker passwd`", s.name, n))
	}
	s.slots = make(chan struct{}, s.concurrency(c.Concurrency))
	return s, warnings, nil
}

const manySettings = 2 // of argon2id, above it, warn

// concurrency is how many hashes are computed at once, so that they have memory.
func (s *Static) concurrency(wanted int) int {
	if wanted <= 0 {
		wanted = runtime.GOMAXPROCS(0)
	}
	for _, a := range s.settings {
		wanted = min(wanted, max(1, hashMemory/int(a.memory)))
	}
	return wanted
}

func checkStaticUser(name string, u StaticUser) (staticUser, error) {
	if name == "" || !ValidName(name) {
		return staticUser{}, fmt.Errorf("user %q: want a name of 1 to %d bytes in UTF-8 without control characters", name, MaxName)
	}
	user := staticUser{groups: slices.Clone(u.Groups)}
	if isArgon(u.Hash) {
		h, err := parseArgon(u.Hash)
		if err != nil {
			return staticUser{}, fmt.Errorf("user %q: the argon2id hash cannot be used: %w; make one with `x2broker passwd --argon2id`", name, err)
		}
		user.argon = &h
	} else {
		cost, ok := bcryptCost(u.Hash)
		if !ok {
			return staticUser{}, fmt.Errorf("user %q: the password is not a bcrypt hash ($2a$, $2b$ or $2y$) nor one of argon2id; make one with `x2broker passwd`", name)
		}
		user.hash, user.cost = []byte(u.Hash), cost
	}
	for _, g := range u.Groups {
		if g == "" || !printable(g) {
			return staticUser{}, fmt.Errorf("user %q: group %q: want a name in UTF-8 without control characters", name, g)
		}
	}
	return user, nil
}

func (u staticUser) warning(name string) string {
	cost := u.cost
	switch {
	case u.argon != nil && u.argon.weak():
		return fmt.Sprintf("user %q: argon2id with %s is below what OWASP asks for, like m=19456,t=2,p=1, and quickly guessed if the file leaks; make a new hash with `x2broker passwd --argon2id`", name, u.argon.argonSetting)
	case u.argon != nil:
		return ""
	case cost < weakCost:
		return fmt.Sprintf("user %q: bcrypt cost %d is below %d and quickly guessed if the file leaks; make a new hash with `x2broker passwd`", name, cost, weakCost)
	case cost > slowCost:
		return fmt.Sprintf("user %q: bcrypt cost %d makes every login attempt, of unknown users too, take seconds; make a new hash with `x2broker passwd`", name, cost)
	}
	return ""
}

// Name returns the name given in the configuration.
func (s *Static) Name() string { return s.name }

// Authenticate compares the password with the user's hash. It waits for a free
// slot until ctx ends, then returns ErrNotTried; once the comparison has begun
// it is finished and its result told.
func (s *Static) Authenticate(ctx context.Context, c Credentials) (Identity, error) {
	if c.Password == "" {
		return Identity{}, ErrNoPassword
	}
	if err := s.acquire(ctx); err != nil {
		return Identity{}, err
	}
	defer s.release()

	user, known := s.users[c.Name]
	if !known {
		s.burn(c.Password)
		return Identity{}, ErrUnknownUser
	}
	if !s.right(user, c.Password) {
		return Identity{}, ErrWrongPassword
	}
	return s.identity(c.Name, user), nil
}

// right reports whether the password is the user's. If not, it has cost what
// an unknown user costs.
func (s *Static) right(user staticUser, password string) bool {
	switch {
	case user.argon != nil:
		if user.argon.matches(password, s.argon) {
			return true
		}
		s.burnBcrypt(password)
		s.burnArgon(password, user.argon.argonSetting)
	case !usable(password):
		s.burn(password)
	default:
		if s.compare(user.hash, []byte(password)) == nil {
			return true
		}
		s.pad(user.cost, password)
		s.burnArgon(password, argonSetting{})
	}
	return false
}

// Lookup returns a user of the table, else ErrUnknownUser.
func (s *Static) Lookup(_ context.Context, name string) (Identity, error) {
	user, ok := s.users[name]
	if !ok {
		return Identity{}, ErrUnknownUser
	}
	return s.identity(name, user), nil
}

func (s *Static) identity(name string, u staticUser) Identity {
	return Identity{Name: name, Groups: u.groups}.normalized(s.name)
}

// Decoy costs what an unknown name costs.
func (s *Static) Decoy(ctx context.Context, password string) {
	if s.acquire(ctx) != nil {
		return
	}
	defer s.release()
	s.burn(password)
}

// burn does the work of a failed comparison.
func (s *Static) burn(password string) {
	s.burnBcrypt(password)
	s.burnArgon(password, argonSetting{})
}

// burnBcrypt does the work of one comparison at the table's highest cost.
func (s *Static) burnBcrypt(password string) {
	if s.cost > 0 {
		_ = s.compare(decoyHash(s.cost), []byte(clip(password)))
	}
}

// burnArgon computes a digest for each setting but the one that was done.
func (s *Static) burnArgon(password string, done argonSetting) {
	for _, a := range s.settings {
		if a != done {
			s.argon(a, password, decoySalt)
		}
	}
}

// decoySalt is as long as usual; its length hardly shows.
var decoySalt = []byte("x2broker's decoy")

// pad makes up the difference between a comparison at cost and one at the
// table's highest: 2^c + 2^c + 2^(c+1) + ... + 2^(m-1) rounds are 2^m.
func (s *Static) pad(cost int, password string) {
	for ; cost < s.cost; cost++ {
		_ = s.compare(decoyHash(cost), []byte(clip(password)))
	}
}

func (s *Static) acquire(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrNotTried, err)
	}
	select {
	case s.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrNotTried, ctx.Err())
	}
}

func (s *Static) release() { <-s.slots }

// usable reports whether bcrypt means this password and nothing else by it:
// it ignores what follows 72 bytes, and repeats a password after a NUL, so
// that "a\x00a" would pass for "a".
func usable(password string) bool {
	return len(password) <= maxBcrypt && strings.IndexByte(password, 0) < 0
}

func clip(password string) string { return password[:min(len(password), maxBcrypt)] }
