package hostile_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Class 1. A name with a line break writes a second line: into the log, where it
// forges an entry; into the answer, where it grants; into a protocol that ends
// its messages with a line. So no field may have a control character, and what is
// refused is not repeated.
func TestControlCharactersGoNowhere(t *testing.T) {
	v := start(t, "")
	const mark = "F0RGED"
	for _, field := range []string{"user", "password", "authid", "login", "sid", "pubkey", "newpass", "profile-id"} {
		for _, control := range []string{"\r\n", "\n", "\r", "\x00", "\x1b[2J", "\x7f", "\u0085", "\b"} {
			for _, door := range []string{"/plain/", "/json/"} {
				form := login("task", "selectsession", "sid", "everywhere")
				form.Set(field, form.Get(field)+control+mark)
				code, body := v.post(door, form)
				if code != http.StatusBadRequest || granted(body) || strings.Contains(body, mark) {
					t.Errorf("%s, %s with %q: %d %q", door, field, control, code, body)
				}
			}
		}
	}
	basic := base64.StdEncoding.EncodeToString([]byte("alice\n" + mark + ":alice-pw"))
	answer := v.send(home, "GET /uccs/inifile/api/5 HTTP/1.1\r\nHost: broker\r\nConnection: close\r\nAuthorization: Basic "+basic+"\r\n\r\n")
	if code, body := v.parse(answer); code == http.StatusOK || strings.Contains(body, mark) {
		t.Errorf("UCCS: %d %q", code, body)
	}
	for line := range strings.Lines(v.Log()) {
		if !strings.HasPrefix(line, "time=") || strings.ContainsAny(strings.TrimSuffix(line, "\n"), "\r\x00\x1b\x7f\u0085\b") {
			t.Errorf("the log has %q", line)
		}
	}
	v.unharmed()
}

// Class 2. The old broker took a piece of the path, or of the form, for the name
// of a module to load. A request chooses from a fixed table here: all else is not
// found, and fields that the table does not know change nothing.
func TestARequestChoosesNoCode(t *testing.T) {
	v := start(t, "")
	for _, path := range []string{
		"/plain/base", "/plain/infile/", "/plain/os", "/plain/..%2Fjson", "/json/x2gobroker.brokers.inifile_broker",
		"/xml/", "/plain/zeroconf", "/plain/pam", "/authservice", "/plain/inifile%00", "/uccs/base/api/5", "/debug/pprof/", "/metrics", "/v1/status",
	} {
		if code, body := v.post(path, login()); code != http.StatusNotFound && code != http.StatusMethodNotAllowed || granted(body) {
			t.Errorf("%s: %d %q", path, code, body)
		}
	}
	_, want := v.post("/plain/", login("authid", ""))
	for _, field := range []string{"backend", "broker", "auth_mech", "authmech", "pam_service", "service", "module", "authenticator", "config"} {
		for _, value := range []string{"none", "sshd", "zeroconf", "testsuite"} {
			_, got := v.post("/plain/", login(field, value))
			if diff := cmp.Diff(withoutTicket(want), withoutTicket(got)); diff != "" {
				t.Errorf("%s=%s (-want +got):\n%s", field, value, diff)
			}
			if _, got := v.post("/plain/", login(field, value, "password", "")); granted(got) {
				t.Errorf("%s=%s lets in without a password", field, value)
			}
		}
	}
}

func withoutTicket(body string) string {
	before, rest, _ := strings.Cut(body, "AUTHID:")
	_, after, _ := strings.Cut(rest, "\n")
	return before + after
}

// Class 4. A name with slashes and dots becomes a path, one of 300 letters a file
// that cannot be made, and one in letters that look like others somebody else. No
// file is named from a request: afterwards the state directory has no other files.
func TestNoFileIsNamedFromARequest(t *testing.T) {
	v := start(t, "")
	v.unharmed()
	names := []string{
		"../../../../etc/passwd", "..", ".", "/", "/etc/shadow", "a/b", `..\..\x`, "alice/", "./alice", "~alice", strings.Repeat("a", 300), strings.Repeat("ä", 300),
		"ａlice", "аlice", "alice\u200b", "ali\u00adce", "ALICE\u0307", "%2e%2e%2f", "$HOME", "-rf", "alice%00",
	}
	for _, name := range names {
		for _, field := range []string{"user", "authid", "login", "sid", "profile-id"} {
			form := login("task", "selectsession", "sid", "everywhere")
			if field == "authid" {
				form.Set("password", "wrong")
			}
			form.Set(field, name)
			if _, body := v.post("/plain/", form); field != "profile-id" && strings.Contains(body, "SERVER:") {
				t.Errorf("%s=%q gets a server: %q", field, name, body)
			}
		}
	}
	beside, err := os.ReadDir(filepath.Dir(v.state))
	if err != nil || len(beside) != 1 {
		t.Errorf("beside the state directory: %v, %v", beside, err)
	}
	for file := range v.files() {
		if slices.Contains(names, filepath.Base(file)) || !regexp.MustCompile(`^/(git/[A-Za-z0-9./-]+|[a-z-]+(\.[a-z0-9]+){0,2})$`).MatchString(file) {
			t.Errorf("there is a file %q", file)
		}
	}
}

