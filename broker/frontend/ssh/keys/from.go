package keys

import (
	"errors"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"
)

// patterns are the value of from=: addresses, networks, and addresses with *
// and ?, each of them excluded by an ! before it.
type patterns struct{ all []pattern }

type pattern struct {
	not     bool
	network netip.Prefix
	glob    string // where the network is not valid; "" for a name of a host, which no address is
}

// match is true if one includes the address and none excludes it.
func (p *patterns) match(address netip.Addr) bool {
	if !address.IsValid() {
		return false
	}
	included := false
	for _, one := range p.all {
		if !one.match(address) {
			continue
		}
		if one.not {
			return false
		}
		included = true
	}
	return included
}

func (p pattern) match(address netip.Addr) bool {
	if p.network.IsValid() {
		return p.network.Contains(address)
	}
	ok, _ := path.Match(p.glob, address.String())
	return ok
}

// parsePatterns reads a list with commas. The broker asks no name server, so
// that names of hosts include nobody, and to exclude one is an error: nobody
// could tell whom.
func parsePatterns(list string) (*patterns, error) {
	p := &patterns{}
	for s := range strings.SplitSeq(list, ",") {
		var one pattern
		one.not = strings.HasPrefix(s, "!")
		s = strings.TrimPrefix(s, "!")
		switch {
		case s == "":
			return nil, errors.New("an empty entry")
		case strings.ContainsAny(s, " \t"):
			return nil, fmt.Errorf("%s: a blank within the list", short(s))
		case isAddressGlob(s):
			one.glob = strings.ToLower(s)
		default:
			var err error
			one.network, err = parseNetwork(s)
			if err != nil && (one.not || strings.ContainsAny(s, "/:%")) {
				return nil, fmt.Errorf("%w (the broker looks up no names of hosts)", err)
			}
		}
		p.all = append(p.all, one)
	}
	return p, nil
}

// isAddressGlob tells 10.* and 2001:db8:* from *.example.org. What could be
// either, like fe80*, is none.
func isAddressGlob(s string) bool {
	if !strings.ContainsAny(s, "*?") {
		return false
	}
	letters := "0123456789.*?"
	if strings.Contains(s, ":") {
		letters += ":abcdefABCDEF"
	}
	return strings.Trim(s, letters) == ""
}

// parseNetwork reads an address or a network in CIDR form.
func parseNetwork(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Masked() != p || p.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%s is neither an address nor a network, like 10.0.0.0/8", short(s))
	}
	return p, nil
}

// inNetworks checks source-address of certificates: addresses and networks, no
// more.
func inNetworks(list string, address netip.Addr) (bool, error) {
	var all []netip.Prefix
	for s := range strings.SplitSeq(list, ",") {
		p, err := parseNetwork(s)
		if err != nil {
			return false, err
		}
		all = append(all, p)
	}
	return slices.ContainsFunc(all, func(p netip.Prefix) bool { return p.Contains(address) }), nil
}
