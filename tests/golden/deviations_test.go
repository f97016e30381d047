package golden_test

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// A deviation says where this broker answers otherwise than the old one, and why.
type deviation struct {
	Name   string   // in a few words
	Reason string   // in a sentence
	Cases  []string // cases or case/steps; nil: wherever Expect changes something
	Said   bool     // the import says that something is lost in all of these cases

	// Expect gives what is to be answered where the old broker answered want.
	Expect func(x *exchange, want answer) answer
}

func (d *deviation) concerns(x *exchange) bool {
	return d.Cases == nil || slices.Contains(d.Cases, x.t.Name) || slices.Contains(d.Cases, x.name)
}

// The answers of plain that several deviations give. Those of refused logins are
// changed further by a later deviation.
var (
	granted = text("AUTHID:{{UUID:any}}\nAccess granted\n")
	tested  = text("OK")
	denied  = page(http.StatusUnauthorized, "")
)

// instead is for an answer that does not depend on what was recorded.
func instead(a answer) func(*exchange, answer) answer {
	return func(*exchange, answer) answer { return a }
}

// text gives an answer of the plain frontend.
func text(body string) answer {
	return answer{Status: http.StatusOK, Headers: map[string]string{"Content-Type": "text/plain; charset=utf-8"}, Body: body}
}

var (
	inASCII  = strings.NewReplacer("ö", "oe", "ß", "ss")
	unusual  = regexp.MustCompile(`[^A-Za-z0-9._-]+`)
	username = regexp.MustCompile(`"Username": ".*"`)
)

// uccs4 gives a list of UCCS 5 with one server the form of UCCS 4: sorted, the
// command comes later there.
func uccs4(body string) string {
	const command = "      \"Command\": \"KDE\",\n      \"CommandRequired\": true,\n"
	const protocol = "      \"Protocol\": \"x2go\",\n"
	body = strings.Replace(body, command, "", 1)
	return strings.Replace(body, protocol, protocol+strings.ReplaceAll(command, "Command", "SessionType"), 1)
}

// authid is the line with the authid in an answer.
var authid = regexp.MustCompile(`(?m)^(AUTHID:|    "next-authid": ).*\n`)

// page gives the page of an error, with a reason.
func page(status int, reason string) answer {
	title := fmt.Sprintf("%d: %s", status, http.StatusText(status))
	return answer{
		Status: status, Headers: map[string]string{"Content-Type": "text/html; charset=UTF-8"},
		Body: "<html><title>" + title + "</title><body>" + title + reason + "</body></html>",
	}
}

// importSays is that the import says what is wrong with a configuration with which
// the old broker answered 500.
var importSays = &deviation{
	Name: "The import says what is wrong",
	Cases: []string{
		"auth-https-get", "conf-comment-styles", "list-bom-file", "list-bool-invalid-enabled", "list-bool-invalid-t",
		"list-duplicate-section", "list-int-invalid-0x10", "list-key-without-value", "list-latin1-file", "list-list-python-nonliteral",
		"list-no-section", "list-notset-bool", "list-notset-command", "list-notset-sshport", "uccs-host-empty",
	},
	Reason: "The old broker answered each request with an internal error. The import names file and line and says what to do, before anybody asks anything; what it says is compared instead.",
	Said:   true,
	Expect: func(_ *exchange, want answer) answer { return want },
}

// testconPadding makes the answer to testcon long enough to time.
var testconPadding = strings.Repeat(strings.Repeat(".", 63)+"\n", 512)

// Groups of deviations are applied one after the other, and each in its order.
var groups = []struct {
	title      string
	deviations []*deviation
}{
	{"Import", []*deviation{importSays}},
	{"Over SSH", overSSH},
	{"Logins", logins},
	{"Answers", answers},
	{"Lists of profiles", lists},
}

// deviations are those of all groups.
func deviations() (all []*deviation) {
	for _, g := range groups {
		all = append(all, g.deviations...)
	}
	return all
}

