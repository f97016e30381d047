package config_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/x2broker/x2broker/broker/config"
)

func TestWhereKeysAreIsRead(t *testing.T) {
	c, err := load(t, users+`
ssh: {
	authorizedKeys: ["/etc/x2broker/keys/{user}", "/home/{user}/.ssh/authorized_keys"]
	userCAs: ["/etc/x2broker/user-ca.pub"]
	revokedKeys: "/etc/x2broker/revoked"
}
`)
	if err != nil {
		t.Fatal(err)
	}
	want := config.SSH{
		AuthorizedKeys: []string{"/etc/x2broker/keys/{user}", "/home/{user}/.ssh/authorized_keys"},
		UserCAs:        []string{"/etc/x2broker/user-ca.pub"},
		RevokedKeys:    "/etc/x2broker/revoked",
		LoginTime:      2 * time.Minute,
	}
	if diff := cmp.Diff(want, c.SSH); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestMistakesAboutKeys(t *testing.T) {
	for text, want := range map[string]string{
		`ssh: authorizedKeys: ["/etc/x2broker/keys"]`: `ssh.authorizedKeys: "/etc/x2broker/keys" has no {user}: its keys would let everybody in as everybody`,
		`ssh: authorizedKeys: ["keys/{user}"]`:        `ssh.authorizedKeys: "keys/{user}" is not the absolute path`,
		`ssh: authorizedKeys: "/etc/keys/{user}"`:     `ssh.authorizedKeys: `,
		`ssh: userCAs: ["ca.pub"]`:                    `ssh.userCAs: "ca.pub" is not the absolute path`,
		`ssh: revokedKeys: "revoked"`:                 `ssh.revokedKeys: "revoked" is not the absolute path`,
		`ssh: keys: "/etc/keys"`:                      `ssh.keys: unknown field`,
		`groups: [{` + directory + `, sshKeyAttribute: "sshPublicKey", groupSearch: base: "dc=g"}]`: `groups.ldap.sshKeyAttribute: is for authenticators`,
	} {
		if _, err := load(t, users+text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func TestTheSettingsOfThePageAboutSSH(t *testing.T) {
	page, err := os.ReadFile("../../docs/ssh.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "```cue\n")[1:]
	for _, block := range blocks {
		text, _, _ := strings.Cut(block, "```")
		if !strings.Contains(text, "authenticators:") {
			text += users
		}
		if _, err := load(t, text); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
	}
	if len(blocks) < 2 {
		t.Errorf("the page shows settings %d times only", len(blocks))
	}
}
