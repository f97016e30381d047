package verify_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/go-git/go-git/v5/plumbing"
	"golang.org/x/crypto/ssh"

	"github.com/x2broker/x2broker/broker/source/verify"
)

func after(w *world, by signer, changes files) commit {
	return commit{files: with(changes), parents: []plumbing.Hash{w.first}, sign: by}
}

func TestACommitOfWhoMayIsAccepted(t *testing.T) {
	w := newWorld(t)
	w.accepts(w.first)
	w.accepts(w.commit(after(w, w.byAlice, files{"policy/access.rego": "new"})))
	c := after(w, w.byBob, files{"profiles/lab.cue": "new"})
	c.header = "encoding ISO-8859-1\n"
	c.email = "bob@example.edu"
	tip := w.commit(c)
	w.accepts(tip)
	report := w.verify(tip)
	if c := report.Commits[0]; c.Signer != "bob@example.edu" || c.Subject != "change" || !c.Accepted || c.Key != ssh.FingerprintSHA256(w.bob.PublicKey()) || len(c.Warnings) > 0 {
		t.Errorf("got %+v", c)
	}
}

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

func TestMalformedCommitsAreRefusedWhoeverSignedThem(t *testing.T) {
	tests := map[string]struct {
		change func(headers, signature string) string
		want   string
	}{
		"as it should be":           {func(h, s string) string { return h + s }, ""},
		"duplicated gpgsig":         {func(h, s string) string { return h + s + s }, "two headers gpgsig"},
		"gpgsig-sha256 beside":      {func(h, s string) string { return h + s + strings.Replace(s, "gpgsig", "gpgsig-sha256", 1) }, "has a signature gpgsig-sha256"},
		"gpgsig-sha256 alone":       {func(h, s string) string { return h + strings.Replace(s, "gpgsig", "gpgsig-sha256", 1) }, "has a signature gpgsig-sha256"},
		"gpgsigx":                   {func(h, s string) string { return h + s + "gpgsigx y\n" }, "has a signature gpgsigx"},
		"second tree":               {func(h, s string) string { return h + s + "tree " + strings.Repeat("1", 40) + "\n" }, "a second tree"},
		"second author":             {func(h, s string) string { return h + "author Eve <e@e> 1 +0000\n" + s }, "a second author"},
		"late parent":               {func(h, s string) string { return h + "parent " + strings.Repeat("1", 40) + "\n" + s }, "a second parent"},
		"two encodings":             {func(h, s string) string { return h + "encoding a\nencoding b\n" + s }, "two headers encoding"},
		"encoding of two lines":     {func(h, s string) string { return h + "encoding a\n b\n" + s }, "an encoding of two lines"},
		"NUL":                       {func(h, s string) string { return h + "x a\x00b\n" + s }, "a NUL byte"},
		"header without a value":    {func(h, s string) string { return h + "x\n" + s }, "a header that is no name and value"},
		"continuation of committer": {func(h, s string) string { return h + " more\n" + s }, "a header that is no name and value"},
		"author with two addresses": {func(h, s string) string { return strings.Replace(h, "<alice", "<x> <alice", 1) + s }, "no author in its place"},
		"author without a zone":     {func(h, s string) string { return strings.Replace(h, " +0100\ncommitter", "\ncommitter", 1) + s }, "no author in its place"},
		"no committer":              {func(h, s string) string { return strings.Replace(h, "\ncommitter", "\ncommit-ter", 1) + s }, "no committer in its place"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			headers, message := w.text(after(w, nil, nil))
			signature := signatureHeader("gpgsig", w.byBob([]byte(headers+message)))
			tip := w.raw(plumbing.CommitObject, []byte(test.change(headers, signature)+message))
			if test.want == "" {
				w.accepts(tip)
				return
			}
			w.refuses(tip, test.want)
		})
	}
}

