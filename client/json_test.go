package client_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/x2broker/x2broker/client"
)

func jsonBroker(t *testing.T, status int, text string, headers ...string) *client.Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/json; charset=utf-8")
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(text))
	}))
	t.Cleanup(server.Close)
	return &client.Client{URL: server.URL + "/json/", User: "maja", Password: "x"}
}

func TestAListInJSONReadsLikeTheOtherOne(t *testing.T) {
	c := jsonBroker(t, 200, `{"auth-status": "Access granted", "next-authid": "t1", "task": "listprofiles",
		"profiles": {"b": {"name": "B \u00fc", "host": ["srv1", "srv2"], "fullscreen": true, "print": false, "width": 800}, "a": {"name": "A"}}}`)
	got, err := c.List(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	type keys = map[string]string
	b := keys{"name": "B ü", "host": "srv1,srv2", "fullscreen": "1", "print": "0", "width": "800"}
	want := []client.Profile{{ID: "a", Keys: keys{"name": "A"}, Raw: keys{"name": "A"}}, {ID: "b", Keys: b, Raw: b}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if c.Ticket != "t1" {
		t.Errorf("ticket %q", c.Ticket)
	}
}

func TestServersInJSON(t *testing.T) {
	granted := func(selected string) string {
		return `{"auth-status": "Access granted", "task": "selectsession", "selected_session": ` + selected + `}`
	}
	for name, test := range map[string]struct {
		text string
		want client.Server
		err  string
	}{
		"a port as text":   {granted(`{"server": "srv1", "port": "2222"}`), client.Server{Address: "srv1", Port: 2222}, ""},
		"a port as number": {granted(`{"server": "srv1", "port": 22}`), client.Server{Address: "srv1", Port: 22}, ""},
		"a key and a session": {
			granted(`{"server": "a", "port": "22", "key": "-----BEGIN", "session_info": "1|x"}`),
			client.Server{Address: "a", Port: 22, Key: true, Session: "1|x"},
			"",
		},
		"none to be had":       {granted(`{"server": "no-server-available", "port": "22"}`), client.Server{}, "access denied: no server available"},
		"nothing was selected": {granted(`{}`), client.Server{}, "names no server"},
		"a port too large":     {granted(`{"server": "a", "port": "70000"}`), client.Server{}, "names no server"},
		"no JSON":              {"Access granted", client.Server{}, "is no JSON"},
	} {
		got, err := jsonBroker(t, 200, test.text).Select(context.Background(), "p")
		if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) || got != test.want {
			t.Errorf("%s: %+v, %v; want %+v, %q", name, got, err, test.want, test.err)
		}
	}
}

func TestAPauseInJSONSaysHowLong(t *testing.T) {
	_, err := jsonBroker(t, http.StatusTooManyRequests, "<html>", "Retry-After", "8").List(context.Background())
	if !errors.Is(err, client.ErrThrottled) || !strings.Contains(err.Error(), "try again in 8 s") {
		t.Errorf("%v", err)
	}
}
