package verify_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/go-git/go-git/v5/plumbing"
	"golang.org/x/crypto/ssh"

	"github.com/x2broker/x2broker/broker/source/verify"
)

// GitHub ends its signatures with an empty line.
func TestEmptyLinesAfterASignatureDoNoHarm(t *testing.T) {
	w := newWorld(t)
	main, branch := sides(w)
	for name, by := range map[string]signer{"SSH": w.byBob, "OpenPGP": w.byForge} {
		c := commit{files: with(merged), parents: []plumbing.Hash{main, branch}}
		headers, message := w.text(c)
		signature := signatureHeader("gpgsig", strings.TrimRight(by([]byte(headers+message)), "\n")+"\n\n\n")
		if !strings.HasSuffix(signature, "-----\n \n \n") {
			t.Fatalf("%s: %q", name, signature)
		}
		w.accepts(w.raw(plumbing.CommitObject, []byte(headers+signature+message)))
	}
}

func TestOfCommitsSignedWronglyNoneIsAccepted(t *testing.T) {
	file := func(w *world) signer { return byNamespace(w.t, w.bob, "file") }
	tests := map[string]struct {
		by   func(w *world) signer
		want string
	}{
		"unsigned":                  {func(*world) signer { return nil }, `"change" is not signed: sign it`},
		"by a stranger":             {func(w *world) signer { return w.byMally }, `which is nobody's among the signers`},
		"for another namespace":     {file, `has a signature that bob@example.edu made for "file", not for git`},
		"by a stranger's OpenPGP":   {func(w *world) signer { return byOpenPGP(w.t, pgpKey(w.t, nil), nil) }, `which is nobody's among the signers`},
		"two SSH signatures":        {func(w *world) signer { return twice(w.byBob) }, `has an SSH signature that is damaged, or more than one`},
		"two OpenPGP signatures":    {func(w *world) signer { return twice(w.byForge) }, `has an OpenPGP signature that is damaged, or more than one`},
		"text before the signature": {func(w *world) signer { return func(p []byte) string { return "Hi\n" + w.byBob(p) } }, `has a signature of an unknown kind`},
		"text after the signature":  {func(w *world) signer { return func(p []byte) string { return w.byBob(p) + "Hi\n" } }, `damaged, or more than one`},
		"a damaged one before": {func(w *world) signer {
			return func(p []byte) string { return "-----BEGIN SSH SIGNATURE-----\n!\n" + w.byBob(p) }
		}, `damaged, or more than one`},
		"more than a signature": {func(w *world) signer { return withRest(w.t, w.bob) }, `does not fit it`},
		"S/MIME":                {func(*world) signer { return text("-----BEGIN SIGNED MESSAGE-----\n") }, `signed with S/MIME`},
		"not text":              {func(*world) signer { return text("-----BEGIN SSH SIGNATURE-----\r\n") }, `characters that are not of its format`},
		"empty":                 {func(*world) signer { return text("-----BEGIN SSH SIGNATURE-----\n-----END SSH SIGNATURE-----\n") }, `has an SSH signature that`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.refuses(w.commit(after(w, test.by(w), files{"profiles/lab.cue": "new"})), test.want)
		})
	}
}

func text(s string) signer { return func([]byte) string { return s } }

func twice(s signer) signer { return func(p []byte) string { return s(p) + s(p) } }

func TestASignatureHoldsForEveryByte(t *testing.T) {
	for name, by := range map[string]func(w *world) signer{
		"SSH":     func(w *world) signer { return w.byBob },
		"OpenPGP": func(w *world) signer { return w.byForge },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.rules.Forges[0].MayEdit = true
			w.rules.Paths = nil
			second := w.commit(after(w, w.byAlice, nil))
			headers, message := w.text(after(w, nil, nil))
			signature := signatureHeader("gpgsig", by(w)([]byte(headers+message)))
			for what, changed := range map[string]struct{ headers, message string }{
				"nothing":   {headers, message},
				"tree":      {strings.Replace(headers, w.tree(firstFiles).String(), w.tree(files{"x": "y"}).String(), 1), message},
				"parent":    {strings.Replace(headers, w.first.String(), second.String(), 1), message},
				"author":    {strings.Replace(headers, "Ada", "Eve", 1), message},
				"committer": {strings.Replace(headers, "1767610800 +0100\ncommitter", "1767610801 +0100\ncommitter", 1), message},
				"a header":  {headers + "encoding UTF-8\n", message},
				"message":   {headers, message + "!"},
			} {
				tip := w.raw(plumbing.CommitObject, []byte(changed.headers+signature+changed.message))
				if what == "nothing" {
					w.accepts(tip)
					continue
				}
				report := w.verify(tip)
				last := report.Commits[len(report.Commits)-1]
				if !strings.Contains(last.Reason, "does not fit it: it was changed after it was signed") {
					t.Errorf("%s changed: got %+v", what, last)
				}
			}
		})
	}
}

