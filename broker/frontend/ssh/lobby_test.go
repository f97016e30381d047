package ssh

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

var (
	honest = netip.MustParseAddr("192.0.2.1")
	crowd  = netip.MustParseAddr("2001:db8::")
)

// Somebody holds connections open from as many networks as he has, and says
// nothing. Whoever comes from elsewhere is let in, and stays.
func TestWhoHoldsConnectionsOpenKeepsNobodyOut(t *testing.T) {
	l := newLobby(maxStrangers, maxStrangersHere)
	closed := 0
	for i := range 10 * maxStrangers {
		b := crowd.As16()
		b[5] = byte(i % 8)
		l.enter(netip.AddrFrom16(b), func() { closed++ })
	}
	out := false
	s := l.enter(honest, func() { out = true })
	for i := range maxStrangers {
		b := crowd.As16()
		b[5] = byte(i % 8)
		l.enter(netip.AddrFrom16(b), func() { closed++ })
	}
	if out || !l.leave(s) {
		t.Error("who comes once was shown the door")
	}
	if in, shown := l.count(); in > maxStrangers || shown != uint64(closed) || closed < 9*maxStrangers {
		t.Errorf("%d in, %d shown the door, %d closed", in, shown, closed)
	}
}

func TestTheLobbyIsNeverFullerThanItMayBe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLobby(maxStrangers, maxStrangersHere)
		in := map[*stranger]bool{}
		for range rapid.IntRange(0, 600).Draw(t, "steps") {
			if len(in) > 0 && rapid.IntRange(0, 3).Draw(t, "leaves") == 0 {
				for s := range in {
					if !l.leave(s) {
						t.Fatal("was not in")
					}
					delete(in, s)
					break
				}
				continue
			}
			var s *stranger
			b := crowd.As16()
			b[5], b[15] = byte(rapid.IntRange(0, 20).Draw(t, "network")), rapid.Byte().Draw(t, "host")
			s = l.enter(netip.AddrFrom16(b), func() { delete(in, s) })
			in[s] = true
		}
		here := map[netip.Addr]int{}
		for s := range in {
			here[s.share]++
			if here[s.share] > maxStrangersHere {
				t.Fatalf("%d from %v", here[s.share], s.share)
			}
		}
		if n, _ := l.count(); n != len(in) || n > maxStrangers {
			t.Fatalf("%d are in, count says %d", len(in), n)
		}
	})
}
