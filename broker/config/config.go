// Package config reads broker.cue, the settings of the daemon itself.
//
// A site's profiles, servers and policies are not here: they live in the site's
// repository.
package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/x2broker/x2broker/broker/identity/endpoint"
	"github.com/x2broker/x2broker/broker/identity/ldap"
)

// Defaults of broker.cue.
const (
	DefaultListenHTTP = "127.0.0.1:8080"
	DefaultStateDir   = "/var/lib/x2broker"
	DefaultRef        = "main"
	DefaultPAMSocket  = "/run/x2broker/authd.sock"

	minPoll = 100 * time.Millisecond
	maxPoll = time.Hour

	minTimeout = time.Second
	maxTimeout = 10 * time.Minute
)

// Config is a broker.cue with its defaults filled in.
type Config struct {
	Site           Site
	Listen         Listen
	Authenticators []Authenticator
	Groups         []GroupSource
	Ticket         Ticket
	Frontends      Frontends
	StateDir       string
	Verify         Verify
	Webhook        Webhook
	SSH            SSH

	// Warnings are things that an operator should know, one sentence each.
	Warnings []string
}

// Site names where profiles, servers and policies come from.
type Site struct {
	URL     string // "" is the built-in demo site
	Ref     string
	Poll    time.Duration // 100 ms to 1 h
	Timeout time.Duration // of one look, 1 s to 10 min
	Auth    SiteAuth
}

// SiteAuth names files; which of them a site may have depends on its URL.
type SiteAuth struct {
	TokenFile      string // https: a token
	User           string // https: whose token, "" for x-access-token
	CAFile         string // https: certificates to trust, "" for those of the system
	KeyFile        string // ssh: a private key
	KnownHostsFile string // ssh: the server's host key
}

// Authenticator is one entry of the chain. One of Static, PAM, LDAP and HTTPS is
// set; without any it is none.
type Authenticator struct {
	Static map[string]StaticUser // by name
	PAM    *PAM
	LDAP   *ldap.Config
	HTTPS  *endpoint.Config
	MaxAge time.Duration  // of what it says of somebody who has a ticket
	From   []netip.Prefix // of none
	Groups []string       // of none
}

// None reports whether this lets people in without a password.
func (a Authenticator) None() bool {
	return a.Static == nil && a.PAM == nil && a.LDAP == nil && a.HTTPS == nil
}

// PAM is where x2broker-authd is asked.
type PAM struct {
	Socket string // absolute path
}

// StaticUser is a user of broker.cue.
type StaticUser struct {
	Password string // a hash
	Groups   []string
}

// Ticket sets the rules for authids.
type Ticket struct {
	Lifetime      time.Duration
	KeyRotation   time.Duration // how long a key of the broker's own signs
	KeyFile       string        // keys that brokers share, an absolute path; "" for a key of its own
	Rotate        bool
	VerifyAddress bool
	Shared        Shared
}

// Shared is an authid that many clients have; without a file there is none.
type Shared struct {
	File            string // an absolute path
	WithoutPassword bool
	From            []netip.Prefix // with WithoutPassword
}

// Frontends says which doors are open, and how they answer. One that is not
// enabled answers 404.
type Frontends struct {
	Plain    Plain
	JSON     JSON
	UCCS     UCCS
	Zeroconf Zeroconf
}

// Plain is the door of X2Go Client.
type Plain struct {
	Enabled      bool
	DeniedStatus int // HTTP status of a refused login, 200 or 401
}

// JSON is the door of python-x2go.
type JSON struct{ Enabled bool }

// UCCS is the door of greeters.
type UCCS struct {
	Enabled bool
	URL     string // of the broker as clients see it, without a slash at the end; "" as requests have it
}

// Zeroconf is the profile LOCALHOST behind the other doors.
type Zeroconf struct {
	Enabled bool
	Command string
}

// Default is the configuration without a broker.cue. It has no authenticators.
func Default() *Config {
	return &Config{
		Site:   Site{Ref: DefaultRef, Poll: 30 * time.Second, Timeout: 60 * time.Second},
		Listen: Listen{HTTP: DefaultListenHTTP, BasePath: "/", Connections: DefaultConnections, PerAddress: DefaultPerAddress},
		Ticket: Ticket{Lifetime: 10 * time.Hour, KeyRotation: 30 * 24 * time.Hour, Rotate: true, VerifyAddress: true},
		Frontends: Frontends{
			Plain: Plain{Enabled: true, DeniedStatus: 200},
			JSON:  JSON{Enabled: true},
			// UCCS and Zeroconf are off, as with the reference broker.
			Zeroconf: Zeroconf{Command: "KDE"},
		},
		SSH:      SSH{LoginTime: defaultLoginTime},
		StateDir: DefaultStateDir,
	}
}

