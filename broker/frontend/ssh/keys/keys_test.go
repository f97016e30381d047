package keys

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// Mallory has a key of her own, and logs in as alice with it.
func TestTheKeyOfAnotherUser(t *testing.T) {
	w := newWorld(t)
	w.write("keys/alice", "# of alice", "", line("", key("alice")), line("", key("alice, at home")))
	w.write("keys/mallory", line("", key("mallory")))
	c := w.checker()
	allows(t, c, "alice", key("alice"))
	allows(t, c, "alice", key("alice, at home"))
	allows(t, c, "mallory", key("mallory"))
	refuses(t, c, "alice", key("mallory"), w.keys+"/alice: the key is not there")
	refuses(t, c, "mallory", key("alice"), "the key is not there")
	refuses(t, c, "nobody", key("alice"), "there is no such file")
	refuses(t, c, "", key("alice"), "without a user")
}

// A key that may dump one database over there must not open the desktops of its
// owner here.
func TestAKeyWithLimitsThatTheBrokerCannotKeep(t *testing.T) {
	for options, why := range map[string]string{
		``:         ``,
		`restrict`: ``,
		`no-pty,no-agent-forwarding,no-X11-forwarding,No-Port-Forwarding,no-user-rc`: ``,
		`restrict,pty,user-rc,agent-forwarding,port-forwarding,x11-forwarding`:       ``,
		`permitopen="db:5432",permitlisten="8080"`:                                   ``,
		`no-touch-required`:                               ``,
		`from="10.0.0.0/8"`:                               ``,
		`FROM="10.0.0.0/8"`:                               ``,
		`from="192.168.0.0/16"`:                           `not from 10.1.2.3`,
		`from="10.0.0.0/8,!10.1.0.0/16"`:                  `not from 10.1.2.3`,
		`from="10.0.0.0/8",from="10.0.0.0/8"`:             `twice`,
		`from=10.0.0.0/8`:                                 `no value in quotes`,
		`from=""`:                                         `an empty entry`,
		`from="10.1.2.3/8"`:                               `neither an address nor a network`,
		`from="*.example.org"`:                            `not from`,
		`from="!evil.example.org,*"`:                      `looks up no names`,
		`expiry-time="20260302120001Z"`:                   ``,
		`expiry-time="20260302120000Z"`:                   `expired at 2026-03-02T12:00:00Z`,
		`expiry-time="20270101",restrict`:                 ``,
		`expiry-time="20270101Z",expiry-time="20260101Z"`: `expired`,
		`expiry-time="20260101Z",expiry-time="20270101Z"`: `expired`,
		`expiry-time="tomorrow"`:                          `is no time`,
		`command="/usr/bin/dump"`:                         `command=`,
		`restrict,command="echo \"hi, there\""`:           `command=`,
		`command="from=\"10.0.0.0/8\",x"`:                 `command=`,
		`principals="alice"`:                              `principals=`,
		`cert-authority`:                                  `set ssh.userCAs`,
		`environment="USER=bob"`:                          `environment=`,
		`tunnel="0"`:                                      `tunnel=`,
		`verify-required`:                                 `PIN`,
		`future-limit`:                                    `"future-limit" is not known`,
		`future-limit="x y"`:                              `"future-limit" is not known`,
		`restrict,`:                                       `"" is not known`,
		`restrict="yes"`:                                  `"restrict" is not known`,
		`from="10.0.0.0/8"x`:                              `no value in quotes`,
	} {
		e, err := parseLine(line(options, key("alice")), time.UTC)
		if err != nil {
			t.Errorf("%s: %v", options, err)
			continue
		}
		got := e.refuses(here, noon)
		if why == "" && got != "" || !strings.Contains(got, why) {
			t.Errorf("%s: refused by %q, want %q", options, got, why)
		}
	}
}