func TestAHugeCommitIsRefused(t *testing.T) {
	w := newWorld(t)
	c := after(w, w.byBob, nil)
	c.subject = strings.Repeat("x", 1<<20)
	w.refuses(w.commit(c), "more than 1048576: write less into its message")
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

func TestPathRules(t *testing.T) {
	tests := map[string]struct {
		changes files
		want    string
	}{
		"his own":                      {files{"profiles/lab.cue": "new", "new.cue": "x"}, ""},
		"another's":                    {files{"policy/access.rego": "new"}, `is signed by bob@example.edu, who may not change policy/access.rego (rule 1): ask alice@example.edu`},
		"another's, removed":           {files{"policy/access.rego": ""}, `policy/access.rego (rule 1)`},
		"another's, moved away":        {files{"policy/access.rego": "", "profiles/access.rego": "old"}, `policy/access.rego (rule 1)`},
		"his own, moved there":         {files{"profiles/lab.cue": "", "policy/a/lab.cue": "lab"}, `policy/a/lab.cue (rule 1)`},
		"another's, now executable":    {files{"policy/access.rego": "exec:old"}, `policy/access.rego (rule 1)`},
		"another's, now a link":        {files{"policy/access.rego": "link:old"}, `policy/access.rego (rule 1)`},
		"another's, now a submodule":   {files{"policy/access.rego": "module:old"}, `policy/access.rego (rule 1)`},
		"another's directory, a link":  {files{"policy/access.rego": "", "policy": "link:profiles"}, `policy/access.rego (rule 1)`},
		"another's file, a directory":  {files{"policy/access.rego": "", "policy/access.rego/x": "y"}, `policy/access.rego (rule 1)`},
		"a name that means a terminal": {files{"policy/\x1b[2J": "x"}, "policy/\uFFFD[2J (rule 1)"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			tip := w.commit(after(w, w.byBob, test.changes))
			if test.want == "" {
				w.accepts(tip)
				return
			}
			w.refuses(tip, test.want)
			w.accepts(w.commit(after(w, w.byAlice, test.changes)))
		})
	}
}

func TestATreeThatCanBeReadInTwoWaysIsRefused(t *testing.T) {
	w := newWorld(t)
	blob := w.raw(plumbing.BlobObject, []byte("x"))
	for name, tree := range map[string]string{
		"the name \"a\" twice":       entry("100644", "a", blob) + entry("100755", "a", blob),
		"the name \"..\"":            entry("100644", "..", blob),
		"the name \".GIT\"":          entry("100644", ".GIT", blob),
		"the name \"a/b\"":           entry("100644", "a/b", blob),
		"an entry of no known kind":  entry("040000", "a", w.tree(firstFiles)),
		"an entry without an end":    entry("100644", "a", blob)[:20],
		"nothing under the name \"a": entry("40000", "a", plumbing.ZeroHash),
	} {
		c := after(w, w.byAlice, nil)
		c.tree = w.raw(plumbing.TreeObject, []byte(tree))
		w.refuses(w.commit(c), "has "+name)
	}
}

func TestEveryCommitSinceTheAcceptedOneCounts(t *testing.T) {
	w := newWorld(t)
	bad := w.commit(after(w, nil, files{"profiles/lab.cue": "bad"}))
	good := w.commit(commit{files: firstFiles, parents: []plumbing.Hash{bad}, sign: w.byAlice})
	w.refuses(good, "is not signed")
	report := w.verify(good)
	if len(report.Commits) != 2 || report.Commits[0].Hash != bad.String() || report.Refused() != 1 {
		t.Errorf("got %+v", report)
	}
}

