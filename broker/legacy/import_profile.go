package legacy

import (
	"errors"
	"slices"
	"strings"
	"unicode"

	"github.com/x2broker/x2broker/client"
	"github.com/x2broker/x2broker/schema"
)

// profile reads a section with what it inherits.
func (i *importer) profile(s *Section) {
	at := Origin{File: i.file.Name, Line: s.Line, Section: s.Name}
	p := &Profile{Section: s.Name, Line: s.Line, ID: s.Name, Options: map[string]string{}, comments: s.Comments}
	if id := safeID(s.Name); id != s.Name {
		p.ID = unused(id, func(id string) bool { return i.ids[id] })
		i.ids[p.ID] = true
		i.Report.note(at, whyNoID(s.Name)+": its id is now "+p.ID,
			"tell users who start it from a shortcut or a command line with its id; others see its name as before")
	}
	agents := map[string]Origin{}
	acl := map[string]Origin{}
	var hosts, port *inherited
	var command string
	for _, o := range i.inherit(s) {
		p.Options[o.Name] = o.Value
		switch {
		case strings.HasPrefix(o.Name, "broker-"):
			agents[o.Name] = o.at
			i.leave(p, o)
		case strings.HasPrefix(o.Name, "acl-"):
			acl[o.Name] = o.at
			if o.own {
				p.acl = append(p.acl, o.Comments...)
			} else {
				i.leave(p, o)
			}
		case o.Name == "host":
			hosts = &o
		case o.Name == "sshport":
			port = &o
			i.leave(p, o)
		case o.Name == "user":
			i.user(o)
			i.leave(p, o)
		case o.Name == "name":
			i.name(p, o)
		default:
			if o.Name == "command" {
				command = o.Value
			}
			i.setting(p, o)
		}
	}
	if !i.hosts(p, hosts, port, command == "SHADOW", at) {
		i.agents(p, agents)
		for _, option := range acl {
			i.noteOnce(option, "the profile is left out", "")
		}
		return
	}
	if p.field("name") == nil {
		p.fields = slices.Insert(p.fields, 0, field{path: "name", value: s.Name})
		i.Report.note(at, "has no name, so that X2Go Client showed \"New Session\"; the site has its id as name", "give it a better one")
	}
	i.desktop(p)
	i.agents(p, agents)
	i.access(p, acl)
	i.Profiles = append(i.Profiles, p)
}

// inherited is an option as it holds for a profile.
type inherited struct {
	Option
	at  Origin
	own bool // not from [DEFAULT]
}

// inherit gives the section's own options and then those of [DEFAULT], but
// those that the old broker drops.
func (i *importer) inherit(s *Section) []inherited {
	var out []inherited
	own := map[string]bool{}
	for _, from := range []*Section{s, i.file.Defaults} {
		for _, o := range from.Options {
			if own[o.Name] {
				continue
			}
			own[o.Name] = true
			at := originOf(i.file, from, o)
			if o.Name == "default" || i.sections[o.Name] || o.Name == defaultSection {
				i.noteOnce(at, "the old broker drops an option of this name", "")
				continue
			}
			out = append(out, inherited{o, at, from == s})
		}
	}
	return out
}

// leave keeps the comments of an option that has no field of its own.
func (i *importer) leave(p *Profile, o inherited) {
	if len(o.Comments) == 0 {
		return
	}
	if o.own {
		p.comments = join(p.comments, o.Comments)
	} else if i.first(o.at, "") {
		i.loose = join(i.loose, o.Comments)
	}
}

func (i *importer) name(p *Profile, o inherited) {
	text := client.AsWritten(o.Value)
	switch err := badText(text); {
	case o.Value == notSet, o.Value == "":
		i.noteOnce(o.at, "is no name: the profile goes by its id", "give it one")
		i.leave(p, o)
	case err != nil:
		i.lossOnce(o.at, err.Error()+": the profile goes by its id", "write a short name, in one line")
		i.leave(p, o)
	default:
		i.carriedText(o, text, "name")
		p.fields = slices.Insert(p.fields, 0, field{"name", text, o.at, o.Comments})
	}
}

// carriedText says that an option ended in a field, and where the text there is
// not that of the file.
func (i *importer) carriedText(o inherited, text any, field string) {
	if text, ok := text.(string); ok && text == o.Value && cut(o.Value) {
		i.noteOnce(o.at, "X2Go Client read it up to the first semicolon, and nothing of a text with a comma; from x2broker it gets all",
			"if the rest was meant as a comment, write it on a line of its own, with # before it")
		return
	} else if ok && text != o.Value {
		i.noteOnce(o.at, "X2Go Client takes quotes and backslashes for its own: the site has the text as they mean it",
			`to have quotes shown, write them in the site as \"`)
		return
	}
	i.carriedOnce(o.at, field)
}