// Class 5. What a client sends ends up in a command line: a semicolon in a name
// runs a second command. No shell runs anywhere, and no program is started for a
// request.
func TestNothingFromARequestReachesAShell(t *testing.T) {
	v := start(t, "")
	v.unharmed()
	bait := filepath.Join(t.TempDir(), "bait")
	before := v.children()
	for _, pattern := range []string{"; touch %", "$(touch %)", "`touch %`", "| touch %", "&& touch %", "alice' ; touch % ; '", `" ; touch % ; "`, "alice -oProxyCommand='touch %'"} {
		command := strings.ReplaceAll(pattern, "%", bait)
		for _, field := range []string{"user", "password", "login", "sid", "authid", "newpass", "profile-id"} {
			form := login("task", "selectsession", "sid", "everywhere")
			form.Set(field, command)
			v.post("/plain/", form)
			v.post("/json/", form)
		}
		key := "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINW/Sj/M5xewOIvMJ0nrwUitmWmyP0XuG2Bf1Yd4V2rE " + command
		v.post("/plain/", login("task", "selectsession", "sid", "everywhere", "pubkey", key))
		v.post("/plain/", login("task", "selectsession", "sid", "everywhere", "pubkey", command))
	}
	if diff := cmp.Diff(before, v.children()); diff != "" {
		t.Errorf("processes (-before +after):\n%s", diff)
	}
	if _, err := os.Stat(bait); err == nil {
		t.Error("a command from a request was run")
	}
	v.unharmed()
}

// Class 6. alice logs in with her own password and asks for bob's account on the
// server. It is his only where a policy says so; nothing says so here.
func TestLoginNamesNobodyElse(t *testing.T) {
	v := start(t, "")
	for _, door := range []string{"/plain/", "/json/"} {
		for _, account := range []string{"bob", "root", "Alice", "alice ", "bob,alice", "alice bob", "*"} {
			_, body := v.post(door, login("task", "selectsession", "sid", "everywhere", "login", account))
			if answers := strings.Contains(body, "ts01"); answers != (strings.TrimSpace(account) == "alice") {
				t.Errorf("%s, login=%q: %q", door, account, body)
			}
		}
		if _, body := v.post(door, login("task", "selectsession", "sid", "everywhere", "login", "alice")); !strings.Contains(body, "ts01") {
			t.Errorf("%s: her own account: %q", door, body)
		}
	}
}

// Class 10. A link with a password in it ends up in histories, logs and referrers;
// and a debug switch that somebody forgot lets requests in that no client sends.
// Credentials in a URL are refused wherever they are, and there is no switch.
func TestURLsAndDebugSwitchesOpenNothing(t *testing.T) {
	t.Setenv("X2GOBROKER_DEBUG", "1")
	t.Setenv("X2BROKER_DEBUG", "1")
	v := start(t, "")
	query := login("password", "alice-pw").Encode()
	for _, extra := range []string{"", "&debug=1", "&X2GOBROKER_DEBUG=1"} {
		for _, path := range []string{"/plain/", "/json/", "/plain/inifile"} {
			answer := v.send(home, "GET "+path+"?"+query+extra+" HTTP/1.1\r\nHost: broker\r\nConnection: close\r\n\r\n")
			if code, body := v.parse(answer); code < 400 || granted(body) || strings.Contains(body, "alice") {
				t.Errorf("GET %s%s: %d %q", path, extra, code, body)
			}
			if code, body := v.post(path+"?"+query+extra, url.Values{}); code < 400 || granted(body) {
				t.Errorf("POST %s%s: %d %q", path, extra, code, body)
			}
		}
	}
	if strings.Contains(v.Log(), "alice-pw") {
		t.Error("the password is in the log")
	}
	v.unharmed()
}
