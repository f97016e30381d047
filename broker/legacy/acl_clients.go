package legacy

import (
	"math/bits"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// networks are the entries of a list of clients.
type networks struct {
	prefixes []netip.Prefix // masked
	unread   []string       // entries that are neither addresses nor networks
}

func readNetworks(entries []string) networks {
	var n networks
	for _, entry := range entries {
		if entry == all {
			n.prefixes = append(n.prefixes, everywhere4, everywhere6)
		} else if p, ok := parseNetwork(entry); ok {
			n.prefixes = append(n.prefixes, p)
		} else {
			n.unread = append(n.unread, entry)
		}
	}
	return n
}

var (
	everywhere4 = netip.MustParsePrefix("0.0.0.0/0")
	everywhere6 = netip.MustParsePrefix("::/0")
)

// contain never takes an IPv4 address for one of IPv6, or the other way round.
func (n *networks) contain(address netip.Addr) bool {
	return slices.ContainsFunc(n.prefixes, func(p netip.Prefix) bool { return p.Contains(address) })
}

// parseNetwork reads an address or a network as the old broker does (netaddr
// 0.8.0): the length of the network may be a mask or an inverse mask, bits of the
// host are dropped, and an IPv4 address may lack its last parts, which are 0 then:
// 127.1 is 127.1.0.0 alone, 127/8 the usual network. A number may be written as
// Python writes it, in digits of ASCII: +08, 1_0.
func parseNetwork(entry string) (netip.Prefix, bool) {
	text, length, hasLength := strings.Cut(entry, "/")
	address, ok := parseIP(text)
	if !ok {
		if address, ok = parsePartial(text); !ok {
			return netip.Prefix{}, false
		}
	}
	n := address.BitLen()
	if hasLength {
		if n, ok = number(length); !ok {
			if n, ok = maskLength(length, address); !ok {
				return netip.Prefix{}, false
			}
		}
	}
	p, err := address.Prefix(n) // refuses lengths that are out of range
	return p, err == nil
}

// parseIP reads a whole address; those with a zone are none.
func parseIP(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	return a, err == nil && a.Zone() == ""
}

func parsePartial(s string) (netip.Addr, bool) {
	parts := strings.Split(s, ".")
	var address [4]byte
	if len(parts) > len(address) {
		return netip.Addr{}, false
	}
	for i, part := range parts {
		n, ok := number(part)
		if !ok || n < 0 || n > 255 {
			return netip.Addr{}, false
		}
		address[i] = byte(n)
	}
	return netip.AddrFrom4(address), true
}

// number reads a decimal number with a sign, leading zeros, underscores between
// digits and space around it.
func number(s string) (int, bool) {
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, "_") || strings.HasSuffix(s, "_") || strings.Contains(s, "__") ||
		strings.HasPrefix(s, "+_") || strings.HasPrefix(s, "-_") {
		return 0, false
	}
	n, err := strconv.Atoi(strings.ReplaceAll(s, "_", ""))
	return n, err == nil
}

// maskLength gives the length of a network of the kind of the address from a mask,
// 255.255.0.0, or its inverse, 0.0.255.255.
func maskLength(s string, address netip.Addr) (int, bool) {
	mask, ok := parseIP(s)
	if !ok || mask.BitLen() != address.BitLen() {
		return 0, false
	}
	ones, zeros := 0, 0 // that it begins with
	count := 0          // of ones
	for i, b := range mask.AsSlice() {
		if ones == 8*i {
			ones += bits.LeadingZeros8(^b)
		}
		if zeros == 8*i {
			zeros += bits.LeadingZeros8(b)
		}
		count += bits.OnesCount8(b)
	}
	switch {
	case count == ones:
		return ones, true
	case count == mask.BitLen()-zeros:
		return zeros, true
	}
	return 0, false
}
