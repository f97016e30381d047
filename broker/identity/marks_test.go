package identity

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A place is where a broker keeps its tickets; each start finds what the last
// one left.
type place struct {
	dir    string
	clock  *fakeClock
	random *countingRand
	log    *logBuffer
}

func newPlace(t *testing.T) *place {
	return &place{t.TempDir(), newClock(), &countingRand{}, &logBuffer{}}
}

func (p *place) start(t *testing.T) *Tickets {
	t.Helper()
	return newTickets(t, p.clock, func(c *TicketConfig) {
		c.StateDir, c.Rand, c.Logger = p.dir, p.random, p.log.Logger()
	})
}

func (p *place) file() string { return filepath.Join(p.dir, marksFile) }

func (p *place) login(t *testing.T, ts *Tickets) string {
	t.Helper()
	text := ts.Issue(alice, Credentials{Name: "alice", Password: "secret", Address: addr(home)})
	if text == "" {
		t.Fatal("no ticket")
	}
	return text
}

func TestTicketsLiveAcrossRestarts(t *testing.T) {
	p := newPlace(t)
	text := p.login(t, p.start(t))
	for range 3 {
		text = mustUse(t, p.start(t), text)
		p.clock.Advance(time.Hour)
	}
	if strings.Contains(p.log.String(), "level=WARN") {
		t.Errorf("log:\n%s", p.log)
	}
}

func TestWhatWasUsedIsRememberedAcrossARestart(t *testing.T) {
	p := newPlace(t)
	ts := p.start(t)
	stolen := p.login(t, ts)
	second := mustUse(t, ts, stolen)
	third := mustUse(t, ts, second)

	ts = p.start(t)
	if again := mustUse(t, ts, second); again != third {
		t.Error("a lost reply was not repeated after the restart")
	}
	p.clock.Advance(ticketGrace + 2*time.Second)
	if _, err := use(t, p.start(t), stolen); !errors.Is(err, ErrTicketReplay) {
		t.Errorf("the stolen one: %v", err)
	}
	if _, err := use(t, p.start(t), third); !errors.Is(err, ErrTicketUnknown) {
		t.Errorf("the revoked chain after one more restart: %v", err)
	}
}

func TestAPasswordBesideATicketIsCheckedOnceAfterARestart(t *testing.T) {
	p := newPlace(t)
	text := p.login(t, p.start(t))
	ts := p.start(t)
	with := func(password string) Credentials {
		return Credentials{Name: "alice", Password: password, Ticket: text, Address: addr(home)}
	}
	if _, err := ts.Check(t.Context(), with("secret"), vouch); !errors.Is(err, ErrTicketUnproven) {
		t.Fatalf("%v", err)
	}
	if text = ts.Resume(t.Context(), alice, with("secret")); text == "" {
		t.Fatal("the chain did not go on")
	}
	if _, err := ts.Check(t.Context(), with("secret"), vouch); err != nil {
		t.Errorf("the right password: %v", err)
	}
	if _, err := ts.Check(t.Context(), with("other"), vouch); !errors.Is(err, ErrTicketPassword) {
		t.Errorf("another password: %v", err)
	}
	if got := ts.Resume(t.Context(), Identity{Name: "bob", Authenticator: "static"}, with("secret")); got != "" {
		t.Error("the chain went on for another user")
	}
}

func TestWithoutMarksThereIsANewKey(t *testing.T) {
	damage := func(at int) func(p *place) error {
		return func(p *place) error {
			b, err := os.ReadFile(p.file())
			if err != nil {
				return err
			}
			b[at] ^= 1
			return os.WriteFile(p.file(), b, 0o600)
		}
	}
	for name, spoil := range map[string]func(p *place) error{
		"missing":               func(p *place) error { return os.Remove(p.file()) },
		"empty":                 func(p *place) error { return os.Truncate(p.file(), 0) },
		"others may write them": func(p *place) error { return os.Chmod(p.file(), 0o620) },
		"another version":       damage(30),
		"damaged in the middle": damage(len(marksHeader) + markSize + 20),
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			ts := p.start(t)
			text := p.login(t, ts)
			p.login(t, ts)
			if err := spoil(p); err != nil {
				t.Fatal(err)
			}
			ts = p.start(t)
			if _, err := use(t, ts, text); !errors.Is(err, ErrTicketForged) {
				t.Errorf("a ticket from before: %v", err)
			}
			if !strings.Contains(p.log.String(), "all tickets have ended") {
				t.Errorf("log:\n%s", p.log)
			}
			text = p.login(t, ts)
			mustUse(t, p.start(t), text)
		})
	}
}

