//go:build e2e

package proxies

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/x2broker/x2broker/tests/brokertest"
)

// startProxy runs the proxy in the foreground, with what its package puts around
// a site's settings.
func startProxy(t *testing.T, kind, dir, port, config string) {
	t.Helper()
	group := webGroup(t)
	switch kind {
	case "nginx":
		brokertest.Program(t, "127.0.0.1:"+port, "nginx", "-e", "stderr", "-c", write(t, dir, "nginx.conf", fmt.Sprintf(`daemon off;
user %[2]s;
pid %[1]s/pid;
error_log stderr;
events {}
http {
	access_log off;
	client_body_temp_path %[1]s/body;
	fastcgi_temp_path %[1]s/fastcgi;
	proxy_temp_path %[1]s/proxy;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	%[3]s
}
`, dir, group, config)))
	case "apache":
		var modules strings.Builder
		for _, m := range []string{"mpm_event", "authz_core", "ssl", "proxy", "proxy_http"} {
			fmt.Fprintf(&modules, "LoadModule %[1]s_module /usr/lib/apache2/modules/mod_%[1]s.so\n", m)
		}
		brokertest.Program(t, "127.0.0.1:"+port, "apache2", "-D", "FOREGROUND", "-f", write(t, dir, "apache.conf", fmt.Sprintf(`%s
ServerRoot %s
PidFile pid
User %s
Group %s
ErrorLog /dev/stderr
Listen %s
%s`, &modules, dir, group, group, port, config)))
	case "haproxy":
		brokertest.Program(t, "127.0.0.1:"+port, "haproxy", "-db", "-f", write(t, dir, "haproxy.cfg", config))
	default:
		t.Fatalf("no proxy %q", kind)
	}
}

// webGroup is the user and group of Debian's web servers, or, where the test is
// not root, its own.
func webGroup(t *testing.T) string {
	t.Helper()
	if os.Getuid() == 0 {
		return "www-data"
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return me.Username
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// An authority signs certificates.
type authority struct {
	t    *testing.T
	dir  string
	file string // PEM
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, dir string) *authority {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	a := &authority{t: t, dir: dir, file: filepath.Join(dir, "ca.pem")}
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	a.sign("ca", a.cert, a.key)
	return a
}

// issue writes .pem, .key and, for HAProxy, both in one, and gives the path
// without its end.
func (a *authority) issue(name string) string {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	cert := a.sign(name, &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.ParseIP(outside(a.t))},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, key)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	private := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	write(a.t, a.dir, name+".key", private)
	write(a.t, a.dir, name+".both", cert+private)
	return filepath.Join(a.dir, name)
}

func (a *authority) sign(name string, template *x509.Certificate, key *ecdsa.PrivateKey) string {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	write(a.t, a.dir, name+".pem", text)
	return text
}
