//go:build e2e

// Package endpoint has the real broker binary ask the program that
// docs/authentication.md shows.
package endpoint

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/x2broker/x2broker/client"
	"github.com/x2broker/x2broker/tests/brokertest"
)

func TestMain(m *testing.M) { brokertest.Main(m) }

var site = brokertest.Files{"site.cue": `package site

site: name: "Test"
servers: ts01: {}
profiles: staff: {name: "Staff", hosts: ids: ["ts01"], access: groups: ["staff"]}
profiles: mine: {name: "Alice's", hosts: ids: ["ts01"], access: users: ["alice"]}
`}

func TestTheProgramOfTheDocumentation(t *testing.T) {
	dir := t.TempDir()
	page, err := os.ReadFile("../../../docs/authentication.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```python\n")
	program, _, ok := strings.Cut(rest, "```\n")
	if !ok {
		t.Fatal("docs/authentication.md has no program")
	}
	write(t, dir, "program.py", program)
	ca := certificate(t, dir)
	addr, stop := start(t, dir)
	b := brokertest.Start(t, fmt.Sprintf(`
site: {url: %q, poll: "100ms"}
stateDir: %q
authenticators: [{
	type: "https", url: "https://%s/login", lookupURL: "https://%[3]s/user", caFile: %[4]q, maxAge: "0s"
}]
`, brokertest.NewRepo(t, site).URL(), t.TempDir(), addr, ca))
	b.WaitReady()

	for _, c := range []struct{ name, password, want string }{
		{"alice", "geheim", "mine staff"},
		{"ALICE", "geheim", "mine staff"},
		{"alice", "falsch", "access denied"},
		{"bob", "geheim", "access denied"},
	} {
		if got := brokertest.Sees(t, as(b, c.name, c.password)); got != c.want {
			t.Errorf("%s %s: %s\n%s", c.name, c.password, got, b.Log())
		}
	}

	alice := as(b, "ALICE", "geheim")
	brokertest.Sees(t, alice)
	alice.Password = ""
	if got := brokertest.Sees(t, alice); got != "mine staff" {
		t.Errorf("by ticket: %s", got)
	}
	stop()
	if got := brokertest.Sees(t, alice); got != "access denied" {
		t.Errorf("by ticket, the program away: %s", got)
	}
}

func as(b *brokertest.Broker, name, password string) *client.Client {
	c := b.Client(name, "127.0.0.1")
	c.Password = password
	return c
}

// start runs the program on a free port and waits until it listens.
func start(t *testing.T, dir string) (addr string, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr = l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(addr)
	return addr, brokertest.Program(t, addr, "python3", filepath.Join(dir, "program.py"), filepath.Join(dir, "both.pem"), port)
}

// certificate writes both.pem, a certificate for 127.0.0.1 and its key, and
// gives the path of the certificate alone.
func certificate(t *testing.T, dir string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}))
	write(t, dir, "both.pem", certPEM+string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	return write(t, dir, "cert.pem", certPEM)
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
