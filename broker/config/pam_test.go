package config_test

import (
	"strings"
	"testing"
)

func TestPAMIsAskedAtItsSocket(t *testing.T) {
	for text, want := range map[string]string{
		`authenticators: [{type: "pam"}]`:                          "/run/x2broker/authd.sock",
		`authenticators: [{type: "pam", socket: "/run/a/b.sock"}]`: "/run/a/b.sock",
	} {
		c, err := load(t, text)
		if err != nil {
			t.Fatal(err)
		}
		a := c.Authenticators[0]
		if a.PAM == nil || a.PAM.Socket != want || a.None() || c.Open() {
			t.Errorf("%s: %+v, want socket %s", text, a, want)
		}
	}
	for text, want := range map[string]string{
		`authenticators: [{type: "pam", socket: "b.sock"}]`: `authenticators.pam.socket: "b.sock" is not an absolute path`,
		`authenticators: [{type: "pam", service: "sshd"}]`:  "unknown field",
	} {
		if _, err := load(t, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}
