package rehearse_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/x2broker/x2broker/client/rehearse"
)

// A script is what a broker answers to each task. These tests are about replies
// of x2gobroker that this broker never gives; tests/rehearse has two real ones,
// tests/e2e/migrate the real x2gobroker.
type script struct {
	list     string   // profiles, or an answer that does not grant
	selected []string // answers to selections, in turn; the last one again and again
	asked    *[]string
}

func (s script) side(t *testing.T) rehearse.Side {
	t.Helper()
	n := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		if s.asked != nil {
			*s.asked = append(*s.asked, r.PostForm.Get("task")+" "+r.PostForm.Get("sid")+" login="+r.PostForm.Get("login"))
		}
		switch {
		case strings.HasPrefix(s.list, "Access denied"):
			fmt.Fprint(w, s.list)
		case strings.HasPrefix(s.list, "wait"):
			w.Header().Set("Retry-After", "8")
			fmt.Fprint(w, "Access denied: too many failed logins, try again in 8 s\n")
		case r.PostForm.Get("task") == "listsessions":
			fmt.Fprintf(w, "AUTHID:x\nAccess granted\nSTART_USER_SESSIONS\n\n%sEND_USER_SESSIONS\n", s.list)
		case s.selected[min(n, len(s.selected)-1)] == "wait":
			w.Header().Set("Retry-After", "8")
			fmt.Fprint(w, "Access denied\n")
		default:
			fmt.Fprint(w, s.selected[min(n, len(s.selected)-1)])
			n++
		}
	}))
	t.Cleanup(server.Close)
	return rehearse.Side{URL: server.URL, HTTP: func(netip.Addr) *http.Client { return server.Client() }}
}

