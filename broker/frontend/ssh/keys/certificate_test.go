package keys

import (
	"crypto/rand"
	"encoding/base64"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// certificate is one of alice's, as it should be, with changes.
func certificate(t *testing.T, ca ssh.Signer, change func(*ssh.Certificate)) *ssh.Certificate {
	t.Helper()
	cert := &ssh.Certificate{
		Key: key("alice"), Serial: 7, CertType: ssh.UserCert, KeyId: "alice@laptop", ValidPrincipals: []string{"alice", "alice-admin"},
		ValidAfter: uint64(noon.Add(-time.Hour).Unix()), ValidBefore: uint64(noon.Add(time.Hour).Unix()),
		Permissions: ssh.Permissions{Extensions: map[string]string{"permit-pty": ""}},
	}
	if change != nil {
		change(cert)
	}
	if err := cert.SignCert(rand.Reader, ca); err != nil {
		t.Fatal(err)
	}
	again, err := ssh.ParsePublicKey(cert.Marshal()) // as it comes from a client
	if err != nil {
		t.Fatal(err)
	}
	return again.(*ssh.Certificate)
}

func TestCertificates(t *testing.T) {
	w := newWorld(t)
	rsaCA, weakCA := rsaSigner(t, 2048), rsaSigner(t, 1024)
	sha1CA, err := ssh.NewSignerWithAlgorithms(rsaCA, []string{ssh.KeyAlgoRSA})
	w.must(err)
	token, _ := securityKey(t, "token")
	w.opts.UserCAs = []string{
		w.write("ca", "# ours", line("", key("ca"))),
		w.write("more-ca", line("", rsaCA.PublicKey())),
	}
	c := w.checker()
	option := func(name, value string) func(*ssh.Certificate) {
		return func(cert *ssh.Certificate) { cert.CriticalOptions = map[string]string{name: value} }
	}
	for name, tc := range map[string]struct {
		ca     ssh.Signer
		change func(*ssh.Certificate)
		why    string
	}{
		"good":                    {signer("ca"), nil, ""},
		"of the second authority": {rsaCA, nil, ""},
		"for ever":                {signer("ca"), func(cert *ssh.Certificate) { cert.ValidAfter, cert.ValidBefore = 0, ssh.CertTimeInfinity }, ""},
		"of a stranger":           {signer("mallory"), nil, "is not in ssh.userCAs"},
		"signed by herself":       {signer("alice"), nil, "is not in ssh.userCAs"},
		"of a weak authority":     {weakCA, nil, "is not in ssh.userCAs"},
		"signed with SHA-1":       {sha1CA, nil, `signatures of the type "ssh-rsa" are not accepted`},
		"for a host":              {signer("ca"), func(cert *ssh.Certificate) { cert.CertType = ssh.HostCert }, "is for a host"},
		"of an unknown type":      {signer("ca"), func(cert *ssh.Certificate) { cert.CertType = 3 }, "is for a host and not for a user"},
		"expired":                 {signer("ca"), func(cert *ssh.Certificate) { cert.ValidBefore = uint64(noon.Unix()) }, "cert has expired"},
		"not yet":                 {signer("ca"), func(cert *ssh.Certificate) { cert.ValidAfter = uint64(noon.Unix() + 1) }, "not yet valid"},
		"for another principal":   {signer("ca"), func(cert *ssh.Certificate) { cert.ValidPrincipals = []string{"bob", "alice@example.org"} }, `is good for "bob,alice@example.org", not for "alice"`},
		"for nobody":              {signer("ca"), func(cert *ssh.Certificate) { cert.ValidPrincipals = nil }, `is good for "", not for "alice"`},
		"for a list with a comma": {signer("ca"), func(cert *ssh.Certificate) { cert.ValidPrincipals = []string{"bob,alice"} }, "not for"},
		"with force-command":      {signer("ca"), option("force-command", "/bin/true"), `unsupported critical option "force-command"`},
		"with verify-required":    {signer("ca"), option("verify-required", ""), "unsupported critical option"},
		"with an unknown option":  {signer("ca"), option("x@example.org", "1"), "unsupported critical option"},
		"from here":               {signer("ca"), option("source-address", "192.0.2.1,10.0.0.0/8"), ""},
		"from elsewhere":          {signer("ca"), option("source-address", "192.0.2.1,fe80::/10"), "not from 10.1.2.3"},
		"from what is no network": {signer("ca"), option("source-address", "10.0.0.0/8,10.*"), "source-address: "},
		"from nowhere":            {signer("ca"), option("source-address", ""), "source-address: "},
		"of a security key":       {signer("ca"), func(cert *ssh.Certificate) { cert.Key = token }, ""},
		"without a touch": {signer("ca"), func(cert *ssh.Certificate) {
			cert.Key = token
			cert.Extensions = map[string]string{"no-touch-required": ""}
		}, "must be touched"},
		"of a weak key":            {signer("ca"), func(cert *ssh.Certificate) { cert.Key = weakCA.PublicKey() }, "RSA with less than 2048 bits"},
		"an extension of somebody": {signer("ca"), func(cert *ssh.Certificate) { cert.Extensions = map[string]string{"login@example.org": "x"} }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			cert := certificate(t, tc.ca, tc.change)
			if tc.why == "" {
				allows(t, c, "alice", cert)
				refuses(t, c, "bob", cert, "not for")
			} else {
				refuses(t, c, "alice", cert, tc.why)
			}
		})
	}

	t.Run("changed after it was signed", func(t *testing.T) {
		cert := certificate(t, signer("ca"), func(cert *ssh.Certificate) { cert.ValidPrincipals = []string{"mallory"} })
		cert.ValidPrincipals = []string{"alice"}
		refuses(t, c, "alice", cert, "signature does not verify")
	})
	t.Run("its key alone", func(t *testing.T) { refuses(t, c, "alice", key("alice"), "there is no such file") })
}

