package legacy

import (
	"net/url"
	"strings"

	"github.com/x2broker/x2broker/schema"
)

// The doors of the old broker are in this file alone, since it changes with
// those that x2broker has.

// frontends reports on the doors.
func (r *confReader) frontends(c *Conf) {
	c.PlainOutput = r.bool(global, "enable-plain-output", true)
	r.carried(c.PlainOutput.At, "frontends.plain.enabled")
	c.JSONOutput = r.bool(global, "enable-json-output", true)
	r.carried(c.JSONOutput.At, "frontends.json.enabled")
	c.UCCSOutput = r.bool(global, "enable-uccs-output", false)
	r.carried(c.UCCSOutput.At, "frontends.uccs.enabled")
	c.UCCSBase = r.text(global, "my-uccs-url-base", "http://localhost:8080/")
	if !httpURL(c.UCCSBase.V) {
		r.report.loss(c.UCCSBase.At, "is no URL that starts with http:// or https://; greeters are sent back the address that they asked", "write the broker's address, like http://broker.example.org:8080")
	} else {
		r.carried(c.UCCSBase.At, "frontends.uccs.url")
	}
}

// httpURL reports whether broker.cue takes the text for the address of a
// broker.
func httpURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil && u.RawQuery == "" && u.Fragment == ""
}

// zeroconf reports on the backend that offers a desktop of the client's own
// machine.
func (r *confReader) zeroconf(c *Conf) {
	c.Zeroconf = r.bool(zeroconf, "enable", false)
	r.carried(c.Zeroconf.At, "frontends.zeroconf.enabled")
	c.ZeroconfShell = r.text(zeroconf, "desktop-shell", "KDE")
	command := strings.ToUpper(c.ZeroconfShell.V)
	if _, err := schema.CheckSetting("command", command); err != nil {
		r.report.loss(c.ZeroconfShell.At, strings.TrimPrefix(err.Error(), "key command: ")+"; KDE is assumed", "write a desktop that the machine has")
		command = "KDE"
	} else {
		r.carried(c.ZeroconfShell.At, "frontends.zeroconf.command")
	}
	c.ZeroconfShell.V = command
	for _, option := range []string{"auth-mech", "user-db", "group-db", "load-checker"} {
		r.note(r.text(zeroconf, option, "").At, "for zeroconf, too, users and groups come from broker.cue, and there is no load checker", "")
	}
}

// frontendsNode is what broker.cue says of the doors: what the file says.
func (c *Conf) frontendsNode() *node {
	n := named("frontends")
	for _, on := range []struct {
		path  string
		value Value[bool]
	}{
		{"plain.enabled", c.PlainOutput},
		{"json.enabled", c.JSONOutput},
		{"uccs.enabled", c.UCCSOutput},
		{"zeroconf.enabled", c.Zeroconf},
	} {
		if on.value.given() {
			n.put(on.path, expr(on.value.V), nil)
		}
	}
	if base := c.UCCSBase; base.given() && httpURL(base.V) {
		n.put("uccs.url", expr(base.V), nil)
	}
	if shell := c.ZeroconfShell; shell.given() {
		n.put("zeroconf.command", expr(shell.V), nil)
	}
	return n
}
