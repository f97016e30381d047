package legacy

import (
	"strings"
	"time"

	"cuelang.org/go/cue/ast"
)

// Config is broker.cue, the settings of the broker itself, with the site in the
// given directory. It has no users yet.
func (i *Import) Config(site string) ([]byte, error) {
	where := named("site")
	where.put("url", ast.NewString(site), nil)

	listen := named("listen").with(said(
		"As the old broker listens, unless DAEMON_BIND_ADDRESS in",
		"/etc/x2go/broker/defaults.conf says otherwise. Passwords travel in clear: better",
		"have https and tls here, or a proxy in front."))
	listen.put("http", ast.NewString("0.0.0.0:8080"), nil)

	fields := []*node{where, listen, authenticatorsNode()}
	ticket := named("ticket")
	if t := i.Conf.AuthTimeout; t.given() {
		ticket.put("lifetime", ast.NewString(duration(t.V)), nil)
	}
	if t := i.Conf.StaticCookie; t.given() {
		ticket.put("rotate", ast.NewBool(!t.V), nil)
	}
	if t := i.Conf.VerifyIP; t.given() {
		ticket.put("verifyAddress", ast.NewBool(t.V), nil)
	}
	if len(ticket.kids) > 0 {
		fields = append(fields, ticket)
	}
	if doors := i.Conf.frontendsNode(); len(doors.kids) > 0 {
		fields = append(fields, doors)
	}
	return file("", said("The settings of x2broker, made of x2gobroker.conf by `x2broker import`."), nil, fields...)
}

// duration leaves out hours, minutes and seconds that are none.
func duration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