// The key of a certificate stands in alice's file; the certificate itself is not
// good. That it was limited would be forgotten if the file decided.
func TestACertificateIsNotItsKey(t *testing.T) {
	w := newWorld(t)
	w.write("keys/alice", line("", key("alice")), line("cert-authority", key("ca")))
	w.opts.UserCAs = []string{w.write("ca", line("", key("other")))}
	c := w.checker()
	allows(t, c, "alice", key("alice"))
	refuses(t, c, "alice", certificate(t, signer("ca"), nil), "is not in ssh.userCAs")
	refuses(t, c, "alice", key("ca"), "set ssh.userCAs")
}

func TestAuthoritiesAreReadAnew(t *testing.T) {
	w := newWorld(t)
	first, second := w.write("first", line("", key("ca"))), w.write("second", line("", key("ca2")))
	w.opts.UserCAs = []string{first, second}
	c := w.checker()
	old, other := certificate(t, signer("ca"), nil), certificate(t, signer("ca2"), nil)
	allows(t, c, "alice", old)
	w.write("first", line("", key("new")))
	refuses(t, c, "alice", old, "is not in ssh.userCAs")
	allows(t, c, "alice", certificate(t, signer("new"), nil))

	// What cannot be read lets nobody in, and nothing else changes.
	w.write("first", line("", key("new")), "garbage")
	refuses(t, c, "alice", certificate(t, signer("new"), nil), "first: line 2: ")
	allows(t, c, "alice", other)
	w.must(os.Remove(first))
	refuses(t, c, "alice", certificate(t, signer("new"), nil), "not all could be read")
	allows(t, c, "alice", other)
	w.must(os.Chmod(second, 0o666))
	refuses(t, c, "alice", other, "can be written by others")
}

