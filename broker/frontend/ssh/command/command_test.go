package command

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const id = "0b81b13c-7a25-4d2a-a5f5-6d2ff0b5b8aa"

// framed is what X2Go Client 4.1.2.2 sends for a command.
func framed(command string) string {
	return `bash -l -c 'echo "X2GODATABEGIN:` + id + `"; export PATH="/usr/local/bin:/usr/bin:/bin";export TERM="dumb"; ` +
		command + `; echo "X2GODATAEND:` + id + `";'`
}

func inFrame(r Request) Request {
	r.Begin, r.End = "X2GODATABEGIN:"+id, "X2GODATAEND:"+id
	return r
}

type form = map[string]string

// Each story is of somebody who wants more than one task of the protocol, or
// fields that say something else to two readers.
func TestWhatIsNoCommandOfTheClientIsRefused(t *testing.T) {
	other := strings.Replace(id, "0b", "0c", 1)
	list := "/usr/bin/x2broker --user maja --task listsessions"
	stories := map[string]string{
		"a quote in the profile id ends the quotes, and a command follows": framed(`x --user maja --task selectsession --sid "p1"; touch /tmp/owned; echo ""`),
		"a quote in the profile id glues a word to it":                     framed(`x --user maja --task selectsession --sid "p1"x`),
		"a single quote in the profile id ends the quotes of the frame":    framed(`x --user maja --task selectsession --sid "p1'; id; echo '"`),
		"a single quote in the user name ends the quotes of the frame":     framed(`x --user maja'; id; ' --task listsessions`),
		"a single quote in the account":                                    framed(`x --user maja --task selectsession --sid "p1" --login root'`),
		"a semicolon in the user name":                                     framed(`x --user maja;id --task listsessions`),
		"a semicolon in the account":                                       framed(`x --user maja --task selectsession --sid "p1" --login root;id`),
		"a semicolon in the path of the URL":                               framed(`/bin/true; x2broker --user maja --task listsessions`),
		"a dollar in the path of the URL":                                  framed(`$HOME/x2broker --user maja --task listsessions`),
		"a quoted path":                                                    framed(`"/bin/sh -c" --user maja --task listsessions`),
		"a command substitution in the user name":                          framed(`x --user $(id) --task listsessions`),
		"a command substitution in quotes":                                 framed(`x --user maja --task selectsession --sid "$(id)"`),
		"backticks":                                                        framed("x --user `id` --task listsessions"),
		"backticks in quotes":                                              framed("x --user maja --task selectsession --sid \"`id`\""),
		"a backslash before the quote that ends the profile id":            framed(`x --user maja --task selectsession --sid "p1\" --login "root"`),
		"a variable":                            framed(`x --user $LOGNAME --task listsessions`),
		"a pattern that a shell would complete": framed(`x --user maja* --task listsessions`),
		"a redirection":                         framed(`x --user maja --task listsessions > /etc/passwd`),
		"a pipe":                                framed(`x --user maja --task listsessions | sh`),
		"in the background":                     framed(`x --user maja --task listsessions &`),
		"a comment":                             framed(`x --user maja --task listsessions # --user root`),
		"a line break":                          framed("x --user maja --task listsessions\nid"),
		"a line break in quotes":                framed("x --user maja --task selectsession --sid \"p1\nX2GODATAEND:" + id + "\""),
		"a carriage return":                     framed("x --user maja\r --task listsessions"),
		"a tabulator":                           framed("x --user maja\t--task listsessions"),
		"NUL":                                   framed("x --user maja\x00root --task listsessions"),
		"an escape sequence for the terminal of whoever reads the log": framed("x --user \x1b[2J --task listsessions"),
		"C1 control in UTF-8":                               framed("x --user maja\u0085 --task listsessions"),
		"C1 control in Latin-1":                             framed("x --user maja\x85\xff --task listsessions"),
		"a line break in the new password":                  framed("x --user maja --task setpass --newpass a\nb"),
		"text that turns around what is shown":              framed("x --user maja\u202e --task listsessions"),
		"a second command behind the frame":                 framed(list) + "; id",
		"a second command on another line behind the frame": framed(list) + "\nid",
		"a line break behind the frame":                     framed(list) + "\n",
		"a second frame":                                    framed(list) + framed(list),
		"something before the frame":                        "id; " + framed(list),
		"marks that differ":                                 strings.Replace(framed(list), "END:"+id, "END:"+other, 1),
		"marks that differ in case":                         strings.Replace(framed(list), "END:"+id, "END:"+strings.ToUpper(id), 1),
		"a mark that is no UUID":                            strings.ReplaceAll(framed(list), id, "x"),
		"a mark with a line break":                          strings.ReplaceAll(framed(list), id, id+"\n"),
		"no mark at the end":                                `bash -l -c 'echo "X2GODATABEGIN:` + id + `"; export TERM="dumb"; ` + list + `;'`,
		"an end mark inside":                                framed(list + `; echo "X2GODATAEND:` + id + `"; id`),
		"another shell":                                     strings.Replace(framed(list), "bash -l", "python", 1),
		"another variable is set":                           strings.Replace(framed(list), `export TERM="dumb"`, `export LD_PRELOAD="/tmp/x"`, 1),
		"one more variable is set":                          strings.Replace(framed(list), `export TERM="dumb"`, `export TERM="dumb"; export LD_PRELOAD="x"`, 1),
		"a path for programs that is a command":             strings.Replace(framed(list), "/usr/local/bin", "$(id)", 1),
		"whoami with an argument":                           framed("whoami root"),
		"the login check with a second command":             `echo "LOGIN OK"; id`,
		"the login check with another text":                 `echo "LOGIN"`,
		"a shell":                                           `/bin/bash`,
		"sftp":                                              `/usr/lib/openssh/sftp-server`,
		"scp":                                               `scp -t /tmp`,
		"rsync":                                             `rsync --server -e.LsfxC . /tmp`,
		"nothing":                                           ``,
		"blanks":                                            `   `,
		"nothing in the frame":                              framed(``),
		"quotes that do not end":                            `x2broker --task selectsession --sid "p1`,
		"quotes in a word":                                  `x2broker --task selectsession --sid=p"1"`,
		"1 MB":                                              framed(`x --user ` + strings.Repeat("a", 1<<20) + ` --task listsessions`),
		"1 MB of blanks":                                    strings.Repeat(" ", 1<<20),
		"an account given twice":                            framed(`x --user maja --task selectsession --login maja --sid "p1" --login root`),
		"an account given twice, out of the quotes of the profile id": framed(`x --user maja --task selectsession --sid "p1" --login "root" --login maja`),
		"a user given twice":                            framed(`x --user maja --user root --task listsessions`),
		"a profile given by two names":                  framed(`x --user maja --task selectsession --sid "p1" --profile-id p2`),
		"a ticket given by two names":                   framed(`x --authid a --next-authid b --task listsessions`),
		"an option where a value is missing":            framed(`x --user maja --task selectsession --sid --login root`),
		"a task that is an option":                      framed(`x --user maja --task --login root`),
		"an unknown option":                             framed(`x --user maja --task listsessions --password x`),
		"an unknown option with a value":                framed(`x --task=listsessions --password=x`),
		"a short form that may mean two":                framed(`x --task selectsession --s p1`),
		"a word that belongs to nothing":                framed(`x --user maja root --task listsessions`),
		"a value for an option that has none":           framed(`x --debug=1 --task listsessions`),
		"a new password with a task that is none of it": framed(`x --user maja --task listsessions --newpass x`),
		"a user name that brings a new password":        framed(`x --user maja --newpass x --task listsessions`),
		"a quoted option":                               framed(`x "--task" listsessions`),
	}
	for story, exec := range stories {
		t.Run(story, func(t *testing.T) {
			got, err := Parse(exec)
			var usage *UsageError
			if !errors.As(err, &usage) || usage.Code == 0 {
				t.Fatalf("accepted as %+v, %v", got, err)
			}
			if !cmp.Equal(got, Request{}) {
				t.Errorf("refused, and yet gives %+v", got)
			}
			if len(usage.Text) > 4000 || strings.ContainsFunc(usage.Text, func(r rune) bool { return r != '\n' && unicode.IsControl(r) }) {
				t.Errorf("the error is not fit to show: %q", usage.Text)
			}
		})
	}
}

