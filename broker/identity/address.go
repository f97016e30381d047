package identity

import "net/netip"

// IPv6 hosts choose the lower half of their address themselves, and change it
// for privacy (RFC 8981): a client is its /64.
const ipv6Bits = 64

// clientNet returns the network that counts as one client: the address itself
// for IPv4, also when written as IPv4 in IPv6, and the /64 for IPv6. It is the
// zero Prefix for an invalid address.
func clientNet(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	switch {
	case !addr.IsValid():
		return netip.Prefix{}
	case addr.Is4():
		return netip.PrefixFrom(addr, addr.BitLen())
	}
	return netip.PrefixFrom(addr, ipv6Bits).Masked()
}
