package uccs_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/x2broker/x2broker/broker/frontend/doortest"
)

// Whatever is asked, there is an answer, and names and passwords are in no log.
func FuzzUCCS(f *testing.F) {
	f.Add("GET", "inifile/api/5", maja)
	f.Add("GET", "/api/4/", basic("maja@example.org", doortest.Password))
	f.Add("GET", "zeroconf/api/0", basic("nemo", "x"))
	f.Add("HEAD", "inifile//", "")
	f.Add("POST", "../../etc/passwd/api/5", "Basic bm9jb2xvbg==")
	f.Add("GET", "inifile/x/api/5", "Bearer \x00")
	f.Add("GET", "inifile/api/5", basic("a\nb", "\xff"))
	d, b := newDoor(f)
	f.Fuzz(func(t *testing.T, method, path, authorization string) {
		if strings.ContainsFunc(method, func(r rune) bool { return r < 'A' || r > 'Z' }) || method == "" {
			t.Skip("net/http lets no such method through")
		}
		b.Log.Reset()
		w := d.Send(doortest.AddressOf(authorization), method, &url.URL{Path: "/uccs/" + path}, "", "Authorization", authorization)
		switch {
		case w.Code == http.StatusOK && strings.Contains(path, "/api/"):
			var reply struct{ Name string }
			if err := json.Unmarshal(w.Body.Bytes(), &reply); err != nil || reply.Name != "X2Go Session Broker" {
				t.Errorf("%v in %q", err, w.Body)
			}
		case w.Code == http.StatusOK && w.Body.Len() == len("2001-09-09 01:46:40.000001"):
		case w.Code == http.StatusUnauthorized && w.Header().Get("WWW-Authenticate") != "":
		case w.Code == 403, w.Code == 404, w.Code == 405, w.Code == 429:
		default:
			t.Errorf("%d: %q", w.Code, w.Body)
		}
		if len(authorization) > 20 && strings.Contains(b.Log.String(), authorization) || strings.Contains(b.Log.String(), "\x00") {
			t.Errorf("the log:\n%s", b.Log)
		}
	})
}
