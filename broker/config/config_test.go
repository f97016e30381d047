package config_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/x2broker/x2broker/broker/config"
)

const users = `authenticators: [{type: "static", users: alice: {password: "$2a$04$x", groups: ["staff"]}}]` + "\n"

func load(t *testing.T, text string) (*config.Config, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "broker.cue")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(file)
	if err == nil {
		err = c.Validate()
	}
	return c, err
}

func TestEveryFieldIsRead(t *testing.T) {
	got, err := load(t, users+`
site: {url: "file:///srv/site.git", ref: "live", poll: "100ms", timeout: "5m"}
site: auth: {tokenFile: "/t", user: "u", caFile: "/c", keyFile: "/k", knownHostsFile: "/h"}
listen: {http: "127.0.0.1:81", ssh: "127.0.0.1:22", trustedProxies: ["192.0.2.1", "2001:db8::/32"], basePath: "/broker/", proxyProtocol: true}
listen: {https: "127.0.0.1:82", tls: {cert: "/c", key: "/k", clientCA: "/a"}, limits: {connections: 10, perAddress: 9}}
listen: unix: {path: "/run/x2broker/http.sock", mode: "0600", group: "www-data"}
ssh: {hostKeys: ["/h1", "/h2"], authorizedKeys: ["/keys/{user}"], userCAs: ["/ca"], revokedKeys: "/r"}
ssh: {keyAndPassword: true, banner: "Be kind.\nOr else.", loginTime: "1m"}
ticket: {lifetime: "1h", keyRotation: "24h", rotate: false, verifyAddress: false}
ticket: shared: {file: "/s", withoutPassword: true, from: ["192.0.2.1"]}
frontends: {
	plain: {enabled: false, deniedStatus: 401}
	json: enabled: false
	uccs: {enabled: true, url: "https://broker.example.org/x/"}
	zeroconf: {enabled: true, command: "XFCE"}
}
stateDir: "/tmp/x"
`)
	if err != nil {
		t.Fatal(err)
	}
	want := &config.Config{
		Site: config.Site{
			URL: "file:///srv/site.git", Ref: "live", Poll: 100 * time.Millisecond, Timeout: 5 * time.Minute,
			Auth: config.SiteAuth{TokenFile: "/t", User: "u", CAFile: "/c", KeyFile: "/k", KnownHostsFile: "/h"},
		},
		Listen: config.Listen{
			HTTP: "127.0.0.1:81", SSH: "127.0.0.1:22", BasePath: "/broker", ProxyProtocol: true,
			HTTPS: "127.0.0.1:82", TLS: config.TLS{Cert: "/c", Key: "/k", ClientCA: "/a"}, Connections: 10, PerAddress: 9,
			Unix:           config.Unix{Path: "/run/x2broker/http.sock", Mode: 0o600, Group: "www-data"},
			TrustedProxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("2001:db8::/32")},
		},
		Authenticators: []config.Authenticator{{Static: map[string]config.StaticUser{"alice": {Password: "$2a$04$x", Groups: []string{"staff"}}}}},
		Frontends: config.Frontends{
			Plain:    config.Plain{DeniedStatus: 401},
			UCCS:     config.UCCS{Enabled: true, URL: "https://broker.example.org/x"},
			Zeroconf: config.Zeroconf{Enabled: true, Command: "XFCE"},
		},
		Ticket: config.Ticket{
			Lifetime: time.Hour, KeyRotation: 24 * time.Hour,
			Shared: config.Shared{File: "/s", WithoutPassword: true, From: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}},
		},
		SSH: config.SSH{
			HostKeys: []string{"/h1", "/h2"}, AuthorizedKeys: []string{"/keys/{user}"}, UserCAs: []string{"/ca"}, RevokedKeys: "/r",
			KeyAndPassword: true, Banner: "Be kind.\r\nOr else.\r\n", LoginTime: time.Minute,
		},
		StateDir: "/tmp/x",
		Warnings: []string{"ticket.shared lets whoever has its secret in under any name, without a password"},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDefaults(t *testing.T) {
	got, err := load(t, users)
	if err != nil {
		t.Fatal(err)
	}
	want := config.Default()
	want.Authenticators = got.Authenticators
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestMistakesAreNamed(t *testing.T) {
	none := func(from string) string {
		return `authenticators: [{type: "none", from: [` + from + `]}]` + "\n"
	}
	tests := map[string]struct{ text, want string }{
		"syntax":                  {"site: {", `broker.cue:1:8: expected`},
		"unknown field":           {users + "sites: 1\n", `broker.cue:2:1: sites: unknown field`},
		"unknown nested field":    {users + "listen: htpp: \"x\"\n", `broker.cue:2:9: listen.htpp: unknown field`},
		"wrong type":              {users + "stateDir: 7\n", `broker.cue:2:11: stateDir: conflicting values`},
		"no authenticators":       {"stateDir: \"/x\"\n", `authenticators: required field is missing`},
		"empty authenticators":    {"authenticators: []\n", `authenticators: nobody could log in`},
		"unknown authenticator":   {`authenticators: [{type: "pamm"}]`, `broker.cue:1:18: authenticators.0.type: "pamm" is none of "https", "ldap", "none", "pam", "static"`},
		"unknown static field":    {`authenticators: [{type: "static", user: a: {}}]`, `unknown field`},
		"user without password":   {`authenticators: [{type: "static", users: a: {}}]`, `required field is missing`},
		"poll too often":          {users + `site: poll: "1ms"`, `site.poll: 1ms is not between 100ms and 1h0m0s`},
		"poll no duration":        {users + `site: poll: "often"`, `site.poll: "often" is no length of time`},
		"timeout too short":       {users + `site: timeout: "1ms"`, `site.timeout: 1ms is not between 1s and 10m0s`},
		"a token in broker.cue":   {users + `site: auth: token: "x"`, `broker.cue:2:13: site.auth.token: unknown field`},
		"a token for its file":    {users + `site: auth: tokenFile: "ghp_secret"`, `site.auth.tokenFile: must be the absolute path of a file`},
		"listens nowhere":         {users + `listen: http: ""`, `listen: the broker would listen nowhere`},
		"bad address":             {users + `listen: http: "localhost"`, `listen.http: "localhost" is no host:port`},
		"ssh is no address":       {users + `listen: ssh: "2222"`, `listen.ssh: "2222" is no host:port, like "0.0.0.0:2222"`},
		"https without tls":       {users + `listen: https: "127.0.0.1:443"`, `listen.tls: https needs`},
		"relative socket":         {users + `listen: unix: path: "http.sock"`, `listen.unix.path: "http.sock" is no absolute path`},
		"mode of a socket":        {users + `listen: unix: {path: "/s", mode: "rw"}`, `listen.unix.mode: "rw" is no mode`},
		"socket without path":     {users + `listen: unix: mode: "0660"`, `listen.unix.path: required field is missing`},
		"PROXY headers of nobody": {users + `listen: proxyProtocol: true`, `listen.proxyProtocol: nobody may send PROXY headers`},
		"no connections":          {users + `listen: limits: connections: 0`, `listen.limits.connections: 0 is not between 1 and`},
		"more here than in all":   {users + `listen: limits: {connections: 5, perAddress: 6}`, `listen.limits.perAddress: 6 is not between 1 and limits.connections, 5`},
		"proxy":                   {users + `listen: trustedProxies: ["proxy"]`, `listen.trustedProxies: "proxy" is no network`},
		"base path":               {users + `listen: basePath: "broker"`, `listen.basePath: "broker" is no path`},
		"denied status":           {users + `frontends: plain: deniedStatus: 403`, `frontends.plain.deniedStatus`},
		"frontend":                {users + `frontends: xml: enabled: true`, `broker.cue:2:12: frontends.xml: unknown field`},
		"broker's URL":            {users + `frontends: uccs: url: "broker"`, `frontends.uccs.url: "broker" is no URL of a broker`},
		"keys not absolute":       {users + `ticket: keyFile: "keys"`, `ticket.keyFile: must be the absolute path of a file`},
		"keys that rotate twice":  {users + `ticket: {keyFile: "/keys", keyRotation: "24h"}`, `ticket.keyRotation: is for keys that the broker makes itself`},
		"a secret for its file":   {users + `ticket: shared: file: "s3cret"`, `ticket.shared.file: must be the absolute path of a file`},
		"shared from anywhere":    {users + `ticket: shared: {file: "/s", withoutPassword: true}`, `ticket.shared.from: is missing`},
		"shared from for nothing": {users + `ticket: shared: {file: "/s", from: ["10.0.0.0/8"]}`, `ticket.shared.from: is for withoutPassword only`},
		"shared without a file":   {users + `ticket: shared: {}`, `ticket.shared.file: required field is missing`},
		"none beside others":      {`authenticators: [{type: "none", from: ["10.0.0.0/8"]}, {type: "static", users: {}}]`, `must be the only one`},
		"none without from":       {none(""), `authenticators.none.from: is empty`},
		"none behind a proxy":     {none(`"127.0.0.1"`) + `listen: http: "0.0.0.0:80"`, `needs every listener on loopback`},
		"none from all, any port": {none(`"0.0.0.0/0"`) + `listen: http: ":80"`, `needs every listener on loopback`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, test.text)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
}

func TestNoneOnLoopbackIsFine(t *testing.T) {
	if _, err := load(t, `authenticators: [{type: "none", from: ["127.0.0.0/8", "::1"]}]`); err != nil {
		t.Error(err)
	}
}

func TestWarnings(t *testing.T) {
	got, err := load(t, users+`listen: http: ":8080"`)
	if err != nil || len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0], "passwords travel in clear") {
		t.Errorf("got %v, %v", got.Warnings, err)
	}
}

// Whoever opens the socket may say who he is.
func TestASocketForEverybodyIsWarnedOf(t *testing.T) {
	for mode, want := range map[string]int{"0660": 0, "0666": 1} {
		c, err := load(t, users+`listen: unix: {path: "/s", mode: "`+mode+`"}`)
		if err != nil || len(c.Warnings) != want {
			t.Errorf("%s: %v, warnings %q", mode, err, c.Warnings)
		}
	}
}

func TestASmallLimitHoldsForOneAddressToo(t *testing.T) {
	c, err := load(t, users+`listen: limits: connections: 5`)
	if err != nil || c.Listen.PerAddress != 5 {
		t.Errorf("%+v, %v", c.Listen, err)
	}
}
