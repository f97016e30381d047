package policy

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/x2broker/x2broker/schema"
)

// Request is who asks for what from where. All of it reaches the policies as
// input, and nothing else does.
type Request struct {
	User     string     // canonical, as the identity source gives it
	Groups   []string   // in any order
	Account  string     // the server account that the user wants to act as
	Address  netip.Addr // the client's
	Frontend string     // plain, json, uccs or ssh
	Time     time.Time
	Task     string // login, list or select
}

// address gives the client's address as policies see it: a mapped IPv4 address is
// that IPv4 address to the networks, and an address with a zone is an error to
// net.cidr_contains. An invalid address is an error.
func (r Request) address() (netip.Addr, error) {
	if !r.Address.IsValid() {
		return netip.Addr{}, errors.New("the client's address is not known, so nothing can be decided from it")
	}
	return r.Address.Unmap().WithZone(""), nil
}

// clock gives a time as policies see it: in the site's zone, floored to the
// minute.
func (e *Engine) clock(t time.Time) time.Time {
	t = t.In(e.catalog.Site.Location)
	return t.Add(-time.Duration(t.Second())*time.Second - time.Duration(t.Nanosecond()))
}

// input gives the request as policies see it, for the questions about any
// profile. An invalid address is an error.
func (e *Engine) input(r Request) (ast.Object, error) {
	address, err := r.address()
	if err != nil {
		return nil, err
	}
	return e.inputFrom(r, address), nil
}

// inputFrom is input with the address that policies see.
func (e *Engine) inputFrom(r Request, address netip.Addr) ast.Object {
	t := e.clock(r.Time)
	return object(
		"user", object("name", r.User, "groups", sorted(r.Groups)),
		"account", r.Account,
		"client", object(
			"address", address.String(),
			"networks", networksOf(e.places, address),
			"frontend", r.Frontend,
		),
		"time", object(
			"unix", t.Unix(),
			"date", t.Format(time.DateOnly),
			"weekday", strings.ToLower(t.Weekday().String()[:3]),
			"hour", t.Hour(),
			"minute", t.Minute(),
		),
		"task", r.Task,
	)
}

// A place is one of the site's networks.
type place struct {
	name     string
	prefixes []netip.Prefix
}

func (p place) contains(address netip.Addr) bool {
	for _, x := range p.prefixes {
		if x.Contains(address) {
			return true
		}
	}
	return false
}

// newPlaces lists the networks by name.
func newPlaces(networks map[string]schema.Network) []place {
	places := make([]place, 0, len(networks))
	for name, n := range networks {
		places = append(places, place{name, n.Prefixes})
	}
	slices.SortFunc(places, func(a, b place) int { return strings.Compare(a.name, b.name) })
	return places
}

// networksOf names the places that contain address, in order.
func networksOf(places []place, address netip.Addr) []string {
	var names []string
	for _, p := range places {
		if p.contains(address) {
			names = append(names, p.name)
		}
	}
	return names
}

// sorted gives the same groups the same form, whatever order they came in.
func sorted(list []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(list)))
}

// object makes an object of keys and values in turn: strings, string lists,
// numbers and objects.
func object(pairs ...any) ast.Object {
	items := make([][2]*ast.Term, 0, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		items = append(items, ast.Item(ast.StringTerm(pairs[i].(string)), term(pairs[i+1])))
	}
	return ast.NewObject(items...)
}

func term(v any) *ast.Term {
	switch v := v.(type) {
	case string:
		return ast.StringTerm(v)
	case []string:
		terms := make([]*ast.Term, len(v))
		for i, s := range v {
			terms[i] = ast.StringTerm(s)
		}
		return ast.ArrayTerm(terms...)
	case ast.Value:
		return ast.NewTerm(v)
	}
	return ast.NewTerm(ast.MustInterfaceToValue(v))
}
