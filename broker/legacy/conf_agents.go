package legacy

import "strings"

// What the old broker did through its agents on the servers is in this file,
// since it changes with what x2broker has instead.

// agents reads the defaults of what profiles may say themselves.
func (r *confReader) agents(c *Conf) {
	c.AgentMode = r.text(global, "default-agent-query-mode", "NONE")
	if own := r.text(inifile, "agent-query-mode", ""); own.V != "" {
		if own.At != c.AgentMode.At {
			r.note(c.AgentMode.At, "agent-query-mode in ["+inifile+"] holds instead", "")
		}
		c.AgentMode = own
	} else if own.At != c.AgentMode.At {
		r.note(own.At, "is empty, so that default-agent-query-mode holds", "")
	}
	if !isAgentMode(c.AgentMode.V) {
		r.note(c.AgentMode.At, "is no mode of the agent: the old broker used none", "")
	} else if !asksAgents(c.AgentMode.V) {
		r.same(c.AgentMode.At, "x2broker asks no agents")
	}
	c.HostKeys = r.text(global, "default-agent-hostkey-policy", "RejectPolicy")
	r.hostKeyPolicy(c.HostKeys)
	r.hostKeyPolicy(r.text(inifile, "agent-hostkey-policy", ""))

	c.Autologin = r.bool(global, "default-session-autologin", false)
	if !c.Autologin.V {
		r.same(c.Autologin.At, "autologin is off unless a profile sets it")
	}
	for _, option := range []string{"default-authorized-keys", "default-sshproxy-authorized-keys"} {
		r.note(r.text(global, option, "").At, noKeys, "")
	}
	c.Portscan = r.bool(global, "default-portscan-x2goservers", true)
	if !c.Portscan.V {
		r.same(c.Portscan.At, "x2broker tries no ports")
	}

	c.LoadChecker = r.bool(global, "default-use-load-checker", false)
	own := r.bool(inifile, "use-load-checker", true)
	if own.At != c.LoadChecker.At {
		r.note(c.LoadChecker.At, "use-load-checker in ["+inifile+"] holds instead, which is true by default", "")
	}
	c.LoadChecker = own
	if !own.V {
		r.same(own.At, "x2broker has no load checker")
	}
	r.note(r.text(global, "load-checker-intervals", "").At, "x2broker has no load checker", "")
}

const noKeys = "x2broker puts no keys on servers"

func (r *confReader) hostKeyPolicy(policy Value[string]) {
	switch policy.V {
	case "WarningPolicy", "AutoAddPolicy":
		r.note(policy.At, "x2broker logs in to no servers; where it ever does, it refuses host keys that the site does not have", "")
	default:
		r.same(policy.At, "unknown host keys are refused")
	}
}

func isAgentMode(mode string) bool { return strings.EqualFold(mode, "NONE") || asksAgents(mode) }

func asksAgents(mode string) bool {
	return strings.EqualFold(mode, "LOCAL") || strings.EqualFold(mode, "SSH")
}

// agents reports on what a profile, or the whole file, had of agents. Each
// option is reported once, however many profiles it holds for.
func (i *importer) agents(p *Profile, options map[string]Origin) {
	mode := i.Conf.AgentMode
	if own, ok := options["broker-agent-query-mode"]; ok && own.Value != "" {
		mode = Value[string]{own.Value, own}
	}
	asks := asksAgents(mode.V)
	if asks {
		i.lossOnce(mode.At, "the old broker asked an agent on the servers: it showed and resumed sessions, and chose the server with the fewest; x2broker asks none yet",
			"keep the old broker for profiles that need it")
	} else if mode.At.Option == "broker-agent-query-mode" {
		if isAgentMode(mode.V) {
			i.carriedOnce(mode.At, "x2broker asks no agents")
		} else {
			i.noteOnce(mode.At, "is no mode of the agent: the old broker used none", "")
		}
	}
	i.autologin(p, options, asks)
	several := len(p.Servers) > 1

	portscan := i.Conf.Portscan
	if own, ok := options["broker-portscan-x2goservers"]; ok && own.Value != "" {
		portscan = Value[bool]{switchedOn(own.Value), own}
	}
	switch {
	case portscan.V && several && portscan.given():
		i.lossOnce(portscan.At, "the old broker tried whether a server answers before it chose it; x2broker does not",
			"set state: \"maintenance\" for a server that is down")
	case portscan.V && several:
		i.untried = true
	case portscan.V && portscan.At.Section == p.Section:
		i.noteOnce(portscan.At, "has no effect with one server", "")
	case portscan.given() && !portscan.V:
		i.carriedOnce(portscan.At, "x2broker tries no ports")
	}

	load := i.Conf.LoadChecker
	if own, ok := options["broker-use-load-checker"]; ok && own.Value != "" {
		switch own.Value {
		case "1", "true", "TRUE", "True":
			load = Value[bool]{true, own}
		default:
			load = Value[bool]{false, own}
		}
	}
	switch {
	case load.given() && load.V && several && strings.EqualFold(mode.V, "SSH"):
		i.lossOnce(load.At, "the old broker put new sessions on the server with the lowest load; x2broker shares them out by weight and number",
			"give stronger servers a higher weight in servers.cue")
	case load.V && load.At.Section == p.Section:
		i.noteOnce(load.At, "has an effect with several servers and agent mode SSH only", "")
	case load.given() && !load.V:
		i.carriedOnce(load.At, "x2broker has no load checker")
	}

	for _, option := range []string{"broker-authorized-keys", "broker-sshproxy-authorized-keys"} {
		if at, ok := options[option]; ok {
			i.noteOnce(at, noKeys, "")
		}
	}
	if at, ok := options["broker-agent-hostkey-policy"]; ok {
		i.noteOnce(at, "x2broker logs in to no servers; where it ever does, it refuses host keys that the site does not have", "")
	}
	for option, at := range options {
		if !brokerOptions[option] {
			i.noteOnce(at, "the old broker knows no such option and ignores it", "")
		} else if at.Value == "" {
			i.noteOnce(at, "is empty, so that the default of x2gobroker.conf holds", "")
		}
	}
}

var brokerOptions = map[string]bool{
	"broker-agent-query-mode": true, "broker-agent-hostkey-policy": true, "broker-session-autologin": true,
	"broker-portscan-x2goservers": true, "broker-authorized-keys": true, "broker-sshproxy-authorized-keys": true,
	"broker-use-load-checker": true,
}

// autologin carries over what works without an agent: the login by the user's
// own keys.
func (i *importer) autologin(p *Profile, options map[string]Origin, agent bool) {
	on := i.Conf.Autologin
	if own, ok := options["broker-session-autologin"]; ok && own.Value != "" {
		on = Value[bool]{switchedOn(own.Value), own}
	}
	switch {
	case !on.given():
	case !on.V:
		i.carriedOnce(on.At, "autologin is off unless a profile sets it")
	case agent:
		i.lossOnce(on.At, "the old broker put a key on the server for each session; x2broker does not, so that users are asked for their password",
			"write autologin: true for users who have keys of their own on the servers, or usebrokerpass: true if the password is the same")
	default:
		i.noteOnce(on.At, "without an agent the old broker delivered no key: clients used the user's own keys, and go on doing so", "")
		p.set("autologin", true, on.At, nil)
	}
}
