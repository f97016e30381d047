package uccs_test

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/x2broker/x2broker/broker/frontend/doortest"
	"github.com/x2broker/x2broker/broker/frontend/plain"
	"github.com/x2broker/x2broker/broker/frontend/uccs"
	"github.com/x2broker/x2broker/broker/session"
)

const site = `package site

site: name: "S"
servers: {
	srv1: {address: "srv1.example.org", port: 2201}
	v6: address: "2001:db8::1"
	drained: state: "drain"
	down: state: "maintenance"
}
profiles: {
	p1: {name: "Büro", hosts: ids: ["srv1", "drained", "down"], x2go: command: "mate"}
	p2: {name: "Two", hosts: ids: ["v6"], x2go: directrdp: true}
	p3: {name: "Three", hosts: ids: ["v6"], x2go: command: "/usr/bin/xterm"}
	p4: {name: "Nowhere", hosts: ids: ["drained", "down"]}
	p5: {name: "Hidden", hosts: ids: ["srv1"]}
}
profiles: [=~"^p[1-4]$"]: access: users: ["maja", "anonymous"]
`

const policy = `package x2go.login

deny contains "the <library> is closed" if {
	input.user.name == "flip"
	input.client.frontend == "uccs"
}
`

var files = doortest.Files{"site.cue": site, "policy/login.rego": policy}

func open(b *doortest.Broker, change func(*uccs.Options)) doortest.Door {
	o := uccs.Options{Options: b.Options, Now: func() time.Time { return time.Unix(1e9, 1000) }}
	if change != nil {
		change(&o)
	}
	return doortest.Open("/uccs/", uccs.New(o))
}

