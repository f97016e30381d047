package endpoint

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/x2broker/x2broker/broker/identity"
)

// site is an endpoint that answers as a test wants and keeps what it was asked.
type site struct {
	*httptest.Server
	asked  []map[string]string
	header http.Header
	answer http.HandlerFunc
}

func newSite(t *testing.T, answer http.HandlerFunc) (*site, Config) {
	t.Helper()
	s := &site{answer: answer}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var q map[string]string
		if err := json.Unmarshal(body, &q); err != nil || r.Method != http.MethodPost || r.URL.RawQuery != "" {
			t.Errorf("%s %s %s: %v", r.Method, r.URL, body, err)
		}
		s.asked, s.header = append(s.asked, q), r.Header
		s.answer(w, r)
	}))
	t.Cleanup(s.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	return s, Config{URL: s.URL + "/login", CAFile: write(t, string(ca))}
}

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// says is an answer in JSON.
func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func open(t *testing.T, c Config) identity.Authenticator {
	t.Helper()
	e, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

var alice = identity.Credentials{Name: "ALICE", Password: "geheim", Address: netip.MustParseAddr("192.0.2.7")}

const aliceIs = `{"user": "alice", "groups": ["staff", "x2go"]}`

func TestARightPassword(t *testing.T) {
	s, c := newSite(t, says(200, aliceIs))
	c.TokenFile = write(t, "token-1\n")
	got, err := open(t, c).Authenticate(t.Context(), alice)
	want := identity.Identity{Name: "alice", Groups: []string{"staff", "x2go"}, Authenticator: "https"}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if diff := cmp.Diff([]map[string]string{{"user": "ALICE", "password": "geheim", "address": "192.0.2.7"}}, s.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	if got := s.header.Get("Authorization"); got != "Bearer token-1" {
		t.Errorf("Authorization: %q", got)
	}
}

func TestWhatTheEndpointSaysOtherwise(t *testing.T) {
	sentinels := []error{identity.ErrUnknownUser, identity.ErrWrongPassword, identity.ErrExpired, identity.ErrNoPassword, identity.ErrNotTried}
	for name, tc := range map[string]struct {
		answer http.HandlerFunc
		want   error  // nil for none of the sentinels
		text   string // of the error
	}{
		"wrong":             {says(401, ""), identity.ErrWrongPassword, ""},
		"unknown":           {says(404, "{}"), identity.ErrUnknownUser, ""},
		"account not valid": {says(403, "{}"), identity.ErrExpired, ""},
		"broken":            {says(500, "{}"), nil, "500 Internal Server Error"},
		"a redirect":        {says(302, aliceIs), nil, "302 Found"},
		"accepted":          {says(202, aliceIs), nil, "202 Accepted"},
		"no JSON":           {says(200, "welcome"), nil, "no object"},
		"nothing":           {says(200, ""), nil, "no object"},
		"an endless answer": {func(w http.ResponseWriter, r *http.Request) {
			says(200, `{"user": "alice", "groups": [`)(w, r)
			for i := 0; i < 4*maxReply; i += 8 {
				if _, err := io.WriteString(w, `"staff",`); err != nil {
					return
				}
			}
		}, nil, "longer than"},
		"an endless header": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 2*maxHeader))
			says(200, aliceIs)(w, r)
		}, nil, "header"},
		"cut short": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000")
			says(200, aliceIs)(w, r)
		}, nil, "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			_, c := newSite(t, tc.answer)
			id, err := open(t, c).Authenticate(t.Context(), alice)
			if err == nil || id.Name != "" || !strings.Contains(err.Error(), tc.text) || strings.Contains(err.Error(), "geheim") {
				t.Fatalf("got %v, %v", id, err)
			}
			for _, s := range sentinels {
				if errors.Is(err, s) != (s == tc.want) {
					t.Errorf("got %v, want %v", err, tc.want)
				}
			}
		})
	}
}

// A web server in front says "not found" and "unauthorized" of its own accord:
// that is no word about a user.
func TestAnErrorPageIsNoAnswer(t *testing.T) {
	for _, status := range []int{200, 401, 403, 404} {
		_, c := newSite(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, aliceIs)
		})
		_, err := open(t, c).Authenticate(t.Context(), alice)
		if err == nil || !strings.Contains(err.Error(), "want application/json") ||
			errors.Is(err, identity.ErrUnknownUser) || errors.Is(err, identity.ErrWrongPassword) || errors.Is(err, identity.ErrExpired) {
			t.Errorf("%d: %v", status, err)
		}
	}
}

func TestARedirectTakesNoPasswordElsewhere(t *testing.T) {
	other, _ := newSite(t, says(200, aliceIs))
	_, c := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	})
	if id, err := open(t, c).Authenticate(t.Context(), alice); err == nil || len(other.asked) > 0 {
		t.Errorf("%v, %v, the other was asked %v", id, err, other.asked)
	}
}

func TestAnEmptyPasswordIsNotSent(t *testing.T) {
	s, c := newSite(t, says(200, aliceIs))
	_, err := open(t, c).Authenticate(t.Context(), identity.Credentials{Name: "alice"})
	if !errors.Is(err, identity.ErrNoPassword) || len(s.asked) > 0 {
		t.Errorf("%v, asked %v", err, s.asked)
	}
}

