// Package hostile_test holds, class by class, what a session broker has to
// survive. Each test begins with its story and attacks the real binary over the
// wire. docs/threat-model.md lists the classes, with the tests that live beside
// the code that they are about.
package hostile_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/x2broker/x2broker/tests/brokertest"
)

func TestMain(m *testing.M) { brokertest.Main(m) }

// Addresses of clients. The lab is for one of them only.
const (
	home  = "127.0.0.1"
	inLab = "127.0.0.7"
	proxy = "127.0.0.9"
	enemy = "127.0.0.66"
)

const site = `package site

site: name: "Test"
servers: ts01: {}
profiles: [string]: hosts: ids: ["ts01"]
profiles: everywhere: {name: "Everywhere", access: groups: ["staff"]}
profiles: lab: {name: "Lab", access: {groups: ["staff"], from: ["127.0.0.7/32"]}}
`

// A victim is a broker with a site.
type victim struct {
	*brokertest.Broker
	t     *testing.T
	state string // directory
}

// start runs a broker with these settings beside the usual.
func start(t *testing.T, listen string) *victim {
	t.Helper()
	repo := brokertest.NewRepo(t, brokertest.Files{"site.cue": site})
	v := &victim{t: t, state: filepath.Join(t.TempDir(), "state")}
	v.Broker = brokertest.Start(t, fmt.Sprintf("site: url: %q\nstateDir: %q\nlisten: {http: \"127.0.0.1:0\", trustedProxies: [%q], %s}\nfrontends: uccs: enabled: true\n",
		repo.URL(), v.state, proxy, listen)+brokertest.Users(t, map[string][]string{"alice": {"staff"}, "bob": {"staff"}}))
	v.WaitReady()
	return v
}

// send sends bytes from an address and gives all that comes back until the
// broker closes.
func (v *victim) send(from, text string) string {
	v.t.Helper()
	conn := v.dial(from)
	defer conn.Close()
	// Who refuses a request need not read it to its end.
	_, _ = io.WriteString(conn, text)
	answer, _ := io.ReadAll(conn)
	return string(answer)
}

func (v *victim) dial(from string) net.Conn {
	v.t.Helper()
	conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).Dial("tcp", v.Addr)
	if err != nil {
		v.t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(brokertest.Deadline))
	return conn
}

// post sends a form, and gives status and body.
func (v *victim) post(path string, form url.Values, headers ...string) (int, string) {
	v.t.Helper()
	return v.postFrom(home, path, form.Encode(), headers...)
}

func (v *victim) postFrom(from, path, body string, headers ...string) (int, string) {
	v.t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: broker\r\nConnection: close\r\nContent-Length: %d\r\n", path, len(body))
	for i := 0; i < len(headers); i += 2 {
		fmt.Fprintf(&b, "%s: %s\r\n", headers[i], headers[i+1])
	}
	return v.parse(v.send(from, b.String()+"\r\n"+body))
}

// parse reads an answer; status 0 means that there is none.
func (v *victim) parse(answer string) (int, string) {
	v.t.Helper()
	if answer == "" {
		return 0, ""
	}
	resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(answer)), nil)
	if err != nil {
		v.t.Fatalf("%v: %q", err, answer)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// login is the form of somebody who may.
func login(changes ...string) url.Values {
	form := url.Values{"task": {"listsessions"}, "user": {"alice"}, "password": {"alice-pw"}}
	for i := 0; i < len(changes); i += 2 {
		form.Set(changes[i], changes[i+1])
	}
	return form
}

// granted is whether an answer opens the door.
func granted(body string) bool {
	return strings.Contains(body, "Access granted") || strings.Contains(body, `"auth-status"`) && !strings.Contains(body, "denied") && strings.Contains(body, `"profiles"`)
}

// unharmed fails unless the broker still serves a user.
func (v *victim) unharmed() {
	v.t.Helper()
	if status, body := v.post("/plain/", login()); status != http.StatusOK || !granted(body) {
		v.t.Errorf("a user is answered %d %q\n%s", status, body, v.Log())
	}
}

// files are the names below the state directory, with what they hold.
func (v *victim) files() map[string]string {
	v.t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(v.state, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		all[strings.TrimPrefix(path, v.state)] = string(data)
		return err
	})
	if err != nil {
		v.t.Fatal(err)
	}
	return all
}

// status is what `x2broker status` says.
type status struct {
	PID   int
	Doors struct {
		Open    int
		Refused map[string]int
		SSH     struct{ Open, Waiting, Turned int }
	}
}

func (v *victim) status() (s status, text string) {
	v.t.Helper()
	text, code := brokertest.Run(v.t, "status", "--state-dir", v.state, "--format", "json")
	if err := json.Unmarshal([]byte(text), &s); err != nil || code != 0 {
		v.t.Fatalf("%v, exit code %d: %s", err, code, text)
	}
	return s, text
}

// children are the commands of the broker's child processes.
func (v *victim) children() []string {
	v.t.Helper()
	s, _ := v.status()
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		v.t.Fatal(err)
	}
	var out []string
	for _, file := range all {
		data, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		if m := regexp.MustCompile(`^\d+ \((.*)\) \S (\d+) `).FindStringSubmatch(string(data)); m != nil && m[2] == strconv.Itoa(s.PID) {
			out = append(out, m[1])
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