func newDoor(t testing.TB) (doortest.Door, *doortest.Broker) {
	t.Helper()
	b := doortest.New(t, files, "maja", "flip", "nobody", "who@example.org")
	return open(b, nil), b
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

var maja = basic("maja", doortest.Password)

const wantVersion5 = `{
  "AdditionalManagementServers": [],
  "DefaultServer": "Three",
  "Name": "X2Go Session Broker",
  "RemoteDesktopServers": [
    {
      "Command": "MATE",
      "CommandRequired": true,
      "Name": "B\u00fcro",
      "Password": "",
      "Protocol": "x2go",
      "URL": "http://srv1.example.org:2201/",
      "Username": "maja"
    },
    {
      "DomainRequired": true,
      "Name": "Two",
      "Password": "",
      "Protocol": "rdp",
      "URL": "http://[2001:db8::1]/",
      "Username": "maja",
      "WindowsDomain": "LOCAL"
    },
    {
      "Command": "/usr/bin/xterm",
      "CommandRequired": true,
      "Name": "Three",
      "Password": "",
      "Protocol": "x2go",
      "URL": "http://[2001:db8::1]:22/",
      "Username": "maja"
    }
  ],
  "URL": "http://example.com/uccs/inifile/"
}`

// The shape is the reference broker's (x2gobroker 0.0.4.3). Drained servers get
// nothing new, and p4 has no other.
func TestList(t *testing.T) {
	d, _ := newDoor(t)
	for path, want := range map[string]string{
		"/uccs/inifile/api/5":   wantVersion5,
		"/uccs/inifile/api/5//": wantVersion5,
		"/uccs/inifile/api/9":   wantVersion5,
		"/uccs//api/5":          strings.ReplaceAll(wantVersion5, "/uccs/inifile/", "/uccs/"),
	} {
		w := d.Do(http.MethodGet, path, "", "Authorization", maja)
		if diff := cmp.Diff(want, w.Body.String()); w.Code != http.StatusOK || diff != "" {
			t.Errorf("%s: %d (-want +got):\n%s", path, w.Code, diff)
		}
		if got := w.Header().Get("Content-Type"); got != "text/plain; charset=utf-8" {
			t.Errorf("Content-Type: %q", got)
		}
	}
}

func TestVersion4HasSessionTypes(t *testing.T) {
	d, _ := newDoor(t)
	var reply struct{ RemoteDesktopServers []map[string]any }
	w := d.Do(http.MethodGet, "/uccs/inifile/api/4", "", "Authorization", maja)
	if err := json.Unmarshal(w.Body.Bytes(), &reply); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"Name": "Büro", "Protocol": "x2go", "Username": "maja", "Password": "",
		"URL": "http://srv1.example.org:2201/", "SessionType": "MATE", "SessionTypeRequired": true,
	}
	if diff := cmp.Diff(want, reply.RemoteDesktopServers[0]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWhoSeesNothingGetsAnEmptyList(t *testing.T) {
	d, _ := newDoor(t)
	want := `{
  "AdditionalManagementServers": [],
  "Name": "X2Go Session Broker",
  "RemoteDesktopServers": [],
  "URL": "http://example.com/uccs/inifile/"
}`
	w := d.Do(http.MethodGet, "/uccs/inifile/api/5", "", "Authorization", basic("nobody", doortest.Password))
	if diff := cmp.Diff(want, w.Body.String()); diff != "" {
		t.Errorf("%d (-want +got):\n%s", w.Code, diff)
	}
}

func TestAuthentication(t *testing.T) {
	d, _ := newDoor(t)
	for name, test := range map[string]struct {
		header string
		status int
		user   string // in the list, "" for none
	}{
		"right":                              {maja, 200, "maja"},
		"the scheme in lower case":           {"b" + maja[1:], 200, "maja"},
		"a name with a domain":               {basic("maja@example.org", doortest.Password), 200, "maja"},
		"a user whose name has one":          {basic("who@example.org", doortest.Password), 200, ""},
		"an unknown name with a domain":      {basic("nemo@example.org", doortest.Password), 401, ""},
		"nothing before the domain":          {basic("@example.org", doortest.Password), 401, ""},
		"a wrong password with a domain":     {basic("maja@example.org", "x"), 401, ""},
		"no header":                          {"", 401, ""},
		"another scheme":                     {"Bearer x", 401, ""},
		"no Base64":                          {"Basic %%%", 401, ""},
		"no colon":                           {"Basic " + base64.StdEncoding.EncodeToString([]byte("nocolon")), 401, ""},
		"wrong password":                     {basic("flip", "x"), 401, ""},
		"no password":                        {basic("maja", ""), 401, ""},
		"a control character":                {basic("ma\nja", doortest.Password), 401, ""},
		"a name that is not UTF-8":           {basic("ma\xffja", doortest.Password), 401, ""},
		"a name of 300 bytes":                {basic(strings.Repeat("a", 300), doortest.Password), 401, ""},
		"a path for a name":                  {basic("../../etc/passwd", doortest.Password), 401, ""},
		"shell metacharacters":               {basic("$(id);`id`|id", doortest.Password), 401, ""},
		"a look-alike":                       {basic("m\u0430ja", doortest.Password), 401, ""},
		"denied by policy, which sees uccs":  {basic("flip", doortest.Password), 403, ""},
		"the site's policy sees who came in": {basic("flip@example.org", doortest.Password), 403, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := d.Do(http.MethodGet, "/uccs/inifile/api/5", "", "Authorization", test.header)
			if w.Code != test.status || strings.Contains(w.Body.String(), "Username") != (test.user != "") ||
				!strings.Contains(w.Body.String(), test.user) {
				t.Errorf("got %d %s", w.Code, w.Body)
			}
			challenge := w.Header().Get("WWW-Authenticate")
			if want := `Basic realm="Authentication required"`; test.status == 401 && (challenge != want || w.Body.Len() > 0) || test.status != 401 && challenge != "" {
				t.Errorf("got challenge %q, body %q", challenge, w.Body)
			}
			if test.status == 403 && !strings.Contains(w.Body.String(), "the &lt;library&gt; is closed") {
				t.Errorf("got %s", w.Body)
			}
		})
	}
}

// A ticket would be of no use here, and a user may have only so many: those of his
// other clients would go.
func TestNoTicketIsMade(t *testing.T) {
	d, b := newDoor(t)
	other := doortest.Open("/plain/", plain.New(b.Options, 200))
	const body = "user=maja&task=listsessions"
	w := other.Do(http.MethodPost, "/plain/", body+"&password="+url.QueryEscape(doortest.Password))
	ticket, _, _ := strings.Cut(strings.TrimPrefix(w.Body.String(), "AUTHID:"), "\n")
	for range 100 {
		d.Do(http.MethodGet, "/uccs/inifile/api/5", "", "Authorization", maja)
	}
	if w := other.Do(http.MethodPost, "/plain/", body+"&authid="+ticket); !strings.Contains(w.Body.String(), "Access granted") {
		t.Errorf("the ticket is gone: %s", w.Body)
	}
	if strings.Contains(b.Log.String(), doortest.Password) || strings.Contains(b.Log.String(), maja) {
		t.Errorf("the log has the password:\n%s", b.Log)
	}
}

func TestGuessingIsLimited(t *testing.T) {
	d, b := newDoor(t)
	guess := func(name string) *httptest.ResponseRecorder {
		return d.Do(http.MethodGet, "/uccs/inifile/api/5", "", "Authorization", basic(name, "SECRET"))
	}
	// Domains are no way around.
	for _, name := range []string{"maja", "maja@a", "maja@b", "maja@c", "maja@d", "maja@e"} {
		guess(name)
	}
	w := guess("maja@f")
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "1" {
		t.Errorf("got %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
	if strings.Contains(b.Log.String(), "SECRET") {
		t.Errorf("the log has the password:\n%s", b.Log)
	}
}

func TestWithoutPasswordsEverybodyIsAnonymous(t *testing.T) {
	d := open(doortest.NewOpen(t, files), func(o *uccs.Options) { o.Anonymous = true })
	for _, header := range []string{"", maja} {
		w := d.DoFrom("127.0.0.1", http.MethodGet, "/uccs/inifile/api/5", "", "Authorization", header)
		want := strings.ReplaceAll(wantVersion5, `"Username": "maja"`, `"Username": "anonymous"`)
		if diff := cmp.Diff(want, w.Body.String()); diff != "" {
			t.Errorf("%d (-want +got):\n%s", w.Code, diff)
		}
	}
	if w := d.DoFrom("192.0.2.1", http.MethodGet, "/uccs/inifile/api/5", ""); w.Code != http.StatusUnauthorized {
		t.Errorf("from elsewhere: %d", w.Code)
	}
}

func TestTheURLIsOfTheSettingsOrOfTheRequest(t *testing.T) {
	b := doortest.New(t, files, "maja")
	ask := func(change func(*uccs.Options), secure bool) string {
		r := httptest.NewRequest(http.MethodGet, "http://broker:8080/uccs/inifile/api/5", nil)
		r.RemoteAddr = "192.0.2.1:7"
		r.Header.Set("Authorization", maja)
		if secure {
			r.TLS = &tls.ConnectionState{}
		}
		w := httptest.NewRecorder()
		open(b, change).ServeHTTP(w, r)
		var reply struct{ URL string }
		if err := json.Unmarshal(w.Body.Bytes(), &reply); err != nil {
			t.Fatal(err)
		}
		return reply.URL
	}
	for want, got := range map[string]string{
		"http://broker:8080/uccs/inifile/":           ask(nil, false),
		"https://broker:8080/uccs/inifile/":          ask(nil, true),
		"http://broker:8080/x/uccs/inifile/":         ask(func(o *uccs.Options) { o.BasePath = "/x" }, false),
		"https://broker.example.org/y/uccs/inifile/": ask(func(o *uccs.Options) { o.URL = "https://broker.example.org/y"; o.BasePath = "/x" }, false),
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestPathsAndMethods(t *testing.T) {
	d, _ := newDoor(t)
	for _, test := range []struct {
		method, path string
		status       int
	}{
		{"HEAD", "/uccs/inifile/", 200},
		{"HEAD", "/uccs/inifile", 200},
		{"HEAD", "/uccs/", 200},
		{"GET", "/uccs/anything//", 200},
		{"HEAD", "/uccs/in-file/", 404},
		{"POST", "/uccs/inifile/", 405},
		{"POST", "/uccs/inifile/api/5", 405},
		{"HEAD", "/uccs/inifile/api/5", 405},
		{"GET", "/uccs/inifile/api/10", 404},
		{"GET", "/uccs/inifile/api/x", 404},
		{"GET", "/uccs/inifile/api/", 404},
		{"GET", "/uccs/nosuch/api/5", 404},
		{"GET", "/uccs/inifile/x/api/5", 404},
		{"GET", "/uccs/zeroconf/api/5", 404}, // switched off
		{"GET", "/uccs/../../etc/passwd/api/5", 404},
	} {
		if w := d.Do(test.method, test.path, "", "Authorization", maja); w.Code != test.status {
			t.Errorf("%s %s: got %d, want %d", test.method, test.path, w.Code, test.status)
		}
	}
	if w := d.Do("GET", "/uccs/", ""); w.Body.String() != "2001-09-09 01:46:40.000001" {
		t.Errorf("got %q", w.Body)
	}
}

func TestZeroconf(t *testing.T) {
	b := doortest.New(t, files, "maja")
	if err := b.Service.Zeroconf("KDE"); err != nil {
		t.Fatal(err)
	}
	d := open(b, func(o *uccs.Options) { o.Zeroconf = true })
	w := d.Do(http.MethodGet, "/uccs/zeroconf/api/5", "", "Authorization", maja)
	if !strings.Contains(w.Body.String(), `"URL": "http://localhost:22/"`) || strings.Count(w.Body.String(), "Protocol") != 1 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// A greeter lists for everybody who looks at it, and that fills no server.
func TestAListIsNoPlacement(t *testing.T) {
	b := doortest.New(t, doortest.Files{"site.cue": `package site

site: name: "S"
servers: small: capacity: sessions: 1
profiles: p: {name: "P", hosts: ids: ["small"], access: everyone: true}
`}, "maja", "willi")
	d := open(b, nil)
	for _, user := range []string{"maja", "willi", "maja"} {
		w := d.Do(http.MethodGet, "/uccs/inifile/api/5", "", "Authorization", basic(user, doortest.Password))
		if !strings.Contains(w.Body.String(), "http://small:22/") {
			t.Errorf("%s: %d %s", user, w.Code, w.Body)
		}
	}
}

// Each profile is asked about, and a site may have thousands.
func TestNothingIsAskedForAClientThatHasGone(t *testing.T) {
	b := doortest.NewOpen(t, files)
	ask := func(ctx context.Context) error {
		_, err := b.Service.Assign(ctx, session.Request{
			Credentials: session.Credentials{Name: "anonymous", Address: netip.MustParseAddr("127.0.0.1")}, Frontend: "uccs",
		})
		return err
	}
	if err := ask(t.Context()); err != nil { // and what it may see is remembered
		t.Fatal(err)
	}
	b.Log.Reset()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := ask(gone); err == nil || strings.Contains(b.Log.String(), "left out") {
		t.Errorf("%v, %s", err, b.Log)
	}
}