// The machine may stop in the middle of a record. What was synced is whole; the
// record is less than a second old, and its loss costs no more than that.
func TestATornLastRecordIsLeftOut(t *testing.T) {
	p := newPlace(t)
	ts := p.start(t)
	text := p.login(t, ts)
	whole, err := os.ReadFile(p.file())
	if err != nil {
		t.Fatal(err)
	}
	next := mustUse(t, ts, text)
	all, err := os.ReadFile(p.file())
	if err != nil {
		t.Fatal(err)
	}
	last := all[len(whole):]
	for name, tail := range map[string][]byte{
		"half":           last[:markSize/2],
		"a byte":         last[:1],
		"zeros":          make([]byte, 5*markSize),
		"zeros, and odd": make([]byte, markSize+3),
		"a flipped bit":  append([]byte{last[0] ^ 1}, last[1:]...),
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(p.file(), append(bytes.Clone(whole), tail...), 0o600); err != nil {
				t.Fatal(err)
			}
			ts := p.start(t)
			if again := mustUse(t, ts, text); again != next {
				t.Error("the ticket whose use was lost does not give the same successor")
			}
			if !strings.Contains(p.log.String(), "last second") {
				t.Errorf("log:\n%s", p.log)
			}
			mustUse(t, p.start(t), next)
		})
	}
}

func TestALongerLifetimeBringsNothingBack(t *testing.T) {
	for name, shared := range map[string]bool{"own key": false, "shared keys": true} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			keys := ""
			if shared {
				keys = filepath.Join(t.TempDir(), "keys")
				line, err := KeyLine(p.random, p.clock.Now())
				if err == nil {
					err = os.WriteFile(keys, []byte(line), 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			start := func(lifetime time.Duration) *Tickets {
				return newTickets(t, p.clock, func(c *TicketConfig) {
					c.StateDir, c.Rand, c.KeyFile, c.Lifetime = p.dir, p.random, keys, lifetime
				})
			}
			ts := start(time.Hour)
			p.clock.Advance(time.Second)
			first := p.login(t, ts)
			newest := mustUse(t, ts, mustUse(t, ts, first))
			if _, err := use(t, ts, first); !errors.Is(err, ErrTicketReplay) {
				t.Fatal(err)
			}
			p.clock.Advance(90 * time.Minute)
			p.login(t, start(time.Hour)) // forgets the chain
			ts = start(10 * time.Hour)
			if _, err := use(t, ts, newest); !errors.Is(err, ErrTicketUnknown) {
				t.Errorf("a revoked chain: %v", err)
			}
		})
	}
}

func TestAChangedPasswordEndsTheTicketsOfItsUser(t *testing.T) {
	p := newPlace(t)
	ts := p.start(t)
	old := p.login(t, ts)
	bobs := ts.Issue(Identity{Name: "bob", Authenticator: "static"}, Credentials{Name: "bob", Address: addr(home)})
	ts.PasswordChanged("static", "alice")
	if _, err := use(t, ts, old); !errors.Is(err, ErrTicketUnknown) {
		t.Errorf("from before: %v", err)
	}
	fresh := p.login(t, ts) // in the same second
	ts = p.start(t)
	if _, err := use(t, ts, old); !errors.Is(err, ErrTicketUnknown) {
		t.Errorf("from before, after a restart: %v", err)
	}
	mustUse(t, ts, fresh)
	if _, err := ts.Check(t.Context(), Credentials{Ticket: bobs, Name: "bob", Address: addr(home)}, vouch); err != nil {
		t.Errorf("another user's: %v", err)
	}
}

func TestAChangedHashEndsTheTicketsOfItsUserAtTheNextStart(t *testing.T) {
	hash := map[string]string{"one": hashOf(t, "one", 4), "two": hashOf(t, "two", 4)}
	for name, tc := range map[string]struct {
		starts [][2]string // alice's and bob's password at each; "" for no such user
		lives  bool
	}{
		"nothing changed":           {[][2]string{{"one", "two"}, {"one", "two"}}, true},
		"alice's":                   {[][2]string{{"one", "two"}, {"two", "two"}}, false},
		"bob's":                     {[][2]string{{"one", "two"}, {"one", "one"}}, true},
		"alice was gone for a time": {[][2]string{{"one", "two"}, {"", "two"}, {"one", "two"}}, false},
		"bob is new":                {[][2]string{{"one", ""}, {"one", "two"}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			var ts *Tickets
			text := ""
			for _, passwords := range tc.starts {
				users := map[string]StaticUser{}
				for i, user := range []string{"alice", "bob"} {
					if passwords[i] != "" {
						users[user] = StaticUser{Hash: hash[passwords[i]]}
					}
				}
				s, _ := newStatic(t, StaticConfig{Users: users})
				ts = p.start(t)
				NewGate(GateConfig{Chain: newChain(t, s), Tickets: ts, Throttle: newThrottle(p.clock), Logger: quiet()})
				if text == "" {
					text = p.login(t, ts)
				}
			}
			if _, err := use(t, ts, text); (err == nil) != tc.lives {
				t.Errorf("error %v, want a good ticket: %v", err, tc.lives)
			}
		})
	}
}

