package verify_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	_ "crypto/sha1"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/storage/memory"
	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"

	"github.com/x2broker/x2broker/broker/source/verify"
)

// now is when all tests take place.
var now = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// repo is a repository in memory, of which every byte can be chosen.
type repo struct {
	t testing.TB
	s *memory.Storage
}

func newRepo(t testing.TB) *repo { return &repo{t, memory.NewStorage()} }

func (r *repo) raw(kind plumbing.ObjectType, data []byte) plumbing.Hash {
	r.t.Helper()
	o := &plumbing.MemoryObject{}
	o.SetType(kind)
	if _, err := o.Write(data); err != nil {
		r.t.Fatal(err)
	}
	hash, err := r.s.SetEncodedObject(o)
	if err != nil {
		r.t.Fatal(err)
	}
	return hash
}

// files are paths and contents; "link:", "exec:" and "module:" before a
// content are of that kind.
type files map[string]string

func (r *repo) tree(f files) plumbing.Hash {
	r.t.Helper()
	sub := map[string]files{}
	entries := map[string]string{} // by the key that Git sorts by
	for path, content := range f {
		if dir, rest, ok := strings.Cut(path, "/"); ok {
			if sub[dir] == nil {
				sub[dir] = files{}
			}
			sub[dir][rest] = content
			continue
		}
		mode := "100644"
		for prefix, m := range map[string]string{"link:": "120000", "exec:": "100755", "module:": "160000"} {
			if strings.HasPrefix(content, prefix) {
				mode, content = m, strings.TrimPrefix(content, prefix)
			}
		}
		entries[path] = entry(mode, path, r.raw(plumbing.BlobObject, []byte(content)))
	}
	for dir, f := range sub {
		entries[dir+"/"] = entry("40000", dir, r.tree(f))
	}
	var data strings.Builder
	for _, key := range slices.Sorted(maps.Keys(entries)) {
		data.WriteString(entries[key])
	}
	return r.raw(plumbing.TreeObject, []byte(data.String()))
}

func entry(mode, name string, hash plumbing.Hash) string {
	return mode + " " + name + "\x00" + string(hash[:])
}

// signer signs the bytes of a commit.
type signer func(payload []byte) string

// commit is a commit to be made.
type commit struct {
	files   files
	tree    plumbing.Hash // instead of files
	parents []plumbing.Hash
	subject string
	email   string // of the committer; "": that of alice
	header  string // further lines, before the signature
	sign    signer // nil: unsigned
}

// text is the commit without a signature.
func (r *repo) text(c commit) (headers, message string) {
	r.t.Helper()
	if c.tree.IsZero() {
		c.tree = r.tree(c.files)
	}
	if c.email == "" {
		c.email = "alice@example.edu"
	}
	if c.subject == "" {
		c.subject = "change"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "tree %s\n", c.tree)
	for _, p := range c.parents {
		fmt.Fprintf(&b, "parent %s\n", p)
	}
	fmt.Fprintf(&b, "author Ada Author <%[1]s> 1767610800 +0100\ncommitter Ada Author <%[1]s> 1767610800 +0100\n%[2]s", c.email, c.header)
	return b.String(), "\n" + c.subject + "\n"
}

func (r *repo) commit(c commit) plumbing.Hash {
	r.t.Helper()
	headers, message := r.text(c)
	if c.sign != nil {
		headers += signatureHeader("gpgsig", c.sign([]byte(headers+message)))
	}
	return r.raw(plumbing.CommitObject, []byte(headers+message))
}

func signatureHeader(name, signature string) string {
	return name + " " + strings.ReplaceAll(strings.TrimSuffix(signature, "\n"), "\n", "\n ") + "\n"
}

// sshKey makes the same key for the same name each time.
func sshKey(name string) ssh.Signer {
	seed := sha256.Sum256([]byte(name))
	s, err := ssh.NewSignerFromKey(ed25519.NewKeyFromSeed(seed[:]))
	if err != nil {
		panic(err)
	}
	return s
}

func bySSH(t testing.TB, key ssh.Signer) signer { return byNamespace(t, key, "git") }

func byNamespace(t testing.TB, key ssh.Signer, namespace string) signer {
	return func(payload []byte) string {
		sig, err := sshsig.Sign(bytes.NewReader(payload), key, sshsig.HashSHA512, namespace)
		if err != nil {
			t.Fatal(err)
		}
		return string(sshsig.Armor(sig))
	}
}

