package legacy

// The doors of the old broker are in this file alone, since it changes with
// those that x2broker has.

// frontends reports on the doors.
func (r *confReader) frontends(c *Conf) {
	c.PlainOutput = r.bool(global, "enable-plain-output", true)
	if c.PlainOutput.V {
		r.same(c.PlainOutput.At, "/plain/ is always there")
	} else {
		r.report.loss(c.PlainOutput.At, "x2broker always answers on /plain/", "refuse that path in a proxy in front, if it must not be there")
	}
	c.JSONOutput = r.bool(global, "enable-json-output", true)
	if c.JSONOutput.V {
		r.report.note(c.JSONOutput.At, "this x2broker has no /json/, which PyHoca and Python X2Go ask", "let those users use X2Go Client")
	} else {
		r.same(c.JSONOutput.At, "there is no /json/")
	}
	c.UCCSOutput = r.bool(global, "enable-uccs-output", false)
	if c.UCCSOutput.V {
		r.report.loss(c.UCCSOutput.At, "this x2broker has no /uccs/, which greeters ask", "let those users log in with X2Go Client")
	} else {
		r.same(c.UCCSOutput.At, "there is no /uccs/")
	}
	c.UCCSBase = r.text(global, "my-uccs-url-base", "http://localhost:8080/")
	r.note(c.UCCSBase.At, "this x2broker has no /uccs/", "")
}

// zeroconf reports on the backend that offers a desktop of the client's own
// machine.
func (r *confReader) zeroconf(c *Conf) {
	c.Zeroconf = r.bool(zeroconf, "enable", false)
	if c.Zeroconf.V {
		r.report.loss(c.Zeroconf.At, noBackend, "describe the desktop as a profile of the site")
	} else {
		r.note(c.Zeroconf.At, "is off", "")
	}
	c.ZeroconfShell = r.text(zeroconf, "desktop-shell", "KDE")
	for _, option := range []string{"auth-mech", "user-db", "group-db", "desktop-shell", "load-checker"} {
		at := r.text(zeroconf, option, "").At
		r.note(at, "has no effect on zeroconf profiles, of which there are none", "")
	}
}