func TestAnyLineThatAllowsTheKeyDoes(t *testing.T) {
	w := newWorld(t)
	w.write("keys/alice", line(`command="/bin/false"`, key("alice")), line(`from="10.0.0.0/8"`, key("alice")))
	w.write("keys/bob", line(`command="/bin/false"`, key("bob")), line(`from="192.0.2.1"`, key("bob")))
	c := w.checker()
	allows(t, c, "alice", key("alice"))
	refuses(t, c, "bob", key("bob"), "/bob: line 1: command=")
	refuses(t, c, "bob", key("bob"), "line 2: not from 10.1.2.3")
	for text, want := range map[string]bool{"10.9.9.9": true, "::ffff:10.9.9.9": true, "11.0.0.1": false} {
		err := c.Authorized(t.Context(), "alice", key("alice"), netip.MustParseAddr(text))
		if (err == nil) != want {
			t.Errorf("from %s: %v", text, err)
		}
	}
	w.write("keys/carol", line(`from="*"`, key("carol")))
	for _, name := range []string{"alice", "carol"} {
		if err := c.Authorized(t.Context(), name, key(name), netip.Addr{}); err == nil {
			t.Error("a key with from= is good from an address that is not known")
		}
	}
}

// Where the machine is in Berlin, a time without a Z is Berlin's.
func TestTheTimeZoneOfAnExpiry(t *testing.T) {
	berlin := time.FixedZone("Berlin", 3600)
	for text, want := range map[string]time.Time{
		"20260302":          time.Date(2026, 3, 1, 23, 0, 0, 0, time.UTC),
		"20260302Z":         time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC),
		"202603021230":      time.Date(2026, 3, 2, 11, 30, 0, 0, time.UTC),
		"202603021230z":     time.Date(2026, 3, 2, 12, 30, 0, 0, time.UTC),
		"20260302123059UTC": time.Date(2026, 3, 2, 12, 30, 59, 0, time.UTC),
	} {
		if got, err := parseTime(text, berlin); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "Z", "2026", "20261301", "2026030224", "20260302246000", "+2026030", "2026-3-2", "20260302 1230"} {
		if got, err := parseTime(text, berlin); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

func TestKindsOfKeys(t *testing.T) {
	w := newWorld(t)
	old, good := rsaSigner(t, 1024).PublicKey(), rsaSigner(t, 2048).PublicKey()
	touched, _ := securityKey(t, "token")
	dss := parsed(t, struct {
		Name       string
		P, Q, G, Y []byte
	}{"ssh-dss", append([]byte{0, 0x80}, make([]byte, 127)...), append([]byte{0, 0x80}, make([]byte, 19)...), []byte{2}, []byte{3}})
	w.write("keys/alice", line("", old), line("", good), line("", touched), line("", dss), line("", key("alice")))
	c := w.checker()
	allows(t, c, "alice", good)
	allows(t, c, "alice", touched)
	allows(t, c, "alice", key("alice"))
	refuses(t, c, "alice", old, "RSA with less than 2048 bits")
	refuses(t, c, "alice", dss, `"ssh-dss" are not accepted`)
}

// Broken lines cost themselves only, and the log one record each.
func TestBrokenLinesAreSkippedAndLoggedOnce(t *testing.T) {
	w := newWorld(t)
	good := line("", key("alice"))
	w.write("keys/alice",
		"ssh-ed25519",
		"ssh-ed25519 AAAA",
		"ssh-ed25519 Geheim!",
		`command="no end `+good,
		"ssh-rsa "+strings.Fields(good)[1],
		"-----BEGIN OPENSSH PRIVATE KEY-----",
		good+strings.Repeat("x", maxLine),
		line("", key("alice, later"))+"\r")
	c := w.checker()
	for range 3 {
		allows(t, c, "alice", key("alice, later"))
		refuses(t, c, "alice", key("alice"), "not there")
	}
	for n := 1; n <= 7; n++ {
		if got := strings.Count(w.log.String(), fmt.Sprintf(`err="line %d: `, n)); got != 1 {
			t.Errorf("line %d is in the log %d times:\n%s", n, got, &w.log)
		}
	}
	if strings.Contains(w.log.String(), "line 8") || strings.Contains(w.log.String(), "Geheim") {
		t.Errorf("a good line, or what may be secret, is in the log:\n%s", &w.log)
	}
}

// Who finds out how often a mistake is logged could fill the memory with them.
func TestWhatWasLoggedIsForgottenInTime(t *testing.T) {
	w := newWorld(t)
	c := w.checker()
	for n := range 3 * maxTold {
		c.tell("x", []error{fmt.Errorf("line %d: wrong", n)})
	}
	if len(c.told) > maxTold {
		t.Errorf("%d are remembered", len(c.told))
	}
}

func TestNewNamesMistakes(t *testing.T) {
	w := newWorld(t)
	private := w.write("ca", "-----BEGIN OPENSSH PRIVATE KEY-----")
	weak := w.write("weak", line("", key("ca")), line("", rsaSigner(t, 1024).PublicKey()))
	empty := w.write("empty")
	krl := w.write("krl", "SSHKRL\n\x00\x00")
	for name, tc := range map[string]struct {
		change func(*Options)
		want   string
	}{
		"one file for all":      {func(o *Options) { o.Files = []string{"/etc/x2broker/keys"} }, "ssh.authorizedKeys: \"/etc/x2broker/keys\" has no {user}"},
		"relative":              {func(o *Options) { o.Files = []string{"keys/{user}"} }, "no absolute path"},
		"detours":               {func(o *Options) { o.Files = []string{"/etc/{user}/../keys"} }, "without detours"},
		"a placeholder of sshd": {func(o *Options) { o.Files = []string{"/home/{user}/%h"} }, "the only thing"},
		"another placeholder":   {func(o *Options) { o.Files = []string{"/home/{user}/{host}"} }, "the only thing"},
		"two of one place":      {func(o *Options) { o.Files = []string{"/k/{user}", "/k/{user}.pub"} }, "different names"},
		"no such authority":     {func(o *Options) { o.UserCAs = []string{w.dir + "/none"} }, "ssh.userCAs: there is no file"},
		"a private key":         {func(o *Options) { o.UserCAs = []string{private} }, "line 1: has no type of key"},
		"a weak authority":      {func(o *Options) { o.UserCAs = []string{weak} }, "line 2: keys of RSA with less than 2048 bits"},
		"no key":                {func(o *Options) { o.UserCAs = []string{empty} }, "holds no key"},
		"no such revoked":       {func(o *Options) { o.Revoked = w.dir + "/none" }, "ssh.revokedKeys: there is no file"},
		"revoked of ssh-keygen": {func(o *Options) { o.Revoked = krl }, "binary format"},
	} {
		t.Run(name, func(t *testing.T) {
			o := w.opts
			tc.change(&o)
			if _, _, err := New(o); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
	w.opts.Files = []string{w.dir + "/none/{user}"}
	_, warnings, err := New(w.opts)
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "lets nobody in") {
		t.Errorf("a directory that is not there yet: %v, %v", warnings, err)
	}
}

func TestTemplatesThatCanBothBe(t *testing.T) {
	w := newWorld(t)
	w.opts.Files = []string{w.keys + "/{user}", w.dir + "/home/{user}/.ssh/authorized_keys", w.dir + "/home/{user}/.ssh/authorized_keys2"}
	w.mkdir("home")
	w.write("home/alice/.ssh/authorized_keys2", line("", key("alice")))
	c := w.checker()
	allows(t, c, "alice", key("alice"))
	if !c.Any() {
		t.Error("no place for keys")
	}
	refuses(t, c, "alice", key("bob"), "authorized_keys2: the key is not there")
}

func TestNoPlaceForKeys(t *testing.T) {
	w := newWorld(t)
	w.opts.Files = nil
	c := w.checker()
	if c.Any() {
		t.Error("there is a place for keys")
	}
	refuses(t, c, "alice", key("alice"), "only certificates")
	refuses(t, c, "alice", &ssh.Certificate{Key: key("alice"), SignatureKey: key("ca")}, "ssh.userCAs is not set")
}