// rehearsed is what one user notices between two brokers.
func rehearsed(t *testing.T, older, newer script) rehearse.Result {
	t.Helper()
	r := rehearse.Rehearsal{Old: older.side(t), New: newer.side(t), Tries: 4}
	result, err := r.User(context.Background(), rehearse.User{Name: "maja", Password: "x"})
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func texts(findings []rehearse.Finding) []string {
	out := []string{}
	for _, f := range findings {
		out = append(out, f.Text)
	}
	return out
}

func TestWhatAKeyMeansIsCompared(t *testing.T) {
	tests := map[string]struct {
		older, newer string // lines of a profile
		differ, note []string
	}{
		"1 and true":                  {"sound=1\nprint=TRUE\nfullscreen=0\nkdrive=False\n", "sound=true\nprint=yes\nfullscreen=false\nkdrive=0\n", nil, nil},
		"order":                       {"width=1\nheight=2\n", "height=2\nwidth=1\n", nil, nil},
		"a default left out":          {"sound=1\nrootless=0\nxdmcpserver=localhost\n", "", nil, nil},
		"a default that is another":   {"", "rootless=1\n", []string{"rootless: left out (false) at the old broker, true at the new one"}, nil},
		"a number":                    {"width=0800\nheight=+5\n", "width=800\nheight=6\n", []string{"height: 5 at the old broker, 6 at the new one"}, nil},
		"quotes that mean the same":   {`name="Desk"` + "\n", "name=Desk\n", nil, nil},
		"quotes that became text":     {`name="A, B"` + "\n", `name="\"A, B\""` + "\n", []string{`name: "A, B" at the old broker, "\"A, B\"" at the new one`}, nil},
		"escapes that became text":    {`name=B\xfcro` + "\n", `name="B\\xfcro"` + "\n", []string{`name: "Büro" at the old broker, "B\\xfcro" at the new one`}, nil},
		"UTF-8 that the client reads": {"name=Büro\n", `name=B\xfcro` + "\n", nil, []string{`name: X2Go Client reads "BÃ¼ro" from the old broker; from the new one it reads "Büro", which is what is written there`}},
		"a comma that makes a list":   {"name=A, B\n", `name="A, B"` + "\n", nil, []string{`name: X2Go Client reads "" from the old broker; from the new one it reads "A, B", which is what is written there`}},
		"a comma and another name":    {"name=A, B\n", "name=A\n", []string{`name: "" at the old broker, "A" at the new one`}, nil},
		"nobody reads it":             {"applications=A,B\n", "applications=B\n", nil, []string{`applications: "A,B" at the old broker, "B" at the new one; no client takes it from a broker`}},
		"nobody knows it":             {"wm=twm\n", "", nil, []string{`wm: "twm" at the old broker, left out ("") at the new one; X2Go Client knows no such key`}},
		"PyHoca reads it":             {"layout=de\n", "layout=us\n", []string{`layout: "de" at the old broker, "us" at the new one; PyHoca takes it, X2Go Client does not`}, nil},
		"order of hosts":              {"host=a,B\n", "host=b,a\n", nil, nil},
		"hosts":                       {"host=a\n", "host=a.example.org\n", nil, []string{"host: a at the old broker, a.example.org at the new one; X2Go Client shows it, and connects to the server of the selection"}},
		"the host of an RDP session":  {"host=a\ncommand=RDP\ndirectrdp=1\n", "host=b\ncommand=RDP\ndirectrdp=1\n", []string{"host: a at the old broker, b at the new one"}, nil},
		"a session":                   {"status=S\n", "", []string{"status: the old broker shows a suspended session, the new one no session"}, nil},
		"what the selection has":      {"sshport=22\nkey=<will-be-exchanged-during-session-selection>\n", "sshport=2222\n", nil, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			same := []string{"Access granted\nSERVER:a:22\n"}
			got := rehearsed(t, script{list: "[p]\n" + test.older + "\n", selected: same}, script{list: "[p]\n" + test.newer + "\n", selected: same})
			if got.Errors != nil {
				t.Error(got.Errors)
			}
			if diff := cmp.Diff(append([]string{}, test.differ...), texts(got.Differences)); diff != "" {
				t.Errorf("differences (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(append([]string{}, test.note...), texts(got.Notes)); diff != "" {
				t.Errorf("notes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSelectionsAreCompared(t *testing.T) {
	const (
		toA       = "Access granted\nSERVER:a:22\n"
		toB       = "Access granted\nSERVER:b:22\n"
		none      = "Access granted\nSERVER:no-server-available:22\n"
		refused   = "Access denied: no server is available for this session profile\n"
		key       = "-----BEGIN RSA PRIVATE KEY-----\nx\n-----END RSA PRIVATE KEY-----\n"
		suspended = "SESSION_INFO:1|maja-50|50|a|S|x\n"
		failed    = "SESSION_INFO:1|maja-50|50|a|F|x\n"
	)
	one, two := "[p]\nhost=a\n\n", "[p]\nhost=a,b\n\n"
	tests := map[string]struct {
		older, newer script
		differ, note []string
	}{
		"the same":                 {script{list: one, selected: []string{toA}}, script{list: one, selected: []string{"Access granted\nSERVER:A:22\n"}}, nil, nil},
		"another port":             {script{list: one, selected: []string{toA}}, script{list: one, selected: []string{"Access granted\nSERVER:a:2222\n"}}, []string{"server: a has port 22 at the old broker, 2222 at the new one"}, nil},
		"by chance":                {script{list: two, selected: []string{toA, toB}}, script{list: two, selected: []string{toB, toA}}, nil, nil},
		"by chance, not seen":      {script{list: two, selected: []string{toA}}, script{list: two, selected: []string{toB}}, nil, nil},
		"aliases in the list":      {script{list: "[p]\nhost=n1,n2\n\n", selected: []string{toA, toA, toB}}, script{list: two, selected: []string{toA, toB}}, nil, []string{"host: n1, n2 at the old broker, a, b at the new one; X2Go Client shows it, and connects to the server of the selection"}},
		"no server at either":      {script{list: one, selected: []string{none}}, script{list: one, selected: []string{refused}}, nil, []string{"no server at either broker"}},
		"no server any more":       {script{list: one, selected: []string{toA}}, script{list: one, selected: []string{refused}}, []string{"server: a at the old broker, none at the new one (no server is available for this session profile)"}, nil},
		"a server at last":         {script{list: one, selected: []string{none}}, script{list: one, selected: []string{toA}}, []string{"server: none at the old broker (no-server-available), a at the new one"}, nil},
		"a suspended session":      {script{list: one, selected: []string{toA + suspended}}, script{list: one, selected: []string{toA}}, []string{"session: with the old broker the session maja-50 is resumed, with the new one a new session starts"}, nil},
		"a session that has ended": {script{list: one, selected: []string{toA + failed}}, script{list: one, selected: []string{toA}}, nil, nil},
		"a key":                    {script{list: one, selected: []string{toA + key}}, script{list: one, selected: []string{toA}}, []string{"key: the old broker hands out a key for the login at the server, the new one hands out none"}, nil},
		"one server more":          {script{list: one, selected: []string{toA}}, script{list: two, selected: []string{toA, toB}}, []string{"server: a at the old broker, one of a, b at the new one"}, nil},
		"another server": {
			script{list: two, selected: []string{toA, toB}},
			script{list: one, selected: []string{toA}},
			[]string{"server: one of a, b at the old broker, a at the new one"},
			nil,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := rehearsed(t, test.older, test.newer)
			if got.Errors != nil {
				t.Error(got.Errors)
			}
			if diff := cmp.Diff(append([]string{}, test.differ...), texts(got.Differences)); diff != "" {
				t.Errorf("differences (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(append([]string{}, test.note...), texts(got.Notes)); diff != "" {
				t.Errorf("notes (-want +got):\n%s", diff)
			}
		})
	}
}

// The old broker suspends a running session when it is selected.
func TestARunningSessionIsNotTouched(t *testing.T) {
	var asked []string
	list := "[p]\nstatus=R\n\n"
	got := rehearsed(t, script{list: list, asked: &asked}, script{list: list, asked: &asked})
	if diff := cmp.Diff([]string{"listsessions  login=", "listsessions  login="}, asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"not selected: the user has a running session, which the old broker would suspend"}, texts(got.Notes)); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
}

func TestASessionIsSelectedOnce(t *testing.T) {
	var asked []string
	list := "[p]\nhost=a,b\nstatus=S\n\n"
	selected := []string{"Access granted\nSERVER:a:22\nSESSION_INFO:1|maja-50|50|a|S|x\n"}
	rehearsed(t, script{list: list, selected: selected, asked: &asked}, script{list: list, selected: selected})
	if diff := cmp.Diff([]string{"listsessions  login=", "selectsession p login="}, asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

// What was found before is not lost.
func TestAPauseInTheMiddleIsNoRefusal(t *testing.T) {
	selected := []string{"Access granted\nSERVER:a:22\n"}
	got := rehearsed(t, script{list: "[p]\nwidth=1\n\n", selected: selected}, script{list: "[p]\nwidth=2\n\n", selected: []string{"wait"}})
	if diff := cmp.Diff([]string{`new broker: select "p": access denied for a while`}, got.Errors); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"width: 1 at the old broker, 2 at the new one"}, texts(got.Differences)); diff != "" {
		t.Errorf("differences (-want +got):\n%s", diff)
	}
}

func TestAProfileThatFailsCostsItselfOnly(t *testing.T) {
	selected := []string{"Access granted\n", "Access granted\nSERVER:b:22\n"}
	list := "[a]\nhost=a\n\n[b]\nhost=b\n\n"
	got := rehearsed(t, script{list: list, selected: selected}, script{list: list, selected: []string{"Access granted\nSERVER:c:22\n"}})
	if diff := cmp.Diff([]string{`a: old broker: select "a": the reply names no server`}, got.Errors); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"server: b at the old broker, one of b, c at the new one"}, texts(got.Differences)); diff != "" {
		t.Errorf("differences (-want +got):\n%s", diff)
	}
}

func TestTheUserOfTheProfileLogsInAtTheServer(t *testing.T) {
	var asked []string
	list := "[p]\nuser=kiosk\n\n"
	selected := []string{"Access granted\nSERVER:a:22\n"}
	rehearsed(t, script{list: list, selected: selected, asked: &asked}, script{list: list, selected: selected})
	if diff := cmp.Diff([]string{"listsessions  login=", "selectsession p login=kiosk"}, asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

func TestLoginsAreCompared(t *testing.T) {
	in, out, wait := script{list: ""}, script{list: "Access denied: moved\n"}, script{list: "wait"}
	for name, test := range map[string]struct {
		older, newer script
		differ       []string
		refused      bool
		err          string
	}{
		"both in":         {in, in, nil, false, ""},
		"both out":        {out, out, nil, true, ""},
		"out":             {in, out, []string{"login: granted at the old broker, refused at the new one (moved)"}, false, ""},
		"in":              {out, in, []string{"login: refused at the old broker, granted at the new one"}, false, ""},
		"throttled":       {in, wait, nil, false, "new broker: list session profiles: access denied for a while: too many failed logins, try again in 8 s"},
		"throttled there": {wait, in, nil, false, "old broker: list session profiles: access denied for a while: too many failed logins, try again in 8 s"},
	} {
		t.Run(name, func(t *testing.T) {
			got := rehearsed(t, test.older, test.newer)
			if diff := cmp.Diff(append([]string{}, test.differ...), texts(got.Differences)); diff != "" {
				t.Errorf("differences (-want +got):\n%s", diff)
			}
			if got.Refused != test.refused || strings.Join(got.Errors, "\n") != test.err {
				t.Errorf("refused %v, errors %q", got.Refused, got.Errors)
			}
		})
	}
}

// TestKeys holds the table of keys to the fields that profiles have.
func TestKeys(t *testing.T) {
	page, err := os.ReadFile("../../docs/profiles.md")
	if err != nil {
		t.Fatal(err)
	}
	_, x2go, _ := strings.Cut(string(page), "\n## x2go\n")
	rows := regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (.*?) \\| (.*?) \\| .* \\| (.*) \\|$").FindAllStringSubmatch(x2go, -1)
	if len(rows) < 50 {
		t.Fatalf("%d rows", len(rows))
	}
	want := map[string]string{}
	for _, row := range rows {
		kind, reader := "text", "X2Go Client"
		switch {
		case strings.HasPrefix(row[2], "true or false"):
			kind = "flag"
		case strings.HasPrefix(row[2], "whole number"):
			kind = "number"
		}
		switch {
		case strings.HasPrefix(row[4], "No client"):
			reader = "nobody"
		case strings.HasPrefix(row[4], "Python X2Go"):
			reader = "PyHoca"
		}
		want[row[1]] = kind + ", " + reader
		if absent := regexp.MustCompile(`^client \((.*)\)$`).FindStringSubmatch(row[3]); absent != nil {
			if got := rehearse.Absent(row[1]); got != absent[1] {
				t.Errorf("%s: the client's default is %q, want %q", row[1], got, absent[1])
			}
		}
	}
	if diff := cmp.Diff(want, rehearse.Known()); diff != "" {
		t.Errorf("(-docs/profiles.md +table):\n%s", diff)
	}
}

// TestThePageShowsAReport holds the report on docs/migrate.md to the form of
// reports.
func TestThePageShowsAReport(t *testing.T) {
	page, err := os.ReadFile("../../docs/migrate.md")
	if err != nil {
		t.Fatal(err)
	}
	var r rehearse.Report
	r.Add(rehearse.Result{User: "anna", Profiles: 3, Tickets: 1, Selections: 3})
	r.Add(rehearse.Result{User: "ben", Profiles: 1, Tickets: 1, Selections: 1, Differences: []rehearse.Finding{
		{Profile: "lab", About: "width", Text: "width: 800 at the old broker, 1024 at the new one"},
		{Profile: "wages", About: "profile", Text: "only the new broker offers it"},
	}})
	r.Add(rehearse.Result{User: "anna", From: "127.0.0.2", Profiles: 3, Tickets: 1, Selections: 3})
	var b strings.Builder
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), "\n```\n"+b.String()+"```\n") {
		t.Errorf("the page does not show:\n%s", b.String())
	}
}

// TestWhatManyProfilesShareIsSaidOnce: a default that differs is one line, however
// many profiles have it, and each of them counts.
func TestWhatManyProfilesShareIsSaidOnce(t *testing.T) {
	result := rehearse.Result{User: "anna", Profiles: 9, Differences: []rehearse.Finding{
		{About: "login", Text: "the login is slow"},
		{Profile: "p0", About: "server", Text: "server: none"},
	}}
	for i := range 9 {
		result.Differences = append(result.Differences, rehearse.Finding{Profile: fmt.Sprint("p", i), About: "width", Text: "width: 800, not 1024"})
	}
	for _, profile := range []string{"p1", "p2"} {
		result.Notes = append(result.Notes, rehearse.Finding{Profile: profile, About: "odd", Text: "odd: unknown"})
	}
	var r rehearse.Report
	r.Add(result)
	r.Add(rehearse.Result{User: "ben", Profiles: 1, Notes: result.Notes[:1]})
	var b strings.Builder
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	const want = `anna: 11 differences
    the login is slow
    p0: server: none
    p0, p1, p2, p3, p4 and 4 more: width: 800, not 1024
ben: the same, 1 profile

to know, but no difference:
    p1, p2: odd: unknown
`
	got, _, _ := strings.Cut(b.String(), "\nleft behind")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("(-want +got):\n" + diff)
	}
}
