package identity

import "crypto/sha256"

// PasswordChanged ends all chains of a user: tickets that stand for the old
// password are no good any more. The name is the canonical one.
func (ts *Tickets) PasswordChanged(authenticator, canonical string) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.endUser(newUserID(authenticator, canonical))
}

// endUser ends the user's chains of until now; those that begin in this second
// after it are known, and so live.
func (ts *Tickets) endUser(id userID) {
	ts.recordAnyhow(mark{kind: markUser, user: id, login: ts.clock().Unix()})
}

// rememberHashes ends the chains of static users whose password hash is not what
// it was at the last start, or who are gone.
func (ts *Tickets) rememberHashes(chain *Chain) {
	now := chain.passwordHashes()
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for id, before := range ts.hashes {
		if now[id] != before {
			ts.endUser(id)
			ts.recordAnyhow(mark{kind: markHash, user: id, chain: now[id]})
		}
	}
	for id, digest := range now {
		if ts.hashes[id] != digest {
			ts.recordAnyhow(mark{kind: markHash, user: id, chain: digest})
		}
	}
}

// hashDigests are what is remembered of the hashes of static users.
func hashDigests(users map[string]StaticUser) map[string]chainID {
	all := make(map[string]chainID, len(users))
	for name, u := range users {
		sum := sha256.Sum256([]byte(u.Hash))
		all[name] = chainID(sum[:])
	}
	return all
}

// passwordHashes gives a digest of the hash of each static user's password.
func (c *Chain) passwordHashes() map[userID]chainID {
	all := make(map[userID]chainID)
	for _, m := range c.members {
		if s, ok := m.(*Static); ok {
			for name, digest := range s.digests {
				all[newUserID(s.name, name)] = digest
			}
		}
	}
	return all
}
