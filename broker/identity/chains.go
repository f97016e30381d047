package identity

import (
	"container/list"
	"crypto/sha256"
	"time"
)

// chainTable is what the marks amount to. It is the same after the same marks
// in the same order, at a restart as before it.
//
// A chain that is not in the table may be one that was never heard of, or one
// that has ended. Floors tell them apart: whatever ends, of a user or of all,
// raises the floor to its login, and what is not newer than the floor has
// ended. So nothing must be kept of each chain that has ended.
type chainTable struct {
	maxPerUser int
	maxTotal   int

	chains map[chainID]*chainState
	byAge  *list.List // of *chainState, oldest login first
	users  map[userID]*ticketUser
	hashes map[userID]chainID // of static users
	floor  int64              // a login, for all users
}

// ticketUser has chains or a floor.
type ticketUser struct {
	id     userID
	chains *list.List // of *chainState, oldest login first
	floor  int64
}

// chainState is what is remembered of a chain.
type chainState struct {
	id     chainID
	user   *ticketUser
	login  int64
	newest uint32    // the highest generation made
	minted time.Time // when newest was made first

	// password is a keyed digest of the password of the login, if proven: it
	// was checked by this process.
	password [sha256.Size]byte
	proven   bool

	inAge, inUser *list.Element
}

func newChainTable(maxPerUser, maxTotal int) chainTable {
	return chainTable{
		maxPerUser: maxPerUser,
		maxTotal:   maxTotal,
		chains:     make(map[chainID]*chainState),
		byAge:      list.New(),
		users:      make(map[userID]*ticketUser),
		hashes:     make(map[userID]chainID),
	}
}

func (c *chainState) prove(password [sha256.Size]byte) { c.password, c.proven = password, true }

// apply takes one mark into account.
func (t *chainTable) apply(m mark) {
	switch m.kind {
	case markChain:
		t.advance(m)
	case markRevoke:
		if c := t.chains[m.chain]; c != nil {
			t.remove(c)
		}
		t.raise(t.user(m.user), m.login)
	case markUser:
		u := t.user(m.user)
		t.raise(u, m.login)
		for e := u.chains.Front(); e != nil; e = u.chains.Front() {
			t.end(e.Value.(*chainState))
		}
	case markFloor:
		t.floor = max(t.floor, m.login)
		for e := t.byAge.Front(); e != nil; e = t.byAge.Front() {
			c := e.Value.(*chainState)
			if c.login > m.login {
				return
			}
			t.remove(c)
			if u := c.user; u.chains.Len() == 0 && u.floor <= t.floor {
				delete(t.users, u.id)
			}
		}
	case markHash:
		if m.chain == (chainID{}) {
			delete(t.hashes, m.user)
		} else {
			t.hashes[m.user] = m.chain
		}
	}
}

// advance begins a chain, or takes it to a higher generation.
func (t *chainTable) advance(m mark) {
	c := t.chains[m.chain]
	if c != nil {
		if m.generation > c.newest {
			c.newest, c.minted = m.generation, m.mintedTime()
		}
		return
	}
	u := t.user(m.user)
	c = &chainState{id: m.chain, user: u, login: m.login, newest: m.generation, minted: m.mintedTime()}
	t.chains[c.id] = c
	c.inAge = insert(t.byAge, c)
	c.inUser = insert(u.chains, c)
	for u.chains.Len() > t.maxPerUser {
		t.end(u.chains.Front().Value.(*chainState))
	}
	for t.byAge.Len() > t.maxTotal {
		t.end(t.byAge.Front().Value.(*chainState))
	}
	if len(t.users) > 2*t.maxTotal {
		t.forget(func(*ticketUser) bool { return true })
	}
}

// insert keeps the order of logins; mostly the new one is the newest.
func insert(l *list.List, c *chainState) *list.Element {
	for e := l.Back(); e != nil; e = e.Prev() {
		if e.Value.(*chainState).login <= c.login {
			return l.InsertAfter(c, e)
		}
	}
	return l.PushFront(c)
}

func (t *chainTable) user(id userID) *ticketUser {
	u := t.users[id]
	if u == nil {
		u = &ticketUser{id: id, chains: list.New()}
		t.users[id] = u
	}
	return u
}

// newer reports whether a login is above the floors, so that a chain that is not
// in the table has not ended.
func (t *chainTable) newer(user userID, login int64) bool {
	if u := t.users[user]; u != nil && login <= u.floor {
		return false
	}
	return login > t.floor
}

func (t *chainTable) raise(u *ticketUser, login int64) { u.floor = max(u.floor, login) }

// end removes a chain for good.
func (t *chainTable) end(c *chainState) {
	t.remove(c)
	t.raise(c.user, c.login)
}

func (t *chainTable) remove(c *chainState) {
	delete(t.chains, c.id)
	t.byAge.Remove(c.inAge)
	c.user.chains.Remove(c.inUser)
}

// expired gives the latest login whose tickets have all expired.
func (t *chainTable) expired(now time.Time, lifetime time.Duration) (login int64, any bool) {
	for e := t.byAge.Front(); e != nil; e = e.Next() {
		c := e.Value.(*chainState)
		if now.Sub(time.Unix(c.login, 0)) < lifetime {
			break
		}
		login, any = c.login, true
	}
	return login, any
}

// forget removes the users without chains whose floor f is for.
func (t *chainTable) forget(f func(*ticketUser) bool) {
	for id, u := range t.users {
		if u.chains.Len() == 0 && f(u) {
			t.floor = max(t.floor, u.floor)
			delete(t.users, id)
		}
	}
}

// summary gives marks that amount to the table.
func (t *chainTable) summary() []mark {
	all := make([]mark, 0, 1+len(t.hashes)+len(t.users)+len(t.chains))
	all = append(all, mark{kind: markFloor, login: t.floor})
	for id, digest := range t.hashes {
		all = append(all, mark{kind: markHash, user: id, chain: digest})
	}
	// Before the chains, because this mark ends what is there.
	for id, u := range t.users {
		if u.floor > 0 {
			all = append(all, mark{kind: markUser, user: id, login: u.floor})
		}
	}
	for e := t.byAge.Front(); e != nil; e = e.Next() {
		c := e.Value.(*chainState)
		all = append(all, mark{
			kind: markChain, chain: c.id, user: c.user.id, login: c.login,
			minted: roundUp(c.minted), generation: c.newest,
		})
	}
	return all
}
