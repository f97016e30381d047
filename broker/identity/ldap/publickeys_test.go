package ldap

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/x2broker/x2broker/broker/identity"
)

const attributeOfKeys = "sshPublicKey"

func TestPublicKeys(t *testing.T) {
	w := newWorld(t)
	w.user("alice", attributeOfKeys, "ssh-ed25519 AAAA alice", attributeOfKeys, "ssh-ed25519 BBBB at home", "mail", "a@example.org")
	w.user("bob", attributeOfKeys, "ssh-ed25519 CCCC bob", "locked", "yes")
	w.user("carol")
	w.user("o*(b)\\rien", attributeOfKeys, "ssh-ed25519 DDDD")
	w.config.Filter = "(|(uid={user})(mail={user}))"
	w.config.Valid = "(!(locked=yes))"
	w.config.SSHKeyAttribute = attributeOfKeys
	d := w.open(t)
	for name, want := range map[string][]string{
		"alice":       {"ssh-ed25519 AAAA alice", "ssh-ed25519 BBBB at home"},
		"carol":       {},
		"o*(b)\\rien": {"ssh-ed25519 DDDD"},
	} {
		got, err := d.PublicKeys(t.Context(), name)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
	for _, name := range []string{"ALICE", "a@example.org", "bob", "mallory", "*", ""} {
		if got, err := d.PublicKeys(t.Context(), name); !errors.Is(err, identity.ErrUnknownUser) || got != nil {
			t.Errorf("%q: got %q, %v, want ErrUnknownUser", name, got, err)
		}
	}
	w.stop()
	if got, err := d.PublicKeys(t.Context(), "alice"); err == nil || errors.Is(err, identity.ErrUnknownUser) || got != nil {
		t.Errorf("a directory that is away: %q, %v", got, err)
	}
}

func TestPublicKeysThatCannotAllBeTold(t *testing.T) {
	w := newWorld(t)
	w.user("alice", attributeOfKeys+";range=0-1", "ssh-ed25519 AAAA alice")
	w.config.SSHKeyAttribute = attributeOfKeys
	if got, err := w.open(t).PublicKeys(t.Context(), "alice"); err == nil || !strings.Contains(err.Error(), "does not tell all values") {
		t.Errorf("%q, %v", got, err)
	}
}

func TestADirectoryWithoutKeysIsNotAsked(t *testing.T) {
	w := newWorld(t)
	w.user("alice", attributeOfKeys, "ssh-ed25519 AAAA alice")
	got, err := w.open(t).PublicKeys(t.Context(), "alice")
	if err != nil || got != nil || len(w.seen().searches) > 0 {
		t.Errorf("%q, %v, asked %q", got, err, w.seen().searches)
	}
}

// Two directories have a bob, who are two people. The key of the second must not
// log in as the first.
func TestTheKeysOfANamesakeDoNotCount(t *testing.T) {
	first, second := newWorld(t), newWorld(t)
	first.user("bob", attributeOfKeys, "ssh-ed25519 AAAA first")
	second.user("bob", attributeOfKeys, "ssh-ed25519 BBBB second")
	second.user("carol", attributeOfKeys, "ssh-ed25519 CCCC carol")
	first.config.Name, second.config.Name = "first", "second"
	second.config.SSHKeyAttribute = attributeOfKeys
	keys := func(name string) []string {
		t.Helper()
		chain, err := identity.NewChain(first.open(t), second.open(t))
		if err != nil {
			t.Fatal(err)
		}
		got, err := chain.PublicKeys(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := keys("bob"); got != nil {
		t.Errorf("the first directory has no keys, and bob has %q", got)
	}
	if diff := cmp.Diff([]string{"ssh-ed25519 CCCC carol"}, keys("carol")); diff != "" {
		t.Errorf("whom only the second has (-want +got):\n%s", diff)
	}
	first.config.SSHKeyAttribute = attributeOfKeys
	if diff := cmp.Diff([]string{"ssh-ed25519 AAAA first"}, keys("bob")); diff != "" {
		t.Errorf("both have keys (-want +got):\n%s", diff)
	}
	first.stop()
	chain, err := identity.NewChain(first.open(t), second.open(t))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := chain.PublicKeys(t.Context(), "carol"); err == nil || !strings.Contains(err.Error(), `authenticator "first"`) {
		t.Errorf("the first is away and could have a carol: %q, %v", got, err)
	}
	if _, err := keysOf(t, second, "mallory"); !errors.Is(err, identity.ErrUnknownUser) {
		t.Errorf("nobody knows mallory: %v", err)
	}
	if _, err := keysOf(t, second, "CAROL"); !errors.Is(err, identity.ErrUnknownUser) {
		t.Errorf("CAROL is no canonical name: %v", err)
	}
}

func keysOf(t *testing.T, w *world, name string) ([]string, error) {
	t.Helper()
	chain, err := identity.NewChain(w.open(t))
	if err != nil {
		t.Fatal(err)
	}
	return chain.PublicKeys(t.Context(), name)
}
