package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMistakesOfTheSSHServerAreNamed(t *testing.T) {
	const on = users + "listen: ssh: \"127.0.0.1:22\"\n"
	for name, test := range map[string][2]string{
		"relative host key":       {`ssh: hostKeys: ["host_key"]`, `ssh.hostKeys: "host_key" is not the absolute path of a file`},
		"too little time":         {`ssh: loginTime: "1s"`, "ssh.loginTime: 1s is not between 10s and 10m0s"},
		"too much time":           {`ssh: loginTime: "1h"`, "ssh.loginTime: 1h0m0s is not between"},
		"no time":                 {`ssh: loginTime: "soon"`, `ssh.loginTime: "soon" is no length of time`},
		"a terminal's own words":  {`ssh: banner: "\u001b[2J"`, `ssh.banner: has the control character '\x1b'`},
		"a novel":                 {fmt.Sprintf(`ssh: banner: %q`, strings.Repeat("x", 5000)), "ssh.banner: has 5000 bytes, more than 4096"},
		"a first step that fails": {`ssh: keyAndPassword: true`, "ssh.keyAndPassword: nobody could log in: say where keys are"},
		"unknown":                 {`ssh: port: 22`, "ssh.port: unknown field"},
		"everybody's keys":        {`ssh: authorizedKeys: ["/etc/keys"]`, "has no {user}"},
	} {
		if _, err := load(t, on+test[0]); err == nil || !strings.Contains(err.Error(), test[1]) {
			t.Errorf("%s: %v, want %q", name, err, test[1])
		}
	}
}

func TestAHostKeyThatEverybodyCanReadIsWarnedOf(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := load(t, users+fmt.Sprintf("listen: ssh: \"127.0.0.1:22\"\nssh: hostKeys: [%q]", file))
	if err != nil || len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "chmod 0640") {
		t.Errorf("%v, warnings %q", err, c.Warnings)
	}
}

// None from loopback lets everybody in who comes through a proxy on the machine,
// whichever door the proxy is before.
func TestNoneOnLoopbackMindsTheSSHServer(t *testing.T) {
	const none = "authenticators: [{type: \"none\", from: [\"127.0.0.0/8\"]}]\n"
	if _, err := load(t, none+`listen: ssh: "127.0.0.1:22"`); err != nil {
		t.Error(err)
	}
	if _, err := load(t, none+`listen: ssh: "0.0.0.0:22"`); err == nil || !strings.Contains(err.Error(), "needs every listener on loopback") {
		t.Error(err)
	}
	if _, err := load(t, none+`listen: ssh: "127.0.0.1:22", ssh: {keyAndPassword: true, authorizedKeys: ["/k/{user}"]}`); err == nil || !strings.Contains(err.Error(), "none asks for no password") {
		t.Error(err)
	}
}

func TestSettingsOfAnSSHServerThatIsOffAreWarnedOf(t *testing.T) {
	c, err := load(t, users+`ssh: authorizedKeys: ["/k/{user}"]`)
	if err != nil || len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "while listen.ssh is off") {
		t.Errorf("%v, warnings %q", err, c.Warnings)
	}
}

func TestAnSSHServerAloneIsEnough(t *testing.T) {
	if _, err := load(t, users+`listen: {http: "", ssh: "127.0.0.1:22"}`); err != nil {
		t.Error(err)
	}
}

func TestASharedAuthidThatClosesTheSSHServerIsWarnedOf(t *testing.T) {
	for ticket, want := range map[string]bool{
		``: false,
		`ticket: shared: file: "/etc/x2broker/authid"`:                                                                               false,
		`listen: ssh: "127.0.0.1:2222", ticket: shared: file: "/etc/x2broker/authid"`:                                                true,
		`listen: ssh: "127.0.0.1:2222", ticket: shared: {file: "/etc/x2broker/authid", withoutPassword: true, from: ["10.0.0.0/8"]}`: false,
	} {
		c, err := load(t, users+ticket)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(strings.Join(c.Warnings, "\n"), "listen.ssh"); got != want {
			t.Errorf("%s: warnings %q", ticket, c.Warnings)
		}
	}
}
