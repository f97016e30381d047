//go:build e2e

// Package ldap has the real broker binary ask OpenLDAP's server.
package ldap

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/x2broker/x2broker/client"
	"github.com/x2broker/x2broker/tests/brokertest"
)

const program = "/usr/sbin/slapd"

func TestMain(m *testing.M) {
	for program, debian := range map[string]string{program: "slapd", "ldapadd": "ldap-utils"} {
		if _, err := exec.LookPath(program); err != nil {
			fmt.Fprintln(os.Stderr, "this Debian package is missing:", debian)
			os.Exit(1)
		}
	}
	brokertest.Main(m)
}

// site has a profile for each group, and one for alice, by that spelling.
var site = brokertest.Files{"site.cue": `package site

site: name: "Test"
servers: ts01: {}
for g in ["staff", "faculty", "university"] {
	profiles: (g): {name: g, hosts: ids: ["ts01"], access: groups: [g]}
}
profiles: mine: {name: "Alice's", hosts: ids: ["ts01"], access: users: ["alice"]}
profiles: open: {name: "Open", hosts: ids: ["ts01"], access: everyone: true}
`}

// broker runs a broker; more stands in the description of its directory.
func (s *slapd) broker(t *testing.T, server, more string) *brokertest.Broker {
	t.Helper()
	return serve(t, "authenticators: [{"+s.directory(server, more)+"}]\n")
}

func (s *slapd) directory(server, more string) string {
	return fmt.Sprintf(`type: "ldap", servers: [%q], caFile: %q, bindDN: "cn=search,dc=example,dc=org", passwordFile: %q
	base: "ou=people,dc=example,dc=org", valid: "(!(employeeType=expired))", maxAge: "0s", timeout: "5s"
	%s`, server, s.ca, s.secretFile, more)
}

func serve(t *testing.T, settings string) *brokertest.Broker {
	t.Helper()
	b := brokertest.Start(t, fmt.Sprintf("site: {url: %q, poll: \"100ms\"}\nstateDir: %q\n", brokertest.NewRepo(t, site).URL(), t.TempDir())+settings)
	b.WaitReady()
	return b
}

const walk = `groupSearch: {base: "ou=groups,dc=example,dc=org", nested: "walk"}`

func as(b *brokertest.Broker, name, password, from string) *client.Client {
	c := b.Client(name, from)
	c.Password = password
	return c
}

const all = "faculty mine open staff university"

func TestUsersOfADirectoryLogIn(t *testing.T) {
	s := newSlapd(t)
	for way, server := range map[string]string{"StartTLS": "ldap://" + s.plain, "LDAPS": "ldaps://" + s.secure} {
		for how, groups := range map[string]string{
			"search":   walk,
			"memberOf": `groupSearch: {base: "ou=groups,dc=example,dc=org", memberOf: true, nested: "walk"}`,
		} {
			t.Run(way+", "+how, func(t *testing.T) {
				b := s.broker(t, server, groups)
				got := map[string]string{}
				want := map[string]string{}
				for i, c := range []struct{ name, password, want string }{
					{"alice", "alice-pw", all},
					{"ALICE", "alice-pw", all},
					{"o*(rien)", "o*(rien)-pw", "open"},
					{"alice", "bob-pw", "access denied"},
					{"alice", "", "access denied"},
					{"bob", "bob-pw", "access denied"},
					{"mallory", "alice-pw", "access denied"},
					{"*", "alice-pw", "access denied"},
					{"alice)(uid=*", "alice-pw", "access denied"},
					{"admin", "admin-pw", "access denied"},
				} {
					key := c.name + " " + c.password
					want[key] = c.want
					got[key] = brokertest.Sees(t, as(b, c.name, c.password, fmt.Sprintf("127.0.1.%d", i+1)))
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("(-want +got):\n%s\n%s", diff, b.Log())
				}
				b.Stop() // it writes the rest of its log
				if !strings.Contains(b.Log(), "user=alice") || strings.Contains(b.Log(), "-pw") || strings.Contains(b.Log(), "user=ALICE") {
					t.Errorf("a password, or a name as it was typed, is in the log:\n%s", b.Log())
				}
			})
		}
	}
}

