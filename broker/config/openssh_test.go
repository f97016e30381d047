package config_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/x2broker/x2broker/broker/config"
)

func TestTheSocketOfOpenSSH(t *testing.T) {
	for text, want := range map[string]config.OpenSSH{
		``: {},
		`listen: openssh: path: "/run/x2broker/ssh.sock"`: {Unix: config.Unix{Path: "/run/x2broker/ssh.sock", Mode: 0o660}},
		`listen: {http: "", openssh: {path: "/s", mode: "0600", group: "x2go-users", trustAddress: true}}`: {
			Unix: config.Unix{Path: "/s", Mode: 0o600, Group: "x2go-users"}, TrustAddress: true,
		},
	} {
		c, err := load(t, users+text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if diff := cmp.Diff(want, c.Listen.OpenSSH); diff != "" || len(c.Warnings) > 0 {
			t.Errorf("%s: warnings %q, %s", text, c.Warnings, diff)
		}
	}
}

func TestMistakesOfTheSocketOfOpenSSHAreNamed(t *testing.T) {
	const none = "authenticators: [{type: \"none\", from: [\"127.0.0.0/8\"]}]\n"
	for text, want := range map[string]string{
		users + `listen: openssh: path: "ssh.sock"`:                             `listen.openssh.path: "ssh.sock" is no absolute path`,
		users + `listen: openssh: mode: "0660"`:                                 `listen.openssh.path: required field is missing`,
		users + `listen: openssh: {path: "/s", mode: "rw"}`:                     `listen.openssh.mode: "rw" is no mode`,
		users + `listen: {unix: path: "/s", openssh: path: "/s"}`:               `listen.openssh.path: listen.unix has the same path`,
		users + `listen: ssh: "127.0.0.1:99999"`:                                `listen.ssh: "127.0.0.1:99999" is no host:port`,
		users + `listen: openssh: {path: "/s", user: "x"}`:                      `listen.openssh.user: unknown field`,
		none + `listen: {http: "127.0.0.1:8080", openssh: path: "/run/a.sock"}`: `needs every listener on loopback`,
	} {
		if _, err := load(t, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestASocketOfOpenSSHForEverybodyIsWarnedOf(t *testing.T) {
	c, err := load(t, users+`listen: openssh: {path: "/s", mode: "0666"}`)
	if err != nil || len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "listen.openssh.mode 0666 lets every account of this machine ask") {
		t.Errorf("%v, warnings %q", err, c.Warnings)
	}
}
