package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/x2broker/x2broker/broker/config"
	"github.com/x2broker/x2broker/broker/identity/endpoint"
	"github.com/x2broker/x2broker/broker/identity/ldap"
)

const directory = `type: "ldap", servers: ["ldaps://a.example.org"], base: "ou=people,dc=example,dc=org"`

func TestEveryFieldOfADirectoryIsRead(t *testing.T) {
	got, err := load(t, `authenticators: [{
	type: "ldap", name: "staff", servers: ["ldap://a", "ldaps://b:3636"], caFile: "/ca", startTLS: false, allowPlaintext: true
	bindDN: "cn=x", passwordFile: "/pw", base: "dc=b", filter: "(uid={user})", nameAttribute: "uid", valid: "(a=b)"
	groupSearch: {base: "dc=g", filter: "(m={dn})", nameAttribute: "cn", memberOf: false, nested: "walk"}
	sshKeyAttribute: "sshPublicKey", maxAge: "5s", timeout: "3s", connections: 4
}]
groups: [{`+directory+`, groupSearch: {base: "dc=g", memberOf: true, nested: "ad"}, maxAge: "10m"}]
`)
	if err != nil {
		t.Fatal(err)
	}
	want := []config.Authenticator{{MaxAge: 5 * time.Second, LDAP: &ldap.Config{
		Name: "staff", Servers: []string{"ldap://a", "ldaps://b:3636"}, CAFile: "/ca", NoStartTLS: true, AllowPlaintext: true,
		BindDN: "cn=x", PasswordFile: "/pw", Base: "dc=b", Filter: "(uid={user})", NameAttribute: "uid", Valid: "(a=b)",
		Groups:          &ldap.Groups{Base: "dc=g", Filter: "(m={dn})", NameAttribute: "cn", Nested: "walk"},
		SSHKeyAttribute: "sshPublicKey",
		Timeout:         3 * time.Second, Connections: 4,
	}}}
	if diff := cmp.Diff(want, got.Authenticators); diff != "" {
		t.Errorf("authenticators (-want +got):\n%s", diff)
	}
	groups := []config.GroupSource{{MaxAge: 10 * time.Minute, LDAP: &ldap.Config{
		Servers: []string{"ldaps://a.example.org"}, Base: "ou=people,dc=example,dc=org",
		Groups: &ldap.Groups{Base: "dc=g", MemberOf: true, Nested: "ad"},
	}}}
	if diff := cmp.Diff(groups, got.Groups); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
}

func TestTheMachineIsAskedForUsersAndForGroups(t *testing.T) {
	got, err := load(t, `authenticators: [{type: "pam", socket: "/a", maxAge: "5s"}]
groups: [{type: "pam", socket: "/g", maxAge: "10m"}]
`)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]config.Authenticator{{PAM: &config.PAM{Socket: "/a"}, MaxAge: 5 * time.Second}}, got.Authenticators); diff != "" {
		t.Errorf("authenticators (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]config.GroupSource{{PAM: &config.PAM{Socket: "/g"}, MaxAge: 10 * time.Minute}}, got.Groups); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
	if _, err := load(t, "authenticators: [{type: \"pam\"}]\ngroups: [{type: \"pam\", groupSearch: base: \"dc=g\"}]\n"); err == nil || !strings.Contains(err.Error(), "groupSearch: unknown field") {
		t.Errorf("a field of another type: %v", err)
	}
}

func TestEveryFieldOfAnEndpointIsRead(t *testing.T) {
	got, err := load(t, `authenticators: [{
	type: "https", name: "mine", url: "https://a/login", lookupURL: "https://a/user", caFile: "/ca", tokenFile: "/t"
	maxAge: "5s", timeout: "3s", connections: 4
}]`)
	want := []config.Authenticator{{MaxAge: 5 * time.Second, HTTPS: &endpoint.Config{
		Name: "mine", URL: "https://a/login", LookupURL: "https://a/user", CAFile: "/ca", TokenFile: "/t", Timeout: 3 * time.Second, Connections: 4,
	}}}
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.Authenticators); diff != "" {
		t.Errorf("authenticators (-want +got):\n%s", diff)
	}
}

