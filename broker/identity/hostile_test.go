package identity

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Somebody has got hold of a user's authid: from a proxy's log, from the memory of
// a computer in a pool, from a client that kept it when the next user sat down. He
// uses it under another name, from another place, a second time after its owner
// did, after its time, after the owner has changed the password, and after the
// broker was started anew in the hope that it has forgotten. Nothing of that opens
// a door, and none of it costs the owner more than his password.
func TestHostileUseOfAnothersTicket(t *testing.T) {
	const office = "2001:db8:1:2::7"
	owner := func(password, ticket string) Credentials {
		return Credentials{Name: "alice", Password: password, Ticket: ticket, Address: addr(office)}
	}
	for name, tc := range map[string]struct {
		steal  func(d *door, ticket string) Credentials // when all is ready
		owners bool                                     // the owner's ticket goes on
	}{
		"under another name": {func(_ *door, ticket string) Credentials {
			return Credentials{Name: "bob", Ticket: ticket, Address: addr(office)}
		}, true},
		"under another name, with a guess": {func(_ *door, ticket string) Credentials {
			return Credentials{Name: "bob", Password: "guess", Ticket: ticket, Address: addr(office)}
		}, true},
		"under the owner's name, with a guess": {func(_ *door, ticket string) Credentials {
			return owner("guess", ticket)
		}, true},
		"from another place": {func(_ *door, ticket string) Credentials {
			return Credentials{Name: "alice", Ticket: ticket, Address: addr("2001:db8:1:3::7")}
		}, true},
		"a changed one": {func(_ *door, ticket string) Credentials {
			return owner("", ticket[:10]+"AAAA"+ticket[14:])
		}, true},
		"a second time": {func(d *door, ticket string) Credentials {
			d.clock.Advance(ticketGrace + time.Second)
			return owner("", ticket)
		}, false},
		"after its time": {func(d *door, ticket string) Credentials {
			d.clock.Advance(10 * time.Hour)
			return owner("", ticket)
		}, false},
		"after a new password": {func(d *door, ticket string) Credentials {
			d.PasswordChanged(Identity{Name: "alice", Authenticator: "static"})
			return owner("", ticket)
		}, false},
	} {
		for _, restarted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, restarted %v", name, restarted), func(t *testing.T) {
				p := newPlace(t)
				d := newDoor(t)
				d.clock = p.clock
				start := func() {
					d.Gate = NewGate(GateConfig{Chain: d.chain, Tickets: p.start(t), Throttle: newThrottle(p.clock), Logger: quiet()})
				}
				start()
				stolen := d.enter(owner("alice-pw", "")).Renew()
				newest := d.enter(owner("", stolen)).Renew()
				c := tc.steal(d, stolen)
				if restarted {
					start()
				}
				d.denied(c)
				login, err := d.Login(t.Context(), owner("", newest))
				if (err == nil) != tc.owners {
					t.Errorf("the owner's own ticket: %v", err)
				}
				if err == nil && login.Identity.Name != "alice" {
					t.Errorf("the owner is %q", login.Identity.Name)
				}
				if p.clock.Advance(5 * time.Minute); d.enter(owner("alice-pw", newest)).Renew() == "" {
					t.Error("the owner's password gives no ticket")
				}
			})
		}
	}
}

// Somebody guesses passwords. He tries many for one name, from one address and
// from a thousand; one password for many names; all at once instead of one after
// the other; with a domain, in other spellings. He compares the answers and how
// long they take, to learn which names exist. He gets few guesses, learns nothing,
// and those who log in where they always do notice nothing.
func TestHostileGuessing(t *testing.T) {
	const desk = "192.0.2.50"
	for name, next := range map[string]func(i int) Credentials{
		"one name, one address": func(int) Credentials {
			return Credentials{Name: "alice", Address: addr(home)}
		},
		"one name, many addresses": func(i int) Credentials {
			return Credentials{Name: "alice", Address: addr(fmt.Sprintf("10.1.%d.%d", i/256, i%256))}
		},
		"one name, a whole IPv6 network": func(i int) Credentials {
			return Credentials{Name: "alice", Address: addr(fmt.Sprintf("2001:db8:1:2::%x", i+1))}
		},
		"many names, one address": func(i int) Credentials {
			return Credentials{Name: fmt.Sprint("user", i), Address: addr(home)}
		},
		"many names, many addresses": func(i int) Credentials {
			return Credentials{Name: fmt.Sprint("user", i), Address: addr(fmt.Sprintf("10.1.%d.%d", i/256, i%256))}
		},
		"one name with a domain": func(int) Credentials {
			return Credentials{Name: "alice@example.edu", Domain: true, Address: addr(home)}
		},
	} {
		most := map[string]int{
			"one name, one address": 6, "one name, many addresses": userBurst, "one name, a whole IPv6 network": 6,
			"many names, one address": addressNames, "many names, many addresses": overallBurst,
			"one name with a domain": 2 * 6, // each attempt is one for either name
		}[name]
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDoor(t)
				d.enter(Credentials{Name: "alice", Password: "alice-pw", Address: addr(desk)})
				before := d.rounds.Load()
				var all sync.WaitGroup
				for i := range 700 {
					c := next(i)
					c.Password = "guess"
					all.Go(func() {
						if _, err := d.Login(t.Context(), c); err == nil {
							t.Error("guessed")
						}
					})
				}
				all.Wait()
				if looked := int(d.rounds.Load()-before) >> 4; looked == 0 || looked > most { // 16 rounds for each
					t.Errorf("%d guesses were looked at, want at most %d", looked, most)
				}
				d.enter(Credentials{Name: "alice", Password: "alice-pw", Address: addr(desk)})
			})
		})
	}
	t.Run("names that exist are like others", func(t *testing.T) {
		type answer struct {
			text   string
			retry  time.Duration
			hashed int64
		}
		answers := func(user string) (all []answer) {
			d := newDoor(t)
			for range 8 {
				before := d.rounds.Load()
				err := d.denied(Credentials{Name: user, Password: "guess", Address: addr(home)})
				all = append(all, answer{err.Error(), err.RetryAfter, d.rounds.Load() - before})
			}
			return all
		}
		known, unknown := answers("alice"), answers("nobody")
		for i := range known {
			if known[i] != unknown[i] {
				t.Errorf("guess %d: %+v for a name that exists, %+v for one that does not", i+1, known[i], unknown[i])
			}
		}
	})
}
