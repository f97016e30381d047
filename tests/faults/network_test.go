package faults_test

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/x2broker/x2broker/broker/snapshot"
	"github.com/x2broker/x2broker/broker/source"
	"github.com/x2broker/x2broker/broker/source/gittest"
)

// network are faults of what is between the broker and the repository. The
// commit "two" is there before they are mended.
var network = []fault{
	{
		name: "half-sent pack", reason: "the repository's answer breaks off",
		begin: func(b *broker) { b.fails(gittest.Cut) },
		mend:  (*broker).lives,
	},
	{
		name: "server hanging mid-transfer", reason: "no answer in time (at most 2s): check that the repository can be reached",
		setup: func(b *broker) { b.source.Timeout = 2 * time.Second },
		begin: func(b *broker) { b.fails(gittest.Hang) },
		mend:  (*broker).lives,
	},
	{
		name: "corrupt object", reason: "the repository sends a damaged pack",
		begin: func(b *broker) {
			b.https.Instead(func(w http.ResponseWriter, r *http.Request, git http.Handler) {
				answer := httptest.NewRecorder()
				git.ServeHTTP(answer, r)
				w.Header().Set("Content-Type", answer.Header().Get("Content-Type"))
				body := answer.Body.Bytes()
				if r.Method == http.MethodPost { // the pack
					body[len(body)/2] ^= 1
				}
				_, _ = w.Write(body)
			})
			b.push("two", "profiles/lab.cue", "package site\n\n// "+randomText(100_000)+"\n")
		},
		mend: func(b *broker) { b.https.Instead(nil) },
	},
	{
		name: "expired token", reason: "the server refuses the token in ",
		setup: func(b *broker) {
			b.source.Auth.TokenFile = gittest.WriteFile(b, "token", []byte("geheim-1\n"))
			b.https.Instead(needToken("geheim-1"))
		},
		begin: func(b *broker) {
			b.https.Instead(needToken("geheim-2"))
			b.looksInVain()
			b.push("two")
		},
		mend: func(b *broker) { b.write(b.source.Auth.TokenFile, "geheim-2\n") },
	},
	{
		name: "changed host key", reason: "the server's host key is not the one at line 1 of ",
		setup: func(b *broker) {
			b.ssh = b.repo.ServeSSH()
			b.source.URL, b.source.Auth = b.ssh.URL, source.Auth{KeyFile: b.ssh.KeyFile, KnownHostsFile: b.ssh.KnownHostsFile}
		},
		begin: func(b *broker) {
			b.ssh.ChangeHostKey()
			b.looksInVain()
			b.push("two")
		},
		mend: func(b *broker) { b.write(b.ssh.KnownHostsFile, b.ssh.KnownHost(b.ssh.Addr)) },
	},
	{
		name: "wrong CA", reason: "the server's certificate is from an authority that is not trusted here: name the authority's PEM file as site.auth.caFile",
		setup: func(b *broker) { b.source.Auth.CAFile = gittest.WriteFile(b, "ca.pem", b.read(b.https.CAFile)) },
		begin: func(b *broker) {
			b.write(b.source.Auth.CAFile, anotherCA(b))
			b.looksInVain()
			b.push("two")
		},
		mend: func(b *broker) { b.write(b.source.Auth.CAFile, string(b.read(b.https.CAFile))) },
	},
	{
		name: "DNS failure", reason: "cannot find the host example.com: check the url, and this machine's name servers",
		setup: func(b *broker) { // the server's certificate is for this name, too
			b.source.URL = strings.Replace(b.source.URL, "127.0.0.1", "example.com", 1)
		},
		begin: func(b *broker) {
			namesFail.Store(true)
			b.looksInVain()
			b.push("two")
		},
		mend: func(*broker) { namesFail.Store(false) },
	},
}

// fails has the connection fail amid the next pack.
func (b *broker) fails(f gittest.Fault) {
	b.Helper()
	b.proxy.Fail(f, 50_000)
	b.push("two", "profiles/lab.cue", "package site\n\n// "+randomText(300_000)+"\n")
}

// looksInVain waits until a look at the repository has failed: one that began
// before the fault must not find what is pushed after it.
func (b *broker) looksInVain() {
	b.Helper()
	b.await("a look that fails", func(_ string, s snapshot.Status) bool { return s.Failures > 0 })
}

// lives has connections work again.
func (b *broker) lives() { b.proxy.Fail(gittest.None, 0) }

func needToken(token string) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, git http.Handler) {
		if _, p, _ := r.BasicAuth(); p != token {
			http.Error(w, "who are you", http.StatusUnauthorized)
			return
		}
		git.ServeHTTP(w, r)
	}
}

func (b *broker) read(file string) []byte {
	b.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	return data
}

// write replaces a file at once: the broker reads it at any time.
func (b *broker) write(file, text string) {
	b.Helper()
	if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		b.Fatal(err)
	}
}

// namesFail has the name server of this process fail.
var namesFail atomic.Bool

// anotherCA is a certificate in PEM form that signed nothing.
func anotherCA(b *broker) string {
	b.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		b.Fatal(err)
	}
	of := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	cert, err := x509.CreateCertificate(nil, of, of, public, private)
	if err != nil {
		b.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}))
}

// useOwnNameServer has this process ask a name server of its own, which knows
// one address for all names.
func useOwnNameServer() {
	for _, name := range []string{"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"} {
		os.Unsetenv(name) // a proxy would ask for the address itself
	}
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
	go func() {
		for buf := make([]byte, 1500); ; {
			n, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			m.Response, m.Additionals = true, nil
			if q := m.Questions[0]; namesFail.Load() {
				m.RCode = dnsmessage.RCodeServerFailure
			} else if q.Type == dnsmessage.TypeA {
				m.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1},
					Body:   &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}},
				}}
			}
			if answer, err := m.Pack(); err == nil {
				_, _ = server.WriteTo(answer, from) // asked again if it is lost
			}
		}
	}()
}