var logins = []*deviation{
	{
		Name:   "The password decides beside a bad authid",
		Reason: "A wrong, used or expired authid counts as none. X2Go Client sends the password with each request, and would be refused for its old authid though its password is right.",
		Cases:  []string{"cookie-wrong-with-good-password", "cookie-auth-none-wrong", "cookie-required-mycookie/2", "cookie-required-mycookie/0", "cookie-required-none-given", "cookie-required-mycookie-filepresent/3", "headers-plain/2"},
		Expect: func(_ *exchange, want answer) answer {
			if want.Status != http.StatusOK {
				return granted
			}
			return want
		},
	},
	{
		Name:   "testcon leaves the authid as it is",
		Reason: "The old broker changes the authid and does not tell the client, who has none from then on.",
		Cases:  []string{"cookie-testcon-consumes/2"},
		Expect: instead(granted),
	},
	{
		Name:   "A used authid ends all that came from it",
		Reason: "Somebody used it twice, and nobody can tell who: the password decides from then on.",
		Cases:  []string{"cookie-dynamic-rotation/4"},
		Expect: instead(denied),
	},
	{
		Name:   "There are no cookie files",
		Reason: "Authids are signed and kept nowhere, so that there is no directory that could be missing, and those of the old broker are worth nothing: users log in once more.",
		Cases:  []string{"cookie-dir-unwritable", "cookie-uppercase/2"},
		Expect: func(x *exchange, _ answer) answer {
			if x.form.Get("password") == "" {
				return denied
			}
			return granted
		},
	},
	{
		Name:   "A shared authid opens no door by itself",
		Reason: "Who knows my-cookie may be anybody. The import says how to let in clients that have it, from networks that are named.",
		Cases:  []string{"cookie-only-no-password", "cookie-my-cookie-file"},
		Said:   true,
		Expect: instead(denied),
	},
	{
		Name:   "Authids live for some time",
		Reason: "A lifetime of 0 is none; the import says that 10 hours are assumed.",
		Cases:  []string{"cookie-timeout-zero/1"},
		Said:   true,
		Expect: instead(granted),
	},
	{
		Name:   "No user is special",
		Reason: "The old broker refuses the user check-credentials with the password FALSE, which is a word of its own.",
		Cases:  []string{"auth-magic-user/0"},
		Expect: instead(tested),
	},
	{
		Name:   "Names and passwords are bounded",
		Reason: "A name has at most 255 bytes and a password 1024. The old broker fails on names that make no file name.",
		Cases:  []string{"user-long-filename", "large-body"},
		Expect: instead(denied),
	},
	{
		Name:   "A connection test needs no login",
		Reason: "X2Go Client tests the connection before anybody has logged in.",
		Cases:  []string{"pam-authservice/6"},
		Expect: instead(tested),
	},
	{
		Name:   "Basic authentication works",
		Reason: "The old broker fails on the header Authorization.",
		Cases:  []string{"uccs-auth-required"},
		Expect: func(x *exchange, want answer) answer {
			if want.Status != closed {
				return want
			}
			if x.header("Authorization") == "Basic bm9jb2xvbg==" { // nocolon
				return x.t.recorded("uccs-auth-required")
			}
			return x.t.recorded("uccs-anon-api5")
		},
	},
	{
		Name:   "Every site is served",
		Reason: "There is no switch that hides all profiles, and none in the environment that shows other ones in their place.",
		Cases:  []string{"err-disabled-inifile", "path-default-backend-env"},
		Expect: func(x *exchange, _ answer) answer {
			if x.json() {
				return x.t.recorded("list-json-one")
			}
			return x.t.recorded("list-one-profile-defaults")
		},
	},
	{
		Name:   "Wrong passwords are answered with 200",
		Reason: "X2Go Client ends itself on status 401, and asks for the password again on `Access denied` with 200.",
		Expect: func(x *exchange, want answer) answer {
			if x.plain() && want.Status == http.StatusUnauthorized {
				return text("Access denied\n")
			}
			return want
		},
	},
	{
		Name:   "No authid where nobody proves who he is",
		Reason: "Where everybody gets in without a password an authid would stand for nothing.",
		Expect: func(x *exchange, want answer) answer {
			if x.t.open() {
				want.Body = authid.ReplaceAllString(want.Body, "")
			}
			return want
		},
	},
}

