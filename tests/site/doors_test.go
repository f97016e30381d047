package site_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/x2broker/x2broker/tests/brokertest"
)

// doors says how a broker with these settings answers a client of each kind.
func doors(t *testing.T, settings string) map[string]int {
	t.Helper()
	repo := brokertest.NewRepo(t, brokertest.Files{"site.cue": `package site

site: name: "Test"
servers: ts01: {}
profiles: office: {name: "Office", hosts: ids: ["ts01"], access: everyone: true}
`})
	b := brokertest.Start(t, "site: url: \""+repo.URL()+"\"\nstateDir: \""+t.TempDir()+"\"\n"+settings+
		brokertest.Users(t, map[string][]string{"alice": {"staff"}}))
	b.WaitReady()
	ask := func(method, path string) int {
		body := ""
		if method == http.MethodPost {
			body = url.Values{"user": {"alice"}, "password": {"alice-pw"}, "task": {"listsessions"}}.Encode()
		}
		r, err := http.NewRequest(method, "http://"+b.Addr+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth("alice", "alice-pw")
		resp, err := brokertest.HTTPFrom("127.0.0.1").Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(path, "/x/pubkeys") && len(text) == 0 {
			t.Errorf("%s %s: no answer", method, path)
		}
		return resp.StatusCode
	}
	out := map[string]int{}
	for _, path := range []string{"/x/plain/", "/x/plain/zeroconf", "/x/json/", "/x/json/inifile", "/x/json/zeroconf", "/x/json"} {
		out["POST "+path] = ask(http.MethodPost, path)
	}
	for _, path := range []string{"/x/uccs/", "/x/uccs/inifile/api/5", "/x/", "/x/pubkeys", "/x/pubkeys/", "/x/pubkeys/x", "/", "/x/nothing"} {
		out["GET "+path] = ask(http.MethodGet, path)
	}
	return out
}

func TestDoorsAreSwitchedInTheSettings(t *testing.T) {
	const base = "listen: {http: \"127.0.0.1:0\", basePath: \"/x\"}\n"
	want := map[string]int{
		"POST /x/plain/": 200, "POST /x/plain/zeroconf": 404,
		"POST /x/json/": 200, "POST /x/json/inifile": 200, "POST /x/json/zeroconf": 404, "POST /x/json": 404,
		"GET /x/uccs/": 404, "GET /x/uccs/inifile/api/5": 404,
		"GET /x/": 200, "GET /x/pubkeys": 200, "GET /x/pubkeys/": 200, "GET /x/pubkeys/x": 404, "GET /": 404, "GET /x/nothing": 404,
	}
	if diff := cmp.Diff(want, doors(t, base)); diff != "" {
		t.Errorf("by default (-want +got):\n%s", diff)
	}
	for path := range want {
		switch {
		case strings.Contains(path, "/uccs/"), strings.HasSuffix(path, "/json/zeroconf"):
			want[path] = 200
		case strings.Contains(path, "/plain/"):
			want[path] = 404
		}
	}
	if diff := cmp.Diff(want, doors(t, base+"frontends: {plain: enabled: false, uccs: enabled: true, zeroconf: enabled: true}\n")); diff != "" {
		t.Errorf("switched (-want +got):\n%s", diff)
	}
}

func TestAZeroconfCommandThatNoClientReadsIsRefused(t *testing.T) {
	out := brokertest.Refuses(t, "stateDir: \""+t.TempDir()+"\"\nfrontends: zeroconf: {enabled: true, command: \"a\\nb\"}\n"+
		brokertest.Users(t, map[string][]string{"alice": nil}), 2)
	if want := "frontends.zeroconf: command of zeroconf: key command: has a control character"; !strings.Contains(out, want) {
		t.Errorf("got %s", out)
	}
}
