package ldap

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
	"github.com/google/go-cmp/cmp"

	"github.com/x2broker/x2broker/broker/identity"
)

// clock stands still until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// world is a directory with one server and what tests change of it.
type world struct {
	*fake
	clock  *clock
	config Config
	log    bytes.Buffer
}

func newWorld(t *testing.T) *world {
	t.Helper()
	ca, cert := authority(t)
	w := &world{fake: newFake(t, true, cert), clock: &clock{now: time.Now()}}
	w.config = Config{
		Servers: []string{w.url()}, CAFile: ca, Base: "ou=people," + suffix,
		BindDN: "cn=search," + suffix, PasswordFile: write(t, "pw", "search-pw\n"),
	}
	return w
}

func (w *world) open(t *testing.T) *Directory {
	t.Helper()
	d, _, err := New(w.config, w.clock.Now, slog.New(slog.NewTextHandler(&w.log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.pool.drop)
	return d
}

func login(t *testing.T, d *Directory, name, password string) (identity.Identity, error) {
	t.Helper()
	return d.Authenticate(t.Context(), identity.Credentials{Name: name, Password: password})
}

func TestAuthenticate(t *testing.T) {
	w := newWorld(t)
	w.user("alice", "mail", "a.smith@example.org")
	w.user("Bob", "locked", "yes")
	w.user("o*(b)\\rien", "mail", "x")
	w.add("uid=twice,ou=people,"+suffix, "uid", "twice", "userPassword", "pw")
	w.add("uid=twice,ou=more,ou=people,"+suffix, "uid", "twice", "userPassword", "pw")
	w.add("cn=aliases,ou=people,"+suffix, "uid", "one", "uid", "two", "userPassword", "pw")
	w.add("cn=bad,ou=people,"+suffix, "uid", "bad\nname", "userPassword", "pw", "mail", "bad")
	w.user("frozen")
	w.results["uid=frozen,ou=people,"+suffix] = ldap.LDAPResultUnwillingToPerform
	w.config.Filter = "(|(uid={user})(mail={user}))"
	w.config.Valid = "(!(locked=yes))"
	d := w.open(t)
	for name, tc := range map[string]struct {
		user, password string
		want           string
		err            error
		text           string
	}{
		"right":                               {"alice", "alice-pw", "alice", nil, ""},
		"ALICE is alice":                      {"ALICE", "alice-pw", "alice", nil, ""},
		"by another attribute":                {"A.Smith@example.org", "alice-pw", "alice", nil, ""},
		"a name made of a filter's letters":   {"o*(b)\\rien", "o*(b)\\rien-pw", "o*(b)\\rien", nil, ""},
		"wrong":                               {"alice", "alice", "", identity.ErrWrongPassword, ""},
		"unknown":                             {"mallory", "alice-pw", "", identity.ErrUnknownUser, ""},
		"a star is a name":                    {"*", "alice-pw", "", identity.ErrUnknownUser, ""},
		"a filter is a name":                  {"x)(uid=alice", "alice-pw", "", identity.ErrUnknownUser, ""},
		"empty password":                      {"alice", "", "", identity.ErrNoPassword, ""},
		"right, account not valid":            {"bob", "Bob-pw", "", identity.ErrExpired, ""},
		"wrong, account not valid":            {"bob", "alice-pw", "", identity.ErrWrongPassword, ""},
		"two entries":                         {"twice", "pw", "", identity.ErrNotTried, "more than one entry"},
		"an entry with two names":             {"one", "pw", "", identity.ErrNotTried, "one value of uid"},
		"an entry with a name nobody can use": {"bad", "pw", "", identity.ErrNotTried, "one value of uid"},
		"the server says something else":      {"frozen", "frozen-pw", "", nil, "check the password"},
	} {
		t.Run(name, func(t *testing.T) {
			id, err := login(t, d, tc.user, tc.password)
			if id.Name != tc.want || (tc.err != nil || tc.want != "") && !errors.Is(err, tc.err) {
				t.Fatalf("got %v, %v", id, err)
			}
			if tc.text != "" && (err == nil || !strings.Contains(err.Error(), tc.text)) {
				t.Errorf("error %v, want %q", err, tc.text)
			}
			if tc.text == "check the password" && errors.Is(err, identity.ErrNotTried) {
				t.Error("a password that was looked at counts as not tried")
			}
		})
	}
	for _, b := range w.seen().binds {
		if strings.HasSuffix(b, " ") {
			t.Errorf("an empty password reached a bind: %q", b)
		}
	}
}

// Whoever times answers, or watches the directory, must not learn which names
// exist: an unknown one costs the same questions, and its password, which may
// be somebody else's, is not sent.
func TestAnUnknownNameCostsWhatAKnownOneDoes(t *testing.T) {
	w := newWorld(t)
	w.user("alice")
	w.config.Valid = "(objectClass=*)"
	d := w.open(t)
	cost := func(ask func()) [3]int {
		before := w.seen()
		ask()
		after := w.seen()
		return [3]int{len(after.searches) - len(before.searches), len(after.binds) - len(before.binds), after.opened - before.opened}
	}
	_, _ = login(t, d, "alice", "alice-pw") // opens the connection that searches
	known := cost(func() { _, _ = login(t, d, "alice", "secret-guess-1") })
	unknown := cost(func() { _, _ = login(t, d, "mallory", "secret-guess-2") })
	decoy := cost(func() { d.Decoy(t.Context(), "secret-guess-3") })
	if known != unknown || known != decoy || known != [3]int{2, 1, 1} {
		t.Errorf("searches, binds, connections: known %v, unknown %v, decoy %v", known, unknown, decoy)
	}
	if text := strings.Join(w.seen().binds, "\n"); strings.Contains(text, "secret-guess-2") || strings.Contains(text, "secret-guess-3") {
		t.Errorf("a password was sent for nothing:\n%s", text)
	}
}

func TestLookup(t *testing.T) {
	w := newWorld(t)
	w.user("alice", "mail", "a@example.org")
	w.user("bob", "locked", "yes")
	w.config.Filter = "(|(uid={user})(mail={user}))"
	w.config.Valid = "(!(locked=yes))"
	d := w.open(t)
	if id, err := d.Lookup(t.Context(), "alice"); err != nil || id.Name != "alice" || id.Authenticator != "ldap" {
		t.Errorf("got %v, %v", id, err)
	}
	for _, name := range []string{"ALICE", "a@example.org", "bob", "mallory"} {
		if id, err := d.Lookup(t.Context(), name); !errors.Is(err, identity.ErrUnknownUser) {
			t.Errorf("%s: got %v, %v, want ErrUnknownUser", name, id, err)
		}
	}
	w.stop()
	if _, err := d.Lookup(t.Context(), "alice"); err == nil || errors.Is(err, identity.ErrUnknownUser) {
		t.Errorf("a directory that is away knows who is gone: %v", err)
	}
}

func TestGroups(t *testing.T) {
	base := "ou=groups," + suffix
	dn := func(name string) string { return "cn=" + name + "," + base }
	for name, tc := range map[string]struct {
		rules Groups
		want  []string
	}{
		"search":              {Groups{Base: base}, []string{"Staff"}},
		"search and walk":     {Groups{Base: base, Nested: NestedWalk}, []string{"Staff", "all", "everyone", "loop"}},
		"search by user name": {Groups{Base: base, Filter: "(memberUid={user})"}, []string{"posix"}},
		"memberOf":            {Groups{Base: base, MemberOf: true}, []string{"Staff"}},
		"memberOf and walk":   {Groups{Base: base, MemberOf: true, Nested: NestedWalk}, []string{"Staff", "all", "everyone", "loop"}},
		"Active Directory":    {Groups{Base: base, Nested: NestedAD}, []string{"Staff", "everyone"}},
		"another attribute":   {Groups{Base: base, NameAttribute: "description"}, []string{"the staff"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			alice := w.user("alice", "memberOf", dn("staff"), "memberOf", dn("deleted"), "memberOf", "cn=club,ou=else,"+suffix)
			w.add("cn=club,ou=else,"+suffix, "cn", "admins", "member", alice)
			w.add(dn("staff"), "cn", "Staff", "description", "the staff", "member", alice, "allMember", alice, "memberOf", dn("all"))
			w.group("everyone", "member", dn("all"), "allMember", alice)
			w.add(dn("loop"), "cn", "loop", "member", dn("all"), "member", dn("loop"), "memberOf", dn("loop"))
			w.add(dn("all"), "cn", "all", "member", dn("staff"), "member", dn("loop"), "memberOf", dn("everyone"), "memberOf", strings.ToUpper(dn("loop")))
			w.group("posix", "memberUid", "alice")
			w.group("others", "member", dn("nobody"))
			w.config.Groups = &tc.rules
			d := w.open(t)
			id, err := login(t, d, "ALICE", "alice-pw")
			slices.Sort(id.Groups)
			if diff := cmp.Diff(tc.want, id.Groups); err != nil || diff != "" {
				t.Errorf("%v, groups (-want +got):\n%s", err, diff)
			}
			groups, err := d.Groups(t.Context(), "alice")
			slices.Sort(groups)
			if diff := cmp.Diff(tc.want, groups); err != nil || diff != "" {
				t.Errorf("%v, as a source (-want +got):\n%s", err, diff)
			}
		})
	}
}

// A group that is left out may be one that is denied something.
func TestGroupsThatCannotAllBeToldDeny(t *testing.T) {
	base := "ou=groups," + suffix
	for name, tc := range map[string]struct {
		rules   Groups
		prepare func(w *world, alice string)
		want    string
	}{
		"too many": {Groups{Base: base}, func(w *world, alice string) {
			for i := range maxGroups + 1 {
				w.group(fmt.Sprint("g", i), "member", alice)
			}
		}, "more than 1000"},
		"too many in all": {Groups{Base: base, Nested: NestedWalk}, func(w *world, alice string) {
			direct := ""
			for i := range maxGroups/2 + 1 {
				direct = w.group(fmt.Sprint("g", i), "member", alice)
			}
			for i := range maxGroups / 2 {
				w.group(fmt.Sprint("h", i), "member", direct)
			}
		}, "more than 1000"},
		"the server's own limit": {Groups{Base: base}, func(w *world, alice string) {
			for i := range 5 {
				w.group(fmt.Sprint("g", i), "member", alice)
			}
			w.limit = 3
		}, "more than 1000"},
		"too deep": {Groups{Base: base, Nested: NestedWalk}, func(w *world, alice string) {
			for i := range maxDepth + 1 {
				alice = w.group(fmt.Sprint("g", i), "member", alice)
			}
		}, "more than 16 levels"},
		"memberOf too deep": {Groups{Base: base, MemberOf: true, Nested: NestedWalk}, func(w *world, _ string) {
			w.user("alice", "memberOf", "cn=g0,"+base)
			for i := range maxDepth + 1 {
				w.group(fmt.Sprint("g", i), "memberOf", fmt.Sprintf("cn=g%d,%s", i+1, base))
			}
		}, "more than 16 levels"},
		"cut off by Active Directory": {Groups{Base: base, MemberOf: true}, func(w *world, _ string) {
			w.user("alice", "memberOf;range=0-1499", "cn=g0,"+base)
		}, "more than 1000"},
		"no name": {Groups{Base: base, NameAttribute: "description"}, func(w *world, alice string) {
			w.group("g", "member", alice)
		}, "has no description"},
		"the base is gone": {Groups{Base: "ou=gone," + suffix}, func(*world, string) {}, "groups: "},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			tc.prepare(w, w.user("alice"))
			w.config.Groups = &tc.rules
			id, err := login(t, w.open(t), "alice", "alice-pw")
			if err == nil || !strings.Contains(err.Error(), tc.want) || id.Name != "" {
				t.Errorf("got %v, %v, want %q", id, err, tc.want)
			}
		})
	}
}
