//go:build e2e

// Package proxies runs docs/proxies.md: every section with the settings of a
// broker and of a proxy is tried with the real proxy.
package proxies

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/x2broker/x2broker/client"
	"github.com/x2broker/x2broker/tests/brokertest"
)

func TestMain(m *testing.M) {
	brokertest.Need(map[string]string{"git": "git", "nginx": "nginx-light", "apache2": "apache2", "haproxy": "haproxy"})
	brokertest.Main(m)
}

// Clients' addresses. The lab is for one of them.
const (
	inLab     = "127.0.0.7"
	elsewhere = "127.0.0.8"
)

const site = `package site

site: name: "Test"
servers: ts01: {}
profiles: [string]: hosts: ids: ["ts01"]
profiles: everywhere: {name: "Everywhere", access: groups: ["staff"]}
profiles: lab: {name: "Lab", access: {groups: ["staff"], from: ["127.0.0.7/32"]}}
`

// A section of the page.
type section struct{ name, broker, kind, proxy string }

func sections(t *testing.T) []section {
	t.Helper()
	page, err := os.ReadFile("../../../docs/proxies.md")
	if err != nil {
		t.Fatal(err)
	}
	var all []section
	block := regexp.MustCompile("(?ms)^```(cue|nginx|apache|haproxy)\n(.*?)^```$")
	for _, text := range strings.Split(string(page), "\n## ")[1:] {
		s := section{}
		s.name, text, _ = strings.Cut(text, "\n")
		for _, b := range block.FindAllStringSubmatch(text, -1) {
			if b[1] == "cue" {
				s.broker = b[2]
			} else {
				s.kind, s.proxy = b[1], b[2]
			}
		}
		if s.kind != "" {
			all = append(all, s)
		}
	}
	if len(all) < 7 {
		t.Fatalf("%d sections: this test would not fail", len(all))
	}
	return all
}

func TestThePage(t *testing.T) {
	for _, s := range sections(t) {
		t.Run(s.name, func(t *testing.T) { newSetup(t, s).test() })
	}
}

// A setup is a broker with a proxy in front.
type setup struct {
	t      *testing.T
	broker *brokertest.Broker
	url    string // for X2Go Client, at the proxy, on 127.0.0.1
	ca     string // file
	direct string // the broker past the proxy, "" behind a unix socket
}

func newSetup(t *testing.T, s section) *setup {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o711); err != nil { // the proxy's user goes through to the socket
		t.Fatal(err)
	}
	front, back := freePort(t), freePort(t)
	ca := newAuthority(t, dir)
	own := ca.issue("own")
	p := newAuthority(t, filepath.Join(dir, "proxies"))
	shown := p.issue("proxy")
	here := strings.NewReplacer(
		"127.0.0.1:8080", "127.0.0.1:"+back, "127.0.0.1:8443", "127.0.0.1:"+back, "*:443", "*:"+front, ":443", ":"+front, "listen 443", "listen "+front,
		"/run/x2broker/http.sock", filepath.Join(dir, "http.sock"), "www-data", webGroup(t),
		"/etc/haproxy/broker.pem", own+".both",
		"/etc/ssl/broker.pem", own+".pem", "/etc/ssl/broker.key", own+".key", "/etc/x2broker/cert.pem", own+".pem", "/etc/x2broker/key.pem", own+".key",
		"/etc/ssl/proxy.pem", shown+".pem", "/etc/ssl/proxy.key", shown+".key", "/etc/ssl/broker-ca.pem", ca.file, "/etc/x2broker/proxies.pem", p.file,
		"proxy_ssl_verify on;", "proxy_ssl_verify on; proxy_ssl_name localhost;",
	)
	settings, config := here.Replace(s.broker), here.Replace(s.proxy)
	repo := brokertest.NewRepo(t, brokertest.Files{"site.cue": site})
	u := &setup{t: t, ca: ca.file, broker: brokertest.Start(t, settings+fmt.Sprintf("site: url: %q\nstateDir: %q\n", repo.URL(), filepath.Join(dir, "state"))+
		brokertest.Users(t, map[string][]string{"alice": {"staff"}}))}
	u.broker.WaitReady()
	base := ""
	if m := regexp.MustCompile(`basePath: "(.*?)"`).FindStringSubmatch(settings); m != nil {
		base = m[1]
	}
	u.url = "https://127.0.0.1:" + front + base + "/plain/"
	if !strings.Contains(settings, "unix:") {
		u.direct = "http://127.0.0.1:" + back + base + "/plain/"
		if strings.Contains(settings, "https:") {
			u.direct = strings.Replace(u.direct, "http:", "https:", 1)
		}
	}
	startProxy(t, s.kind, dir, front, config)
	return u
}

