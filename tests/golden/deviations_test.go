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

	// Expect gives what is to be answered where the old broker answered want.
	Expect func(x *exchange, want answer) answer
}

func (d *deviation) concerns(x *exchange) bool {
	return d.Cases == nil || slices.Contains(d.Cases, x.t.Name) || slices.Contains(d.Cases, x.name)
}

// says gives an answer of one line of text.
func says(status int, line string) answer {
	return answer{Status: status, Headers: map[string]string{"Content-Type": "text/plain; charset=utf-8"}, Body: line + "\n"}
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
		"list-no-section", "list-notset-bool", "list-notset-command", "list-notset-sshport",
	},
	Reason: "The old broker answered each request with an internal error. The import names file and line and says what to do, before anybody asks anything; what it says is compared instead.",
	Expect: func(_ *exchange, want answer) answer { return want },
}

// testconPadding makes the answer to testcon long enough to time.
var testconPadding = strings.Repeat(strings.Repeat(".", 63)+"\n", 512)

// deviations are applied one after the other; first those that say whether a
// request is granted.
var deviations = []*deviation{
	importSays,
	{
		Name:   "The password decides beside a bad authid",
		Reason: "A wrong, used or expired authid counts as none. X2Go Client sends the password with each request, and would be refused for its old authid though its password is right.",
		Cases:  []string{"cookie-wrong-with-good-password", "cookie-auth-none-wrong", "cookie-required-mycookie/2", "cookie-required-mycookie/0", "cookie-required-none-given", "cookie-required-mycookie-filepresent/3"},
		Expect: func(_ *exchange, want answer) answer {
			if want.Status != http.StatusOK {
				want = says(http.StatusOK, "AUTHID:{{UUID:any}}\nAccess granted")
			}
			return want
		},
	},
	{
		Name:   "testcon leaves the authid as it is",
		Reason: "The old broker changes the authid and does not tell the client, who has none from then on.",
		Cases:  []string{"cookie-testcon-consumes/2"},
		Expect: func(*exchange, answer) answer {
			return says(http.StatusOK, "AUTHID:{{UUID:any}}\nAccess granted")
		},
	},
	{
		Name:   "A used authid ends all that came from it",
		Reason: "Somebody used it twice, and nobody can tell who: the password decides from then on.",
		Cases:  []string{"cookie-dynamic-rotation/4"},
		Expect: func(*exchange, answer) answer { return says(http.StatusUnauthorized, "") },
	},
	{
		Name:   "Wrong passwords are answered with 200",
		Reason: "X2Go Client ends itself on status 401, and asks for the password again on `Access denied` with 200.",
		Expect: func(x *exchange, want answer) answer {
			if x.plain() && want.Status == http.StatusUnauthorized {
				return says(http.StatusOK, "Access denied")
			}
			return want
		},
	},
	{
		Name:   "testcon",
		Reason: "X2Go Client looks for `Access granted` in the answer to testcon and measures how fast it comes, so that it has these words and some length.",
		Expect: func(x *exchange, want answer) answer {
			switch {
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
				return says(http.StatusOK, "Access denied: this session profile is not available")
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
				return says(http.StatusOK, "Access denied: passwords cannot be changed here")
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
		Expect: func(*exchange, answer) answer {
			return page(http.StatusBadRequest, ": the request is not valid UTF-8")
		},
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
			if want.Status == http.StatusMethodNotAllowed && (x.plain() || x.json()) {
				want.Headers["Allow"] = http.MethodPost
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
		Expect: func(x *exchange, want answer) answer {
			want.each(func(p *listed) {
				for _, k := range x.t.defaults {
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
			want.each(func(p *listed) { p.set("user", user) })
			return want
		},
	},
	{
		Name:   "Only keys of clients",
		Reason: "A key that no client knows has no effect, and one of them costs python-x2go the whole list.",
		Expect: func(_ *exchange, want answer) answer {
			want.each(func(p *listed) { p.keep(func(key string) bool { return slices.Contains(keyOrder, key) }) })
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