func TestAnswersOfADirectoryAreAMinuteOldAtMostByDefault(t *testing.T) {
	got, err := load(t, "authenticators: [{"+directory+"}]\ngroups: [{"+directory+", groupSearch: base: \"dc=g\"}]\n")
	if err != nil || got.Authenticators[0].MaxAge != time.Minute || got.Groups[0].MaxAge != time.Minute {
		t.Errorf("got %+v, %v", got, err)
	}
	got, err = load(t, "authenticators: [{"+directory+", maxAge: \"0s\"}]\n")
	if err != nil || got.Authenticators[0].MaxAge != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestSecretsThatOthersCanReadAreWarnedOf(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("x\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	settings := fmt.Sprintf("authenticators: [{%s, passwordFile: %q}]\ngroups: [{%[1]s, passwordFile: %[2]q, groupSearch: base: \"dc=g\"}]\n", directory, file)
	if got, err := load(t, settings); err != nil || len(got.Warnings) > 0 {
		t.Errorf("0640: %v, %q", err, got.Warnings)
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := load(t, settings); err != nil || len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0], file+" can be read by every user") {
		t.Errorf("0644: %v, %q", err, got.Warnings)
	}
}

func TestMistakesAboutDirectoriesAreNamed(t *testing.T) {
	ldap := func(more string) string { return "authenticators: [{" + directory + more + "}]\n" }
	for name, test := range map[string]struct{ text, want string }{
		"no servers":           {`authenticators: [{type: "ldap", base: "dc=x"}]`, `servers: required field is missing`},
		"no base":              {`authenticators: [{type: "ldap", servers: []}]`, `base: required field is missing`},
		"unknown field":        {ldap(`, uri: "x"`), `broker.cue:1:`},
		"a password":           {ldap(`, password: "x"`), `password: unknown field`},
		"nested":               {ldap(`, groupSearch: {base: "x", nested: "yes"}`), `groupSearch.nested`},
		"connections":          {ldap(`, connections: 1000`), `connections: invalid value 1000`},
		"caFile, relative":     {ldap(`, caFile: "ca.pem"`), `authenticators.ldap.caFile: must be the absolute path`},
		"passwordFile":         {ldap(`, passwordFile: "secret"`), `authenticators.ldap.passwordFile: must be the absolute path`},
		"answers too old":      {ldap(`, maxAge: "2m"`), `authenticators.ldap.maxAge: 2m0s is more than 1m0s`},
		"groups too old":       {ldap("") + `groups: [{` + directory + `, groupSearch: base: "x", maxAge: "2h"}]`, `groups.ldap.maxAge: 2h0m0s is more than 1h0m0s`},
		"timeout":              {ldap(`, timeout: "1h"`), `authenticators.ldap.timeout: 1h0m0s is not between 1s and 10m0s`},
		"groups from a table":  {ldap("") + `groups: [{type: "static"}]`, `groups.0.type: "static" is none of "ldap"`},
		"groups, nowhere":      {ldap("") + `groups: [{` + directory + `}]`, `groups.ldap.groupSearch: is missing`},
		"no URL":               {`authenticators: [{type: "https"}]`, `url: required field is missing`},
		"a token":              {`authenticators: [{type: "https", url: "https://a", token: "x"}]`, `token: unknown field`},
		"tokenFile":            {`authenticators: [{type: "https", url: "https://a", tokenFile: "x"}]`, `authenticators.https.tokenFile: must be the absolute path`},
		"groups for everybody": {`authenticators: [{type: "none", from: ["10.0.0.0/8"]}]` + "\n" + `groups: [{` + directory + `, groupSearch: base: "x"}]`, `groups: with none anybody could give himself`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, test.text)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
}
