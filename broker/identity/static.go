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
	Hash   string // bcrypt, $2a$ $2b$ or $2y$, cost 4 to 31
	Groups []string
}

// StaticConfig describes a [Static].
type StaticConfig struct {
	Name        string                // "" for "static"
	Users       map[string]StaticUser // by name; names are compared byte for byte
	Concurrency int                   // hashes computed at once, 0 for one per usable processor
}

// Static knows the users of a table in the broker's own settings.
//
// bcrypt uses the first 72 bytes of a password, and many tools drop the rest
// without a word. Static refuses longer passwords, right or wrong: a password
// of which only a part counts is not the one its owner believes in.
type Static struct {
	name    string
	users   map[string]staticUser
	digests map[string]chainID // of the hashes, to see at the next start which have changed
	cost    int                // the highest in the table
	slots   chan struct{}
	compare func(hash, password []byte) error // bcrypt; tests count
}

type staticUser struct {
	hash   []byte
	cost   int
	groups []string
}

var (
	_ Authenticator = (*Static)(nil)
	_ Lookuper      = (*Static)(nil)
	_ decoy         = (*Static)(nil)
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
	}
	if s.name == "" {
		s.name = "static"
	}
	n := c.Concurrency
	if n <= 0 {
		n = runtime.GOMAXPROCS(0)
	}
	s.slots = make(chan struct{}, n)

	var warnings []string
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(c.Users)) {
		user, err := checkStaticUser(name, c.Users[name])
		if err != nil {
			errs = append(errs, fmt.Errorf("authenticator %q: %w", s.name, err))
			continue
		}
		if w := costWarning(name, user.cost); w != "" {
			warnings = append(warnings, fmt.Sprintf("authenticator %q: %s", s.name, w))
		}
		s.users[name] = user
		s.cost = max(s.cost, user.cost)
	}
	if len(errs) > 0 {
		return nil, nil, errors.Join(errs...)
	}
	if len(s.users) == 0 {
		s.cost = DefaultCost
		warnings = append(warnings, fmt.Sprintf("authenticator %q: has no users", s.name))
	}
	return s, warnings, nil
}

func checkStaticUser(name string, u StaticUser) (staticUser, error) {
	if name == "" || !validName(name) {
		return staticUser{}, fmt.Errorf("user %q: want a name of 1 to %d bytes in UTF-8 without control characters", name, MaxName)
	}
	cost, ok := bcryptCost(u.Hash)
	if !ok {
		return staticUser{}, fmt.Errorf("user %q: the password is not a bcrypt hash ($2a$, $2b$ or $2y$); make one with `x2broker passwd`", name)
	}
	for _, g := range u.Groups {
		if g == "" || !printable(g) {
			return staticUser{}, fmt.Errorf("user %q: group %q: want a name in UTF-8 without control characters", name, g)
		}
	}
	return staticUser{hash: []byte(strings.Clone(u.Hash)), cost: cost, groups: slices.Clone(u.Groups)}, nil
}

func costWarning(name string, cost int) string {
	switch {
	case cost < weakCost:
		return fmt.Sprintf("user %q: bcrypt cost %d is below %d and quickly guessed if the file leaks; make a new hash with `x2broker passwd`", name, cost, weakCost)
	case cost > slowCost:
		return fmt.Sprintf("user %q: bcrypt cost %d makes every login attempt, of unknown users too, take seconds; make a new hash with `x2broker passwd`", name, cost)
	}
	return ""
}

// Name returns the name given in the configuration.
func (s *Static) Name() string { return s.name }

// Authenticate compares the password with the user's hash. A failure costs the
// rounds of the costliest hash in the table, whether the name is known or not.
// It waits for a free slot until ctx ends, then returns ErrNotTried; once the
// comparison has begun it is finished and its result told.
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
	if !usable(c.Password) {
		s.burn(c.Password)
		return Identity{}, ErrWrongPassword
	}
	if err := s.compare(user.hash, []byte(c.Password)); err != nil {
		s.pad(user.cost, c.Password)
		return Identity{}, ErrWrongPassword
	}
	return s.identity(c.Name, user), nil
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

func (s *Static) decoy(ctx context.Context, password string) {
	if s.acquire(ctx) != nil {
		return
	}
	defer s.release()
	s.burn(password)
}

// burn does the work of one comparison at the table's highest cost.
func (s *Static) burn(password string) {
	_ = s.compare(decoyHash(s.cost), []byte(clip(password)))
}

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
