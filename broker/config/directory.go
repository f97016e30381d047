package config

import (
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/x2broker/x2broker/broker/identity"
	"github.com/x2broker/x2broker/broker/identity/endpoint"
	"github.com/x2broker/x2broker/broker/identity/ldap"
)

// maxGroupAge bounds for how long somebody may keep a group that he lost.
const maxGroupAge = time.Hour

// GroupSource is a source of groups beside the authenticators.
type GroupSource struct {
	LDAP   *ldap.Config // one of both is set
	PAM    *PAM
	MaxAge time.Duration // of its answers
}

// rawDirectory is an authenticator or a source of groups of type ldap.
type rawDirectory struct {
	Name            string
	Servers         []string
	CAFile          string
	StartTLS        *bool
	AllowPlaintext  bool
	BindDN          string
	PasswordFile    string
	Base            string
	Filter          string
	NameAttribute   string
	Valid           string
	GroupSearch     *ldap.Groups
	SSHKeyAttribute string
	MaxAge          string
	Timeout         string
	Connections     int
}

func (r rawDirectory) config(field string, p *problems) *ldap.Config {
	c := &ldap.Config{
		Name: r.Name, Servers: r.Servers, CAFile: r.CAFile, AllowPlaintext: r.AllowPlaintext,
		NoStartTLS: r.StartTLS != nil && !*r.StartTLS,
		BindDN:     r.BindDN, PasswordFile: r.PasswordFile,
		Base: r.Base, Filter: r.Filter, NameAttribute: r.NameAttribute, Valid: r.Valid, Groups: r.GroupSearch,
		SSHKeyAttribute: r.SSHKeyAttribute,
		Timeout:         p.timeout(field+".timeout", r.Timeout), Connections: r.Connections,
	}
	p.absolute(field+".caFile", r.CAFile)
	p.absolute(field+".passwordFile", r.PasswordFile)
	return c
}

// endpoint is an authenticator of type https.
func (a rawAuthenticator) endpoint(field string, p *problems) *endpoint.Config {
	p.absolute(field+".caFile", a.CAFile)
	p.absolute(field+".tokenFile", a.TokenFile)
	return &endpoint.Config{
		Name: a.Name, URL: a.URL, LookupURL: a.LookupURL, CAFile: a.CAFile, TokenFile: a.TokenFile,
		Timeout: p.timeout(field+".timeout", a.Timeout), Connections: a.Connections,
	}
}

// timeout is one between a second and ten minutes, or 0 where none is given.
func (p *problems) timeout(field, s string) time.Duration {
	d := p.duration(field, s, 0)
	if d != 0 && (d < minTimeout || d > maxTimeout) {
		p.add(field, "%v is not between %v and %v", d, minTimeout, maxTimeout)
	}
	return d
}

// warnOfReadable names files with secrets that others can read.
func (c *Config) warnOfReadable() {
	var files []string
	for _, a := range c.Authenticators {
		if a.LDAP != nil {
			files = append(files, a.LDAP.PasswordFile)
		}
		if a.HTTPS != nil {
			files = append(files, a.HTTPS.TokenFile)
		}
	}
	for _, g := range c.Groups {
		if g.LDAP != nil {
			files = append(files, g.LDAP.PasswordFile)
		}
	}
	slices.Sort(files)
	for _, file := range slices.Compact(files) {
		if info, err := os.Stat(file); err == nil && info.Mode().Perm()&0o007 != 0 {
			c.warn("%s can be read by every user of this machine, with a secret in it: chmod 0640 it", file)
		}
	}
}

// age is a maximum age between 0 and limit.
func (p *problems) age(field, s string, limit time.Duration) time.Duration {
	if s == "0s" {
		return 0
	}
	d := p.duration(field, s, identity.MaxLookupAge)
	if d > limit {
		p.add(field, "%v is more than %v", d, limit)
	}
	return d
}

// absolute wants the name of a file, if there is one.
func (p *problems) absolute(field, name string) {
	if name != "" && !filepath.IsAbs(name) {
		p.add(field, "must be the absolute path of a file: the secret itself does not belong into broker.cue")
	}
}

func (r *raw) fillGroups(c *Config, p *problems) {
	for _, g := range r.Groups {
		if g.Type == "pam" {
			c.Groups = append(c.Groups, GroupSource{PAM: p.pam("groups.pam", g.Socket), MaxAge: p.age("groups.pam.maxAge", g.MaxAge, maxGroupAge)})
			continue
		}
		c.Groups = append(c.Groups, GroupSource{LDAP: g.config("groups.ldap", p), MaxAge: p.age("groups.ldap.maxAge", g.MaxAge, maxGroupAge)})
		if g.GroupSearch == nil {
			p.add("groups.ldap.groupSearch", "is missing: say where this directory has its groups")
		}
		if g.SSHKeyAttribute != "" {
			p.add("groups.ldap.sshKeyAttribute", "is for authenticators: a directory that only gives groups vouches for nobody's keys")
		}
	}
	c.warnOfReadable()
}