var answers = []*deviation{
	{
		Name:   "The profile of zeroconf is a profile",
		Reason: "It has an id that stays, and so can be selected by it and by no other, and all frontends list it.",
		Cases:  []string{"list-zeroconf", "uccs-zeroconf", "ssh-backend/0"},
		Expect: func(x *exchange, want answer) answer {
			switch {
			case x.form.Get("task") == "selectsession" && x.form.Get("sid") != "":
				want.Body = strings.ReplaceAll(want.Body, "localhost", "no-server-available")
			case want.Status == http.StatusInternalServerError: // JSON has no form for its random id
				want = x.t.recorded("list-json-one")
				want.each(func(p *listed) {
					p.id = "localhost"
					p.set("name", "LOCALHOST")
					p.set("host", []any{"localhost"})
					p.set("command", "MATE")
					p.set("rootless", false)
				})
			case strings.Contains(want.Body, `"RemoteDesktopServers": []`):
				want = x.t.recorded("uccs-anon-with-auth")
				want.Body = strings.NewReplacer("One", "LOCALHOST", "srv1", "localhost", "TERMINAL", "KDE", "inifile", "zeroconf").Replace(want.Body)
				if strings.HasSuffix(x.Path, "/4") {
					want.Body = uccs4(want.Body)
				}
			}
			want.each(func(p *listed) { p.id = "localhost" })
			return want
		},
	},
	{
		Name:   "Every request is answered",
		Reason: "The old broker never answers some of them, and the client waits for ever.",
		Expect: func(x *exchange, want answer) answer {
			if want.Status != hangs {
				return want
			}
			if x.Method == http.MethodPost {
				return page(http.StatusMethodNotAllowed, "")
			}
			want = answer{Status: http.StatusOK, Headers: map[string]string{"Content-Type": "text/html; charset=UTF-8"}}
			if x.Method == http.MethodGet {
				want.Body = "{{TIMESTAMP}}"
			}
			return want
		},
	},
	{
		Name:   "Unknown paths are 404",
		Reason: "The old broker fails on some of them.",
		Cases:  []string{"uccs-unknown-backend/2"},
		Expect: instead(page(http.StatusNotFound, "")),
	},
	{
		Name:   "testcon",
		Reason: "X2Go Client looks for `Access granted` in the answer to testcon and measures how fast it comes, so that it has these words and some length. Over SSH it has the length only: there the client takes it for the answer to selectsession, and a grant without a server crashes it.",
		Expect: func(x *exchange, want answer) answer {
			switch {
			case x.Command != nil && want.Body == "OK":
				want.Body = "OK\n" + testconPadding
			case x.plain() && want.Body == "OK":
				want.Body = "OK\nAccess granted\n" + testconPadding
			case x.json() && want.Body == "" && want.Status == http.StatusOK:
				want.Body = "{\n    \"auth-status\": \"Access granted\",\n    \"task\": \"testcon\"\n}"
			}
			return want
		},
	},
	{
		Name:   "Nothing to select",
		Reason: "Without a server to offer, the answer has no `Access granted`: X2Go Client would crash on a granted answer without SERVER:, or try to reach a server of the name no-server-available.",
		Expect: func(x *exchange, want answer) answer {
			task, none := strings.TrimSpace(x.form.Get("task")), strings.Contains(want.Body, "SERVER:no-server-available:") || !strings.Contains(want.Body, "SERVER:")
			if x.plain() && want.Status == http.StatusOK && task == "selectsession" && none && strings.Contains(want.Body, "Access granted") {
				return text("Access denied: this session profile is not available\n")
			}
			return want
		},
	},
	{
		Name:   "No authid without a server",
		Reason: "python-x2go reads the server of each selection, so that a refused one names one that there is not; but a refusal has no authid.",
		Expect: func(x *exchange, want answer) answer {
			if x.json() && strings.Contains(want.Body, `"no-server-available"`) {
				want.Body = authid.ReplaceAllString(want.Body, "")
			}
			return want
		},
	},
	{
		Name:   "Passwords cannot be changed",
		Reason: "The old broker grants setpass and changes nothing. A granted answer leaves the window of X2Go Client disabled, so that this one says that it cannot.",
		Expect: func(x *exchange, want answer) answer {
			if x.form.Get("task") == "setpass" {
				if x.json() {
					return page(http.StatusForbidden, "")
				}
				return text("Access denied: passwords cannot be changed here\n")
			}
			return want
		},
	},
	{
		Name:   "Control characters are refused",
		Reason: "They belong into no name, password or id, and could forge a line of a log or of another protocol.",
		Expect: func(x *exchange, want answer) answer {
			for _, name := range []string{"user", "password", "sid"} {
				if strings.ContainsFunc(x.form.Get(name), func(r rune) bool { return r < ' ' }) {
					return page(http.StatusBadRequest, ": "+name+" has a control character")
				}
			}
			return want
		},
	},
	{
		Name:   "Nothing that is not UTF-8",
		Reason: "Such requests are refused in words, and none ends in an internal error.",
		Cases:  []string{"args-encoding/2", "args-encoding/3", "auth-ok-unicode/1", "body-nonutf8-notype"},
		Expect: instead(page(http.StatusBadRequest, ": the request is not valid UTF-8")),
	},
	{
		Name:   "Credentials belong into the body",
		Reason: "A user or password in a URL ends in logs, and is refused. The old broker's GET, which a debug switch allows, is refused for the same reason.",
		Expect: func(x *exchange, want answer) answer {
			switch {
			case !x.plain() && !x.json():
			case x.Method == http.MethodPost && strings.Contains(x.Path, "user="):
				return page(http.StatusBadRequest, ": user must be sent in the body, not in the URL")
			case x.Method == http.MethodGet:
				return page(http.StatusMethodNotAllowed, "")
			}
			return want
		},
	},
	{
		Name:   "A refused method is told the right ones",
		Reason: "RFC 9110 asks for the header Allow with status 405.",
		Expect: func(x *exchange, want answer) answer {
			switch {
			case want.Status != http.StatusMethodNotAllowed:
			case x.plain() || x.json():
				want.Headers["Allow"] = "POST"
			case strings.Contains(x.Path, "/api/"):
				want.Headers["Allow"] = "GET"
			default:
				want.Headers["Allow"] = "GET, HEAD"
			}
			return want
		},
	},
	{
		Name:   "Pages for people",
		Reason: "The page of / is valid HTML, and the list of keys is text.",
		Expect: func(x *exchange, want answer) answer {
			switch {
			case strings.Contains(want.Body, "It works..."):
				want.Body = "<!DOCTYPE html>\n<html lang=\"en\">\n<title>X2Go Session Broker</title>\n<h1>X2Go Session Broker</h1><p>It works...</p>\n</html>\n"
			case strings.HasPrefix(x.Path, "/pubkeys") && want.Status == http.StatusOK:
				want.Headers["Content-Type"] = "text/plain; charset=utf-8"
			}
			return want
		},
	},
	{
		Name:   "The address of the broker is the one that was asked",
		Reason: "Where the file does not name it, the old broker says http://localhost:8080/, which is none for a client.",
		Expect: func(x *exchange, want answer) answer {
			want.Body = strings.ReplaceAll(want.Body, `"URL": "http://localhost:8080/`, `"URL": "http://broker.example.org/`)
			return want
		},
	},
	{
		Name:   "The emptier server is chosen",
		Reason: "Sessions that the broker has placed count. The old one draws lots where it has no agent to ask.",
		Cases:  []string{"select-localhost-multi/1"},
		Expect: func(x *exchange, want answer) answer {
			want.Body = strings.ReplaceAll(want.Body, "SERVER:brokerhost:", "SERVER:b:")
			return want
		},
	},
	{
		Name:   "Servers that no client can dial are left out",
		Reason: "The import says which, and leaves out profiles that have no other server.",
		Cases:  []string{"list-value-quotes", "list-unicode", "list-host-empty", "select-addr-forms"},
		Said:   true,
		Expect: func(x *exchange, want answer) answer {
			want.edit(func(all []*listed) []*listed {
				return slices.DeleteFunc(all, func(p *listed) bool { return !dialable.MatchString(plainValue(p.value("host"))) })
			})
			if server := selected.FindStringSubmatch(want.Body); server != nil && !dialable.MatchString(server[1]) {
				return text("Access denied: this session profile is not available\n")
			}
			return want
		},
	},
	{
		Name:   "Addresses that can be dialled",
		Reason: "Where the old broker makes 0.0.0.0 of an address, or puts a second port behind one, the site has the name, or the address with its port. The import says where.",
		Cases:  []string{"select-addr-forms"},
		Said:   true,
		Expect: func(x *exchange, want answer) answer {
			want.Body = mended(want.Body)
			return want
		},
	},
}