// Load reads the file. The error joins all mistakes, one a line, each with
// file:line:col; a site's own mistakes are not looked at here.
func Load(filename string) (*Config, error) {
	data, err := os.ReadFile(filename)
	if err != nil {
		return nil, err
	}
	raw, err := decode(filename, data)
	if err != nil {
		return nil, err
	}
	c := Default()
	p := problems{file: filename}
	raw.fill(c, &p)
	if info, err := os.Stat(filename); err == nil && info.Mode().Perm()&0o007 != 0 && len(raw.Authenticators) > 0 {
		c.warn("%s can be read by every user of this machine, with the password hashes in it: chmod 0640 it", filename)
	}
	return c, errors.Join(p.all...)
}

// Validate checks what flags may have changed, and adds warnings. The error
// joins all mistakes.
func (c *Config) Validate() error {
	p := problems{}
	c.Listen.validate(c, &p)
	c.SSH.validate(c, &p)
	if c.Site.Poll < minPoll || c.Site.Poll > maxPoll {
		p.add("site.poll", "%v is not between %v and %v", c.Site.Poll, minPoll, maxPoll)
	}
	if c.Site.Timeout < minTimeout || c.Site.Timeout > maxTimeout {
		p.add("site.timeout", "%v is not between %v and %v", c.Site.Timeout, minTimeout, maxTimeout)
	}
	for _, f := range []struct{ field, name string }{
		{"tokenFile", c.Site.Auth.TokenFile},
		{"caFile", c.Site.Auth.CAFile},
		{"keyFile", c.Site.Auth.KeyFile},
		{"knownHostsFile", c.Site.Auth.KnownHostsFile},
	} {
		if f.name != "" && !filepath.IsAbs(f.name) {
			p.add("site.auth."+f.field, "must be the absolute path of a file: the secret itself does not belong into broker.cue")
		}
	}
	if c.Ticket.KeyFile != "" && !filepath.IsAbs(c.Ticket.KeyFile) {
		p.add("ticket.keyFile", "must be the absolute path of a file with lines of `x2broker ticket-key`")
	}
	if c.Ticket.Shared.File != "" && !filepath.IsAbs(c.Ticket.Shared.File) {
		p.add("ticket.shared.file", "must be the absolute path of a file: the secret itself does not belong into broker.cue")
	}
	if c.Ticket.Shared.WithoutPassword {
		c.warn("ticket.shared lets whoever has its secret in under any name, without a password")
	}
	if len(c.Authenticators) == 0 {
		p.add("authenticators", "nobody could log in: name at least one")
	}
	for _, a := range c.Authenticators {
		if !a.None() {
			continue
		}
		if len(c.Groups) > 0 {
			p.add("groups", "with none anybody could give himself the groups of any name: leave them out")
		}
		if len(c.Authenticators) > 1 {
			p.add("authenticators", "none lets everybody in, so that it must be the only one")
		}
		for _, from := range a.From {
			if from.Overlaps(loopback4) || from.Overlaps(loopback6) {
				if !c.loopbackOnly() {
					p.add("authenticators", "none from %v would let in everybody who comes through a proxy on this machine: it needs every listener on loopback", from)
				}
			}
		}
	}
	return errors.Join(p.all...)
}

// Open reports whether people get in without a password.
func (c *Config) Open() bool {
	return slices.ContainsFunc(c.Authenticators, Authenticator.None)
}

func (c *Config) warn(format string, args ...any) {
	c.Warnings = append(c.Warnings, fmt.Sprintf(format, args...))
}

// problems gathers mistakes.
type problems struct {
	file string
	all  []error
}

func (p *problems) add(field, format string, args ...any) {
	where := field
	if p.file != "" {
		where = p.file + ": " + field
	}
	p.all = append(p.all, fmt.Errorf("%s: %s", where, fmt.Sprintf(format, args...)))
}

// duration parses a length of time; "" leaves def.
func (p *problems) duration(field, s string, def time.Duration) time.Duration {
	if s == "" {
		return def
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		p.add(field, "%q is no length of time, like \"30s\" or \"10h\"", s)
		return def
	}
	return d
}

// prefixes parses networks; a single address stands for itself.
func (p *problems) prefixes(field string, texts []string) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(texts))
	for _, s := range texts {
		if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
			a = a.Unmap()
			out = append(out, netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		prefix, err := netip.ParsePrefix(s)
		if err != nil || prefix.Masked() != prefix || prefix.Addr().Is4In6() {
			p.add(field, "%q is no network in CIDR form, like \"10.0.0.0/8\" or \"2001:db8::/32\"", s)
			continue
		}
		out = append(out, prefix)
	}
	return out
}

// url gives an http or https URL without a slash at the end.
func (p *problems) url(field, s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		p.add(field, "%q is no URL of a broker, like \"https://broker.example.org\"", s)
		return ""
	}
	return strings.TrimRight(s, "/")
}
