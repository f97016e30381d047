package listen

import (
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

func textLog(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// shown is the name in the certificate that a new connection is shown.
func shown(t *testing.T, l net.Listener, config *tls.Config) string {
	t.Helper()
	config.InsecureSkipVerify = true // which certificate it is, is asked here
	c := tls.Client(dial(t, l, "127.0.0.1"), config)
	defer c.Close()
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	return c.ConnectionState().PeerCertificates[0].DNSNames[0]
}

func certificates(t *testing.T, p *pair, log *slog.Logger) (*Certificates, *Gate, net.Listener) {
	t.Helper()
	c, err := LoadCertificates(p.files, time.Now, log)
	if err != nil {
		t.Fatal(err)
	}
	g := newGate(nil)
	l := open(t, func(l net.Listener) net.Listener { return c.Listener(g, l) })
	serve(t, g, l)
	return c, g, l
}

func TestANewCertificateIsShownWithoutARestart(t *testing.T) {
	p := newPair(t)
	c, _, l := certificates(t, p, quiet)
	if got := shown(t, l, p.client(false)); got != "one.example" {
		t.Fatalf("shows %s", got)
	}
	until := time.Now().Add(30 * time.Minute).Truncate(time.Second)
	p.write("two.example", until)
	c.Look()
	if got := shown(t, l, p.client(false)); got != "two.example" {
		t.Errorf("shows %s, want two.example", got)
	}
	if s := c.State(); s.Failed != "" || !s.Until.Equal(until) {
		t.Errorf("%+v, want until %v", s, until)
	}
}

func TestACertificateThatCannotBeUsedChangesNothing(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(*pair)
		want  string
	}{
		"garbage": {func(p *pair) { p.put(p.files.Cert, []byte("garbage")) }, "failed to find any PEM data"},
		"missing": {func(p *pair) { os.Remove(p.files.Key) }, "no such file"},
		"expired": {func(p *pair) { p.write("two.example", time.Now().Add(-time.Hour)) }, "has expired"},
		"of another key": {func(p *pair) {
			certificate, _ := p.issue("two.example", time.Now().Add(time.Hour))
			p.put(p.files.Cert, certificate)
		}, "private key does not match"},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			p := newPair(t)
			c, _, l := certificates(t, p, textLog(&out))
			test.spoil(p)
			c.Look()
			if got := shown(t, l, p.client(false)); got != "one.example" {
				t.Errorf("shows %s, want the old one", got)
			}
			if s := c.State(); !strings.Contains(s.Failed, test.want) {
				t.Errorf("the state says %q, want %q", s.Failed, test.want)
			}
			if !strings.Contains(out.String(), "the old one stays") {
				t.Errorf("the log says nothing: %s", &out)
			}
			said := out.Len()
			c.Look() // the same files are not complained of each few seconds
			if out.Len() != said {
				t.Errorf("says it twice:\n%s", &out)
			}
			p.write("three.example", time.Now().Add(time.Hour))
			c.Look()
			if got := shown(t, l, p.client(false)); got != "three.example" || c.State().Failed != "" {
				t.Errorf("when it is right again: shows %s, %+v", got, c.State())
			}
		})
	}
}

func TestWhoShowsNoCertificateIsRefusedWhereOneIsAskedFor(t *testing.T) {
	p, stranger := newPair(t), newPair(t)
	p.files.ClientCA = p.files.Cert + ".ca"
	p.put(p.files.ClientCA, pemOf(p.ca))
	c, g, l := certificates(t, p, quiet)
	for name, test := range map[string]struct {
		config *tls.Config
		good   bool
	}{
		"its own": {p.client(true), true}, "none": {p.client(false), false}, "of another CA": {stranger.client(true), false},
	} {
		test.config.InsecureSkipVerify = true
		conn := tls.Client(dial(t, l, "127.0.0.1"), test.config)
		if answer, err := ask(conn, ""); (err == nil) != test.good {
			t.Errorf("%s: %q, %v", name, answer, err)
		}
		conn.Close()
	}
	await(t, "two are counted", func() bool { return g.Counts().Refused[BadTLS] == 2 })

	// The CA follows its file, too.
	p.put(p.files.ClientCA, pemOf(stranger.ca))
	if err := c.Reload(); err != nil {
		t.Fatal(err)
	}
	config := stranger.client(true)
	config.InsecureSkipVerify = true
	if _, err := ask(tls.Client(dial(t, l, "127.0.0.1"), config), ""); err != nil {
		t.Errorf("after the CA was replaced: %v", err)
	}
}

func TestOldTLSAndNoTLSAreRefusedAndCounted(t *testing.T) {
	p := newPair(t)
	_, g, l := certificates(t, p, quiet)
	old := p.client(false)
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	if err := tls.Client(dial(t, l, "127.0.0.1"), old).Handshake(); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
	if answer, err := ask(dial(t, l, "127.0.0.1"), ""); err == nil && !strings.HasPrefix(answer, "400") {
		t.Errorf("plain HTTP is answered: %s", answer)
	}
	if err := dial(t, l, "127.0.0.1").Close(); err != nil { // looks whether the port is open
		t.Fatal(err)
	}
	await(t, "two are counted, and who said nothing is not", func() bool {
		c := g.Counts()
		return c.Open == 0 && c.Refused[BadTLS] == 2
	})
}
