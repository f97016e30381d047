package config_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/x2broker/x2broker/broker/identity/endpoint"
	"github.com/x2broker/x2broker/broker/identity/ldap"
)

// TestTheSettingsOfTheDocumentation opens what docs/authentication.md shows. Only
// the files that it names are put elsewhere.
func TestTheSettingsOfTheDocumentation(t *testing.T) {
	page, err := os.ReadFile("../../docs/authentication.md")
	if err != nil {
		t.Fatal(err)
	}
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	open := func(c *ldap.Config) error {
		if c == nil {
			return nil
		}
		c.CAFile = ""
		if c.PasswordFile != "" {
			c.PasswordFile = password
		}
		_, _, err := ldap.New(*c, time.Now, slog.New(slog.DiscardHandler))
		return err
	}
	shown := 0
	for _, block := range strings.Split(string(page), "```cue\n")[1:] {
		text, _, _ := strings.Cut(block, "```")
		if !strings.Contains(text, "authenticators:") {
			text += users
		}
		c, err := load(t, text)
		if err != nil {
			t.Errorf("%v\n%s", err, text)
			continue
		}
		shown += len(c.Authenticators) + len(c.Groups)
		for _, a := range c.Authenticators {
			if err := open(a.LDAP); err != nil {
				t.Errorf("%v\n%s", err, text)
			}
			if a.HTTPS != nil {
				a.HTTPS.CAFile, a.HTTPS.TokenFile = "", ""
				if _, err := endpoint.New(*a.HTTPS); err != nil {
					t.Errorf("%v\n%s", err, text)
				}
			}
		}
		for _, g := range c.Groups {
			if err := open(g.LDAP); err != nil {
				t.Errorf("%v\n%s", err, text)
			}
		}
	}
	if shown < 6 {
		t.Errorf("the page shows %d sources of users and groups only", shown)
	}
}
