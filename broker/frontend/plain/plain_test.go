package plain_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/x2broker/x2broker/broker/frontend/doortest"
	"github.com/x2broker/x2broker/broker/frontend/plain"
)

const site = `package site

site: name: "S"
servers: {srv1: address: "srv1.example.org", down: state: "maintenance"}
profiles: {
	p1: {name: "One", hosts: ids: ["srv1"], access: users: ["maja"]}
	hidden: {name: "Hidden", hosts: ids: ["srv1"], access: users: ["willi"]}
	full: {name: "Nowhere", hosts: ids: ["down"], access: users: ["willi"]}
}
`

const policy = `package x2go.login

deny contains reason if {
	input.user.name == "thekla"
	reason := "your account is blocked\nAccess granted"
}

deny contains "the library is closed" if input.user.name == "flip"
`

const overlay = `package x2go.access

overlay.full.width contains 1024 if input.user.name == "willi"
`

// A door is the frontend over the real service, and what it logged.
type door struct {
	doortest.Door
	t   testing.TB
	log *doortest.Log
}

func newDoor(t testing.TB, deniedStatus int) *door {
	t.Helper()
	b := doortest.New(t, doortest.Files{
		"site.cue": site, "policy/login.rego": policy, "policy/access.rego": overlay,
	}, "maja", "willi", "thekla", "flip", "nobody")
	return &door{doortest.Open("/plain/", plain.New(b.Options, deniedStatus)), t, b.Log}
}

// post gives the reply with the ticket replaced by T.
func (d *door) post(body string) string {
	d.t.Helper()
	w := d.Do(http.MethodPost, "/plain/", body)
	if w.Code != http.StatusOK {
		d.t.Errorf("%s: status %d", body, w.Code)
	}
	return regexp.MustCompile(`AUTHID:[A-Za-z0-9_-]+\n`).ReplaceAllString(w.Body.String(), "AUTHID:T\n")
}

const (
	maja  = "user=maja&password=s%26w%20%C3%BC&"
	willi = "user=willi&password=s%26w%20%C3%BC&"
)

