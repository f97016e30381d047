package client_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

func TestHostKeys(t *testing.T) {
	b := startSSH(t, nil)
	port := b.address[strings.LastIndex(b.address, ":")+1:]
	other, _ := newKey(t)
	right := ssh.FingerprintSHA256(b.key)
	line := func(key ssh.PublicKey) string { return knownhosts.Line([]string{b.address}, key) + "\n" }
	for name, test := range map[string]struct {
		known        string
		fingerprints []string
		want         string
	}{
		"known":          {known: line(b.key)},
		"named":          {fingerprints: []string{ssh.FingerprintSHA256(other.PublicKey()), right}},
		"unknown":        {known: "# nothing\n", want: "has no host key of [127.0.0.1]:" + port + "; it shows " + right + " (ssh-ed25519): compare"},
		"changed":        {known: "\n" + line(other.PublicKey()), want: "the host key has changed, it is not the one at line 2 of "},
		"revoked":        {known: line(b.key) + "@revoked * " + string(ssh.MarshalAuthorizedKey(b.key)), want: "the host key is revoked, at line 2 of "},
		"another kind":   {known: "[127.0.0.1]:" + port + " ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7opKgwFB9nkt5YRrYMjNuG5N87uRgg6CLrbo5wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg=\n", want: "the broker has no host key of the kinds that "},
		"no file":        {want: "does not exist: write the broker's host key into it: ssh-keyscan -p " + port},
		"not the named":  {known: line(b.key), fingerprints: []string{ssh.FingerprintSHA256(other.PublicKey())}, want: "the host key has the fingerprint " + right + " (ssh-ed25519), which is not one of those named"},
		"no fingerprint": {fingerprints: []string{"16:27:ac"}, want: "is no fingerprint of a host key"},
		"no known hosts": {known: "garbage\n", want: "known_hosts:1"},
	} {
		t.Run(name, func(t *testing.T) {
			c := b.client(t)
			c.SSH.KnownHosts, c.SSH.Fingerprints = filepath.Join(t.TempDir(), "known_hosts"), test.fingerprints
			if test.known != "" {
				write(t, c.SSH.KnownHosts, test.known)
			}
			_, err := c.List(context.Background())
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	c := b.client(t)
	c.SSH.KnownHosts = ""
	if _, err := c.List(context.Background()); err == nil || !strings.Contains(err.Error(), "could be anybody") {
		t.Errorf("with nothing to know it by: %v", err)
	}
}