func TestKeysAreHeldAgainstTheTimeOfTheCheck(t *testing.T) {
	day := 24 * time.Hour
	tests := map[string]struct {
		after, before time.Time
		want          string
	}{
		"in its time":  {now.Add(-day), now.Add(day), ""},
		"at its end":   {now, now, ""},
		"expired":      {time.Time{}, now.Add(-time.Second), "whose key counted until 2026-03-02T08:59:59Z"},
		"not yet good": {now.Add(day), time.Time{}, "whose key counts from 2026-03-03T09:00:00Z on"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.rules.Signers[1].ValidAfter, w.rules.Signers[1].ValidBefore = test.after, test.before
			tip := w.commit(after(w, w.byBob, files{"profiles/lab.cue": "new"}))
			if test.want == "" {
				w.accepts(tip)
				return
			}
			w.refuses(tip, test.want)
			// What was accepted once stays so.
			if report, err := w.try(tip, tip); err != nil || report.Err() != nil {
				t.Errorf("accepted commit: got %v, %v", report.Err(), err)
			}
		})
	}
}

func TestRevokedKeysAreRefused(t *testing.T) {
	w := newWorld(t)
	w.rules.Revoked = []string{ssh.FingerprintSHA256(w.bob.PublicKey()), fmt.Sprintf("%X", w.forge.PrimaryKey.Fingerprint)}
	w.refuses(w.commit(after(w, w.byBob, nil)), "which is revoked: look at what it changes")
	w.refuses(w.commit(after(w, w.byForge, nil)), "which is revoked: look at what it changes")
	w.accepts(w.commit(after(w, w.byAlice, nil)))
	// Also when the signer is gone from the list.
	w.rules.Signers = w.rules.Signers[:1]
	w.refuses(w.commit(after(w, w.byBob, nil)), "which is revoked")
}

func TestANamespaceOfTheAllowedSignersBinds(t *testing.T) {
	w := newWorld(t)
	tip := w.commit(after(w, w.byBob, nil))
	w.rules.Signers[1].Namespaces = []string{"file", "g*"}
	w.accepts(tip)
	w.rules.Signers[1].Namespaces = []string{"file"}
	w.refuses(tip, "with a key that is for other namespaces than git")
}

func TestWeakKeysAreRefused(t *testing.T) {
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewSignerFromKey(weak)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	w.refuses(w.commit(after(w, bySSH(t, key), nil)), "is signed with an SSH key that is of RSA with less than 3072 bits")
	w.rules.Signers[1].Keys.SSH = append(w.rules.Signers[1].Keys.SSH, key.PublicKey())
	if _, err := verify.New(w.rules); err == nil || !strings.Contains(err.Error(), "less than 3072 bits") {
		t.Errorf("as a rule: got %v", err)
	}
}

func TestCertificatesAndSHA1AreRefused(t *testing.T) {
	w := newWorld(t)
	cert := &ssh.Certificate{Key: w.bob.PublicKey(), CertType: ssh.UserCert, ValidBefore: ssh.CertTimeInfinity}
	if err := cert.SignCert(rand.Reader, w.alice); err != nil {
		t.Fatal(err)
	}
	certified, err := ssh.NewCertSigner(cert, w.bob)
	if err != nil {
		t.Fatal(err)
	}
	w.refuses(w.commit(after(w, bySSH(t, certified), nil)), "certificates are not followed")
	private, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	w.rules.Signers[1].Keys.SSH = append(w.rules.Signers[1].Keys.SSH, key.PublicKey())
	w.accepts(w.commit(after(w, bySSH(t, key), nil)))
	sha1 := func(payload []byte) string { return withAlgorithm(t, payload, key, ssh.KeyAlgoRSA) }
	w.refuses(w.commit(after(w, sha1, nil)), "has an SSH signature that cannot be read")
}

