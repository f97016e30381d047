package identity

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// ErrAddress is what [None] says to a client from elsewhere.
var ErrAddress = errors.New("address not allowed")

// None accepts any name, the empty one too, without a password from the
// addresses that it is given. It gets no tickets: there is nothing that one
// could stand for. X2Go Client sends `user=&password=` to such a broker when
// started with --broker-noauth.
type None struct {
	from   []netip.Prefix
	groups []string
}

var _ Authenticator = (*None)(nil)

// NewNone returns a None for clients in one of the prefixes; none given means
// loopback only. Everybody gets the groups. IPv4 prefixes also match IPv4
// addresses written as IPv6, and never match others.
func NewNone(from []netip.Prefix, groups []string) (*None, error) {
	if len(from) == 0 {
		from = []netip.Prefix{
			netip.PrefixFrom(netip.AddrFrom4([4]byte{127}), 8),
			netip.PrefixFrom(netip.IPv6Loopback(), 128),
		}
	}
	for _, p := range from {
		if !p.IsValid() || p.Addr().Is4In6() {
			return nil, fmt.Errorf("authenticator none: from: %q is not an IPv4 or IPv6 prefix", p)
		}
	}
	return &None{from: slices.Clone(from), groups: slices.Clone(groups)}, nil
}

// Name returns "none".
func (*None) Name() string { return "none" }

// Authenticate returns the name as typed, or ErrAddress.
func (n *None) Authenticate(_ context.Context, c Credentials) (Identity, error) {
	addr := c.Address.Unmap().WithZone("")
	if !slices.ContainsFunc(n.from, func(p netip.Prefix) bool { return p.Contains(addr) }) {
		return Identity{}, ErrAddress
	}
	return Identity{Name: c.Name, Groups: n.groups}.normalized(n.Name()), nil
}
