package identity

import (
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// modelChain is what the design says about a chain, and nothing of how it is
// kept.
type modelChain struct {
	user, addr string
	login      time.Time
	newest     int
	minted     time.Time
	dead       bool
}

type modelTicket struct{ chain, generation int }

// rotationModel predicts what Tickets answers.
type rotationModel struct {
	rotate, verify       bool
	perUser, total       int
	lifetime             time.Duration
	chains               []*modelChain
	known                map[string]modelTicket
	texts                []string // the keys of known, in the order of appearance
	revoked, seen, mints int
	restarts             int
}

func (m *rotationModel) learn(t *rapid.T, text string, k modelTicket) {
	if before, ok := m.known[text]; ok {
		if before != k {
			t.Fatalf("one text for %v and %v", before, k)
		}
		return
	}
	for other, o := range m.known {
		if o == k {
			t.Fatalf("two texts for %v: %s and %s", k, other, text)
		}
	}
	m.known[text] = k
	m.texts = append(m.texts, text)
}

func (m *rotationModel) issue(user, addr string, now time.Time) int {
	m.purge(now)
	m.chains = append(m.chains, &modelChain{user: user, addr: addr, login: now, minted: now})
	m.kill(m.perUser, func(c *modelChain) bool { return c.user == user })
	m.kill(m.total, func(*modelChain) bool { return true })
	return len(m.chains) - 1
}

// kill ends the oldest live chains of a kind until there are at most n.
func (m *rotationModel) kill(n int, kind func(*modelChain) bool) {
	var live []*modelChain
	for _, c := range m.chains {
		if kind(c) && !c.dead {
			live = append(live, c)
		}
	}
	slices.SortStableFunc(live, func(a, b *modelChain) int { return a.login.Compare(b.login) })
	for ; len(live) > n; live = live[1:] {
		live[0].dead = true
	}
}

// purge ends what has expired for good, whatever the clock says later.
func (m *rotationModel) purge(now time.Time) {
	for _, c := range m.chains {
		c.dead = c.dead || now.Sub(c.login) >= m.lifetime
	}
}

// check says what Check must answer, and does what it must do.
func (m *rotationModel) check(k modelTicket, user, addr string, now time.Time) error {
	c := m.chains[k.chain]
	switch {
	case user != c.user:
		return ErrTicketUser
	case m.verify && addr != c.addr:
		return ErrTicketAddress
	case now.Sub(c.login) >= m.lifetime, now.Sub(c.login) < -time.Minute:
		return ErrTicketExpired
	case c.dead:
		return ErrTicketUnknown
	case k.generation == c.newest:
		return nil
	case k.generation == c.newest-1 && now.Sub(c.minted) <= 60*time.Second && now.Sub(c.minted) >= -60*time.Second:
		return nil
	}
	c.dead = true
	m.revoked++
	return ErrTicketReplay
}

func TestTicketsBehaveAsTheDesignSays(t *testing.T) {
	var totals rotationModel
	place := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		clock := newClock()
		m := &rotationModel{
			rotate:   rapid.IntRange(0, 3).Draw(t, "rotate") > 0,
			verify:   rapid.Bool().Draw(t, "verify"),
			perUser:  3,
			total:    5,
			lifetime: 20 * time.Minute,
			known:    make(map[string]modelTicket),
		}
		dir, err := os.MkdirTemp(place, "")
		if err != nil {
			t.Fatal(err)
		}
		random := &countingRand{}
		start := func(t *rapid.T) *Tickets {
			ts, err := newTicketsWith(TicketConfig{
				StateDir: dir, Lifetime: m.lifetime, Rotate: m.rotate, VerifyAddress: m.verify,
				Clock: clock.Now, Rand: random, Logger: quiet(),
			}, newChainTable(m.perUser, m.total))
			if err != nil {
				t.Fatal(err)
			}
			return ts
		}
		ts := start(t)

		type pending struct {
			use    *Use
			ticket modelTicket
		}
		var inFlight []pending
		users := rapid.SampledFrom([]string{"alice", "bob"})
		addrs := rapid.SampledFrom([]string{"192.0.2.1", "2001:db8::1"})

		check := func(t *rapid.T, text, user, from string) {
			k := m.known[text]
			want := m.check(k, user, from, clock.Now())
			u, err := ts.Check(t.Context(), Credentials{Ticket: text, Name: user, Address: addr(from)}, vouch)
			if !errors.Is(err, want) || (err == nil) != (want == nil) {
				t.Fatalf("ticket %v by %s at %s: %v, want %v", k, user, from, err, want)
			}
			if u != nil {
				inFlight = append(inFlight, pending{u, k})
			}
		}
		end := func(t *rapid.T, i int) {
			p := inFlight[i]
			inFlight = slices.Delete(inFlight, i, i+1)
			got := p.use.Turn()

			c, next := m.chains[p.ticket.chain], p.ticket
			if m.rotate {
				next.generation++
			}
			if c.dead || next.generation < c.newest {
				if got != "" {
					t.Fatalf("%v was turned, want nothing", p.ticket)
				}
				return
			}
			if got == "" {
				t.Fatalf("%v was not turned", p.ticket)
			}
			m.learn(t, got, next)
			if next.generation > c.newest {
				c.newest, c.minted = next.generation, clock.Now()
				m.mints++
			}
		}
		pick := func(t *rapid.T) string {
			if len(m.texts) == 0 {
				t.Skip("no ticket yet")
			}
			// Mostly the recent ones: old ones end the game soon.
			back := min(rapid.IntRange(0, 1).Draw(t, "back")*rapid.IntRange(0, 9).Draw(t, "how far"), len(m.texts)-1)
			return m.texts[len(m.texts)-1-back]
		}

		t.Repeat(map[string]func(*rapid.T){
			"log in": func(t *rapid.T) {
				user, from := users.Draw(t, "user"), addrs.Draw(t, "from")
				text := ts.Issue(Identity{Name: user, Authenticator: "static"}, Credentials{Name: user, Address: addr(from)})
				n := m.issue(user, from, clock.Now())
				if m.chains[n].dead != (text == "") {
					t.Fatalf("ticket %q, displaced at once: %v", text, m.chains[n].dead)
				}
				if text != "" {
					m.learn(t, text, modelTicket{chain: n})
				}
			},
			"owner begins a request": func(t *rapid.T) {
				text := pick(t)
				c := m.chains[m.known[text].chain]
				check(t, text, c.user, c.addr)
			},
			"somebody begins a request": func(t *rapid.T) {
				check(t, pick(t), users.Draw(t, "user"), addrs.Draw(t, "from"))
			},
			"a request ends": func(t *rapid.T) {
				if len(inFlight) == 0 {
					t.Skip("none in flight")
				}
				end(t, rapid.IntRange(0, len(inFlight)-1).Draw(t, "request"))
			},
			"owner makes some requests": func(t *rapid.T) {
				for range rapid.IntRange(1, 3).Draw(t, "requests") {
					text := pick(t)
					c := m.chains[m.known[text].chain]
					before := len(inFlight)
					if check(t, text, c.user, c.addr); len(inFlight) > before {
						end(t, before)
					}
				}
			},
			"the client gives up": func(t *rapid.T) {
				if len(inFlight) == 0 {
					t.Skip("none in flight")
				}
				inFlight = inFlight[1:]
			},
			"the broker starts anew": func(t *rapid.T) {
				ts, inFlight = start(t), nil
				m.purge(clock.Now())
				m.restarts++
			},
			"a second is over": func(t *rapid.T) {
				ts.tend()
				m.purge(clock.Now())
			},
			"a password changes": func(t *rapid.T) {
				if rapid.IntRange(0, 3).Draw(t, "seldom") > 0 {
					t.Skip("not now")
				}
				user := users.Draw(t, "user")
				ts.PasswordChanged("static", user)
				for _, c := range m.chains {
					c.dead = c.dead || c.user == user
				}
			},
			"time passes": func(t *rapid.T) {
				switch seconds := rapid.IntRange(0, 61).Draw(t, "seconds"); rapid.IntRange(0, 9).Draw(t, "how") {
				case 0:
					clock.Advance(time.Duration(6*seconds) * time.Second)
				case 1: // it is set back
					clock.Advance(-time.Duration(2*seconds) * time.Second)
				default:
					clock.Advance(time.Duration(seconds) * time.Second)
				}
			},
			"": func(t *rapid.T) {
				if n := len(ts.chains); n > m.total || n != ts.byAge.Len() {
					t.Fatalf("%d chains, %d by age", n, ts.byAge.Len())
				}
			},
		})
		totals.seen += len(m.texts)
		totals.mints += m.mints
		totals.revoked += m.revoked
		totals.restarts += m.restarts
	})
	t.Logf("%d tickets, %d turned, %d chains revoked, %d restarts", totals.seen, totals.mints, totals.revoked, totals.restarts)
	if totals.mints == 0 || totals.revoked == 0 || totals.restarts == 0 {
		t.Error("the property was tried on nothing")
	}
}