func TestOpenPGPKeysThatAreNotGood(t *testing.T) {
	expired := func(c *packet.Config) { c.KeyLifetimeSecs = 3600 }
	tests := map[string]struct {
		key, sig func(*packet.Config)
		revoke   bool
		want     string
	}{
		"good":                   {want: ""},
		"expired":                {key: expired, sig: func(c *packet.Config) { c.Time = func() time.Time { return now.Add(-23*time.Hour - 30*time.Minute) } }, want: "which has expired: renew it"},
		"revoked":                {revoke: true, want: "which is revoked: let somebody sign with another key"},
		"of the future":          {sig: func(c *packet.Config) { c.Time = func() time.Time { return now.Add(time.Hour) } }, want: "which is to come: set the clock"},
		"a little in the future": {sig: func(c *packet.Config) { c.Time = func() time.Time { return now.Add(time.Minute) } }, want: ""},
		"expired signature":      {sig: func(c *packet.Config) { c.SigLifetimeSecs = 60 }, want: "has an OpenPGP signature that has expired"},
		"weak RSA":               {key: func(c *packet.Config) { c.Algorithm, c.RSABits = packet.PubKeyAlgoRSA, 2048 }, want: "is not good for signing: it needs"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			key := pgpKey(t, test.key)
			tip := w.commit(after(w, byOpenPGP(t, key, test.sig), files{"profiles/lab.cue": "new"}))
			if test.revoke {
				if err := key.Revoke(packet.KeyRetired, "", &packet.Config{Time: func() time.Time { return now.Add(-time.Minute) }}); err != nil {
					t.Fatal(err)
				}
			}
			w.rules.Signers[1].Keys = verify.Keys{OpenPGP: public(t, key)}
			if test.want == "" {
				w.accepts(tip)
				return
			}
			w.refuses(tip, test.want)
		})
	}
}

func TestOpenPGPSignaturesThatGitDoesNotMake(t *testing.T) {
	w := newWorld(t)
	w.rules.Forges[0].MayEdit, w.rules.Paths = true, nil
	tests := map[string]struct {
		change func(*packet.Signature)
		copies int
		want   string
	}{
		"as it should be":       {func(*packet.Signature) {}, 1, ""},
		"two packets":           {func(*packet.Signature) {}, 2, "damaged, or more than one"},
		"none":                  {func(*packet.Signature) {}, 0, "cannot be read"},
		"SHA-1":                 {func(s *packet.Signature) { s.Hash = crypto.SHA1 }, 1, "with SHA-1, which can be forged"},
		"as text":               {func(s *packet.Signature) { s.SigType = packet.SigTypeText }, 1, "that git would not have made"},
		"older than its key":    {func(s *packet.Signature) { s.CreationTime = now.AddDate(0, 0, -2) }, 1, "is older than its key"},
		"an unknown condition":  {func(s *packet.Signature) { s.Notations = []*packet.Notation{{Name: "x@example.edu", IsCritical: true}} }, 1, "with a condition that is not known"},
		"something said beside": {func(s *packet.Signature) { s.Notations = []*packet.Notation{{Name: "x@example.edu"}} }, 1, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			by := func(payload []byte) string { return signOpenPGP(t, w.forge, test.change, test.copies, payload) }
			tip := w.commit(after(w, by, nil))
			if test.want == "" {
				w.accepts(tip)
				return
			}
			w.refuses(tip, test.want)
		})
	}
}

func TestASubkeyOfARevokedKeyIsRefused(t *testing.T) {
	w := newWorld(t)
	key := pgpKey(t, nil)
	if err := key.AddSigningSubkey(&packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, Time: func() time.Time { return now.AddDate(0, 0, -1) }}); err != nil {
		t.Fatal(err)
	}
	tip := w.commit(after(w, byOpenPGP(t, key, nil), files{"profiles/lab.cue": "new"}))
	w.rules.Signers[1].Keys = verify.Keys{OpenPGP: public(t, key)}
	w.accepts(tip)
	subkey := fmt.Sprintf("%X", key.Subkeys[len(key.Subkeys)-1].PublicKey.Fingerprint)
	if got := w.verify(tip).Commits[0].Key; got != subkey {
		t.Errorf("signed with %s, not with the subkey %s", got, subkey)
	}
	for _, revoked := range []string{subkey, fmt.Sprintf("%X", key.PrimaryKey.Fingerprint)} {
		w.rules.Revoked = []string{revoked}
		w.refuses(tip, "with the key "+revoked+", which is revoked")
	}
}