// pgpKey makes an OpenPGP key a day before now.
func pgpKey(t testing.TB, change func(*packet.Config)) *openpgp.Entity {
	t.Helper()
	cfg := &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, Time: func() time.Time { return now.AddDate(0, 0, -1) }}
	if change != nil {
		change(cfg)
	}
	e, err := openpgp.NewEntity("Forge", "", "forge@example.edu", cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func byOpenPGP(t testing.TB, e *openpgp.Entity, change func(*packet.Config)) signer {
	return func(payload []byte) string {
		cfg := &packet.Config{Time: func() time.Time { return now.Add(-time.Hour) }}
		if change != nil {
			change(cfg)
		}
		var b bytes.Buffer
		if err := openpgp.ArmoredDetachSign(&b, []*openpgp.Entity{e}, bytes.NewReader(payload), &openpgp.SignParams{Config: cfg}); err != nil {
			t.Fatal(err)
		}
		return b.String() + "\n"
	}
}

// public gives the key as others have it.
func public(t testing.TB, e *openpgp.Entity) []*openpgp.Entity {
	t.Helper()
	var b bytes.Buffer
	w, err := armor.Encode(&b, "PGP PUBLIC KEY BLOCK", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Serialize(w); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	keys, err := verify.ParseKeys(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return keys.OpenPGP
}

// A world has alice, who may change everything, bob, who may not change
// policy/, and a forge that may merge.
type world struct {
	*repo
	rules            verify.Rules
	alice, bob       ssh.Signer
	forge            *openpgp.Entity
	byAlice, byBob   signer
	byForge, byMally signer
	first            plumbing.Hash // accepted
}

var firstFiles = files{"site.cue": "site", "policy/access.rego": "old", "profiles/lab.cue": "lab"}

func newWorld(t testing.TB) *world {
	w := &world{repo: newRepo(t), alice: sshKey("alice"), bob: sshKey("bob"), forge: pgpKey(t, nil)}
	w.byAlice, w.byBob, w.byMally = bySSH(t, w.alice), bySSH(t, w.bob), bySSH(t, sshKey("mally"))
	w.byForge = byOpenPGP(t, w.forge, nil)
	w.rules = verify.Rules{
		Signers: []verify.Signer{
			{Principals: []string{"alice@example.edu"}, Groups: []string{"policy"}, Keys: verify.Keys{SSH: []ssh.PublicKey{w.alice.PublicKey()}}},
			{Principals: []string{"bob@example.edu"}, Keys: verify.Keys{SSH: []ssh.PublicKey{w.bob.PublicKey()}}},
		},
		Forges: []verify.Forge{{Name: "github", Keys: verify.Keys{OpenPGP: public(t, w.forge)}}},
		Paths: []verify.PathRule{
			{Paths: []string{"policy/**"}, Signers: []string{"group:policy"}},
			{Paths: []string{"**"}, Signers: []string{"*"}},
		},
	}
	w.first = w.commit(commit{files: firstFiles, subject: "Begin"})
	return w
}

// with gives the first files, changed.
func with(changes files) files {
	f := maps.Clone(firstFiles)
	for path, content := range changes {
		if content == "" {
			delete(f, path)
			continue
		}
		f[path] = content
	}
	return f
}

func (w *world) verify(tip plumbing.Hash) verify.Report {
	w.t.Helper()
	report, err := w.try(w.first, tip)
	if err != nil {
		w.t.Fatal(err)
	}
	return report
}

func (w *world) try(accepted, tip plumbing.Hash) (verify.Report, error) {
	w.t.Helper()
	v, err := verify.New(w.rules)
	if err != nil {
		w.t.Fatal(err)
	}
	return v.Verify(w.t.Context(), verify.Storage(w.s), accepted, tip, now)
}

// accepts and refuses say what must come of a commit after the first.
func (w *world) accepts(tip plumbing.Hash) {
	w.t.Helper()
	if err := w.verify(tip).Err(); err != nil {
		w.t.Errorf("refused: %v", err)
	}
}

func (w *world) refuses(tip plumbing.Hash, want string) {
	w.t.Helper()
	if err := w.verify(tip).Err(); err == nil || !strings.Contains(err.Error(), want) {
		w.t.Errorf("got  %v\nwant %s", err, want)
	}
}

// withAlgorithm signs with an algorithm that sshsig would not have taken.
func withAlgorithm(t testing.TB, payload []byte, key ssh.Signer, algorithm string) string {
	t.Helper()
	good, err := sshsig.Sign(bytes.NewReader(payload), key, sshsig.HashSHA512, "git")
	if err != nil {
		t.Fatal(err)
	}
	if good.Signature, err = key.(ssh.AlgorithmSigner).SignWithAlgorithm(nil, payload, algorithm); err != nil {
		t.Fatal(err)
	}
	return string(sshsig.Armor(good))
}

// signOpenPGP signs as the library would not by itself.
func signOpenPGP(t testing.TB, e *openpgp.Entity, change func(*packet.Signature), copies int, payload []byte) string {
	t.Helper()
	sig := &packet.Signature{
		Version: 4, SigType: packet.SigTypeBinary, PubKeyAlgo: e.PrimaryKey.PubKeyAlgo, Hash: crypto.SHA256,
		CreationTime: now.Add(-time.Hour), IssuerKeyId: &e.PrimaryKey.KeyId,
	}
	change(sig)
	h := sig.Hash.New()
	h.Write(payload)
	if err := sig.Sign(h, e.PrivateKey, &packet.Config{NonDeterministicSignaturesViaNotation: packet.BoolPointer(false)}); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w, err := armor.Encode(&b, "PGP SIGNATURE", nil)
	if err != nil {
		t.Fatal(err)
	}
	for range copies {
		if err := sig.Serialize(w); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String() + "\n"
}

// withRest signs with bytes behind the signature, which the library overlooks.
func withRest(t testing.TB, key ssh.Signer) signer {
	return func(payload []byte) string {
		sig, err := sshsig.Sign(bytes.NewReader(payload), key, sshsig.HashSHA512, "git")
		if err != nil {
			t.Fatal(err)
		}
		sig.Signature.Rest = []byte("more")
		return string(sshsig.Armor(sig))
	}
}
