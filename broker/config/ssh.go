package config

import (
	"path/filepath"
	"strings"
)

// SSH says who may log in with a key.
type SSH struct {
	AuthorizedKeys []string // absolute paths with {user}
	UserCAs        []string // absolute paths
	RevokedKeys    string   // absolute path, "" for none
}

type rawSSH struct {
	AuthorizedKeys []string
	UserCAs        []string
	RevokedKeys    string
}

func (r rawSSH) fill(c *Config, p *problems) {
	c.SSH = SSH(r)
	for _, file := range r.AuthorizedKeys {
		p.absoluteFile("ssh.authorizedKeys", file)
		if !strings.Contains(file, "{user}") {
			p.add("ssh.authorizedKeys", "%q has no {user}: its keys would let everybody in as everybody", file)
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
