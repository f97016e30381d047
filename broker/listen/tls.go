package listen

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// Files are PEM files.
type Files struct {
	Cert, Key string
	ClientCA  string // who connects must show a certificate of one of these; "" asks for none
}

// Certificates are what TLS listeners show and ask for. They follow their files.
type Certificates struct {
	*Followed
	files Files
	log   *slog.Logger
	now   func() time.Time

	current atomic.Pointer[loaded]
}

type loaded struct {
	pair    tls.Certificate
	clients *x509.CertPool // nil: not asked
}

// CertificateState is for people.
type CertificateState struct {
	Until  time.Time // of the certificate in use
	Failed string    // why the newer one in the files is not used; "" when there is none
}

// LoadCertificates reads the files.
func LoadCertificates(files Files, now func() time.Time, log *slog.Logger) (*Certificates, error) {
	c := &Certificates{files: files, log: log, now: now}
	c.Followed = NewFollowed(c.renew, files.Cert, files.Key, files.ClientCA)
	l, err := load(files)
	if err != nil {
		return nil, err
	}
	if now().After(l.pair.Leaf.NotAfter) {
		log.Warn("the certificate has expired, clients will refuse it", "file", files.Cert, "since", l.pair.Leaf.NotAfter)
	}
	c.current.Store(l)
	return c, nil
}

func load(files Files) (*loaded, error) {
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", files.Cert, files.Key, err)
	}
	l := &loaded{pair: pair}
	if files.ClientCA == "" {
		return l, nil
	}
	pem, err := os.ReadFile(files.ClientCA)
	if err != nil {
		return nil, err
	}
	l.clients = x509.NewCertPool()
	if !l.clients.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: no PEM certificate in it", files.ClientCA)
	}
	return l, nil
}

// State says what is in use.
func (c *Certificates) State() CertificateState {
	failed := c.Failed() // waits for one that is being read
	return CertificateState{Until: c.current.Load().pair.Leaf.NotAfter, Failed: failed}
}

// renew uses what is in the files now.
func (c *Certificates) renew() error {
	l, err := load(c.files)
	if err == nil && c.now().After(l.pair.Leaf.NotAfter) {
		err = fmt.Errorf("certificate %s: has expired at %s", c.files.Cert, l.pair.Leaf.NotAfter.Format(time.RFC3339))
	}
	if err != nil {
		c.log.Error("the new certificate cannot be used, the old one stays", "err", err, "old_until", c.current.Load().pair.Leaf.NotAfter)
		return err
	}
	c.current.Store(l)
	c.log.Info("certificate loaded", "file", c.files.Cert, "until", l.pair.Leaf.NotAfter)
	return nil
}

// Listener speaks TLS 1.2 and newer, with the curves and suites that Go
// recommends, on what l accepts within the limits of the gate.
func (c *Certificates) Listener(g *Gate, l net.Listener) net.Listener {
	return tls.NewListener(&listener{Listener: l, gate: g, tls: true}, &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			now := c.current.Load()
			config := &tls.Config{
				MinVersion:   tls.VersionTLS12,
				NextProtos:   []string{"http/1.1"},
				Certificates: []tls.Certificate{now.pair},
				VerifyConnection: func(tls.ConnectionState) error {
					hello.Conn.(*conn).secured.Store(true)
					return nil
				},
			}
			if now.clients != nil {
				config.ClientCAs, config.ClientAuth = now.clients, tls.RequireAndVerifyClientCert
			}
			return config, nil
		},
	})
}
