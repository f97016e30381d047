package legacy

import (
	"strings"

	"cuelang.org/go/cue/ast"
)

// What the old broker's logins come to is in this file alone, since it changes
// with what x2broker has to authenticate by.

// authentication reports on who could log in.
func (r *confReader) authentication(c *Conf) {
	mechanism := r.text(global, "default-auth-mech", "pam")
	if own := r.text(inifile, "auth-mech", ""); own.V != "" {
		if own.At != mechanism.At {
			r.note(mechanism.At, "auth-mech in ["+inifile+"] holds instead", "")
		}
		mechanism = own
	} else if own.At != mechanism.At {
		r.note(own.At, "is empty, so that default-auth-mech holds", "")
	}
	mechanism.V = strings.ToLower(mechanism.V)
	c.Authentication = mechanism

	r.credentials(c)
	if c.NoPassword {
		r.note(mechanism.At, "the old broker asked nobody for a password", "")
	} else {
		r.mechanism(mechanism)
	}
	for _, option := range []string{"my-cookie", "my-cookie-file"} {
		at := r.text(global, option, "").At
		if option == "my-cookie" && at.Line > 0 {
			at.Value = "..." // it is a secret
		}
		r.note(at, "x2broker reads a cookie for all users from a file: ticket.shared in broker.cue", "")
	}
}

// credentials reports on whether a login took a password.
func (r *confReader) credentials(c *Conf) {
	password := r.bool(global, "require-password", true)
	cookie := r.bool(global, "require-cookie", false)
	legacy := r.bool(global, "check-credentials", true)
	c.NoPassword = !legacy.V || !password.V
	if !legacy.V {
		r.report.loss(legacy.At, "the old broker asked nobody for a password", noneRemedy)
		r.note(password.At, "check-credentials = false holds instead", "")
		r.note(cookie.At, "check-credentials = false holds instead", "")
		return
	}
	r.same(legacy.At, "x2broker always checks who logs in")
	switch {
	case password.V:
		r.same(password.At, "x2broker always asks for a password")
	case cookie.V:
		r.report.loss(password.At, "the old broker let in whoever knew my-cookie", sharedRemedy)
	default:
		r.report.loss(password.At, "the old broker asked nobody for a password", noneRemedy)
	}
	if cookie.V {
		r.report.loss(cookie.At, "the old broker refused passwords without a cookie; x2broker asks for the password only",
			"to look at passwords from clients with the cookie only: ticket: shared: file: \"/etc/x2broker/authid\"")
	} else {
		r.same(cookie.At, "a password is enough")
	}
}

const noneRemedy = `name the networks of these clients in broker.cue: authenticators: [{type: "none", from: ["10.0.0.0/8"]}]`

const sharedRemedy = `to keep that, put the cookie into a file of mode 0640 and name it and the networks of these clients in broker.cue: ` +
	`ticket: shared: {file: "/etc/x2broker/authid", withoutPassword: true, from: ["10.0.0.0/8"]}`

// mechanism says what becomes of logins with a password.
func (r *confReader) mechanism(m Value[string]) {
	switch m.V {
	case "pam":
		r.report.note(m.At, "x2broker asks PAM through a helper of its own, and takes the groups of users from the system then",
			"set up x2broker-authd (docs/authentication.md) and write into broker.cue: authenticators: [{type: \"pam\"}]")
	case "none":
		r.report.loss(m.At, "the old broker let everybody in, under any name and from anywhere", noneRemedy)
	case "https_get":
		r.report.loss(m.At, "nobody could log in with this mechanism",
			"let a program of yours decide, which gets a POST: authenticators: [{type: \"https\", url: ...}]; docs/authentication.md has one")
	default:
		r.report.loss(m.At, "nobody could log in with this mechanism",
			"write the users into broker.cue: authenticators: [{type: \"static\", users: ...}]; `x2broker passwd` prints the hash of a password")
	}
}

// groups reports on where the groups of users come from.
func (r *confReader) groups() {
	for _, option := range []struct{ section, name, def string }{
		{global, "default-user-db", "libnss"},
		{global, "default-group-db", "libnss"},
		{inifile, "user-db", ""},
		{inifile, "group-db", ""},
	} {
		switch db := r.text(option.section, option.name, option.def); db.V {
		case "libnss", "":
			r.note(db.At, "x2broker takes the groups of a user from where he logs in", "with authenticators: [{type: \"pam\"}] that is the system; with static, list them in broker.cue with each user")
		default:
			r.report.loss(db.At, "x2broker has no such source of users and groups", "list the groups of each user in broker.cue")
		}
	}
	primary := r.bool(global, "ignore-primary-group-memberships", true)
	if primary.V {
		r.same(primary.At, "a user's groups are those listed in broker.cue")
		return
	}
	r.report.loss(primary.At, "a user's primary group counted, too", "list it with the other groups of each user in broker.cue")
}

// ConfigLacks says what an admin has to add to broker.cue.
const ConfigLacks = "nobody can log in until you name the users there"

// authenticatorsNode is what broker.cue says of logins: there are no users yet.
func authenticatorsNode() *node {
	n := named("authenticators").with(said(
		"Write the users here, each with the hash that `x2broker passwd` prints and with",
		`all groups: alice: {password: "$2a$12$...", groups: ["staff"]}`))
	n.value = ast.NewList(ast.NewStruct(
		ast.NewIdent("type"), ast.NewString("static"),
		ast.NewIdent("users"), ast.NewStruct(),
	))
	return n
}