func TestWhatClientsSend(t *testing.T) {
	list := Request{Form: form{"task": "listsessions", "user": "maja"}}
	event := Request{Form: form{
		"task": "clientevent", "user": "maja", "authid": "A-1", "sid": "xh1-50-1795257069_stRxterm_dp24", "event": "CONNECTING",
		"server": "ts01", "client": "", "login": "xh1", "cmd": "", "display": "50", "start": "21.11.26 10:51:28", "elapsed": "0",
	}}
	tests := map[string]struct {
		exec string
		want Request
	}{
		"the login check":             {`echo "LOGIN OK"`, Request{LoginCheck: true}},
		"the login check of Kerberos": {strings.Replace(framed("whoami"), `export PATH="/usr/local/bin:/usr/bin:/bin";`, "", 1), inFrame(Request{WhoAmI: true})},
		"a list":                      {framed(`/usr/bin/x2gobroker-ssh --user maja --task listsessions`), inFrame(list)},
		"a list of another release":   {strings.Replace(framed(`/x --user maja --task listsessions`), `;export`, `; export`, 1), inFrame(list)},
		"a list of FreeBSD": {
			strings.Replace(strings.Replace(framed(`/x --user maja --task listsessions`), "bash -l", "sh", 1), "/usr/local/bin:/usr/bin:/bin", "/usr/bin:/bin:/usr/local/bin", 1),
			inFrame(list),
		},
		"a URL without a path":        {framed(` --user maja --task listsessions`), inFrame(list)},
		"a URL with two words":        {framed(`/usr/bin/x2broker ssh --user maja --task listsessions`), inFrame(list)},
		"a URL with a user":           {framed(`/ --user  --task listsessions`), inFrame(Request{Form: form{"task": "listsessions", "user": ""}})},
		"a list with a ticket":        {framed(`x --user maja --authid A-1 --task listsessions`), inFrame(Request{Form: form{"task": "listsessions", "user": "maja", "authid": "A-1"}})},
		"a select":                    {framed(`x --user maja --task selectsession --sid "p1"`), inFrame(Request{Form: form{"task": "selectsession", "user": "maja", "sid": "p1"}})},
		"a select with all":           {framed(`x --user maja --task selectsession --sid "p 1" --authid A --login root`), inFrame(Request{Form: form{"task": "selectsession", "user": "maja", "sid": "p 1", "authid": "A", "login": "root"}})},
		"a select of nothing":         {framed(`x --user maja --task selectsession --sid ""`), inFrame(Request{Form: form{"task": "selectsession", "user": "maja", "sid": ""}})},
		"an event":                    {framed(`x --user maja --authid A-1 --task clientevent --sid "xh1-50-1795257069_stRxterm_dp24" --event CONNECTING --server "ts01" --client "" --login "xh1" --cmd "" --display "50" --start "21.11.26 10:51:28" --elapsed 0`), inFrame(event)},
		"an event of a newer client":  {framed(`x --user maja --authid A-1 --task clientevent --sid "xh1-50-1795257069_stRxterm_dp24" --event CONNECTING --server "ts01" --client "" --login "xh1" --cmd "" --display "50" --start "21.11.26 10:51:28" --elapsed 0 --version "4.1.2.3" --os linux`), inFrame(event)},
		"a new password":              {framed(`x --user maja --task setpass --newpass s3cret`), inFrame(Request{Form: form{"task": "setpass", "user": "maja", "newpass": "s3cret"}})},
		"a new password as typed":     {framed(`x --user maja --task setpass --newpass  it's "$(a)"; echo "X2GODATAEND:` + id + `";' `), inFrame(Request{Form: form{"task": "setpass", "user": "maja", "newpass": ` it's "$(a)"; echo "X2GODATAEND:` + id + `";' `}})},
		"a new password like options": {framed(`x --user maja --task setpass --newpass --login root`), inFrame(Request{Form: form{"task": "setpass", "user": "maja", "newpass": "--login root"}})},
		"no new password":             {framed(`x --user maja --task setpass --newpass `), inFrame(Request{Form: form{"task": "setpass", "user": "maja", "newpass": ""}})},
		"a new password in Latin-1":   {framed("x --user maja --task setpass --newpass b\xfcro"), inFrame(Request{Form: form{"task": "setpass", "user": "maja", "newpass": "büro"}})},
		"a connection test":           {framed(`x --task testcon`), inFrame(Request{Form: form{"task": "testcon"}})},
		"a bare command":              {`x2broker ssh  --task listsessions --user maja`, list},
		"a bare command with quotes":  {`x2broker --task listsessions --user "maja"`, list},
		"options alone":               {`--task listsessions --user maja`, list},
		"a value that is an option":   {`x --task selectsession --sid "--login"`, Request{Form: form{"task": "selectsession", "sid": "--login"}}},
		"an event that is no task":    {framed(`x --user maja --event CONNECT -- a b`), inFrame(Request{Form: form{"user": "maja", "event": "CONNECT"}, Silent: true})},
		"a user name in UTF-8":        {framed(`x --user büro --task listsessions`), inFrame(Request{Form: form{"task": "listsessions", "user": "büro"}})},
		"a profile in Latin-1":        {framed("x --task selectsession --sid \"b\xfcro\""), inFrame(Request{Form: form{"task": "selectsession", "sid": "büro"}})},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(test.exec)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCommandLines(t *testing.T) {
	testcon := Request{Form: form{"task": "testcon"}}
	tests := []struct {
		args string // with | between words
		want Request
	}{
		{"--task|testcon", testcon},
		{"--task=testcon", testcon},
		{"--tas|testcon", testcon},
		{"--mode|ssh|--task|testcon", testcon},
		{"-M|SSH|--task|testcon", testcon},
		{"--config-file|/etc/x2gobroker.conf|-d|--task|testcon", testcon},
		{"--task|testcon|--|x|--task|$(id)", testcon},
		{"--task|", Request{Form: form{"task": ""}}},
		{"--task|listsessions|--backend|zeroconf", Request{Form: form{"task": "listsessions"}, Backend: "zeroconf"}},
		{"--task|foo|--auth-cookie|a", Request{Form: form{"task": "foo", "authid": "a"}}},
		{"--task|foo|--next-authid=a=b", Request{Form: form{"task": "foo", "authid": "a=b"}}},
		{"--task|selectsession|--profile-id|p 1", Request{Form: form{"task": "selectsession", "sid": "p 1"}}},
		{"--task|selectsession|--prof=it's", Request{Form: form{"task": "selectsession", "sid": "it's"}}},
		{"--task|foo|--user|--authid|a", Request{Form: form{"task": "foo", "user": "", "authid": "a"}}},
		{"--task|setpass|--newpass|-s $x'\"", Request{Form: form{"task": "setpass", "newpass": "-s $x'\""}}},
		{"--task|foo|--user|b\xfcro", Request{Form: form{"task": "foo", "user": "büro"}}},
		{"--event|x|--task|listsessions", Request{Form: form{"task": "listsessions", "event": "x"}, Silent: true}},
		{"--event|x|--task|clientevent", Request{Form: form{"task": "clientevent", "event": "x"}}},
	}
	for _, test := range tests {
		got, err := ParseArgs(strings.Split(test.args, "|"))
		if err != nil {
			t.Errorf("%s: %v", test.args, err)
		} else if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: %s", test.args, diff)
		}
	}
}

func TestCommandLinesThatAreRefused(t *testing.T) {
	tests := []struct {
		args   string
		code   int
		stdout bool
		says   string
	}{
		{"", 2, false, "the text in word 1"},
		{"--help", 0, true, "Usage: x2broker ssh"},
		{"--task|x|-h", 0, true, "Usage: x2broker ssh"},
		{"--user|maja", 254, true, "Usage: x2broker ssh"},
		{"--mode|HTTP|--task|testcon", 255, false, "x2broker serve"},
		{"--task", 2, false, "--task needs a value"},
		{"--sid|--task|x", 2, false, "--sid needs a value"},
		{"--task|x|--task|x", 2, false, "--task is there twice"},
		{"--sid|a|--profile-id|a|--task|x", 2, false, "--sid is there twice"},
		{"--task|x|--nosuch", 2, false, "the option in word 3 is unknown"},
		{"--task|x|--pass\x1b=secret", 2, false, "control character in word 3"},
		{"--task|x|--log=x", 2, false, "may mean --login or --logdir"},
		{"--task|setpass|--newpass|two|words", 2, false, "the text in word 5"},
		{"--task|x|--newpass|y", 2, false, "--newpass goes with --task setpass only"},
		{"--task|x|--sid|a\nb", 2, false, "control character in word 4"},
		{"--task|" + strings.Repeat("x", longest), 2, false, "longer than 16384 bytes"},
		{strings.Repeat("|", longest), 2, false, "longer than 16384 bytes"},
	}
	for _, test := range tests {
		_, err := ParseArgs(strings.Split(test.args, "|"))
		var usage *UsageError
		if !errors.As(err, &usage) {
			t.Errorf("%.40q: %v", test.args, err)
		} else if usage.Code != test.code || usage.Stdout != test.stdout || !strings.Contains(usage.Text, test.says) || strings.Contains(usage.Text, "secret") {
			t.Errorf("%.40q: code %d, stdout %v, text %q", test.args, usage.Code, usage.Stdout, usage.Text)
		}
	}
	if _, err := ParseArgs(nil); err == nil {
		t.Error("no words are accepted")
	}
}

func TestAnErrorNamesThePlace(t *testing.T) {
	for exec, want := range map[string]string{
		`x --user a;b --task c`:           "at character 11",
		`x --user "a$b" --task c`:         "at character 12",
		`x --user bü;b --task c`:          "at character 12",
		`x --task c d`:                    "at character 12",
		`x --task c --nosuch`:             "at character 12",
		"x\n":                             "at character 2",
		framed(`x --user a;b --task cd`):  "at character 145",
		framed(`x --user a --task "cd"e`): "at character 157",
	} {
		_, err := Parse(exec)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", exec, err, want)
		}
	}
}

