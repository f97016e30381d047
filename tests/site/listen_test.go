package site_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/x2broker/x2broker/client"
	"github.com/x2broker/x2broker/tests/brokertest"
)

// writeCertificate replaces cert.pem and key.pem.
func writeCertificate(t *testing.T, dir, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// An admin renews the certificate and forgets to restart anything; a tool that
// renews it writes half a file. Nobody is cut off.
func TestACertificateIsRenewedWithoutARestart(t *testing.T) {
	repo := brokertest.NewRepo(t, campus)
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	writeCertificate(t, dir, "one.example")
	b := brokertest.Start(t, settings(t, repo.URL(), state)+fmt.Sprintf(
		"listen: {http: \"\", https: \"127.0.0.1:0\", tls: {cert: %q, key: %q}}\n", dir+"/cert.pem", dir+"/key.pem"))
	b.WaitReady()
	kept := dialTLS(t, b.Addr)
	shows := func(want string) {
		t.Helper()
		if got := dialTLS(t, b.Addr).ConnectionState().PeerCertificates[0].DNSNames[0]; got != want {
			t.Errorf("shows %s, want %s", got, want)
		}
	}
	shows("one.example")

	writeCertificate(t, dir, "two.example") // and no signal
	b.WaitLog(`msg="certificate loaded"`)
	shows("two.example")

	if err := os.WriteFile(dir+"/cert.pem", []byte("half a fi"), 0o600); err != nil {
		t.Fatal(err)
	}
	var report struct {
		PID   int
		Doors struct{ Certificate struct{ Failed string } }
	}
	status := func() string {
		t.Helper()
		text, code := brokertest.Run(t, "status", "--state-dir", state, "--format", "json")
		if err := json.Unmarshal([]byte(text), &report); err != nil || code != 0 {
			t.Fatalf("%v: %s", err, text)
		}
		return report.Doors.Certificate.Failed
	}
	status()
	if err := syscall.Kill(report.PID, syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	b.WaitLog(`msg="the new certificate cannot be used, the old one stays"`)
	shows("two.example")
	if failed := status(); !strings.Contains(failed, "cert.pem") {
		t.Errorf("the status says %q", failed)
	}

	// The connection of before all this goes on.
	request, err := http.NewRequest(http.MethodGet, "https://one.example/healthz", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := request.Write(kept); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 12)
	if _, err := kept.Read(answer); err != nil || string(answer) != "HTTP/1.1 200" {
		t.Errorf("%q, %v", answer, err)
	}
}

func dialTLS(t *testing.T, address string) *tls.Conn {
	t.Helper()
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true}) // which certificate it is, is asked here
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(brokertest.Deadline))
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestACertificateThatIsMissingAtTheStartEndsServe(t *testing.T) {
	out := brokertest.Refuses(t, settings(t, t.TempDir(), t.TempDir())+`listen: {https: "127.0.0.1:0", tls: {cert: "/nonexistent/cert", key: "/nonexistent/key"}}`, 2)
	if !strings.Contains(out, "listen.tls: certificate /nonexistent/cert") {
		t.Errorf("says %s", out)
	}
}

// through is a user who comes through a proxy on a unix socket.
func through(socket, forwarded string) *client.Client {
	return &client.Client{URL: "http://broker/plain/", User: "alice", Password: "alice-pw", HTTP: &http.Client{
		Timeout: brokertest.Deadline,
		Transport: forwarding{forwarded, &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", socket)
			},
		}},
	}}
}

type forwarding struct {
	address string
	to      http.RoundTripper
}

func (f forwarding) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if f.address != "" {
		r.Header.Set("X-Forwarded-For", f.address)
	}
	return f.to.RoundTrip(r)
}

func TestThroughAUnixSocketTheProxyNamesTheClient(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "http.sock")
	repo := brokertest.NewRepo(t, campus)
	b := brokertest.Start(t, settings(t, repo.URL(), dir+"/state")+fmt.Sprintf("listen: {http: \"\", unix: {path: %q, mode: \"0600\"}}\n", socket))
	b.WaitReady()
	sees(t, socket)
	b.Stop()
	if _, err := os.Stat(socket); err == nil {
		t.Error("the socket is left behind")
	}
}

func TestSystemdMayOpenAUnixSocket(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "http.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file, err := l.(*net.UnixListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	writeSite(t, dir+"/site", campus)
	if err := os.WriteFile(dir+"/broker.cue", []byte(settings(t, dir+"/site", dir+"/state")), 0o600); err != nil {
		t.Fatal(err)
	}
	activate(t, dir+"/broker.cue", file)
	sees(t, socket)
}

// sees tries a client of the office, one from elsewhere, and one whom the proxy
// does not name.
func sees(t *testing.T, socket string) {
	t.Helper()
	for address, want := range map[string][]string{"127.0.0.2": {"anywhere", "office"}, "10.0.0.1, 127.0.0.3": {"anywhere"}} {
		if diff := cmp.Diff(want, ids(t, through(socket, address))); diff != "" {
			t.Errorf("from %s (-want +got):\n%s", address, diff)
		}
	}
	if _, err := through(socket, "").List(context.Background()); err == nil {
		t.Error("somebody without an address gets in")
	}
}