func TestSinceIsTheRootOfTrust(t *testing.T) {
	w := newWorld(t)
	tip := w.commit(after(w, w.byAlice, nil))
	refused := func(want string) {
		t.Helper()
		report, err := w.try(plumbing.ZeroHash, tip)
		if err != nil {
			t.Fatal(err)
		}
		if err := report.Err(); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	refused(`"Begin" is not signed`) // without since nothing is trusted
	w.rules.Since = w.first
	refused("")
	other := w.commit(commit{files: files{"a": "b"}, subject: "Elsewhere"})
	w.rules.Since = other
	refused("does not descend from verify.since")
	w.rules.Since = plumbing.NewHash(strings.Repeat("12", 20))
	if _, err := w.try(plumbing.ZeroHash, tip); err == nil || !strings.Contains(err.Error(), "verify.since 1212121212121212121212121212121212121212 is not in the repository") {
		t.Errorf("got %v", err)
	}
}

func TestSinceGetsPastACommitThatWasRefused(t *testing.T) {
	w := newWorld(t)
	bad := w.commit(after(w, nil, files{"profiles/lab.cue": "bad"}))
	tip := w.commit(commit{files: firstFiles, parents: []plumbing.Hash{bad}, sign: w.byAlice})
	w.refuses(tip, "is not signed")
	w.rules.Since = bad
	w.accepts(tip)
}

func TestAHistoryThatWasRewrittenIsRefused(t *testing.T) {
	w := newWorld(t)
	second := w.commit(after(w, w.byAlice, files{"policy/access.rego": "stricter"}))
	instead := w.commit(after(w, w.byAlice, files{"policy/access.rego": "other"}))
	try := func(accepted, tip plumbing.Hash, want string) {
		t.Helper()
		report, err := w.try(accepted, tip)
		if err != nil {
			t.Fatal(err)
		}
		if err := report.Err(); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	gone := plumbing.NewHash(strings.Repeat("12", 20))
	try(second, instead, "does not descend from "+second.String()[:10]+", which was accepted last")
	try(second, w.first, "the history was rewritten") // taken back
	try(gone, instead, "commit 1212121212, which was accepted last, is gone")

	w.rules.Since = w.first // an old since does not open the door
	try(second, instead, "the history was rewritten")
	try(second, w.first, "") // but naming the very tip does
	try(gone, instead, "is gone")
	w.rules.Since = instead
	try(second, instead, "")
	try(gone, instead, "")
	try(second, w.commit(commit{files: firstFiles, parents: []plumbing.Hash{instead}, sign: w.byBob}), "bob@example.edu, who may not change policy/access.rego")

	w.rules.Since, w.rules.AllowRewrite = plumbing.ZeroHash, true
	try(second, instead, "")
	try(second, w.first, "")
	unsigned := w.commit(after(w, nil, files{"a": "b"}))
	try(second, unsigned, "is not signed")
	try(gone, instead, `"Begin" is not signed`) // nothing is accepted any more
}

func TestAMissingObjectDecidesNothing(t *testing.T) {
	w := newWorld(t)
	tip := w.commit(commit{files: firstFiles, parents: []plumbing.Hash{plumbing.NewHash(strings.Repeat("12", 20))}, sign: w.byAlice})
	_, err := w.try(w.first, tip)
	if !errors.Is(err, plumbing.ErrObjectNotFound) || !strings.Contains(err.Error(), "git fetch --unshallow") {
		t.Errorf("got %v", err)
	}
	c := after(w, w.byBob, nil)
	c.tree = plumbing.NewHash(strings.Repeat("34", 20))
	if _, err := w.try(w.first, w.commit(c)); !errors.Is(err, plumbing.ErrObjectNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestAnObjectMustHaveItsHash(t *testing.T) {
	w := newWorld(t)
	tip := w.commit(after(w, w.byAlice, nil))
	w.s.Objects[tip] = w.s.Objects[w.first] // a store that lies
	if _, err := w.try(w.first, tip); err == nil || !strings.Contains(err.Error(), "does not have this hash") {
		t.Errorf("got %v", err)
	}
	huge := &plumbing.MemoryObject{}
	huge.SetType(plumbing.CommitObject)
	huge.SetSize(1 << 30)
	w.s.Objects[tip] = huge
	if _, err := w.try(w.first, tip); err == nil || !strings.Contains(err.Error(), "has more than 16777216 bytes") {
		t.Errorf("got %v", err)
	}
}

func TestDirectoriesThatAreTooDeepAreRefused(t *testing.T) {
	w := newWorld(t)
	w.accepts(w.commit(after(w, w.byAlice, files{strings.Repeat("d/", 90) + "x": "y"})))
	w.refuses(w.commit(after(w, w.byAlice, files{strings.Repeat("d/", 120) + "x": "y"})), "has directories more than 100 deep")
}

func TestATagIsNoCommit(t *testing.T) {
	w := newWorld(t)
	tag := w.raw(plumbing.TagObject, []byte(fmt.Sprintf("object %s\ntype commit\ntag v1\ntagger A <a@b> 1 +0000\n\nv1\n", w.first)))
	if _, err := w.try(w.first, tag); err == nil || !strings.Contains(err.Error(), "is a tag, not a commit") {
		t.Errorf("got %v", err)
	}
}

func TestTenThousandCommitsAreTheMost(t *testing.T) {
	w := newWorld(t)
	tip := w.first
	tree := w.tree(firstFiles)
	for i := range verify.MaxCommits {
		tip = w.commit(commit{tree: tree, parents: []plumbing.Hash{tip}, subject: fmt.Sprint(i), sign: w.byAlice})
	}
	w.accepts(tip)
	more := w.commit(commit{tree: tree, parents: []plumbing.Hash{tip}, sign: w.byAlice})
	if _, err := w.try(w.first, more); err == nil || !strings.Contains(err.Error(), "10001 commits are not accepted yet, more than 10000") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	v, err := verify.New(w.rules)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(ctx, verify.Storage(w.s), w.first, tip, now); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
}

func TestACommitterOfAnotherNameIsWarnedOf(t *testing.T) {
	w := newWorld(t)
	report := w.verify(w.commit(after(w, w.byBob, nil)))
	if got := report.Commits[0].Warnings; len(got) != 1 || got[0] != "its committer calls himself alice@example.edu, but the key is of bob@example.edu" {
		t.Errorf("got %q", got)
	}
}

func TestAVerifierCanBeUsedByManyAtOnce(t *testing.T) {
	w := newWorld(t)
	main, branch := sides(w)
	tip := w.commit(commit{files: with(merged), parents: []plumbing.Hash{main, branch}, sign: w.byForge})
	v, err := verify.New(w.rules)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			report, err := v.Verify(t.Context(), verify.Storage(w.s), w.first, tip, now)
			if err != nil || report.Err() != nil || len(report.Commits) != 3 {
				t.Errorf("got %+v, %v", report, err)
			}
		})
	}
	group.Wait()
}
