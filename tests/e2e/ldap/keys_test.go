//go:build e2e

package ldap

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/x2broker/x2broker/broker/frontend/ssh/keys"
	"github.com/x2broker/x2broker/broker/identity"
	"github.com/x2broker/x2broker/broker/identity/ldap"
)

// The attribute is that of the schema openssh-lpk, which most directories have
// for this.
func TestKeysInADirectory(t *testing.T) {
	s := newSlapd(t)
	good, limited, expired := newPublicKey(t), newPublicKey(t), newPublicKey(t)
	s.tool("ldapmodify", fmt.Sprintf(`dn: uid=alice,ou=people,dc=example,dc=org
changetype: modify
add: objectClass
objectClass: ldapPublicKey
-
add: sshPublicKey
sshPublicKey: %s
sshPublicKey: from="192.0.2.0/24" %s
sshPublicKey: nonsense

dn: uid=bob,ou=people,dc=example,dc=org
changetype: modify
add: objectClass
objectClass: ldapPublicKey
-
add: sshPublicKey
sshPublicKey: %s
`, text(good), text(limited), text(expired)))

	now := time.Now()
	clock := func() time.Time { return now }
	log := slog.New(slog.DiscardHandler)
	directory, _, err := ldap.New(ldap.Config{
		Servers: []string{"ldaps://" + s.secure}, CAFile: s.ca, BindDN: "cn=search,dc=example,dc=org", PasswordFile: s.secretFile,
		Base: "ou=people,dc=example,dc=org", Valid: "(!(employeeType=expired))", SSHKeyAttribute: "sshPublicKey", Timeout: 5 * time.Second,
	}, time.Now, log)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := identity.NewChain(directory)
	if err != nil {
		t.Fatal(err)
	}
	checker, _, err := keys.New(keys.Options{Sources: []keys.Source{chain}, Log: log, Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	wants := func(user string, key ssh.PublicKey, why string) {
		t.Helper()
		err := checker.Authorized(t.Context(), user, key, netip.MustParseAddr("10.1.2.3"))
		if why == "" && err != nil || why != "" && (err == nil || !strings.Contains(err.Error(), why)) {
			t.Errorf("%s: %v, want %q", user, err, why)
		}
	}
	wants("alice", good, "")
	wants("alice", limited, "not from 10.1.2.3")
	wants("alice", expired, "not there")
	wants("o*(rien)", good, "not there")
	wants("bob", expired, "unknown user") // his account is not valid
	wants("ALICE", good, "unknown user")
	wants("mallory", good, "unknown user")

	s.tool("ldapmodify", fmt.Sprintf(`dn: uid=alice,ou=people,dc=example,dc=org
changetype: modify
delete: sshPublicKey
sshPublicKey: %s
`, text(good)))
	wants("alice", good, "")
	now = now.Add(keys.MaxSourceAge)
	wants("alice", good, "not there")
	s.stop()
	now = now.Add(keys.MaxSourceAge)
	wants("alice", good, "search for the user")
}

func newPublicKey(t *testing.T) ssh.PublicKey {
	t.Helper()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func text(key ssh.PublicKey) string { return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))) }