func TestMarksThatCannotBeWrittenCostATicketAndNoLogin(t *testing.T) {
	p := newPlace(t)
	ts := p.start(t)
	text := p.login(t, ts)
	good := ts.marks.file
	readOnly, err := os.Open(p.file())
	if err != nil {
		t.Fatal(err)
	}
	defer readOnly.Close()
	ts.marks.file = readOnly
	for range 2 {
		u, err := ts.Check(t.Context(), Credentials{Ticket: text, Name: "alice", Address: addr(home)}, vouch)
		if err != nil {
			t.Fatalf("the ticket is not good: %v", err)
		}
		if next := u.Turn(); next != "" {
			t.Error("turned without a record")
		}
	}
	if got := ts.Issue(alice, Credentials{Name: "alice", Address: addr(home)}); got != "" || len(ts.chains) != 1 {
		t.Errorf("issued without a record: %q, %d chains", got, len(ts.chains))
	}
	ts.PasswordChanged("static", "bob") // must count all the same
	if n := strings.Count(p.log.String(), "cannot be recorded"); n != 1 || !ts.Status().Failing {
		t.Errorf("said %d times; status %+v", n, ts.Status())
	}
	ts.marks.file = good
	ts.tend()
	if s := ts.Status(); s.Failing {
		t.Errorf("status %+v", s)
	}
	next := mustUse(t, ts, text)
	ts = p.start(t)
	if ts.users[newUserID("static", "bob")] == nil {
		t.Error("what could not be written was forgotten")
	}
	mustUse(t, ts, next)
}

func TestTheFileOfMarksStaysSmall(t *testing.T) {
	p := newPlace(t)
	ts := p.start(t)
	text := p.login(t, ts)
	most := int64(0)
	for range 4 {
		for range compactAbove / markSize / 2 {
			text = mustUse(t, ts, text)
		}
		ts.tend()
		most = max(most, ts.Status().Marks)
	}
	if most > compactAbove+compactAbove/2 || ts.Status().Marks > compactAbove {
		t.Errorf("it had %d bytes, and has %d", most, ts.Status().Marks)
	}
	info, err := os.Stat(p.file())
	if err != nil || info.Mode() != 0o600 || info.Size() != ts.Status().Marks {
		t.Errorf("%v, %v; believed to have %d bytes", info, err, ts.Status().Marks)
	}
	mustUse(t, p.start(t), text)
}

func TestNoNamesInTheMarks(t *testing.T) {
	p := newPlace(t)
	ts := p.start(t)
	mustUse(t, ts, p.login(t, ts))
	b, err := os.ReadFile(p.file())
	if err != nil || bytes.Contains(b, []byte("alice")) || bytes.Contains(b, []byte("secret")) {
		t.Errorf("the file has a name or a password in it, %v", err)
	}
}

func TestMarksAreWhatIsWrittenDown(t *testing.T) {
	m := mark{kind: markChain, chain: chainID{1}, user: userID{2}, login: 3, minted: 4, generation: 5}
	const want = "6300000000000005" + "01000000000000000000000000000000" + "02000000000000000000000000000000" +
		"0000000000000003" + "0000000000000004"
	b := m.append(nil)
	if got := fmt.Sprintf("%x", b[:56]); got != want || len(b) != markSize {
		t.Errorf("%d bytes\n%s, want\n%s", len(b), got, want)
	}
	if got, ok := decodeMark(b); !ok || got != m {
		t.Errorf("decoded %+v, %v", got, ok)
	}
	for i := range b {
		b[i] ^= 0x10
		if got, ok := decodeMark(b); ok {
			t.Errorf("byte %d changed: %+v", i, got)
		}
		b[i] ^= 0x10
	}
}

func FuzzDecodeMarks(f *testing.F) {
	one := mark{kind: markChain, chain: chainID{1}, login: 3}.append(nil)
	for _, s := range []string{"", marksHeader, marksHeader + string(one), marksHeader + string(one[:63]), marksHeader + string(make([]byte, 64)) + string(one)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		all, torn, err := decodeMarks(data)
		if err != nil {
			if len(all) != 0 {
				t.Errorf("damaged, and %d marks", len(all))
			}
			return
		}
		again := []byte(marksHeader)
		table := newChainTable(MaxChainsPerUser, MaxChains)
		for _, m := range all {
			again = m.append(again)
			table.apply(m)
		}
		if !bytes.Equal(append(again, data[len(data)-torn:]...), data) {
			t.Errorf("%d marks and %d bytes are not the file", len(all), torn)
		}
		// What a table amounts to is the same after a restart.
		restarted := newChainTable(MaxChainsPerUser, MaxChains)
		for _, m := range table.summary() {
			restarted.apply(m)
		}
		if diff := cmp.Diff(table.describe(), restarted.describe()); diff != "" {
			t.Errorf("after a restart (-before +after):\n%s", diff)
		}
	})
}

// describe gives what of a table can be seen by its use.
func (t *chainTable) describe() map[string]string {
	all := map[string]string{"floor": fmt.Sprint(t.floor)}
	for id, u := range t.users {
		all[fmt.Sprintf("user %x", id)] = fmt.Sprint(u.floor)
	}
	for id, c := range t.chains {
		all[fmt.Sprintf("chain %x", id)] = fmt.Sprintf("%x %d %d %d", c.user.id, c.login, c.newest, roundUp(c.minted))
	}
	for id, digest := range t.hashes {
		all[fmt.Sprintf("hash %x", id)] = fmt.Sprintf("%x", digest)
	}
	return all
}
