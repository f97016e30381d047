package frontend

import (
	"net/netip"
	"testing"
)

func TestClientAddress(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("::1/128")}
	tests := map[string]struct {
		remote    string
		forwarded []string
		want      string // "" is no address
	}{
		"a peer that is no proxy is the client":            {"192.0.2.1:7", nil, "192.0.2.1"},
		"its header does not count":                        {"192.0.2.1:7", []string{"203.0.113.9"}, "192.0.2.1"},
		"a proxy without the header is the client":         {"10.0.0.1:7", nil, "10.0.0.1"},
		"a proxy names the client":                         {"10.0.0.1:7", []string{"203.0.113.9"}, "203.0.113.9"},
		"the rightmost untrusted address counts":           {"10.0.0.1:7", []string{"1.2.3.4, 203.0.113.9, 10.0.0.2"}, "203.0.113.9"},
		"headers on several lines are one":                 {"10.0.0.1:7", []string{"1.2.3.4", "203.0.113.9", "10.0.0.2"}, "203.0.113.9"},
		"only trusted hops are nobody":                     {"10.0.0.1:7", []string{"10.0.0.2"}, ""},
		"garbage behind the client is nobody":              {"10.0.0.1:7", []string{"203.0.113.9, unknown"}, ""},
		"garbage before the client is never looked at":     {"10.0.0.1:7", []string{"unknown, 203.0.113.9"}, "203.0.113.9"},
		"an empty header is nobody":                        {"10.0.0.1:7", []string{""}, ""},
		"an address with a port is garbage":                {"10.0.0.1:7", []string{"203.0.113.9:80"}, ""},
		"an address with a zone is garbage":                {"10.0.0.1:7", []string{"fe80::1%eth0"}, ""},
		"IPv4 in IPv6 is IPv4":                             {"[::ffff:192.0.2.1]:7", nil, "192.0.2.1"},
		"a proxy in IPv6 notation is the same proxy":       {"[::ffff:10.0.0.1]:7", []string{"203.0.113.9"}, "203.0.113.9"},
		"a client in IPv6 notation is the same client":     {"[::1]:7", []string{"::ffff:203.0.113.9"}, "203.0.113.9"},
		"the zone of a link-local peer is dropped":         {"[fe80::1%eth0]:7", nil, "fe80::1"},
		"a peer that is no address (a socket) is nobody":   {"@", nil, ""},
		"a proxy on a unix socket names the client":        {UnixPeer, []string{"1.2.3.4, 203.0.113.9"}, "203.0.113.9"},
		"behind it another proxy names the client":         {UnixPeer, []string{"1.2.3.4, 203.0.113.9, 10.0.0.2"}, "203.0.113.9"},
		"one that names nobody is nobody":                  {UnixPeer, nil, ""},
		"a peer that calls itself something is nobody":     {"/run/10.0.0.1", []string{"203.0.113.9"}, ""},
		"a trusted IPv6 proxy names an IPv6 client":        {"[::1]:7", []string{"2001:db8::5"}, "2001:db8::5"},
		"a header that only names proxies and junk is bad": {"10.0.0.1:7", []string{"junk, 10.0.0.3"}, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var want netip.Addr
			if test.want != "" {
				want = netip.MustParseAddr(test.want)
			}
			if got := clientAddress(test.remote, test.forwarded, trusted); got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}
