package json_test

import (
	stdjson "encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/x2broker/x2broker/broker/frontend/doortest"
)

// Whatever is asked, there is an answer: JSON with a grant, or a page of a status
// that clients of this frontend know.
func FuzzJSON(f *testing.F) {
	const form = "application/x-www-form-urlencoded"
	f.Add("POST", "", "", form, maja)
	f.Add("POST", "inifile", "task=listprofiles", form, maja)
	f.Add("POST", "", "", form, maja+"task=selectsession&profile-id=p1&pubkey=no-pty+ssh-rsa+AAAA")
	f.Add("POST", "", "", form, willi+"task=selectsession&sid=full")
	f.Add("POST", "zeroconf/", "", "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"user\"\r\n\r\nmaja\r\n--b--\r\n")
	f.Add("GET", "../..//", "password=x", "", "user=%FF&authid=%0A")
	f.Add("POST", "", "", form, "user=maja&authid=AQ&task=%22%C3%BC%00")
	f.Add("POST", "", "", form, "task=testcon")
	d := newDoor(f)
	f.Fuzz(func(t *testing.T, method, path, query, contentType, body string) {
		if strings.ContainsFunc(method, func(r rune) bool { return r < 'A' || r > 'Z' }) || method == "" {
			t.Skip("net/http lets no such method through")
		}
		d.log.Reset()
		w := d.Send(doortest.AddressOf(body), method, &url.URL{Path: "/json/" + path, RawQuery: query}, body, "Content-Type", contentType)
		switch w.Code {
		case http.StatusOK:
			var reply map[string]any
			if err := stdjson.Unmarshal(w.Body.Bytes(), &reply); err != nil || reply["auth-status"] != "Access granted" {
				t.Errorf("%v in %q", err, w.Body)
			}
		case 400, 401, 403, 404, 405, 413, 429:
			if !strings.HasPrefix(w.Body.String(), "<html><title>"+w.Result().Status[:3]+": ") {
				t.Errorf("%d with %q", w.Code, w.Body)
			}
		default:
			t.Errorf("status %d: %q", w.Code, w.Body)
		}
	})
}