func TestAnEndpointThatCannotBeTrustedOrReached(t *testing.T) {
	s, c := newSite(t, says(200, aliceIs))
	untrusted := c
	untrusted.CAFile = ""
	if _, err := open(t, untrusted).Authenticate(t.Context(), alice); !errors.Is(err, identity.ErrNotTried) || len(s.asked) > 0 {
		t.Errorf("another authority: %v", err)
	}
	s.Close()
	if _, err := open(t, c).Authenticate(t.Context(), alice); !errors.Is(err, identity.ErrNotTried) {
		t.Errorf("away: %v", err)
	}
}

// Whoever could tell a right password by an uncounted error had free guesses.
func TestAnEndpointThatHangsCountsAsTried(t *testing.T) {
	release := make(chan struct{})
	s, c := newSite(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-release:
		}
	})
	defer close(release)
	c.Timeout = 300 * time.Millisecond
	_, err := open(t, c).Authenticate(t.Context(), alice)
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, identity.ErrNotTried) {
		t.Errorf("%v, asked %v", err, s.asked)
	}
}

func TestLookups(t *testing.T) {
	s, c := newSite(t, says(200, aliceIs))
	if _, ok := open(t, c).(identity.Lookuper); ok {
		t.Error("looks up without a URL for it: a ticket could not be checked")
	}
	c.LookupURL = s.URL + "/lookup"
	l := open(t, c).(identity.Lookuper)
	got, err := l.Lookup(t.Context(), "alice")
	want := identity.Identity{Name: "alice", Groups: []string{"staff", "x2go"}, Authenticator: "https"}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if diff := cmp.Diff([]map[string]string{{"user": "alice"}}, s.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	for _, status := range []int{403, 404} {
		s.answer = says(status, "")
		if _, err := l.Lookup(t.Context(), "alice"); !errors.Is(err, identity.ErrUnknownUser) {
			t.Errorf("%d: %v", status, err)
		}
	}
	s.answer = says(500, "")
	if _, err := l.Lookup(t.Context(), "alice"); err == nil || errors.Is(err, identity.ErrUnknownUser) {
		t.Errorf("500: %v", err)
	}
}

func TestADecoyTellsNothing(t *testing.T) {
	s, c := newSite(t, says(404, ""))
	open(t, c).(identity.Decoy).Decoy(t.Context(), "geheim")
	if len(s.asked) != 1 || strings.Contains(fmt.Sprint(s.asked), "geheim") {
		t.Errorf("asked %v", s.asked)
	}
}

func TestOnlyTheRightAnswerIsRead(t *testing.T) {
	for body, ok := range map[string]bool{
		aliceIs:                                                      true,
		`{"groups": [], "user": "a"}`:                                true,
		` {"user":"a","groups":[]} ` + "\n":                          true,
		`{"user": "a"}`:                                              false,
		`{"groups": []}`:                                             false,
		`{"user": "", "groups": []}`:                                 false,
		`{"user": "a", "groups": null}`:                              false,
		`{"user": null, "groups": []}`:                               false,
		`{"user": 7, "groups": []}`:                                  false,
		`{"user": "a", "groups": "b"}`:                               false,
		`{"user": "a", "groups": [7]}`:                               false,
		`{"user": "a", "groups": [[]]}`:                              false,
		`{"User": "a", "groups": []}`:                                false,
		`{"user": "a", "user": "b", "groups": []}`:                   false,
		`{"user": "a", "groups": [], "groups": []}`:                  false,
		`{"user": "a", "groups": [], "admin": true}`:                 false,
		`{"user": "a", "groups": []} {}`:                             false,
		`{"user": "a", "groups": []`:                                 false,
		`["a"]`:                                                      false,
		`{"user": "a\u0000", "groups": []}`:                          false,
		"{\"user\": \"a\xff\", \"groups\": []}":                      false,
		`{"user": "` + strings.Repeat("a", 256) + `", "groups": []}`: false,
	} {
		if id, err := parse([]byte(body)); (err == nil) != ok {
			t.Errorf("%s: %v, %v", body, id, err)
		}
	}
}

func TestMistakesInTheConfiguration(t *testing.T) {
	for want, c := range map[string]Config{
		"url: \"\" is no https URL":     {},
		"url: \"http://x\"":             {URL: "http://x"},
		"url: \"https://u:p@x\"":        {URL: "https://u:p@x"},
		"lookupURL: ":                   {URL: "https://x", LookupURL: "x"},
		"caFile: ":                      {URL: "https://x", CAFile: "/nowhere"},
		"has no certificate":            {URL: "https://x", CAFile: write(t, "x")},
		"tokenFile: ":                   {URL: "https://x", TokenFile: "/nowhere"},
		"want a token on one line":      {URL: "https://x", TokenFile: write(t, "a b\n")},
		"authenticator \"mine\": url: ": {Name: "mine"},
	} {
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(aliceIs))
	f.Add([]byte(`{"user":"a","groups":[]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		id, err := parse(body)
		if err != nil {
			return
		}
		if id.Name == "" || !identity.ValidName(id.Name) {
			t.Errorf("%q gives the name %q", body, id.Name)
		}
		var same struct {
			User   string
			Groups []string
		}
		if err := json.Unmarshal(body, &same); err != nil || same.User != id.Name || len(same.Groups) != len(id.Groups) {
			t.Errorf("%q: %v, %v", body, same, err)
		}
	})
}
