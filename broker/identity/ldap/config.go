package ldap

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/x2broker/x2broker/broker/identity"
)

// Defaults of a [Config].
const (
	DefaultName          = "ldap"
	DefaultNameAttribute = "uid"
	DefaultTimeout       = 10 * time.Second
	DefaultConnections   = 8

	DefaultGroupFilter        = "(member={dn})"
	DefaultGroupNameAttribute = "cn"
)

// How groups within groups count.
const (
	NestedNone = ""     // they do not
	NestedWalk = "walk" // the broker asks for the groups of each group
	NestedAD   = "ad"   // Active Directory answers for all levels at once
)

// Config describes a directory.
type Config struct {
	Name    string   // of the authenticator, "" for "ldap"
	Servers []string // ldaps://host or ldap://host, with or without a port; tried in this order

	CAFile         string // PEM certificates to trust, "" for those of the system
	NoStartTLS     bool   // speak in clear to servers with ldap://; they must be on loopback
	AllowPlaintext bool   // they need not

	BindDN       string // account that searches, "" for anonymous
	PasswordFile string // its password on one line; read anew for each connection

	Base          string // users are searched for below
	Filter        string // finds a user by {user}, "" for "(NameAttribute={user})"
	NameAttribute string // gives the canonical name, "" for "uid"
	Valid         string // a filter that entries of good accounts match, "" for all

	Groups *Groups // nil: the directory says nothing of groups

	SSHKeyAttribute string // has users' public SSH keys, "" for none

	Timeout     time.Duration // of one question with all its steps, 0 for 10 s
	Connections int           // for searches, and as many for binds, 0 for 8
}

// Groups says how a user's groups are found.
type Groups struct {
	Base          string // only groups below count
	Filter        string // finds groups by {dn} or {user}, "" for "(member={dn})"
	NameAttribute string // gives a group's name, "" for "cn"
	MemberOf      bool   // read the attribute memberOf instead of searching
	Nested        string // NestedNone, NestedWalk or NestedAD
}

// attributeName is a descr of RFC 4512 section 1.4.
var attributeName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]*$`)

// server is one address of the directory.
type server struct {
	url     string // as configured
	address string // host:port
	tls     bool   // from the first byte
	start   bool   // StartTLS
	config  *tls.Config
}

// New checks the configuration and reads the CA file. It opens no connection:
// a directory that is away is no mistake. The warnings are for an operator, one
// sentence each; errors name the field.
func New(c Config, now func() time.Time, log *slog.Logger) (d *Directory, warnings []string, err error) {
	if c.Name == "" {
		c.Name = DefaultName
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("authenticator %q: %w", c.Name, err)
		}
		for i, w := range warnings {
			warnings[i] = fmt.Sprintf("authenticator %q: %s", c.Name, w)
		}
	}()
	if c.NameAttribute == "" {
		c.NameAttribute = DefaultNameAttribute
	}
	if c.Filter == "" {
		c.Filter = "(" + c.NameAttribute + "={user})"
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Connections == 0 {
		c.Connections = DefaultConnections
	}
	if c.Timeout < 0 || c.Connections < 0 {
		return nil, nil, errors.New("timeout and connections: want more than 0")
	}
	d = &Directory{name: c.Name, base: c.Base, nameAttribute: c.NameAttribute, valid: c.Valid, timeout: c.Timeout}
	if d.users, err = parseUserFilter(c.Filter, c.NameAttribute); err != nil {
		return nil, nil, err
	}
	if _, err := ldap.ParseDN(c.Base); err != nil || c.Base == "" {
		return nil, nil, fmt.Errorf("base: %q is no distinguished name, like \"ou=people,dc=example,dc=org\"", c.Base)
	}
	if c.Valid != "" {
		if _, err := ldap.CompileFilter(c.Valid); err != nil {
			return nil, nil, fmt.Errorf("valid: %q is no filter: %w", c.Valid, err)
		}
	}
	if c.Groups != nil {
		if d.groups, err = newGroupRules(*c.Groups); err != nil {
			return nil, nil, err
		}
	}
	if c.SSHKeyAttribute != "" && !attributeName.MatchString(c.SSHKeyAttribute) {
		return nil, nil, fmt.Errorf("sshKeyAttribute: %q is no name of an attribute, like \"sshPublicKey\"", c.SSHKeyAttribute)
	}
	d.keys = c.SSHKeyAttribute
	if d.dialer, warnings, err = newDialer(c, now, log); err != nil {
		return nil, nil, err
	}
	d.pool = newPool(c.Connections, now, d.dialer.searcher)
	d.binds = make(chan struct{}, c.Connections)
	return d, warnings, nil
}

func newDialer(c Config, now func() time.Time, log *slog.Logger) (*dialer, []string, error) {
	d := &dialer{bindDN: c.BindDN, passwordFile: c.PasswordFile, now: now, log: log, failed: map[*server]time.Time{}}
	if (c.BindDN == "") != (c.PasswordFile == "") {
		return nil, nil, errors.New("bindDN and passwordFile belong together: give both, or neither for an anonymous search")
	}
	if _, err := ldap.ParseDN(c.BindDN); err != nil {
		return nil, nil, fmt.Errorf("bindDN: %q is no distinguished name: %w", c.BindDN, err)
	}
	if c.PasswordFile != "" {
		if _, err := d.password(); err != nil {
			return nil, nil, fmt.Errorf("passwordFile: %w", err)
		}
	}
	roots, err := identity.ReadCAs(c.CAFile)
	if err != nil {
		return nil, nil, fmt.Errorf("caFile: %w", err)
	}
	if len(c.Servers) == 0 {
		return nil, nil, errors.New("servers: none, give one like \"ldaps://ldap.example.org\"")
	}
	var warnings []string
	for _, s := range c.Servers {
		srv, err := parseServer(s, roots)
		if err != nil {
			return nil, nil, err
		}
		srv.start = !srv.tls && !c.NoStartTLS
		if !srv.tls && !srv.start && !onLoopback(srv.address) {
			if !c.AllowPlaintext {
				return nil, nil, fmt.Errorf("servers: passwords would travel to %s in clear: use ldaps://, leave startTLS on, or set allowPlaintext if the network between is yours alone", s)
			}
			warnings = append(warnings, fmt.Sprintf("passwords travel to %s in clear, because allowPlaintext says so", s))
		}
		d.servers = append(d.servers, srv)
	}
	d.connectTimeout = c.Timeout / time.Duration(len(d.servers)+1)
	return d, warnings, nil
}

func parseServer(s string, roots *x509.CertPool) (*server, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "ldap" && u.Scheme != "ldaps" || u.Hostname() == "" || u.User != nil ||
		u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("servers: %q is no server, like \"ldaps://ldap.example.org\"", s)
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"ldap": ldap.DefaultLdapPort, "ldaps": ldap.DefaultLdapsPort}[u.Scheme]
	}
	return &server{
		url:     s,
		address: net.JoinHostPort(u.Hostname(), port),
		tls:     u.Scheme == "ldaps",
		config:  &tls.Config{RootCAs: roots, ServerName: u.Hostname(), MinVersion: tls.VersionTLS12},
	}, nil
}

func onLoopback(hostport string) bool {
	host, _, _ := net.SplitHostPort(hostport)
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}