func (u *setup) test() {
	t := u.t
	for from, want := range map[string][]string{inLab: {"everywhere", "lab"}, elsewhere: {"everywhere"}} {
		if got := u.sees(u.url, from, nil); !slices.Equal(got, want) {
			t.Errorf("%s sees %v, want %v\n%s", from, got, want, u.broker.Log())
		}
	}
	// What a client says about himself does not count.
	for _, lie := range []http.Header{
		{"X-Forwarded-For": {inLab}},
		{"X-Forwarded-For": {inLab, inLab + ", " + inLab}},
		{"X-Forwarded-For": {elsewhere + "," + inLab}},
		{"X-Forwarded-For": {inLab}, "Connection": {"X-Forwarded-For"}},
		{"Forwarded": {"for=" + inLab}, "X-Real-Ip": {inLab}, "X-Client-Ip": {inLab}, "X-Forwarded": {inLab}, "X-Forwarded-Host": {inLab}},
	} {
		if got := u.sees(u.url, elsewhere, lie); !slices.Equal(got, []string{"everywhere"}) {
			t.Errorf("with %v: sees %v", lie, got)
		}
	}
	u.login()
	if u.direct != "" {
		u.pastTheProxy()
	}
	if strings.Contains(u.broker.Log(), "alice-pw") {
		t.Error("the password is in the log")
	}
}

// sees lists the profiles of alice, who connects from that address and sends
// these headers beside.
func (u *setup) sees(broker, from string, headers http.Header) []string {
	u.t.Helper()
	c := client.Client{URL: broker, User: "alice", Password: "alice-pw", HTTP: u.http(from, headers)}
	profiles, err := c.List(context.Background())
	if err != nil {
		u.t.Fatalf("from %s with %v: %v\n%s", from, headers, err, u.broker.Log())
	}
	var ids []string
	for _, p := range profiles {
		ids = append(ids, p.ID)
	}
	slices.Sort(ids)
	return ids
}

func (u *setup) http(from string, headers http.Header) *http.Client {
	u.t.Helper()
	pem, err := os.ReadFile(u.ca)
	if err != nil {
		u.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	return &http.Client{Timeout: brokertest.Deadline, Transport: &adding{headers, &http.Transport{
		DialContext: dialer.DialContext, TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: len(headers["Connection"]) == 0,
	}}}
}

// adding sends more headers with each request.
type adding struct {
	headers http.Header
	to      http.RoundTripper
}

func (a *adding) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	for name, values := range a.headers {
		r.Header[name] = values
	}
	return a.to.RoundTrip(r)
}

// login is the way that docs/proxies.md recommends. It comes from an address of
// this machine that is not the proxy's own.
func (u *setup) login() {
	t := u.t
	address, err := url.Parse(u.url)
	if err != nil {
		t.Fatal(err)
	}
	address.Host = net.JoinHostPort(outside(t), address.Port())
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("alice-pw\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, code := brokertest.Run(t, "login", address.String(), "--ca", u.ca, "--user", "alice", "--password-file", file, "--select", "everywhere")
	want := "PROFILE     NAME        COMMAND    HOST\neverywhere  Everywhere  TERMINAL   ts01\nselected everywhere: server ts01 port 22\n"
	if diff := cmp.Diff(strings.Fields(want), strings.Fields(out)); diff != "" || code != 0 {
		t.Errorf("x2broker login (-want +got), exit code %d:\n%s", code, diff)
	}
}

// pastTheProxy connects to the broker itself, with the headers of a proxy.
func (u *setup) pastTheProxy() {
	t := u.t
	c := client.Client{URL: u.direct, User: "alice", Password: "alice-pw", HTTP: u.http(elsewhere, http.Header{"X-Forwarded-For": {inLab}})}
	profiles, err := c.List(context.Background())
	for _, p := range profiles {
		if p.ID == "lab" {
			t.Error("who comes past the proxy is believed")
		}
	}
	if err != nil {
		t.Logf("past the proxy: %v", err) // a certificate is asked for, for example
	}
	conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(elsewhere)}}).Dial("tcp", u.broker.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "PROXY TCP4 "+inLab+" 127.0.0.1 1 2\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, _ := io.ReadAll(conn) // it may be reset
	if strings.Contains(string(answer), "200 OK") {
		t.Errorf("a PROXY header of a stranger is taken: %s", answer)
	}
}

// outside is an address of this machine that is not loopback.
func outside(t *testing.T) string {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return n.IP.String()
		}
	}
	t.Fatal("this test needs a machine with an address beside loopback")
	return ""
}