var lists = []*deviation{
	{
		Name:   "Lists name what a client is going to dial",
		Reason: "host and sshport are those of the server, as a selection gives them. Clients show them and do nothing else with them.",
		Cases:  []string{"list-host-addr", "list-json-types", "select-addr-forms/0"},
		Expect: func(x *exchange, want answer) answer {
			want.each(func(p *listed) { x.dialled(p) })
			return want
		},
	},
	{
		Name:   "A server is there once",
		Reason: "A host that is named twice is one.",
		Cases:  []string{"list-duplicate-hosts"},
		Expect: func(x *exchange, want answer) answer {
			want.each(func(p *listed) { p.set("host", "a") })
			return want
		},
	},
	{
		Name:   "Ids of profiles are plain",
		Reason: "X2Go Client sends them raw, and loses profiles whose ids have other characters than letters, digits, `.`, `_` and `-`. The import says what it made of them.",
		Cases:  []string{"list-id-with-space", "list-unicode"},
		Expect: func(x *exchange, want answer) answer {
			want.each(func(p *listed) { p.id = unusual.ReplaceAllString(inASCII.Replace(p.id), "-") })
			return want
		},
	},
	{
		Name:   "Numbers are checked",
		Reason: "A width of 0 is none; the import says that the default is assumed.",
		Cases:  []string{"list-int-0"},
		Said:   true,
		Expect: func(x *exchange, want answer) answer {
			want.each(func(p *listed) { p.set("width", "800") })
			return want
		},
	},
	{
		Name:   "Empty texts are not sent",
		Reason: "A key of RDP without a value is as none to the client.",
		Cases:  []string{"list-directrdp"},
		Expect: func(x *exchange, want answer) answer {
			want.each(func(p *listed) {
				p.keep(func(key string) bool { return !slices.Contains([]string{"rdpserver", "directrdpsettings"}, key) })
			})
			return want
		},
	},
	{
		Name:   "LXQt",
		Reason: "X2Go Client knows this desktop, and spells it so.",
		Expect: func(_ *exchange, want answer) answer {
			want.each(func(p *listed) {
				if p.value("command") == "LXQT" {
					p.set("command", "LXQt")
					p.set("rootless", false)
				}
			})
			return want
		},
	},
	{
		Name:   "Every profile has a name",
		Reason: "X2Go Client shows `New Session` for one without. The import takes the id.",
		Expect: func(_ *exchange, want answer) answer {
			want.each(func(p *listed) {
				if p.value("name") == nil {
					p.set("name", p.id)
				}
			})
			return want
		},
	},
	{
		Name:   "Keys cannot be taken back",
		Reason: "All keys are sent, those with the value `not-set` with their default: users get the same, whatever they have set in their client. The import says which.",
		Said:   true,
		Expect: func(x *exchange, want answer) answer {
			want.each(func(p *listed) {
				for _, k := range x.t.defaults() {
					if p.value(k.key) == nil || plainValue(p.value(k.key)) == "not-set" {
						p.set(k.key, k.value)
					}
				}
			})
			return want
		},
	},
	{
		Name:   "The broker's user is the server's",
		Reason: "Profiles do not log users in under another name than their own; the policy says who may use which account. The import says where the old broker did.",
		Expect: func(x *exchange, want answer) answer {
			user := strings.TrimSpace(x.form.Get("user"))
			if x.Command != nil {
				user = x.login()
			}
			want.each(func(p *listed) { p.set("user", user) })
			name := "anonymous"
			if !x.t.open() {
				name = "maja"
			}
			want.Body = username.ReplaceAllString(want.Body, `"Username": "`+name+`"`)
			return want
		},
	},
	{
		Name:   "Only keys of clients",
		Reason: "A key that no client knows has no effect, and one of them costs python-x2go the whole list.",
		Expect: func(_ *exchange, want answer) answer {
			want.each(func(p *listed) {
				p.keep(func(key string) bool { return slices.Contains(keyOrder, key) || key == "key" || key == "status" })
			})
			return want
		},
	},
	{
		Name:   "Switches are 1 or 0",
		Reason: "The old broker knows the types of some keys only and passes others on as they are written. X2Go Client reads both, python-x2go fails on words.",
		Expect: func(_ *exchange, want answer) answer {
			want.each(func(p *listed) {
				for _, key := range []string{"krblogin", "usebrokerpass", "autologin"} {
					if word, ok := p.value(key).(string); ok && (word == "true" || word == "false") {
						p.set(key, word == "true")
					}
				}
			})
			return want
		},
	},
	{
		Name:   "Order of keys",
		Reason: "The keys of a profile come in one order, whatever the order of its file. Clients do not depend on it.",
		Expect: func(x *exchange, want answer) answer {
			if x.plain() {
				want.each((*listed).sort)
			}
			return want
		},
	},
	{
		Name:   "Values as QSettings reads them",
		Reason: "X2Go Client reads the list with QSettings, which takes an unquoted comma for a list, a semicolon for a comment and UTF-8 for Latin-1.",
		Expect: func(x *exchange, want answer) answer {
			want.each(func(p *listed) {
				for i, k := range p.keys {
					if x.plain() && k.key != "applications" { // that is a list
						p.keys[i].value = readable(plainValue(k.value))
					}
				}
			})
			return want
		},
	},
}
