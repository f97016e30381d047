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

// broker answers every request with the text.
func broker(t *testing.T, status int, text string) *client.Client {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(text))
	}))
	t.Cleanup(server.Close)
	return &client.Client{URL: server.URL, User: "maja", Password: "x"}
}

func TestReplies(t *testing.T) {
	tests := map[string]struct {
		status int
		text   string
		want   client.Server
		err    string
	}{
		"a name and a port":        {200, "Access granted\nSERVER:srv1:2222\n", client.Server{Address: "srv1", Port: 2222}, ""},
		"no port":                  {200, "Access granted\nSERVER:srv1\n", client.Server{Address: "srv1", Port: 22}, ""},
		"IPv6 without brackets":    {200, "Access granted\nSERVER:fd00:aa::1:22\n", client.Server{Address: "fd00:aa::1", Port: 22}, ""},
		"a key and a session":      {200, "Access granted\nSERVER:a:22\n-----BEGIN RSA PRIVATE KEY-----\nSESSION_INFO:1|x\n", client.Server{Address: "a", Port: 22, Key: true, Session: "1|x"}, ""},
		"no server":                {200, "Access granted\n", client.Server{}, "names no server"},
		"an empty server":          {200, "Access granted\nSERVER:\n", client.Server{}, "names no server"},
		"a port that is no number": {200, "Access granted\nSERVER:a:b\n", client.Server{}, "names no port"},
		"denied in words":          {200, "Access denied: no server\n", client.Server{}, "access denied: no server"},
		"denied by status":         {401, "<html>", client.Server{}, "access denied"},
		"an error":                 {500, "oops\x1b[2J\n", client.Server{}, `the broker answered 500 Internal Server Error: "oops[2J"`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := broker(t, test.status, test.text).Select(context.Background(), "p")
			switch {
			case test.err == "" && err != nil, test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)):
				t.Errorf("got error %v, want %q", err, test.err)
			case got != test.want:
				t.Errorf("got %+v, want %+v", got, test.want)
			}
			if denied := strings.HasPrefix(name, "denied"); errors.Is(err, client.ErrDenied) != denied {
				t.Errorf("denied: %v", err)
			}
		})
	}
}

func TestAPauseIsToldFromARefusal(t *testing.T) {
	for _, status := range []int{200, 401} {
		retry := ""
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if retry != "" {
				w.Header().Set("Retry-After", retry)
			}
			w.WriteHeader(status)
			_, _ = w.Write([]byte("Access denied\n"))
		}))
		defer server.Close()
		for _, retry = range []string{"", "8"} {
			_, err := (&client.Client{URL: server.URL, User: "maja", Password: "x"}).List(context.Background())
			if !errors.Is(err, client.ErrDenied) || errors.Is(err, client.ErrThrottled) != (retry != "") {
				t.Errorf("status %d, retry after %q: %v", status, retry, err)
			}
		}
	}
}

func TestTheTicketOfAReplyIsUsedNext(t *testing.T) {
	c := broker(t, 200, "AUTHID:abc-_1\nAccess granted\n")
	if _, err := c.List(context.Background()); err != nil || c.Ticket != "abc-_1" {
		t.Errorf("got %q, %v", c.Ticket, err)
	}
}

func TestRequestsCarryWhatTheyShould(t *testing.T) {
	var got http.Header
	var form map[string][]string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		got, form = r.Header, r.PostForm
		_, _ = w.Write([]byte("Access granted\nSERVER:a:1\n"))
	}))
	defer server.Close()
	c := &client.Client{URL: server.URL, User: "büro", Password: "a b&c", Ticket: "t", Account: "x"}
	if _, err := c.Select(context.Background(), "p"); err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{"task": {"selectsession"}, "sid": {"p"}, "user": {"büro"}, "password": {"a b&c"}, "authid": {"t"}, "login": {"x"}}
	if diff := cmp.Diff(want, form); diff != "" || got.Get("Content-Type") != "application/x-www-form-urlencoded" {
		t.Errorf("type %q (-want +got):\n%s", got.Get("Content-Type"), diff)
	}
}
