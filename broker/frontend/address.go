// Package frontend holds what the HTTP frontends share: where a request comes
// from, what its form says and asks for, and the pages that are not theirs.
// Everything here treats its input as hostile.
//
// A frontend with forms is a [Dialect]: [Tasks] does what is asked, alike for all.
package frontend

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

type addressKey struct{}

// UnixPeer is the RemoteAddr of a request that came through a unix socket.
const UnixPeer = "unix"

// ClientAddress is middleware that finds out which address a request comes
// from. X-Forwarded-For counts only when the peer is one of the trusted
// proxies: then the rightmost address that is none of them is the client. If
// every hop is trusted, or any that is looked at is no address, there is no
// client address and [Address] gives the zero value. A peer on a unix socket is
// trusted like a proxy, but has no address of its own.
func ClientAddress(trusted []netip.Prefix) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			a := clientAddress(r.RemoteAddr, r.Header.Values("X-Forwarded-For"), trusted)
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), addressKey{}, a)))
		})
	}
}

// Address is the client address that ClientAddress found: without zone, and
// IPv4 where it is IPv4.
func Address(ctx context.Context) netip.Addr {
	a, _ := ctx.Value(addressKey{}).(netip.Addr)
	return a
}

func clientAddress(remote string, forwarded []string, trusted []netip.Prefix) netip.Addr {
	var peer netip.Addr
	if remote != UnixPeer {
		hostport, err := netip.ParseAddrPort(remote)
		if err != nil {
			return netip.Addr{}
		}
		peer = canonical(hostport.Addr())
	}
	isTrusted := func(a netip.Addr) bool {
		return slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	if len(forwarded) == 0 || peer.IsValid() && !isTrusted(peer) {
		return peer
	}
	hops := strings.Split(strings.Join(forwarded, ","), ",")
	for _, hop := range slices.Backward(hops) {
		a, err := netip.ParseAddr(strings.TrimSpace(hop))
		if err != nil || a.Zone() != "" {
			return netip.Addr{}
		}
		if a = canonical(a); !isTrusted(a) {
			return a
		}
	}
	return netip.Addr{}
}

func canonical(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }
