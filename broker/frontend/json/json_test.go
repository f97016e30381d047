package json_test

import (
	stdjson "encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/x2broker/x2broker/broker/frontend/doortest"
	"github.com/x2broker/x2broker/broker/frontend/json"
)

const site = `package site

site: name: "S"
servers: {srv1: address: "srv1.example.org", down: state: "maintenance"}
profiles: {
	p1: {name: "One", hosts: ids: ["srv1"], access: users: ["maja"]}
	hidden: {name: "Hidden", hosts: ids: ["srv1"], access: users: ["willi"]}
	full: {name: "Nowhere", hosts: ids: ["down"], access: users: ["willi"]}
	all: {
		name: "Büro \"🖥\"", icon: ":/icons/x.png", autologin: true, usebrokerpass: true
		hosts: ids: ["srv1"], access: users: ["thekla"]
		x2go: {
			applications: [], export: "/home/a:1;/data:0;C:\\b#1;"
			shadowuser: "root", shadowdisplay: "0", xdmcpclient: "Xnest", directxdmcpsettings: "x", directxdmcp: true
		}
	}
}
`

const policy = `package x2go.login

deny contains "the library is closed" if input.user.name == "flip"
deny contains "no JSON for you" if {
	input.user.name == "puck"
	input.client.frontend == "json"
}
`

// A door is the frontend over the real service.
type door struct {
	doortest.Door
	t   testing.TB
	log *doortest.Log
}

func newDoor(t testing.TB) *door {
	t.Helper()
	b := doortest.New(t, doortest.Files{"site.cue": site, "policy/login.rego": policy},
		"maja", "willi", "thekla", "flip", "puck", "nobody", "büro")
	return &door{doortest.Open("/json/", json.New(b.Options)), t, b.Log}
}

var ticket = regexp.MustCompile(`"next-authid": "([A-Za-z0-9_-]+)"`)

// post gives the reply with the ticket replaced by T.
func (d *door) post(body string) string {
	d.t.Helper()
	w := d.Do(http.MethodPost, "/json/", body)
	if w.Code != http.StatusOK {
		d.t.Errorf("%s: status %d", body, w.Code)
	}
	if got := w.Header().Get("Content-Type"); got != "text/json; charset=utf-8" {
		d.t.Errorf("%s: Content-Type %q", body, got)
	}
	return ticket.ReplaceAllString(w.Body.String(), `"next-authid": "T"`)
}

const (
	password = "password=s%26w%20%C3%BC&"
	maja     = "user=maja&" + password
	willi    = "user=willi&" + password
)

// Byte for byte the reference broker's (x2gobroker 0.0.4.3).
const listing = `{
    "auth-status": "Access granted",
    "next-authid": "T",
    "profiles": {
        "p1": {
            "applications": [
                "TERMINAL",
                "WWWBROWSER",
                "MAILCLIENT",
                "OFFICE"
            ],
            "command": "TERMINAL",
            "defsndport": true,
            "directrdp": false,
            "dpi": 96,
            "export": "",
            "fstunnel": true,
            "fullscreen": false,
            "height": 600,
            "host": [
                "srv1.example.org"
            ],
            "iconvfrom": "UTF-8",
            "iconvto": "UTF-8",
            "kdrive": false,
            "layout": "",
            "multidisp": false,
            "name": "One",
            "pack": "16m-jpeg",
            "print": true,
            "quality": 9,
            "rootless": true,
            "setdpi": 0,
            "sndport": 4713,
            "sound": true,
            "soundsystem": "pulse",
            "soundtunnel": true,
            "speed": 2,
            "sshport": 22,
            "sshproxyport": 22,
            "type": "auto",
            "useexports": true,
            "useiconv": false,
            "usekbd": true,
            "user": "maja",
            "variant": "",
            "width": 800,
            "xinerama": true
        }
    },
    "task": "listprofiles"
}`

func TestListing(t *testing.T) {
	for _, task := range []string{"listsessions", "listprofiles"} {
		if diff := cmp.Diff(listing, newDoor(t).post(maja+"task="+task)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", task, diff)
		}
	}
}

// Users who are offered the same share the text, and nothing of each other.
func TestAListIsWrittenForEachUser(t *testing.T) {
	b := doortest.New(t, doortest.Files{"site.cue": `package site

site: name: "S"
servers: srv1: {}
profiles: [string]: {name: "P", hosts: ids: ["srv1"], access: everyone: true}
profiles: {a: {}, b: {}}
`}, "maja", `d"ü`)
	d := &door{doortest.Open("/json/", json.New(b.Options)), t, b.Log}
	for user, written := range map[string]string{"maja": "maja", "d%22%C3%BC": `d\"\u00fc`} {
		got := d.post("user=" + user + "&" + password + "task=listprofiles")
		if n := strings.Count(got, `            "user": "`+written+`",`); n != 2 {
			t.Errorf("%s: found %d times in\n%s", user, n, got)
		}
		if !stdjson.Valid([]byte(got)) {
			t.Errorf("no JSON:\n%s", got)
		}
	}
}

// The types are those that python-x2go gives the keys; see tests/e2e for what it
// says to them.
func TestValuesHaveTheTypesOfPythonX2go(t *testing.T) {
	var reply struct{ Profiles map[string]map[string]any }
	text := newDoor(t).post("user=thekla&" + password + "task=listprofiles")
	if err := stdjson.Unmarshal([]byte(text), &reply); err != nil {
		t.Fatal(err)
	}
	got := reply.Profiles["all"]
	for key, want := range map[string]any{
		"name": `Büro "🖥"`, "icon": ":/icons/x.png", "user": "thekla", "autologin": true, "usebrokerpass": true,
		"applications": []any{}, "host": []any{"srv1.example.org"}, "sshport": 22.0, "directxdmcp": true,
		"export":     map[string]any{"/home/a": true, "/data": false, `C:\b`: true},
		"shadowuser": nil, "shadowdisplay": nil, "xdmcpclient": nil, "directxdmcpsettings": nil,
	} {
		if diff := cmp.Diff(want, got[key]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", key, diff)
		}
	}
	if !strings.Contains(text, `"name": "B\u00fcro \"\ud83d\udda5\""`) {
		t.Errorf("the name is not in ASCII as Python writes it:\n%s", text)
	}
}

func TestAnswers(t *testing.T) {
	reply := func(members string) string {
		return "{\n    \"auth-status\": \"Access granted\",\n" + members + "\n}"
	}
	const next = "    \"next-authid\": \"T\",\n"
	server := func(name string) string {
		return "    \"selected_session\": {\n        \"port\": \"22\",\n        \"server\": \"" + name + "\"\n    },\n    \"task\": \"selectsession\""
	}
	nothing := next + "    \"selected_session\": {},\n    \"task\": \"selectsession\""
	tests := map[string]struct{ body, want string }{
		"first request of python-x2go": {maja, next + `    "task": ""`},
		"unknown task":                 {maja + "task=LISTSESSIONS", next + `    "task": "LISTSESSIONS"`},
		"a task in quotes":             {maja + `task=%22%C3%BC`, next + `    "task": "\"\u00fc"`},
		"list nothing":                 {"user=nobody&" + password + "task=listprofiles", next + "    \"profiles\": {},\n    \"task\": \"listprofiles\""},
		"select by profile-id":         {maja + "task=selectsession&profile-id=p1", next + server("srv1.example.org")},
		"select by sid":                {maja + "task=selectsession&sid=p1", next + server("srv1.example.org")},
		"sid counts before profile-id": {maja + "task=selectsession&sid=p1&profile-id=hidden", next + server("srv1.example.org")},
		"select nothing":               {maja + "task=selectsession", nothing},
		"an empty sid counts":          {maja + "task=selectsession&sid=&profile-id=p1", nothing},
		"select with a key": {
			maja + "task=selectsession&profile-id=p1&pubkey=no-X11-forwarding,no-pty,no-user-rc+ssh-rsa+AAAAB3NzaC1yc2E%3D+", next + server("srv1.example.org"),
		},
		"select a hidden profile":   {maja + "task=selectsession&sid=hidden", server("no-server-available")},
		"select an unknown profile": {maja + "task=selectsession&sid=nothing", server("no-server-available")},
		"select where no server is": {willi + "task=selectsession&sid=full", server("no-server-available")},
		"connection test":           {maja + "task=testcon", `    "task": "testcon"`},
		"connection test of nobody": {"task=testcon", `    "task": "testcon"`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(reply(test.want), newDoor(t).post(test.body)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestRefusalsArePagesOfAStatus(t *testing.T) {
	for name, test := range map[string]struct {
		body   string
		status string
	}{
		"wrong password":       {"user=maja&password=x&task=listprofiles", "401: Unauthorized"},
		"unknown user":         {"user=nemo&password=x", "401: Unauthorized"},
		"no password":          {"user=maja", "401: Unauthorized"},
		"nobody":               {"", "401: Unauthorized"},
		"denied by policy":     {"user=flip&" + password, "401: Unauthorized"},
		"denied here":          {"user=puck&" + password, "401: Unauthorized"},
		"a test by others":     {"user=maja&password=x&task=testcon", "401: Unauthorized"},
		"an event, no ticket":  {maja + "task=clientevent&event=ALIVE&sid=x", "401: Unauthorized"},
		"as somebody else":     {maja + "task=selectsession&sid=p1&login=root", "403: Forbidden"},
		"setpass":              {maja + "task=setpass&newpass=y", "403: Forbidden"},
		"a user that is bytes": {"user=%FF", "400: Bad Request: the request is not valid UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newDoor(t).Do(http.MethodPost, "/json/", test.body)
			title, _, _ := strings.Cut(test.status, ": the")
			want := "<html><title>" + title + "</title><body>" + test.status + "</body></html>"
			if got := w.Body.String(); got != want || !strings.HasPrefix(want, "<html><title>"+w.Result().Status[:3]) {
				t.Errorf("got %d %q, want %q", w.Code, got, want)
			}
			if got := w.Header().Get("WWW-Authenticate"); got != "" {
				t.Errorf("WWW-Authenticate: %q", got)
			}
			if got := w.Header().Get("Content-Type"); got != "text/html; charset=UTF-8" {
				t.Errorf("Content-Type: %q", got)
			}
		})
	}
}

// python-x2go sends its password once, and then what the last reply said.
func TestOneTicketAfterTheOther(t *testing.T) {
	d := newDoor(t)
	w := d.Do(http.MethodPost, "/json/", maja)
	for _, task := range []string{"listprofiles", "listprofiles", "selectsession&profile-id=p1&pubkey=ssh-rsa+AAAA", "listprofiles"} {
		m := ticket.FindStringSubmatch(w.Body.String())
		if w.Code != http.StatusOK || m == nil {
			t.Fatalf("before %s: %d %s", task, w.Code, w.Body)
		}
		w = d.Do(http.MethodPost, "/json/", "user=maja&authid="+m[1]+"&task="+task)
	}
	if w.Code != http.StatusOK {
		t.Errorf("last: %d %s", w.Code, w.Body)
	}
}

func TestThrottledLoginsAreToldWhenToComeAgain(t *testing.T) {
	d := newDoor(t)
	w := d.Do(http.MethodPost, "/json/", "user=maja&password=x")
	for range 7 {
		w = d.Do(http.MethodPost, "/json/", "user=maja&password=x")
	}
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "1" {
		t.Errorf("got %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
}

func TestPathsAndMethods(t *testing.T) {
	d := newDoor(t)
	for _, test := range []struct {
		method, path string
		status       int
	}{
		{"POST", "/json/", 200},
		{"POST", "/json/?y=1", 200},
		{"POST", "/json/inifile/any/thing", 200},
		{"POST", "/json/zeroconf", 404}, // switched off
		{"POST", "/json//inifile", 404},
		{"POST", "/json/INIFILE", 404},
		{"POST", "/json/base/", 404},
		{"POST", "/json/../../etc/passwd", 404},
		{"POST", "/json/?password=x", 400}, // URLs end up in logs
		{"POST", "/json/?user=maja", 400},
		{"GET", "/json/", 405},
		{"HEAD", "/json/", 405},
		{"OPTIONS", "/json/inifile", 405},
	} {
		if w := d.Do(test.method, test.path, maja+"task=listprofiles"); w.Code != test.status {
			t.Errorf("%s %s: got %d, want %d", test.method, test.path, w.Code, test.status)
		}
	}
}

func TestControlCharactersAreRefusedInEveryField(t *testing.T) {
	d := newDoor(t)
	for _, field := range []string{"user", "password", "authid", "login", "sid", "profile-id", "pubkey", "newpass", "task"} {
		for _, c := range []string{"%0D", "%0A", "%00", "%1B", "%7F", "%C2%85"} {
			w := d.Do(http.MethodPost, "/json/", maja+"task=selectsession&sid=p1&"+field+"=FORGED"+c+"LINE")
			if w.Code != 400 || strings.Contains(w.Body.String(), "FORGED") {
				t.Errorf("%s with %s: %d %q", field, c, w.Code, w.Body)
			}
		}
	}
	if strings.Contains(d.log.String(), "FORGED") {
		t.Errorf("the log has it:\n%s", d.log)
	}
}

// Secrets are in no log, at any level, whatever becomes of the request.
func TestSecretsAreNotLogged(t *testing.T) {
	d := newDoor(t)
	for _, body := range []string{
		"user=maja&password=SECRET1&authid=SECRET2&task=listprofiles",
		"user=SECRET3&password=x",
		maja + "authid=SECRET2&task=selectsession&sid=p1&pubkey=ssh-rsa+SECRET4",
		maja + "task=setpass&newpass=SECRET5",
		"user=%zz&password=SECRET6",
	} {
		d.Do(http.MethodPost, "/json/", body)
	}
	if strings.Contains(d.log.String(), "SECRET") || !strings.Contains(d.log.String(), "login denied") {
		t.Errorf("the log:\n%s", d.log)
	}
}

// No path, name or key of a request ever names a file or a host.
func TestOddNamesAreOnlyUnknown(t *testing.T) {
	d := newDoor(t)
	for _, name := range []string{"../../etc/passwd", strings.Repeat("a", 300), "ma\u0458a", "$(id)", "`id`", "p1;id", "|id"} {
		for _, field := range []string{"user", "authid", "sid"} {
			body := "user=maja&" + password + "task=selectsession&sid=p1"
			if w := d.Do(http.MethodPost, "/json/", body+"&"+field+"="+url.QueryEscape(name)); w.Code == http.StatusInternalServerError ||
				field == "user" && w.Code != http.StatusUnauthorized ||
				field == "sid" && !strings.Contains(w.Body.String(), "no-server-available") {
				t.Errorf("%s=%s: %d %s", field, name, w.Code, w.Body)
			}
		}
	}
}

func TestWithoutPasswordsThereIsNoTicket(t *testing.T) {
	b := doortest.NewOpen(t, doortest.Files{"site.cue": site})
	w := doortest.Open("/json/", json.New(b.Options)).DoFrom("127.0.0.1", http.MethodPost, "/json/", "user=maja&task=listprofiles")
	if diff := cmp.Diff(strings.Replace(listing, "    \"next-authid\": \"T\",\n", "", 1), w.Body.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Where the reference broker answers 500.
func TestZeroconf(t *testing.T) {
	b := doortest.New(t, doortest.Files{"site.cue": site, "policy/login.rego": policy}, "maja", "flip")
	if err := b.Service.Zeroconf("mate"); err != nil {
		t.Fatal(err)
	}
	b.Options.Zeroconf = true
	d := doortest.Open("/json/", json.New(b.Options))
	var reply struct {
		Profiles map[string]struct {
			Name, Command, User string
			Host                []string
			Rootless            bool
		}
		Selected map[string]string `json:"selected_session"`
	}
	ask := func(path, body string) {
		t.Helper()
		reply.Profiles, reply.Selected = nil, nil
		w := d.Do(http.MethodPost, path, body)
		if err := stdjson.Unmarshal(w.Body.Bytes(), &reply); err != nil || w.Code != http.StatusOK {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	ask("/json/zeroconf", maja+"task=listprofiles")
	if p, ok := reply.Profiles["localhost"]; !ok || len(reply.Profiles) != 1 || p.Name != "LOCALHOST" || p.Command != "MATE" ||
		p.Rootless || p.User != "maja" || len(p.Host) != 1 || p.Host[0] != "localhost" {
		t.Errorf("got %+v", reply.Profiles)
	}
	for _, test := range []struct{ path, id, server string }{
		{"/json/zeroconf/", "localhost", "localhost"},
		{"/json/zeroconf/", "p1", "no-server-available"}, // of the site
		{"/json/", "localhost", "no-server-available"},
	} {
		ask(test.path, maja+"task=selectsession&profile-id="+test.id)
		if reply.Selected["server"] != test.server || reply.Selected["port"] != "22" {
			t.Errorf("%+v: got %v", test, reply.Selected)
		}
	}
	for _, body := range []string{"user=flip&" + password, "user=maja&password=x&task=listprofiles"} {
		if w := d.Do(http.MethodPost, "/json/zeroconf", body+"&task=listprofiles"); w.Code != http.StatusUnauthorized {
			t.Errorf("%s: %d", body, w.Code)
		}
	}
}
