package ssh

import (
	"net/netip"
	"slices"
	"sync"

	"github.com/x2broker/x2broker/broker/listen"
)

// Limits on connections whose users have not proved who they are.
const (
	maxStrangers     = 256
	maxStrangersHere = 32 // of one IPv4 address or IPv6 /64

	// Of these, who is asked for more than a password, as a code: PAM has 16
	// processes that wait for an answer.
	maxCodes     = 14
	maxCodesHere = 8
)

// A lobby is where connections are until their users have proved who they are.
// When it is full, the one that has been there longest of those who take most of
// the room goes out: who comes with a password stays a second, who holds
// connections open to keep others out stays until he is shown the door.
type lobby struct {
	most, mostHere int

	mu    sync.Mutex
	all   int
	from  map[netip.Addr][]*stranger // by share of the address, the oldest first
	come  uint64                     // since the start
	shown uint64                     // the door, since the start
}

// A stranger is a connection in the lobby.
type stranger struct {
	share  netip.Addr
	number uint64 // in the order of coming
	out    func() // closes the connection
}

func newLobby(most, mostHere int) *lobby {
	return &lobby{most: most, mostHere: mostHere, from: map[netip.Addr][]*stranger{}}
}

// enter lets a connection in, which out closes.
func (l *lobby) enter(a netip.Addr, out func()) *stranger {
	s := &stranger{share: listen.Share(a), out: out}
	l.mu.Lock()
	l.come++
	s.number = l.come
	var leaves *stranger
	switch {
	case len(l.from[s.share]) >= l.mostHere:
		leaves = l.from[s.share][0]
	case l.all >= l.most:
		leaves = l.fullest()[0]
	}
	if leaves != nil {
		l.remove(leaves)
		l.shown++
	}
	l.from[s.share] = append(l.from[s.share], s)
	l.all++
	l.mu.Unlock()
	if leaves != nil {
		leaves.out()
	}
	return s
}

// leave ends the stay; false says that it has been ended already.
func (l *lobby) leave(s *stranger) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.remove(s)
}

func (l *lobby) remove(s *stranger) bool {
	here := l.from[s.share]
	i := slices.Index(here, s)
	if i < 0 {
		return false
	}
	l.all--
	if here = slices.Delete(here, i, i+1); len(here) > 0 {
		l.from[s.share] = here
	} else {
		delete(l.from, s.share)
	}
	return true
}

// fullest gives the connections of who has most; of several, of who came first.
func (l *lobby) fullest() []*stranger {
	var most []*stranger
	for _, here := range l.from {
		if len(here) > len(most) || len(here) == len(most) && here[0].number < most[0].number {
			most = here
		}
	}
	return most
}

// count says how many are in, and how many were shown the door.
func (l *lobby) count() (in int, shown uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all, l.shown
}
