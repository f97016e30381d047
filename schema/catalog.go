package schema

import (
	"net/netip"
	"time"
)

// A Catalog is a whole site as plain Go values: checked, complete with the
// built-in defaults, and never changed after [Compiler.Compile] returned it.
type Catalog struct {
	Site     Site
	Networks map[string]Network
	Params   map[string]any // the site's own data: nil, bool, json.Number, string, []any, map[string]any
	Servers  map[string]*Server
	Profiles map[string]*Profile
	Cases    map[string]*Case
}

// Site names the site and the time zone in which policies see the clock.
type Site struct {
	Name     string
	Timezone string         // an IANA name, "UTC" when the site gives none
	Location *time.Location // the loaded Timezone, never nil
}

// Network is a named set of client addresses.
type Network struct {
	Prefixes []netip.Prefix // masked; IPv4 prefixes never match IPv6 addresses
	Pos      Position
}

// State says what a server may be used for.
type State string

// The states of a server.
const (
	Active      State = "active"      // new and old sessions
	Drain       State = "drain"       // old sessions only
	Maintenance State = "maintenance" // nothing
)

// Server is an X2Go server.
type Server struct {
	ID       string
	Address  string // what the client dials: a DNS name, IPv4 or (with a warning) IPv6 address
	Port     int    // SSH, 1 to 65535
	Hostname string // as the server names itself in session lists
	Labels   map[string]string
	Weight   int // share of new sessions relative to the other servers, at least 1
	Sessions int // capacity: the most sessions it may hold, 0 for no limit
	State    State
	HostKeys []string // authorized_keys form
	Pos      Position
}

// Profile is an X2Go session profile.
type Profile struct {
	ID            string // [A-Za-z0-9._-]+
	Name          string
	Labels        map[string]string
	Settings      []Setting // X2Go Client keys in wire order, defaults filled in; profiles may share them
	Servers       []string  // ids of the servers that hosts names or matches, sorted, not empty
	Access        Access
	LegacyACL     *LegacyACL // in place of Access, which grants nothing then; nil for most
	Autologin     bool
	UseBrokerPass bool
	Icon          string
	Pos           Position
}

// Setting is one X2Go Client key (protocol keys are lower case). Value is a
// string, int, bool or []string.
type Setting struct {
	Key   string
	Value any
}

// Access says who may see a profile:
// (Everyone or Users or Groups) and (From empty or matching) and not Deny.
type Access struct {
	Everyone bool
	Users    []string
	Groups   []string
	From     []string // network names, or CIDRs in masked form
	Deny     Deny
	Pos      map[string]Position // by field path below access: "users", "deny.from" ...
}

// Deny takes a profile away again; any match is enough.
type Deny struct {
	Users  []string
	Groups []string
	From   []string
}

// LegacyACL says who may see a profile as the Python broker does: docs/profiles.md
// has the rules. One of its lists at least is not empty.
type LegacyACL struct {
	Users   LegacyRule
	Groups  LegacyRule
	Clients LegacyRule
	Pos     map[string]Position // by field path below legacyACL: "users.allow", "clients.order" ...
}

// LegacyAll stands for everybody in a list of a LegacyRule.
const LegacyAll = "ALL"

// LegacyRule is the pair of lists that a LegacyACL has of each kind. Clients are
// CIDRs in masked form, a single address with its full length.
type LegacyRule struct {
	Allow      []string
	Deny       []string
	AllowFirst bool // who is in both lists is allowed
}

// Case is an expectation about the site that must hold before it may serve.
type Case struct {
	Name    string
	User    string
	Groups  []string
	Address netip.Addr
	Time    time.Time // in the site's zone; Monday 2026-01-05 12:00 when the case gives none
	Sees    []string
	Hides   []string
	Exactly []string // nil when not asked
	Select  map[string]Selection
	Pos     Position
}

// Selection is what a case expects of placement for one profile.
type Selection struct {
	Facts     map[string]CaseFacts // servers not named are fresh and idle
	Wins      string               // the strict minimum, or empty
	WinsOneOf []string
}

// CaseFacts are the measured facts that a case assumes of a server.
type CaseFacts struct {
	Sessions int
	Inflight int
	Load1    float64
}
