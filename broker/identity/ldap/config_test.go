package ldap

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestMistakesInTheConfiguration(t *testing.T) {
	ca, _ := authority(t)
	secret := write(t, "pw", "secret\n")
	for name, tc := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"none":                      {func(*Config) {}, ""},
		"no server":                 {func(c *Config) { c.Servers = nil }, "servers: none"},
		"no URL":                    {func(c *Config) { c.Servers = []string{"ldap.example.org"} }, `"ldap.example.org" is no server`},
		"another scheme":            {func(c *Config) { c.Servers = []string{"ldapi:///run/ldapi"} }, "is no server"},
		"a search in the URL":       {func(c *Config) { c.Servers = []string{"ldaps://h/dc=x"} }, "is no server"},
		"in clear":                  {func(c *Config) { c.Servers, c.NoStartTLS = []string{"ldap://ldap.example.org"}, true }, "in clear"},
		"in clear on loopback":      {func(c *Config) { c.Servers, c.NoStartTLS = []string{"ldap://[::1]:3389", "ldap://localhost"}, true }, ""},
		"StartTLS":                  {func(c *Config) { c.Servers = []string{"ldap://ldap.example.org"} }, ""},
		"CA file missing":           {func(c *Config) { c.CAFile = filepath.Join(t.TempDir(), "none") }, "caFile: "},
		"CA file without a CA":      {func(c *Config) { c.CAFile = secret }, "has no certificate in PEM form"},
		"no base":                   {func(c *Config) { c.Base = "" }, "base: "},
		"base no DN":                {func(c *Config) { c.Base = "people" }, "base: "},
		"account without password":  {func(c *Config) { c.PasswordFile = "" }, "belong together"},
		"password without account":  {func(c *Config) { c.BindDN = "" }, "belong together"},
		"password file missing":     {func(c *Config) { c.PasswordFile = filepath.Join(t.TempDir(), "none") }, "passwordFile: "},
		"password file empty":       {func(c *Config) { c.PasswordFile = write(t, "pw", "\n") }, "want a password on one line"},
		"password file of two":      {func(c *Config) { c.PasswordFile = write(t, "pw", "a\nb\n") }, "want a password on one line"},
		"valid no filter":           {func(c *Config) { c.Valid = "locked=no" }, "valid: "},
		"filter":                    {func(c *Config) { c.Filter = "(mail={user})" }, "filter: "},
		"timeout":                   {func(c *Config) { c.Timeout = -1 }, "timeout"},
		"groups without base":       {func(c *Config) { c.Groups = &Groups{} }, "groupSearch.base: "},
		"groups, filter no filter":  {func(c *Config) { c.Groups = &Groups{Base: suffix, Filter: "x"} }, "groupSearch.filter: "},
		"groups, nested":            {func(c *Config) { c.Groups = &Groups{Base: suffix, Nested: "yes"} }, `"yes" is none of "walk", "ad"`},
		"groups, two ways":          {func(c *Config) { c.Groups = &Groups{Base: suffix, MemberOf: true, Filter: "(member={dn})"} }, "not both"},
		"groups, walk by user name": {func(c *Config) { c.Groups = &Groups{Base: suffix, Nested: "walk", Filter: "(memberUid={user})"} }, "hold no groups"},
		"keys":                      {func(c *Config) { c.SSHKeyAttribute = "sshPublicKey" }, ""},
		"keys, no attribute":        {func(c *Config) { c.SSHKeyAttribute = "a)(b" }, `sshKeyAttribute: "a)(b" is no name of an attribute`},
		"groups, ad and filter":     {func(c *Config) { c.Groups = &Groups{Base: suffix, Nested: "ad", Filter: "(member={dn})"} }, "leave out filter"},
	} {
		t.Run(name, func(t *testing.T) {
			c := Config{
				Servers: []string{"ldaps://ldap.example.org"}, CAFile: ca, Base: suffix,
				BindDN: "cn=search," + suffix, PasswordFile: secret, Groups: &Groups{Base: suffix},
			}
			tc.change(&c)
			_, warnings, err := New(c, time.Now, slog.New(slog.DiscardHandler))
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) || len(warnings) > 0 {
				t.Fatalf("%v, warnings %q, want %q", err, warnings, tc.want)
			}
			if err != nil && (strings.Contains(err.Error(), "secret") || !strings.HasPrefix(err.Error(), `authenticator "ldap": `)) {
				t.Error(err)
			}
		})
	}
}

func TestPlaintextIsWarnedOf(t *testing.T) {
	_, warnings, err := New(Config{
		Servers: []string{"ldap://ldap.example.org", "ldap://127.0.0.1"}, NoStartTLS: true, AllowPlaintext: true, Base: suffix,
	}, time.Now, slog.New(slog.DiscardHandler))
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "ldap://ldap.example.org in clear") {
		t.Errorf("%v, %q", err, warnings)
	}
}

func TestThePasswordFileIsReadAnew(t *testing.T) {
	w := newWorld(t)
	w.user("alice")
	d := w.open(t)
	if err := os.WriteFile(w.config.PasswordFile, []byte("new-pw\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.add("cn=search,"+suffix, "userPassword", "new-pw")
	if _, err := d.Lookup(t.Context(), "alice"); err != nil {
		t.Error(err)
	}
}
