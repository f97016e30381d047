//go:build e2e

// Package sshkeys holds the check of public keys against the keys, certificates
// and fingerprints that the ssh-keygen of OpenSSH makes.
package sshkeys

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/x2broker/x2broker/broker/frontend/ssh/keys"
)

func TestMain(m *testing.M) {
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		fmt.Fprintln(os.Stderr, "this Debian package is missing: openssh-client")
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// place is a directory with keys.
type place struct {
	t   *testing.T
	dir string
}

func newPlace(t *testing.T) place {
	t.Helper()
	p := place{t, t.TempDir()}
	for _, dir := range []string{p.dir, filepath.Dir(p.dir)} {
		if err := os.Chmod(dir, 0o755); err != nil { // whatever the umask
			t.Fatal(err)
		}
	}
	return p
}

// keygen runs ssh-keygen in the directory.
func (p place) keygen(args ...string) string {
	p.t.Helper()
	cmd := exec.Command("ssh-keygen", args...)
	cmd.Dir = p.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		p.t.Fatalf("ssh-keygen %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// newKey makes NAME and NAME.pub.
func (p place) newKey(name string, args ...string) {
	p.t.Helper()
	p.keygen(append([]string{"-q", "-N", "", "-C", name + " of a test", "-f", name}, args...)...)
}

func (p place) write(name, text string) string {
	p.t.Helper()
	file := filepath.Join(p.dir, name)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		p.t.Fatal(err)
	}
	if err := os.Chmod(file, 0o644); err != nil {
		p.t.Fatal(err)
	}
	return file
}

func (p place) read(name string) string {
	p.t.Helper()
	text, err := os.ReadFile(filepath.Join(p.dir, name))
	if err != nil {
		p.t.Fatal(err)
	}
	return string(text)
}

// public is the key, or certificate, of a .pub file.
func (p place) public(name string) ssh.PublicKey {
	p.t.Helper()
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(p.read(name + ".pub")))
	if err != nil {
		p.t.Fatal(err)
	}
	return key
}

func (p place) checker(o keys.Options) *keys.Checker {
	p.t.Helper()
	o.Log, o.Now = slog.New(slog.DiscardHandler), time.Now
	c, warnings, err := keys.New(o)
	if err != nil || len(warnings) > 0 {
		p.t.Fatal(err, warnings)
	}
	return c
}

// says is "" for a key that may log in, else why not.
func says(t *testing.T, c *keys.Checker, user string, key ssh.PublicKey) string {
	t.Helper()
	err := c.Authorized(t.Context(), user, key, netip.MustParseAddr("10.1.2.3"))
	if err == nil {
		return ""
	}
	return err.Error()
}

func check(t *testing.T, what, got, want string) {
	t.Helper()
	if want == "" && got != "" || !strings.Contains(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func TestKeysOfSSHKeygen(t *testing.T) {
	p := newPlace(t)
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"ed25519":  {[]string{"-t", "ed25519"}, ""},
		"ecdsa256": {[]string{"-t", "ecdsa", "-b", "256"}, ""},
		"ecdsa384": {[]string{"-t", "ecdsa", "-b", "384"}, ""},
		"ecdsa521": {[]string{"-t", "ecdsa", "-b", "521"}, ""},
		"rsa2048":  {[]string{"-t", "rsa", "-b", "2048"}, ""},
		"rsa1024":  {[]string{"-t", "rsa", "-b", "1024"}, "RSA with less than 2048 bits"},
	} {
		p.newKey(name, tc.args...)
		p.write("keys-of-"+name, "# made by ssh-keygen\nrestrict,from=\"10.0.0.0/8\" "+p.read(name+".pub"))
		c := p.checker(keys.Options{Files: []string{p.dir + "/keys-of-{user}"}})
		check(t, name, says(t, c, name, p.public(name)), tc.want)
	}
}

func TestCertificatesOfSSHKeygen(t *testing.T) {
	p := newPlace(t)
	for ca, args := range map[string][]string{"ca": {"-t", "ed25519"}, "rsa-ca": {"-t", "rsa", "-b", "2048"}, "ecdsa-ca": {"-t", "ecdsa"}, "other-ca": {"-t", "ed25519"}} {
		p.newKey(ca, args...)
	}
	c := p.checker(keys.Options{UserCAs: []string{p.dir + "/ca.pub", p.dir + "/rsa-ca.pub", p.dir + "/ecdsa-ca.pub"}})
	n := 0
	for what, tc := range map[string]struct {
		args []string
		want string
	}{
		"good":               {[]string{"-s", "ca", "-n", "alice,admin", "-V", "+1h"}, ""},
		"for ever":           {[]string{"-s", "ca", "-n", "alice"}, ""},
		"RSA, SHA-512":       {[]string{"-s", "rsa-ca", "-n", "alice", "-V", "+1h"}, ""},
		"RSA, SHA-256":       {[]string{"-s", "rsa-ca", "-t", "rsa-sha2-256", "-n", "alice", "-V", "+1h"}, ""},
		"RSA, SHA-1":         {[]string{"-s", "rsa-ca", "-t", "ssh-rsa", "-n", "alice", "-V", "+1h"}, `signatures of the type "ssh-rsa"`},
		"ECDSA":              {[]string{"-s", "ecdsa-ca", "-n", "alice", "-V", "+1h"}, ""},
		"another authority":  {[]string{"-s", "other-ca", "-n", "alice", "-V", "+1h"}, "is not in ssh.userCAs"},
		"another principal":  {[]string{"-s", "ca", "-n", "bob", "-V", "+1h"}, `is good for "bob", not for "alice"`},
		"no principal":       {[]string{"-s", "ca", "-V", "+1h"}, `is good for ""`},
		"expired":            {[]string{"-s", "ca", "-n", "alice", "-V", "20200101:20200102"}, "has expired"},
		"not yet":            {[]string{"-s", "ca", "-n", "alice", "-V", "+1h:+2h"}, "not yet valid"},
		"a host":             {[]string{"-s", "ca", "-h", "-n", "alice", "-V", "+1h"}, "is for a host"},
		"force-command":      {[]string{"-s", "ca", "-n", "alice", "-O", "force-command=/bin/true"}, "force-command"},
		"verify-required":    {[]string{"-s", "ca", "-n", "alice", "-O", "verify-required"}, "verify-required"},
		"from here":          {[]string{"-s", "ca", "-n", "alice", "-O", "source-address=10.0.0.0/8,2001:db8::/32"}, ""},
		"from elsewhere":     {[]string{"-s", "ca", "-n", "alice", "-O", "source-address=192.0.2.0/24"}, "not from 10.1.2.3"},
		"without a terminal": {[]string{"-s", "ca", "-n", "alice", "-O", "clear"}, ""},
	} {
		n++
		name := fmt.Sprint("key", n)
		p.newKey(name, "-t", "ed25519")
		p.keygen(append(tc.args, "-q", "-I", what, "-z", fmt.Sprint(n), name+".pub")...)
		check(t, what, says(t, c, "alice", p.public(name+"-cert")), tc.want)
	}
}

func TestRevokedByWhatSSHKeygenPrints(t *testing.T) {
	p := newPlace(t)
	p.newKey("ca", "-t", "ed25519")
	p.newKey("stolen", "-t", "ecdsa")
	p.newKey("spare", "-t", "ed25519")
	for _, name := range []string{"stolen", "spare"} {
		p.keygen("-q", "-s", "ca", "-I", name, "-n", "alice", name+".pub")
	}
	// "256 SHA256:... comment (ECDSA)"
	fingerprint := func(name string) string { return strings.Fields(p.keygen("-lf", name+".pub"))[1] + "\n" }
	p.write("keys-of-alice", p.read("stolen.pub")+p.read("spare.pub"))
	revoked := p.write("revoked", "")
	c := p.checker(keys.Options{Files: []string{p.dir + "/keys-of-{user}"}, UserCAs: []string{p.dir + "/ca.pub"}, Revoked: revoked})
	for what, tc := range map[string]struct {
		text                      string
		stolen, cert, spare, both string
	}{
		"nobody":                       {"", "", "", "", ""},
		"the key":                      {p.read("stolen.pub"), "is revoked", "is revoked", "", ""},
		"its fingerprint":              {fingerprint("stolen"), "is revoked", "is revoked", "", ""},
		"fingerprint of a certificate": {fingerprint("stolen-cert"), "is revoked", "is revoked", "", ""},
		"the authority":                {fingerprint("ca"), "", "authority", "", "authority"},
	} {
		p.write("revoked", "# stolen laptops\n"+tc.text)
		check(t, what+": key", says(t, c, "alice", p.public("stolen")), tc.stolen)
		check(t, what+": certificate", says(t, c, "alice", p.public("stolen-cert")), tc.cert)
		check(t, what+": spare key", says(t, c, "alice", p.public("spare")), tc.spare)
		check(t, what+": spare certificate", says(t, c, "alice", p.public("spare-cert")), tc.both)
	}
	p.keygen("-q", "-k", "-f", "revoked", "stolen.pub")
	check(t, "a binary list", says(t, c, "alice", p.public("spare")), "binary format")
}