// cut reports whether X2Go Client made less of a text than is written there: a
// semicolon at its end is no loss. What it made of umlauts is left aside.
func cut(value string) bool {
	plain := strings.Map(func(r rune) rune {
		if r > unicode.MaxASCII {
			return 'x'
		}
		return r
	}, strings.TrimRight(value, "; "))
	read := client.AsRead(plain)
	return len(read) != 1 || read[0] != plain
}

func (i *importer) user(o inherited) {
	switch o.Value {
	case "BROKER_USER":
		i.carriedOnce(o.at, "x2broker sends the name of the broker's user")
	case "", notSet:
		i.noteOnce(o.at, "X2Go Client asked for the user name at the server; x2broker sends the name of the broker's user, which the login form then has already",
			"nothing, if users have the same name at broker and servers; else see rule accounts in docs/policy.md")
	default:
		i.lossOnce(o.at, "users were logged in at the server under this name; x2broker sends the name of the broker's user",
			"say in rule accounts of the policy who may use that account, see docs/policy.md; users then type its name")
	}
}

// setting reads an option that clients take, or nobody.
func (i *importer) setting(p *Profile, o inherited) {
	result, known := i.settings[o.Line]
	if !known {
		result.setting, result.err = readSetting(o.Name, o.Value)
		i.settings[o.Line] = result
	}
	_, typed := builtin[o.Name]
	old := (*errOldBroker)(nil)
	switch {
	case result.field == "":
		if o.Value == notSet {
			i.noteOnce(o.at, "was not sent to clients", "")
		} else {
			i.noteOnce(o.at, "no client that x2broker knows takes this key: it is not sent"+schema.DidYouMean(o.Name, knownOptions()), "")
		}
	case o.Name == "key" || o.Name == "status":
		i.lossOnce(o.at, "x2broker sets this key by itself", "set it in each client's own settings")
	case o.Value == notSet && isBool(builtin[o.Name]):
		i.lossOnce(o.at, "the old broker answers every request with status 500: a switch must be true or false", "write true or false")
	case o.Value == notSet && o.Name == "command":
		i.lossOnce(o.at, "the old broker answers every request with status 500: a profile must have a command; TERMINAL is assumed", "write a command")
	case o.Value == notSet && typed:
		i.lossOnce(o.at, "the old broker did not send this key, so that the client's own setting held; x2broker sends "+shown(builtin[o.Name]),
			"write the value that is meant")
	case o.Value == notSet:
		i.carriedOnce(o.at, "not sent")
	case errors.As(result.err, &old):
		i.lossOnce(o.at, old.Error()+", so that the old broker answers every request with status 500; "+shown(builtin[o.Name])+" is assumed",
			"write a value that is right")
	case o.Value == "" && !typed:
		i.carriedOnce(o.at, "empty, as if it were not there")
	case result.err != nil && typed:
		i.lossOnce(o.at, result.err.Error()+"; x2broker sends "+shown(builtin[o.Name]), "write a value that is right")
	case result.err != nil:
		i.lossOnce(o.at, result.err.Error()+"; it is not sent", "write a value that is right")
	default:
		i.carriedText(o, result.value, result.field)
		p.set(result.field, result.value, o.at, ownComments(o))
		return
	}
	i.leave(p, o)
}

func isBool(v any) bool {
	_, ok := v.(bool)
	return ok
}

// ownComments are those that go with a field of a profile; those of [DEFAULT] go
// with its defaults.
func ownComments(o inherited) []Comment {
	if o.own {
		return o.Comments
	}
	return nil
}

// knownOptions are the names of all options of a profile, for suggestions.
func knownOptions() []string {
	var names []string
	for name := range builtin {
		names = append(names, name)
	}
	for name := range topFields {
		names = append(names, name)
	}
	for name := range brokerOptions {
		names = append(names, name)
	}
	for name := range aclOptions {
		names = append(names, name)
	}
	slices.Sort(names)
	return append(names, "name", "host", "sshport", "user")
}

// desktop writes a desktop as the old broker sent it: in capitals, and never
// rootless.
func (i *importer) desktop(p *Profile) {
	command := p.field("x2go.command")
	if command == nil {
		return
	}
	name := strings.ToUpper(command.value.(string))
	if name == "LXQT" {
		i.noteOnce(command.at, "the old broker knew no such desktop; x2broker sends it as LXQt, as X2Go Client spells it, and not as rootless", "")
	}
	if !desktops[name] {
		return
	}
	command.value = name
	if r := p.field("x2go.rootless"); r != nil {
		p.comments = join(p.comments, r.comments)
		p.unset("x2go.rootless") // the broker sends what it must be
	}
}
