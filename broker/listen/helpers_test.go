package listen

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"
)

const patience = 20 * time.Second

var quiet = slog.New(slog.DiscardHandler)

var loopback = netip.MustParsePrefix("127.0.0.0/8")

// newGate has limits that no test reaches unless it sets them.
func newGate(change func(*Options)) *Gate {
	o := Options{Limits: Limits{Connections: 100, PerAddress: 50}, HeaderTimeout: patience, Log: quiet}
	if change != nil {
		change(&o)
	}
	return NewGate(o)
}

// A pair of certificate files, which can be replaced.
type pair struct {
	files Files
	ca    *x509.Certificate
	key   *ecdsa.PrivateKey
	t     *testing.T
}

func newPair(t *testing.T) *pair {
	t.Helper()
	dir := t.TempDir()
	p := &pair{t: t, files: Files{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}}
	p.key = newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, p.key.Public(), p.key)
	if err != nil {
		t.Fatal(err)
	}
	if p.ca, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	p.write("one.example", time.Now().Add(time.Hour))
	return p
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue makes a certificate of the CA.
func (p *pair) issue(name string, until time.Time) (certificate, key []byte) {
	p.t.Helper()
	k := newKey(p.t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: []string{name},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, p.ca, k.Public(), p.key)
	if err != nil {
		p.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		p.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
}

// write replaces both files.
func (p *pair) write(name string, until time.Time) {
	p.t.Helper()
	certificate, key := p.issue(name, until)
	p.put(p.files.Cert, certificate)
	p.put(p.files.Key, key)
}

// put replaces a file as tools do, so that its inode is another.
func (p *pair) put(file string, data []byte) {
	p.t.Helper()
	if err := os.WriteFile(file+".new", data, 0o600); err != nil {
		p.t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		p.t.Fatal(err)
	}
}

// client trusts the CA, and shows a certificate of it if asked to.
func (p *pair) client(show bool) *tls.Config {
	p.t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(p.ca)
	config := &tls.Config{RootCAs: pool, ServerName: "one.example"}
	if show {
		certificate, key := p.issue("proxy.example", time.Now().Add(time.Hour))
		shown, err := tls.X509KeyPair(certificate, key)
		if err != nil {
			p.t.Fatal(err)
		}
		config.Certificates = []tls.Certificate{shown}
	}
	return config
}

// open is a TCP listener on loopback behind the gate.
func open(t *testing.T, wrap func(net.Listener) net.Listener) net.Listener {
	t.Helper()
	l, err := TCP("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return wrap(l)
}

func dial(t *testing.T, l net.Listener, from string) net.Conn {
	t.Helper()
	d := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	if l.Addr().Network() == "unix" {
		d.LocalAddr = nil
	}
	c, err := d.Dial(l.Addr().Network(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { c.Close() })
	return c
}

// await waits until a gate says so; it is told by other goroutines.
func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it does not come to this: %s", what)
		}
	}
}

func pemOf(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}
