//go:build e2e

package pam

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/x2broker/x2broker/tests/brokertest"
	"github.com/x2broker/x2broker/tests/pamtest"
)

// withBroker starts a broker that asks PAM. Its site shows a profile to the
// group games, and denies logins from 127.0.0.9.
func withBroker(t *testing.T) (*brokertest.Broker, *pamtest.Helper) {
	t.Helper()
	h := pamtest.Start(t)
	return broker(t, fmt.Sprintf("authenticators: [{type: \"pam\", socket: %q, maxAge: \"0s\"}]\n", h.Socket)), h
}

func broker(t *testing.T, authenticators string) *brokertest.Broker {
	t.Helper()
	repo := brokertest.NewRepo(t, brokertest.Files{
		"site.cue": `package site

site: name: "Test"
servers: here: address: "127.0.0.1"
profiles: office: {name: "Office", hosts: ids: ["here"], access: groups: ["games"]}
`,
		"policy/login.rego": `package x2go.login

deny contains "not from here" if input.client.address == "127.0.0.9"
`,
	})
	b := brokertest.Start(t, fmt.Sprintf("site: {url: %q, poll: \"100ms\"}\nstateDir: %q\n", repo.URL(), t.TempDir())+authenticators)
	b.WaitReady()
	return b
}

// post sends what X2Go Client sends, in its order.
func post(t *testing.T, b *brokertest.Broker, from, format string, values ...any) string {
	t.Helper()
	for i, v := range values {
		values[i] = strings.ReplaceAll(url.QueryEscape(v.(string)), "+", "%20")
	}
	r, err := http.NewRequest(http.MethodPost, b.URL(), strings.NewReader(fmt.Sprintf(format, values...)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("User-Agent", "Mozilla/5.0")
	resp, err := brokertest.HTTPFrom(from).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("status %d, %v", resp.StatusCode, err)
	}
	return string(text)
}

const (
	list    = "task=listsessions&user=%s&password=%s&authid=%s"
	setpass = "task=setpass&newpass=%s&user=%s&password=%s&authid=%s"
	home    = "127.0.0.1"
)

// ticket is the authid of an answer.
func ticket(answer string) string {
	_, rest, _ := strings.Cut(answer, "AUTHID:")
	id, _, _ := strings.Cut(rest, "\n")
	return id
}

func TestAUserOfTheMachineGetsHisProfilesAndChangesHisPassword(t *testing.T) {
	pamtest.Rules(t, pamtest.Shipped(t))
	const first, second = "sweet & söur 100%", "Quite another 1 &= ü"
	alice := pamtest.NewUser(t, "alice", first)
	b, _ := withBroker(t)

	answer := post(t, b, home, list, alice, first, "")
	if !strings.Contains(answer, "Access granted") || !strings.Contains(answer, "[office]") {
		t.Fatalf("list: %s", answer)
	}
	authid := ticket(answer)
	answer = post(t, b, home, list, alice, "", authid)
	if !strings.Contains(answer, "[office]") {
		t.Errorf("list by ticket: %s", answer)
	}
	authid = ticket(answer)

	for name, tt := range map[string]struct{ from, next, password, want string }{
		"too simple":     {home, "a", first, "Access denied: the password was not changed: "},
		"wrong password": {home, second, "sour", "Access denied\n"},
		"no password":    {home, second, "", "Access denied\n"}, // a ticket is not enough
		"from elsewhere": {"127.0.0.9", second, first, "Access denied: not from here\n"},
	} {
		if answer := post(t, b, tt.from, setpass, tt.next, alice, tt.password, authid); !strings.HasPrefix(answer, tt.want) {
			t.Errorf("setpass, %s: %q, want %q", name, answer, tt.want)
		}
	}
	if answer := post(t, b, home, setpass, second, alice, first, authid); answer != "PASSWORD CHANGED: OK\nLog in with the new password.\n" {
		t.Errorf("setpass: %q", answer)
	}
	for name, tt := range map[string]struct {
		password, authid string
		want             bool
	}{
		"new password":             {second, "", true},
		"new password, old authid": {second, authid, true}, // as the client sends it
		"old password":             {first, "", false},
		"old authid alone":         {"", authid, false},
		"both old":                 {first, authid, false},
	} {
		if answer := post(t, b, home, list, alice, tt.password, tt.authid); strings.Contains(answer, "Access granted") != tt.want {
			t.Errorf("%s: %q", name, answer)
		}
	}
	if log := b.Log(); strings.Contains(log, "sweet") || strings.Contains(log, "Quite") {
		t.Errorf("a password is in the log:\n%s", log)
	}
}

func TestAForcedChangeIsMadeBySetpass(t *testing.T) {
	pamtest.Rules(t, pamtest.Shipped(t))
	bob := pamtest.NewUser(t, "bob", "sweet")
	pamtest.Command(t, "", "chage", "--lastday", "0", bob)
	b, _ := withBroker(t)
	if answer := post(t, b, home, list, bob, "sweet", ""); answer != "Access denied: your password has expired, change it first\n" {
		t.Errorf("list: %q", answer)
	}
	if answer := post(t, b, home, setpass, "Quite-another-1", bob, "sweet", ""); !strings.HasPrefix(answer, "PASSWORD CHANGED: OK\n") {
		t.Errorf("setpass: %q", answer)
	}
	if answer := post(t, b, home, list, bob, "Quite-another-1", ""); !strings.Contains(answer, "[office]") {
		t.Errorf("list: %q", answer)
	}
}

func TestATicketEndsWithTheAccount(t *testing.T) {
	pamtest.Rules(t, pamtest.Shipped(t))
	carol := pamtest.NewUser(t, "carol", "sweet")
	b, _ := withBroker(t)
	authid := ticket(post(t, b, home, list, carol, "sweet", ""))
	pamtest.Command(t, "", "usermod", "--lock", carol)
	if answer := post(t, b, home, list, carol, "", authid); answer != "Access denied\n" {
		t.Errorf("list: %q", answer)
	}
}

// The password is of broker.cue, the groups are of the machine.
func TestGroupsOfTheMachineAreAddedToOthersUsers(t *testing.T) {
	pamtest.Rules(t, pamtest.Shipped(t))
	dora := pamtest.NewUser(t, "dora", "")
	h := pamtest.Start(t)
	b := broker(t, brokertest.Users(t, map[string][]string{dora: nil, "nobody-here": nil})+
		fmt.Sprintf("groups: [{type: \"pam\", socket: %q, maxAge: \"0s\"}]\n", h.Socket))
	if answer := post(t, b, home, list, dora, dora+"-pw", ""); !strings.Contains(answer, "[office]") {
		t.Errorf("a member of games: %q", answer)
	}
	if answer := post(t, b, home, list, "nobody-here", "nobody-here-pw", ""); !strings.Contains(answer, "Access granted") || strings.Contains(answer, "[office]") {
		t.Errorf("one whom the machine does not know: %q", answer)
	}
	pamtest.Command(t, "", "gpasswd", "--delete", dora, "games")
	if answer := post(t, b, home, list, dora, dora+"-pw", ""); strings.Contains(answer, "[office]") {
		t.Errorf("no member any more: %q", answer)
	}
}