func TestAnotherAuthorityIsRefused(t *testing.T) {
	s := newSlapd(t)
	s.ca = certificates(t, t.TempDir())
	for _, server := range []string{"ldap://" + s.plain, "ldaps://" + s.secure} {
		b := s.broker(t, server, "")
		if got := brokertest.Sees(t, as(b, "alice", "alice-pw", "127.0.0.1")); got != "access denied" {
			t.Errorf("%s: %s", server, got)
		}
		b.WaitLog("password not looked at.*certificate signed by unknown authority")
	}
}

// The directory wants no password in clear, and neither does the broker.
func TestNoPasswordInClear(t *testing.T) {
	s := newSlapd(t)
	b := s.broker(t, "ldap://"+s.plain, "startTLS: false")
	if got := brokertest.Sees(t, as(b, "alice", "alice-pw", "127.0.0.1")); got != "access denied" {
		t.Error(got)
	}
	b.WaitLog("password not looked at.*Confidentiality Required")
	out := brokertest.Refuses(t, "authenticators: [{"+s.directory("ldap://ldap.example.org", "startTLS: false")+"}]\n", 2)
	if !strings.Contains(out, "in clear: use ldaps://") {
		t.Error(out)
	}
}

func TestADirectoryThatWasAwayIsAskedAgain(t *testing.T) {
	s := newSlapd(t)
	b := s.broker(t, "ldaps://"+s.secure, walk)
	alice := as(b, "alice", "alice-pw", "127.0.0.1")
	if got := brokertest.Sees(t, alice); got != all || alice.Ticket == "" {
		t.Fatalf("%s, ticket %q", got, alice.Ticket)
	}
	s.stop()
	if got := brokertest.Sees(t, alice); got != "access denied" {
		t.Errorf("with a ticket, the directory away: %s", got)
	}
	b.WaitLog("password not looked at")
	s.start()
	if got := brokertest.Sees(t, alice); got != all {
		t.Errorf("the directory is back: %s\n%s", got, b.Log())
	}
	second := newSlapd(t)
	s.stop()
	both := serve(t, "authenticators: [{"+strings.Replace(second.directory("ldaps://"+second.secure, walk), "servers: [", fmt.Sprintf("servers: [%q, ", "ldaps://"+s.secure), 1)+"}]\n")
	if got := brokertest.Sees(t, as(both, "alice", "alice-pw", "127.0.0.1")); got != all {
		t.Errorf("with a second server: %s\n%s", got, both.Log())
	}
}

// A ticket stands for a password as long as the directory stands by the user.
func TestWhoLosesAGroupOrTheAccountLosesIt(t *testing.T) {
	s := newSlapd(t)
	b := s.broker(t, "ldaps://"+s.secure, walk)
	alice := as(b, "alice", "alice-pw", "127.0.0.1")
	if got := brokertest.Sees(t, alice); got != all {
		t.Fatal(got)
	}
	s.tool("ldapmodify", `dn: cn=staff,ou=groups,dc=example,dc=org
changetype: modify
delete: member
member: uid=alice,ou=people,dc=example,dc=org
`)
	alice.Password = ""
	if got := brokertest.Sees(t, alice); got != "mine open" {
		t.Errorf("by ticket, out of the group: %s", got)
	}
	s.tool("ldapmodify", `dn: uid=alice,ou=people,dc=example,dc=org
changetype: modify
replace: employeeType
employeeType: expired
`)
	if got := brokertest.Sees(t, alice); got != "access denied" {
		t.Errorf("by ticket, expired: %s", got)
	}
	alice.Password = "alice-pw"
	if got := brokertest.Sees(t, alice); got != "access denied" {
		t.Errorf("by password, expired: %s", got)
	}
	b.WaitLog(`login denied.*reason="account expired"`)
}

func TestGroupsOfADirectoryForUsersOfATable(t *testing.T) {
	s := newSlapd(t)
	b := serve(t, brokertest.Users(t, map[string][]string{"alice": nil, "carol": nil})+
		"groups: [{"+s.directory("ldaps://"+s.secure, walk)+"}]\n")
	for name, want := range map[string]string{"alice": all, "carol": "open"} {
		if got := brokertest.Sees(t, as(b, name, name+"-pw", "127.0.0.1")); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
	s.stop()
	if got := brokertest.Sees(t, as(b, "alice", "alice-pw", "127.0.0.1")); got != "access denied" {
		t.Errorf("groups that cannot be told: %s", got)
	}
	b.WaitLog(`reason="authenticator failed".*groups from`)
}
