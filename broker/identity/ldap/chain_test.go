package ldap

import (
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/x2broker/x2broker/broker/identity"
	"github.com/x2broker/x2broker/broker/identity/endpoint"
)

// TestTheChainAcrossTypes has a table, a directory and a program of the site in
// one chain, in every order.
func TestTheChainAcrossTypes(t *testing.T) {
	w := newWorld(t)
	w.user("both")
	w.user("directory")
	w.user("locked", "locked", "yes")
	w.config.Valid = "(!(locked=yes))"

	hash := func(password string) string {
		h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		return string(h)
	}
	table, _, err := identity.NewStatic(identity.StaticConfig{Users: map[string]identity.StaticUser{
		"both": {Hash: hash("table-pw")}, "table": {Hash: hash("table-pw")}, "locked": {Hash: hash("locked-pw")},
	}})
	if err != nil {
		t.Fatal(err)
	}

	var asked atomic.Int64
	site := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
	}))
	t.Cleanup(site.Close)
	ca := write(t, "site.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: site.Certificate().Raw})))
	program, err := endpoint.New(endpoint.Config{URL: site.URL, CAFile: ca})
	if err != nil {
		t.Fatal(err)
	}

	d := w.open(t)
	for name, tc := range map[string]struct {
		order          []identity.Authenticator
		user, password string
		by             string
		err            error
	}{
		"the directory knows him":                {[]identity.Authenticator{d, table, program}, "both", "both-pw", "ldap", nil},
		"his password of the table is wrong":     {[]identity.Authenticator{d, table, program}, "both", "table-pw", "", identity.ErrWrongPassword},
		"the table knows him":                    {[]identity.Authenticator{table, d, program}, "both", "table-pw", "static", nil},
		"his password of the directory is wrong": {[]identity.Authenticator{table, d, program}, "both", "both-pw", "", identity.ErrWrongPassword},
		"unknown to the first":                   {[]identity.Authenticator{d, table, program}, "table", "table-pw", "static", nil},
		"unknown to the first two":               {[]identity.Authenticator{program, table, d}, "directory", "directory-pw", "ldap", nil},
		"locked there, good here":                {[]identity.Authenticator{d, table, program}, "locked", "locked-pw", "", identity.ErrExpired},
		"unknown to all":                         {[]identity.Authenticator{program, d, table}, "nobody", "x", "", identity.ErrUnknownUser},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := identity.NewChain(tc.order...)
			if err != nil {
				t.Fatal(err)
			}
			before := asked.Load()
			id, err := c.Authenticate(t.Context(), identity.Credentials{Name: tc.user, Password: tc.password})
			if !errors.Is(err, tc.err) || id.Authenticator != tc.by {
				t.Errorf("got %v, %v, want %q, %v", id, err, tc.by, tc.err)
			}
			if tc.err != nil && asked.Load() != before+1 {
				t.Error("the one behind did no work: the clock tells who knows the name")
			}
			if c.CanLookup("https") || !c.CanLookup("ldap") {
				t.Error("tickets without a way to check them, or none where there is one")
			}
		})
	}
	if slices.ContainsFunc(w.seen().binds, func(b string) bool { return strings.HasSuffix(b, " table-pw") && !strings.Contains(b, "uid=both") }) {
		t.Errorf("a password of the table went to the directory for nothing: %q", w.seen().binds)
	}

	w.stop()
	c, err := identity.NewChain(d, table)
	if err != nil {
		t.Fatal(err)
	}
	if id, err := c.Authenticate(t.Context(), identity.Credentials{Name: "table", Password: "table-pw"}); !errors.Is(err, identity.ErrNotTried) {
		t.Errorf("the directory is away, and the next decides: %v, %v", id, err)
	}
}

// The name as the directory has it is the one in the ticket, and each use of the
// ticket asks the directory, at most a minute later.
func TestATicketStandsOnTheDirectory(t *testing.T) {
	w := newWorld(t)
	w.user("alice")
	d := w.open(t)
	c, err := identity.NewChain(d)
	if err != nil {
		t.Fatal(err)
	}
	c.KeepLookups("ldap", time.Minute, w.clock.Now)
	if id, err := c.Authenticate(t.Context(), identity.Credentials{Name: "ALICE", Password: "alice-pw"}); err != nil || id.Name != "alice" {
		t.Fatal(id, err)
	}
	w.stop()
	if _, err := c.Lookup(t.Context(), "ldap", "alice"); err != nil {
		t.Errorf("right after the login: %v", err)
	}
	w.clock.advance(time.Minute)
	if _, err := c.Lookup(t.Context(), "ldap", "alice"); err == nil {
		t.Error("a minute later the directory is away, and the ticket good")
	}
}