// What a client can say comes out as it was said.
func TestAFrameParsesBackToItsFields(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.StringMatching(`[A-Za-z0-9._@+/:,%^äß][A-Za-z0-9._@+/:,%^äß=-]{0,20}`)
		quoted := rapid.StringMatching(`[ -!#%-&(-\[\]-_a-~äß]{0,20}`)
		password := rapid.StringMatching(`[ -~äß]{0,30}`)
		want := form{}
		var b strings.Builder
		b.WriteString(rapid.StringMatching(`[A-Za-z0-9./_]{0,20}( ssh)?`).Draw(t, "name"))
		for _, field := range []string{"user", "authid", "login", "elapsed"} {
			if rapid.Bool().Draw(t, "with "+field) {
				want[field] = raw.Draw(t, field)
				fmt.Fprintf(&b, " --%s %s", field, want[field])
			}
		}
		for _, field := range []string{"sid", "event", "server", "client", "cmd", "display", "start"} {
			if rapid.Bool().Draw(t, "with "+field) {
				want[field] = quoted.Draw(t, field)
				fmt.Fprintf(&b, ` --%s "%s"`, field, want[field])
			}
		}
		if rapid.Bool().Draw(t, "setpass") {
			want["task"], want["newpass"] = "setpass", password.Draw(t, "newpass")
			fmt.Fprintf(&b, " --task setpass --newpass %s", want["newpass"])
		} else {
			want["task"] = raw.Draw(t, "task")
			fmt.Fprintf(&b, " --task %s", want["task"])
		}
		got, err := Parse(framed(b.String()))
		if err != nil {
			t.Fatalf("%s: %v", b.String(), err)
		}
		if diff := cmp.Diff(want, got.Form); diff != "" || got.Begin != "X2GODATABEGIN:"+id || got.End != "X2GODATAEND:"+id {
			t.Fatalf("%s: %s", b.String(), diff)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add(framed(`/usr/bin/x2gobroker-ssh --user maja --authid A --task selectsession --sid "p1" --login b`))
	f.Add(framed(`x --user maja --task setpass --newpass it's; "`))
	f.Add(framed("whoami"))
	f.Add(`echo "LOGIN OK"`)
	f.Add("x2broker ssh --task=listsessions --backend zeroconf -- \xff")
	f.Add("--event x")
	known := form{"task": "", "user": "", "login": "", "authid": "", "sid": "", "newpass": "", "event": "", "server": "", "client": "", "cmd": "", "display": "", "start": "", "elapsed": ""}
	f.Fuzz(func(t *testing.T, exec string) {
		check := func(r Request, err error) {
			var usage *UsageError
			if err != nil {
				if !errors.As(err, &usage) || usage.Text == "" || !cmp.Equal(r, Request{}) {
					t.Errorf("refused as %v with %+v", err, r)
				}
				return
			}
			for name, value := range r.Form {
				if _, ok := known[name]; !ok || strings.ContainsFunc(value, unicode.IsControl) {
					t.Errorf("field %q got through as %q", name, value)
				}
			}
			if strings.ContainsFunc(r.Begin+r.End+r.Backend, unicode.IsControl) || (r.Begin == "") != (r.End == "") {
				t.Errorf("got through: %+v", r)
			}
			if (r.LoginCheck || r.WhoAmI) == (r.Form != nil) {
				t.Errorf("both a check and a command, or neither: %+v", r)
			}
		}
		r, err := Parse(exec)
		check(r, err)
		if err == nil && r.Begin != "" && !strings.HasSuffix(exec, `; echo "`+r.End+`";'`) {
			t.Errorf("something is behind the frame: %q", exec)
		}
		check(ParseArgs(strings.Split(exec, " ")))
	})
}
