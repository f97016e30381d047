package config

import (
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"
)

// Limits of the ssh block.
const (
	defaultLoginTime = 2 * time.Minute
	minLoginTime     = 10 * time.Second
	maxLoginTime     = 10 * time.Minute
	maxBanner        = 4096 // bytes
)

// SSH is how the built-in SSH server lets people in.
type SSH struct {
	HostKeys       []string // absolute paths; none: keys of the broker's own
	AuthorizedKeys []string // absolute paths with {user}
	UserCAs        []string // absolute paths
	RevokedKeys    string   // absolute path, "" for none
	KeyAndPassword bool
	Banner         string        // lines, each with its end; "" for none
	LoginTime      time.Duration // for a whole login
}

type rawSSH struct {
	HostKeys       []string
	AuthorizedKeys []string
	UserCAs        []string
	RevokedKeys    string
	KeyAndPassword bool
	Banner         string
	LoginTime      string
}

func (r rawSSH) fill(c *Config, p *problems) {
	c.SSH = SSH{
		HostKeys: r.HostKeys, AuthorizedKeys: r.AuthorizedKeys, UserCAs: r.UserCAs, RevokedKeys: r.RevokedKeys,
		KeyAndPassword: r.KeyAndPassword, Banner: p.banner(r.Banner),
		LoginTime: p.duration("ssh.loginTime", r.LoginTime, defaultLoginTime),
	}
	if t := c.SSH.LoginTime; t < minLoginTime || t > maxLoginTime {
		p.add("ssh.loginTime", "%v is not between %v and %v", t, minLoginTime, maxLoginTime)
	}
	for _, file := range r.HostKeys {
		p.absoluteFile("ssh.hostKeys", file)
		if info, err := os.Stat(file); err == nil && info.Mode().Perm()&0o007 != 0 {
			c.warn("ssh.hostKeys %s can be read by every user of this machine, who could then pretend to be the broker: chmod 0640 it", file)
		}
	}
	for _, file := range r.AuthorizedKeys {
		p.absoluteFile("ssh.authorizedKeys", file)
		if !strings.Contains(file, "{user}") {
			p.add("ssh.authorizedKeys", "%q has no {user}: its keys would let everybody in as everybody; write it like \"/etc/x2broker/keys/{user}\"", file)
		}
	}
	for _, file := range r.UserCAs {
		p.absoluteFile("ssh.userCAs", file)
	}
	if r.RevokedKeys != "" {
		p.absoluteFile("ssh.revokedKeys", r.RevokedKeys)
	}
}

// absoluteFile wants a name that does not depend on where the broker was started.
func (p *problems) absoluteFile(field, file string) {
	if !filepath.IsAbs(file) {
		p.add(field, "%q is not the absolute path of a file", file)
	}
}

// banner gives lines as terminals want them.
func (p *problems) banner(s string) string {
	if s == "" {
		return ""
	}
	if len(s) > maxBanner {
		p.add("ssh.banner", "has %d bytes, more than %d: make it shorter", len(s), maxBanner)
	}
	if i := strings.IndexFunc(s, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }); i >= 0 {
		p.add("ssh.banner", "has the control character %q: lines and tabs are all that it may have", s[i])
	}
	return strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\r\n") + "\r\n"
}

// validate checks what belongs together.
func (s *SSH) validate(c *Config, p *problems) {
	if c.Listen.SSH == "" {
		if len(s.HostKeys)+len(s.AuthorizedKeys)+len(s.UserCAs)+len(s.RevokedKeys)+len(s.Banner) > 0 || s.KeyAndPassword {
			c.warn("ssh counts for nothing while listen.ssh is off: set listen.ssh, or leave ssh out")
		}
		return
	}
	if s.KeyAndPassword && !c.hasKeys() {
		p.add("ssh.keyAndPassword", "nobody could log in: say where keys are, with authorizedKeys, userCAs or sshKeyAttribute of a directory")
	}
	if s.KeyAndPassword && c.Open() {
		p.add("ssh.keyAndPassword", "the authenticator none asks for no password: leave keyAndPassword out")
	}
	if t := c.Ticket.Shared; t.File != "" && !t.WithoutPassword {
		c.warn("ticket.shared: nobody can log in at listen.ssh with a password: clients send their authid only after the login there. Keys work without it")
	}
}

// hasKeys reports whether any place is named where a key could stand.
func (c *Config) hasKeys() bool {
	return len(c.SSH.AuthorizedKeys) > 0 || len(c.SSH.UserCAs) > 0 || c.KeysInDirectories()
}

// KeysInDirectories reports whether a directory is asked for keys of users.
func (c *Config) KeysInDirectories() bool {
	for _, a := range c.Authenticators {
		if a.LDAP != nil && a.LDAP.SSHKeyAttribute != "" {
			return true
		}
	}
	return false
}
