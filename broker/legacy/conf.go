package legacy

import (
	"strconv"
	"strings"
	"time"
)

// Conf is x2gobroker.conf with its defaults filled in: what the old broker did
// by it.
type Conf struct {
	Authentication Value[string] // default-auth-mech or that of the backend, in lower case
	NoPassword     bool          // nobody was asked for a password
	AuthTimeout    Value[time.Duration]
	StaticCookie   Value[bool]
	VerifyIP       Value[bool]
	PlainOutput    Value[bool]
	JSONOutput     Value[bool]
	UCCSOutput     Value[bool]
	UCCSBase       Value[string]
	Zeroconf       Value[bool]
	ZeroconfShell  Value[string]

	Autologin   Value[bool]
	AgentMode   Value[string] // NONE, LOCAL or SSH
	HostKeys    Value[string]
	Portscan    Value[bool]
	LoadChecker Value[bool]
}

// A Value is that of an option, and where it comes from.
type Value[T any] struct {
	V  T
	At Origin
}

// given reports whether the file says it; it is a default otherwise.
func (v Value[T]) given() bool { return v.At.Line > 0 }

// The sections that the old broker reads.
const (
	global   = "global"
	inifile  = "broker_inifile"
	zeroconf = "broker_zeroconf"
	base     = "broker_base"
	httpsGet = "authmech_https_get"
)

// confReader reads options and remembers which lines have meant something.
type confReader struct {
	file   *File
	report *Report
	config bool // broker.cue is written, too
	seen   map[int]bool
}

// readConf types the file and reports on every option of it.
func readConf(file *File, config bool, report *Report) *Conf {
	r := &confReader{file, report, config, map[int]bool{}}
	c := &Conf{}
	if config {
		report.note(Origin{File: file.Name}, "does not say where the broker listens; broker.cue has the old broker's default, port 8080 of all addresses",
			"take DAEMON_BIND_ADDRESS and the certificate from /etc/x2go/broker/defaults.conf, if they are set there")
	}
	r.authentication(c)
	r.tickets(c)
	r.frontends(c)
	r.backends()
	r.zeroconf(c)
	r.scripts()
	r.groups()
	r.agents(c)
	r.unknown()
	return c
}

// text gives an option of a section, or of [DEFAULT], which holds for all
// sections.
func (r *confReader) text(section, option, def string) Value[string] {
	at := Origin{File: r.file.Name, Section: section, Option: option, Value: def}
	for _, s := range []*Section{r.section(section), r.file.Defaults} {
		if s == nil {
			continue
		}
		if o, ok := s.Option(option); ok {
			r.seen[o.Line] = true
			at.Line, at.Section, at.Value = o.Line, s.Name, o.Value
			return Value[string]{o.Value, at}
		}
	}
	return Value[string]{def, at}
}

func (r *confReader) section(name string) *Section {
	s, _ := r.file.Section(name)
	return s
}

func (r *confReader) bool(section, option string, def bool) Value[bool] {
	assumed := strconv.FormatBool(def)
	t := r.text(section, option, assumed)
	b, err := parseBool(t.V)
	if err != nil {
		b = def
		r.report.loss(t.At, err.Error()+", so that the old broker answers every request with status 500; "+assumed+" is assumed",
			"write true or false, without a comment behind it")
	}
	return Value[bool]{b, t.At}
}

// seconds reads a number of seconds; there is no zero or negative one.
func (r *confReader) seconds(section, option string, def time.Duration) Value[time.Duration] {
	t := r.text(section, option, "")
	v := Value[time.Duration]{def, t.At}
	if !t.given() {
		return v
	}
	n, err := parseInt(t.V)
	if err != nil {
		r.report.loss(t.At, err.Error()+", so that the old broker answers every request with status 500; "+duration(def)+" is assumed",
			"write a number of seconds")
		return v
	}
	d, err := time.ParseDuration(n + "s")
	if err != nil || d <= 0 {
		r.report.loss(t.At, "is no length of time for x2broker; "+duration(def)+" is assumed", "write a number of seconds above 0")
		return v
	}
	v.V = d
	return v
}

// carried says that a field of broker.cue has the same meaning.
func (r *confReader) carried(at Origin, field string) {
	switch {
	case at.Line == 0:
	case r.config:
		r.report.carried(at, "broker.cue: "+field)
	default:
		r.report.note(at, "belongs into broker.cue, as "+field, "run import with --config FILE, or write it there")
	}
}

// same says that x2broker does by itself what the option says.
func (r *confReader) same(at Origin, what string) {
	if at.Line > 0 {
		r.report.carried(at, what)
	}
}

func (r *confReader) note(at Origin, text, remedy string) {
	if at.Line > 0 {
		r.report.note(at, text, remedy)
	}
}

func (r *confReader) tickets(c *Conf) {
	c.AuthTimeout = r.seconds(global, "auth-timeout", 10*time.Hour)
	r.carried(c.AuthTimeout.At, "ticket.lifetime")
	c.StaticCookie = r.bool(global, "use-static-cookie", false)
	r.carried(c.StaticCookie.At, "ticket.rotate")
	c.VerifyIP = r.bool(global, "verify-ip", true)
	r.carried(c.VerifyIP.At, "ticket.verifyAddress")
	r.note(r.text(global, "cookie-directory", "").At, "x2broker keeps no file for each login", "")
}

// backends reports on what the old broker had besides a file of profiles.
func (r *confReader) backends() {
	if enable := r.bool(inifile, "enable", true); enable.V {
		r.same(enable.At, "the site")
	} else {
		r.report.loss(enable.At, "the old broker did not offer these profiles to anybody; x2broker serves every site that it is given",
			"import nothing, if that is meant; else write enable = true")
	}
	r.note(r.text(inifile, "session-profiles", "").At, "the old broker ignores it and reads the file that X2GOBROKER_SESSIONPROFILES in its environment names",
		"see that the file you import is that one")
	if enable := r.bool(base, "enable", false); enable.V {
		r.report.loss(enable.At, noBackend, "describe the desktop as a profile of the site")
	} else {
		r.note(enable.At, "is off", "")
	}
}

const noBackend = "x2broker has no such backend: it offers profiles of the site only"

func (r *confReader) scripts() {
	for _, option := range []string{"pre_auth_scripts", "post_auth_scripts", "select_session_scripts"} {
		names := r.text(global, option, "")
		if strings.Trim(names.V, ", []'\"\n") == "" {
			r.same(names.At, "x2broker runs no scripts")
			continue
		}
		r.report.loss(names.At, "x2broker runs no scripts: what they decide is the site's policy",
			"write it as a rule in policy/, see docs/migrate.md")
	}
}

// unknown reports on what is left: the old broker does not read it.
func (r *confReader) unknown() {
	for _, s := range append([]*Section{r.file.Defaults}, r.file.Sections...) {
		for _, o := range s.Options {
			if r.seen[o.Line] {
				continue
			}
			text := "the old broker knows no such option and ignores it"
			switch {
			case s.Name == "broker_ldap":
				text = "the old broker has no such backend and ignores it"
			case s.Name == httpsGet:
				text = "is read for the mechanism https_get only, with which every login fails"
			case strings.HasPrefix(s.Name, "broker_") && s.Name != inifile && s.Name != zeroconf && s.Name != base:
				text = "the old broker has no such backend and ignores it"
			}
			r.report.note(originOf(r.file, s, o), text, "")
		}
	}
}

func originOf(f *File, s *Section, o Option) Origin {
	return Origin{f.Name, o.Line, s.Name, o.Name, o.Value}
}