// A file that was left alone is not read again; one that has just been written
// is, because the clock of files is coarse.
func TestAFileIsReadAgainWhenItMayHaveChanged(t *testing.T) {
	w := newWorld(t)
	file := w.write("revoked", line("", key("a")))
	reads := 0
	f := follow(file, maxFile, func(text string) (int, error) { reads++; return len(text), nil })
	get := func(want int) {
		t.Helper()
		if _, err := f.get(); err != nil || reads != want {
			t.Fatalf("%v, read %d times, want %d", err, reads, want)
		}
	}
	get(1)
	get(2)
	long := time.Now().Add(-time.Hour)
	w.must(os.Chtimes(file, long, long))
	get(3)
	get(3)
	w.must(os.Chtimes(file, long, long.Add(time.Second)))
	get(4)
	get(4)
	w.must(os.Rename(w.write("new", line("", key("b"))), file))
	w.must(os.Chtimes(file, long, long.Add(time.Second)))
	get(5)
	get(5)
}

// Alice's laptop is stolen. Her key stands in her file still, and in a
// certificate that has years to go.
func TestRevokedKeys(t *testing.T) {
	w := newWorld(t)
	w.write("keys/alice", line("", key("alice")), line("", key("spare")))
	w.opts.UserCAs = []string{w.write("ca", line("", key("ca")), line("", key("ca2")))}
	w.opts.Revoked = w.write("revoked", "# nobody yet")
	c := w.checker()
	cert, cert2 := certificate(t, signer("ca"), nil), certificate(t, signer("ca2"), func(cert *ssh.Certificate) { cert.Key = key("spare") })
	for _, k := range []ssh.PublicKey{key("alice"), key("spare"), cert, cert2} {
		allows(t, c, "alice", k)
	}
	for name, text := range map[string]string{
		"by key":         line("", key("alice")),
		"by fingerprint": ssh.FingerprintSHA256(key("alice")) + " stolen",
		"by certificate": line("", cert),
	} {
		t.Run(name, func(t *testing.T) {
			w.write("revoked", "# stolen", text)
			refuses(t, c, "alice", key("alice"), "is revoked")
			refuses(t, c, "alice", cert, "is revoked")
			allows(t, c, "alice", key("spare"))
			allows(t, c, "alice", cert2)
		})
	}
	t.Run("an authority", func(t *testing.T) {
		w.write("revoked", line("", key("ca2")))
		refuses(t, c, "alice", cert2, "the authority SHA256:")
		allows(t, c, "alice", key("spare"))
		allows(t, c, "alice", cert)
	})
}

// Nobody can tell which keys are revoked: it may be any.
func TestWithoutTheListOfRevokedKeysNoKeyIsGood(t *testing.T) {
	sum := base64.RawStdEncoding.EncodeToString(make([]byte, 31))
	for name, change := range map[string]func(w *world, file string){
		"gone":              func(w *world, file string) { w.must(os.Remove(file)) },
		"writable by all":   func(w *world, file string) { w.must(os.Chmod(file, 0o646)) },
		"a line of garbage": func(w *world, _ string) { w.write("revoked", "alice") },
		"MD5":               func(w *world, _ string) { w.write("revoked", "MD5:00:11") },
		"half of one":       func(w *world, _ string) { w.write("revoked", "SHA256:"+sum) },
		"a cut key":         func(w *world, _ string) { w.write("revoked", line("", key("x"))[:40]) },
		"options":           func(w *world, _ string) { w.write("revoked", line("restrict", key("x"))) },
		"a list of sshd":    func(w *world, _ string) { w.write("revoked", "SSHKRL\n\x00") },
		"too long":          func(w *world, _ string) { w.write("revoked", strings.Repeat("#", maxRevoked)) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.write("keys/alice", line("", key("alice")))
			w.opts.UserCAs = []string{w.write("ca", line("", key("ca")))}
			file := w.write("revoked")
			w.opts.Revoked = file
			c := w.checker()
			allows(t, c, "alice", key("alice"))
			change(w, file)
			refuses(t, c, "alice", key("alice"), "it cannot be told which are revoked")
			refuses(t, c, "alice", certificate(t, signer("ca"), nil), "it cannot be told which are revoked")
		})
	}
}
