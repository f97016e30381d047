package command

import (
	"slices"
	"strings"
)

// An option of the command line. What has no field is read and has no effect:
// it chose something in the Python broker that is settled here.
type option struct {
	names   []string
	field   string // of Request.Form
	flag    bool   // it has no value
	missing bool   // its value may be missing
}

var options = []option{
	{names: []string{"--task"}, field: "task"},
	// X2Go Client that was given no name sends nothing behind this.
	{names: []string{"--user"}, field: "user", missing: true},
	{names: []string{"--login"}, field: "login"},
	{names: []string{"--authid", "--auth-cookie", "--next-authid"}, field: "authid"},
	{names: []string{"--sid", "--profile-id"}, field: "sid"},
	{names: []string{newPassword}, field: "newpass"},
	{names: []string{"--event"}, field: "event"},
	{names: []string{"--server"}, field: "server"},
	{names: []string{"--client"}, field: "client"},
	{names: []string{"--cmd"}, field: "cmd"},
	{names: []string{"--display"}, field: "display"},
	{names: []string{"--start"}, field: "start"},
	{names: []string{"--elapsed"}, field: "elapsed"},
	{names: []string{"--backend"}},
	{names: []string{"--mode", "-M"}},
	{names: []string{"--help", "-h"}, flag: true},
	// X2Go Client 4.1.2.3 sends these two with events.
	{names: []string{"--version"}},
	{names: []string{"--os"}},
	{names: []string{"--config-file", "-C"}},
	{names: []string{"--debug", "-d"}, flag: true},
	{names: []string{"--debug-interactively", "-i"}, flag: true},
	{names: []string{"--bind", "-b"}},
	{names: []string{"--daemonize", "-D"}, flag: true},
	{names: []string{"--pidfile", "-P"}},
	{names: []string{"--logdir", "-L"}},
}

// parseOptions reads the words behind the name of the program.
func parseOptions(words []word) (Request, error) {
	given := map[string]string{} // by the first name of the option
	r := Request{Form: map[string]string{}}
	for len(words) > 0 {
		w := words[0]
		words = words[1:]
		if !w.literal && w.text == "--" {
			break // arguments of an event, which nobody reads
		}
		if w.literal || !strings.HasPrefix(w.text, "-") {
			return Request{}, usage("nothing is known to do with the text%s: an option is missing before it", w.place)
		}
		name, value, glued := strings.Cut(w.text, "=")
		o, err := find(name, w.place)
		if err != nil {
			return Request{}, err
		}
		first := o.names[0]
		if _, twice := given[first]; twice {
			return Request{}, usage("%s is there twice", first)
		}
		switch {
		case o.flag && glued:
			return Request{}, usage("%s has no value", first)
		case o.flag, glued:
		case len(words) > 0 && (words[0].literal || first == newPassword || !looksLikeOption(words[0].text)):
			value = words[0].text
			words = words[1:]
		case !o.missing:
			return Request{}, usage("%s needs a value", first)
		}
		given[first] = value
		if o.field != "" {
			r.Form[o.field] = value
		}
	}
	if err := judge(given); err != nil {
		return Request{}, err
	}
	r.Backend = given["--backend"]
	_, event := given["--event"]
	r.Silent = event && given["--task"] != "clientevent"
	return r, nil
}

// judge says whether the options go together.
func judge(given map[string]string) error {
	_, help := given["--help"]
	mode, hasMode := given["--mode"]
	_, event := given["--event"]
	task, hasTask := given["--task"]
	_, password := given[newPassword]
	switch {
	case help:
		return &UsageError{Text: Help, Stdout: true}
	case hasMode && !strings.EqualFold(mode, "ssh"):
		return &UsageError{Code: codeMode, Text: "x2broker ssh: error: --mode can be SSH only; over HTTP answers x2broker serve\n"}
	case password && task != "setpass":
		return usage("%s goes with --task setpass only", newPassword)
	case !hasTask && !event:
		return &UsageError{Code: codeNoTask, Text: Help, Stdout: true}
	}
	return nil
}

// find gives the option of that name, or the only one whose name begins so.
func find(name, place string) (option, error) {
	var found []option
	for _, o := range options {
		if slices.Contains(o.names, name) {
			return o, nil
		}
		if len(name) > len("--") && slices.ContainsFunc(o.names, func(n string) bool { return strings.HasPrefix(n, name) }) {
			found = append(found, o)
		}
	}
	switch len(found) {
	case 0:
		return option{}, usage("the option%s is unknown", place)
	case 1:
		return found[0], nil
	}
	return option{}, usage("the option%s may mean %s or %s", place, found[0].names[0], found[1].names[0])
}

// looksLikeOption is how argparse of Python tells options from values.
func looksLikeOption(text string) bool { return len(text) > 1 && text[0] == '-' }

// Help explains the command line.
const Help = `Usage: x2broker ssh --task TASK [OPTION ...]

Asks the broker that runs on this machine, as the user who runs this. sshd starts
it for X2Go Client, as a forced command or by the path of ssh://HOST/PATH.

  --task TASK     listsessions, selectsession, setpass, testcon or clientevent
  --user NAME     who you are; another name than your own is refused
  --sid ID        profile to select (also --profile-id)
  --login NAME    name on the X2Go server, if it is another one
  --authid TEXT   what the last answer said behind AUTHID: (also --auth-cookie,
                  --next-authid)
  --newpass TEXT  new password, for setpass
  --backend NAME  inifile, or zeroconf where that is switched on
  --event NAME, --server, --client, --cmd, --display, --start, --elapsed
                  what X2Go Client says of its session, for clientevent
  --socket PATH   socket of the broker, before all other options
                  (default /run/x2broker/ssh.sock)

With SSH_ORIGINAL_COMMAND, which sshd sets for a forced command, the options are
taken from there. Names of options may be cut short. Other options of x2gobroker
are accepted and have no effect.

Exit codes: 0 answered or denied, 1 failed, 2 wrong options, 254 no task, 255
wrong mode.
`