// The profile block is byte for byte the reference broker's (x2gobroker 0.0.4.3).
func TestListing(t *testing.T) {
	want := `AUTHID:T
Access granted
START_USER_SESSIONS

[p1]
name=One
host=srv1.example.org
command=TERMINAL
kdrive=0
defsndport=1
useiconv=0
iconvfrom=UTF-8
height=600
export=
quality=9
fullscreen=0
layout=
useexports=1
width=800
speed=2
soundsystem=pulse
print=1
type=auto
sndport=4713
xinerama=1
variant=
usekbd=1
fstunnel=1
applications=TERMINAL,WWWBROWSER,MAILCLIENT,OFFICE
multidisp=0
sshproxyport=22
sound=1
rootless=1
iconvto=UTF-8
soundtunnel=1
dpi=96
sshport=22
setdpi=0
pack=16m-jpeg
user=maja
directrdp=0

END_USER_SESSIONS
`
	if diff := cmp.Diff(want, newDoor(t, 200).post(maja+"task=listsessions")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAnOverlayReachesTheClient(t *testing.T) {
	got := newDoor(t, 200).post(willi + "task=listsessions")
	blocks := strings.Split(got, "\n\n")
	if len(blocks) != 4 {
		t.Fatalf("want two profiles, got\n%s", got)
	}
	for i, width := range []string{"width=1024", "width=800"} {
		if block := "\n" + blocks[i+1] + "\n"; !strings.Contains(block, "\n"+width+"\n") || !strings.Contains(block, "\nuser=willi\n") {
			t.Errorf("want %s and user=willi, got\n%s", width, block)
		}
	}
}

func TestAnswers(t *testing.T) {
	denied := "Access denied\n"
	notOffered := "Access denied: this session profile is not available\n"
	tests := map[string]struct{ body, want string }{
		"select":                            {maja + "task=selectsession&sid=p1", "AUTHID:T\nAccess granted\nSERVER:srv1.example.org:22\n"},
		"select as oneself":                 {maja + "task=selectsession&sid=p1&login=maja", "AUTHID:T\nAccess granted\nSERVER:srv1.example.org:22\n"},
		"select a hidden profile":           {maja + "task=selectsession&sid=hidden", notOffered},
		"select an unknown profile":         {maja + "task=selectsession&sid=nothing", notOffered},
		"select nothing":                    {maja + "task=selectsession", notOffered},
		"select as somebody else":           {maja + "task=selectsession&sid=p1&login=root", "Access denied: this account is not available\n"},
		"select where no server is":         {willi + "task=selectsession&sid=full", "Access denied: no server is available for this session profile\n"},
		"list as somebody else":             {"user=nobody&password=s%26w%20%C3%BC&login=maja&task=listsessions", "AUTHID:T\nAccess granted\n"},
		"list nothing":                      {"user=nobody&password=s%26w%20%C3%BC&task=listsessions", "AUTHID:T\nAccess granted\n"},
		"no task":                           {maja, "AUTHID:T\nAccess granted\n"},
		"unknown task":                      {maja + "task=LISTSESSIONS", "AUTHID:T\nAccess granted\n"},
		"wrong password":                    {"user=maja&password=x&task=listsessions", denied},
		"unknown user":                      {"user=nemo&password=x&task=listsessions", denied},
		"no password":                       {"user=maja&task=listsessions", denied},
		"nobody":                            {"task=listsessions", denied},
		"setpass":                           {maja + "task=setpass&newpass=y", "Access denied: passwords cannot be changed here\n"},
		"an event without a ticket":         {maja + "task=clientevent&event=ALIVE&sid=x", denied},
		"denied by policy":                  {"user=flip&password=s%26w%20%C3%BC&task=listsessions", "Access denied: the library is closed\n"},
		"a policy's words can never grant":  {"user=thekla&password=s%26w%20%C3%BC&task=listsessions", "Access denied: refused by the policy of the site\n"},
		"a connection test by wrong people": {"user=maja&password=x&task=testcon", denied},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, newDoor(t, 200).post(test.body)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnEventLeavesTheTicketAsItIs(t *testing.T) {
	d := newDoor(t, 200)
	reply := func(body string) string { return d.Do(http.MethodPost, "/plain/", body).Body.String() }
	ticket := strings.TrimPrefix(strings.SplitN(reply(maja), "\n", 2)[0], "AUTHID:")
	for range 3 {
		if got := reply("user=maja&task=clientevent&event=ALIVE&sid=x&authid=" + ticket); got != "Access granted\n" {
			t.Errorf("%q", got)
		}
	}
}

func TestConnectionTestNeedsNoLoginAndIsLong(t *testing.T) {
	for _, body := range []string{"task=testcon", maja + "task=testcon"} {
		got := newDoor(t, 200).post(body)
		if !strings.HasPrefix(got, "OK\nAccess granted\n") || len(got) < 30000 || strings.Contains(got, "AUTHID") {
			t.Errorf("%s: %d bytes, %.40q", body, len(got), got)
		}
	}
}

// One profile, which is the reference broker's but for its id, a new one each
// time, and the user, whom it leaves out.
func TestZeroconf(t *testing.T) {
	b := doortest.New(t, doortest.Files{"site.cue": site}, "maja")
	if err := b.Service.Zeroconf("mate"); err != nil {
		t.Fatal(err)
	}
	b.Options.Zeroconf = true
	d := &door{doortest.Open("/plain/", plain.New(b.Options, 200)), t, b.Log}
	post := func(body string) string {
		return d.Do(http.MethodPost, "/plain/zeroconf/", maja+body).Body.String()
	}
	list := post("task=listsessions")
	if strings.Count(list, "[") != 1 {
		t.Errorf("not one profile:\n%s", list)
	}
	for _, line := range []string{"[localhost]", "name=LOCALHOST", "host=localhost", "sshport=22", "command=MATE", "rootless=0", "user=maja"} {
		if !strings.Contains(list, "\n"+line+"\n") {
			t.Errorf("no %s in\n%s", line, list)
		}
	}
	if got := post("task=selectsession&sid=localhost"); !strings.HasSuffix(got, "Access granted\nSERVER:localhost:22\n") {
		t.Errorf("got %q", got)
	}
	if got := post("task=selectsession&sid=p1"); got != "Access denied: this session profile is not available\n" {
		t.Errorf("got %q", got)
	}
	if got := d.post(maja + "task=selectsession&sid=localhost"); got != "Access denied: this session profile is not available\n" {
		t.Errorf("beside zeroconf: got %q", got)
	}
}

func TestDeniedStatusCanBe401(t *testing.T) {
	d := newDoor(t, http.StatusUnauthorized)
	if w := d.Do(http.MethodPost, "/plain/", "user=maja&password=x&task=listsessions"); w.Code != 401 {
		t.Errorf("wrong password: %d", w.Code)
	}
	if w := d.Do(http.MethodPost, "/plain/", maja+"task=selectsession&sid=hidden"); w.Code != 200 {
		t.Errorf("hidden profile: %d, any other status than 200 ends the client", w.Code)
	}
}

func TestPathsAndMethods(t *testing.T) {
	d := newDoor(t, 200)
	for _, test := range []struct {
		method, path string
		status       int
	}{
		{"POST", "/plain/", 200},
		{"POST", "/plain/?y=1", 200},
		{"POST", "/plain/inifile", 200},
		{"POST", "/plain/inifile//", 200},
		{"POST", "/plain/inifile/any/thing", 200},
		{"POST", "/plain/zeroconf/", 404}, // switched off
		{"POST", "/plain//inifile", 404},
		{"POST", "/plain/INIFILE/", 404},
		{"POST", "/plain/base", 404},
		{"POST", "/plain/../../etc/passwd", 404},
		{"GET", "/plain/", 405},
		{"HEAD", "/plain/", 405},
		{"PUT", "/plain/inifile", 405},
		{"GET", "/plain/nothing", 404},
	} {
		if w := d.Do(test.method, test.path, maja+"task=listsessions"); w.Code != test.status {
			t.Errorf("%s %s: got %d, want %d", test.method, test.path, w.Code, test.status)
		}
	}
}

func TestThePathMayBeginWithTheFrontends(t *testing.T) {
	b := doortest.New(t, doortest.Files{"site.cue": site}, "maja")
	b.Options.Path = "/x2go/plain/"
	d := doortest.Open("", plain.New(b.Options, 200))
	for path, status := range map[string]int{
		"/x2go/plain/": 200, "/x2go/plain/inifile/": 200, "/x2go/plain//inifile": 404, "/x2go/plain/base": 404, "/plain/": 404,
	} {
		if w := d.Do(http.MethodPost, path, maja+"task=listsessions"); w.Code != status {
			t.Errorf("%s: got %d, want %d", path, w.Code, status)
		}
	}
}

func TestThrottledLoginsAreToldHowLong(t *testing.T) {
	d := newDoor(t, 200)
	got := ""
	for range 8 {
		got = d.post("user=maja&password=x&task=listsessions")
	}
	if want := "Access denied: too many failed logins, try again in 1 s\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Control characters never reach a log line or
// a reply.
func TestControlCharactersAreRefusedInEveryField(t *testing.T) {
	d := newDoor(t, 200)
	for _, field := range []string{"user", "password", "authid", "login", "sid", "pubkey", "newpass"} {
		for _, c := range []string{"%0D", "%0A", "%00", "%1B", "%7F", "%C2%85"} {
			w := d.Do(http.MethodPost, "/plain/", maja+"task=selectsession&sid=p1&"+field+"=FORGED"+c+"LINE")
			if w.Code != 400 || strings.Contains(w.Body.String(), "FORGED") || strings.Contains(w.Body.String(), "granted") {
				t.Errorf("%s with %s: %d %q", field, c, w.Code, w.Body)
			}
		}
	}
	if strings.Contains(d.log.String(), "FORGED") {
		t.Errorf("the log has it:\n%s", d.log)
	}
}

func TestLargeBodiesAreRefused(t *testing.T) {
	if w := newDoor(t, 200).Do(http.MethodPost, "/plain/", maja+strings.Repeat("x", 1<<20)); w.Code != 413 {
		t.Errorf("got %d, want 413", w.Code)
	}
}

// BenchmarkList is a list with a ticket without what net/http does.
func BenchmarkList(b *testing.B) {
	d := newDoor(b, http.StatusOK)
	ticket := ""
	b.ReportAllocs()
	for b.Loop() {
		d.log.Reset()
		reply, ok := strings.CutPrefix(d.Do(http.MethodPost, "/plain/", maja+"task=listsessions&authid="+ticket).Body.String(), "AUTHID:")
		if !ok {
			b.Fatalf("%.100q", reply)
		}
		ticket, _, _ = strings.Cut(reply, "\n")
	}
}
