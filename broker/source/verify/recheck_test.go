package verify_test

import (
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/go-git/go-git/v5/plumbing"
	"golang.org/x/crypto/ssh"

	"github.com/x2broker/x2broker/broker/source/verify"
)

func (w *world) recheck(tip plumbing.Hash, rules verify.Rules, when time.Time) error {
	w.t.Helper()
	v, err := verify.New(rules)
	if err != nil {
		w.t.Fatal(err)
	}
	report, err := v.Recheck(w.t.Context(), verify.Storage(w.s), tip, when)
	if err != nil {
		return err
	}
	return report.Err()
}

// What was accepted is looked at again when the rules have changed: who may not
// sign any more does not vouch for it, but time alone takes nothing back.
func TestOnlyRulesTakeBackWhatWasAccepted(t *testing.T) {
	w := newWorld(t)
	w.rules.Since = w.first
	by := func(sign signer, parents ...plumbing.Hash) plumbing.Hash {
		return w.commit(commit{files: with(files{"profiles/lab.cue": "new"}), parents: parents, sign: sign})
	}
	short := byOpenPGP(t, w.forge, func(c *packet.Config) { c.SigLifetimeSecs = 7200 })
	w.rules.Forges[0].MayEdit = true
	tip := by(short, by(w.byBob, w.first))
	w.accepts(tip)
	tests := map[string]struct {
		change func(*verify.Rules)
		want   string
	}{
		"nothing": {func(*verify.Rules) {}, ""},
		"one more signer": {func(r *verify.Rules) {
			r.Signers = append(r.Signers, verify.Signer{Principals: []string{"c@d"}, Keys: sshOf("carl")})
		}, ""},
		"bob's time is over":     {func(r *verify.Rules) { r.Signers[1].ValidBefore = now.Add(-time.Hour) }, ""},
		"bob's time is to come":  {func(r *verify.Rules) { r.Signers[1].ValidAfter = now.AddDate(2, 0, 0) }, "whose key counts from"},
		"bob's key is revoked":   {func(r *verify.Rules) { r.Revoked = []string{ssh.FingerprintSHA256(w.bob.PublicKey())} }, "which is revoked"},
		"bob has left":           {func(r *verify.Rules) { r.Signers = r.Signers[:1] }, "nobody's among the signers"},
		"bob may do less":        {func(r *verify.Rules) { r.Paths[1].Signers = []string{"alice@example.edu", "forge:github"} }, "who may not change profiles/lab.cue"},
		"since is the tip":       {func(r *verify.Rules) { r.Since, r.Signers = tip, r.Signers[:1] }, ""},
		"since is after the tip": {func(r *verify.Rules) { r.Since, r.Signers = by(w.byAlice, tip), r.Signers[:1] }, ""},
		"since is of another":    {func(r *verify.Rules) { r.Since = by(w.byAlice) }, "does not descend from verify.since"},
		"since is not there":     {func(r *verify.Rules) { r.Since = plumbing.NewHash(strings.Repeat("1", 40)) }, "is not in the repository"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			rules := w.rules
			rules.Signers = append([]verify.Signer(nil), rules.Signers...)
			rules.Paths = append([]verify.PathRule(nil), rules.Paths...)
			rules.Paths[1].Signers = []string{"*", "forge:github"}
			test.change(&rules)
			err := w.recheck(tip, rules, now.AddDate(1, 0, 0)) // the signature by OpenPGP has expired
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func sshOf(name string) verify.Keys {
	return verify.Keys{SSH: []ssh.PublicKey{sshKey(name).PublicKey()}}
}

func TestRulesThatSayAnythingElseHaveAnotherDigest(t *testing.T) {
	w := newWorld(t)
	other := pgpKey(t, nil)
	rules := func() verify.Rules {
		return verify.Rules{
			Signers: []verify.Signer{{Principals: []string{"a@b"}, Keys: sshOf("alice")}, {Principals: []string{"c@d"}, Keys: sshOf("bob")}},
			Forges:  []verify.Forge{{Name: "github", Keys: verify.Keys{OpenPGP: public(t, w.forge)}}},
			Paths:   []verify.PathRule{{Paths: []string{"**"}, Signers: []string{"*"}}},
		}
	}
	same := rules().Digest()
	seen := map[string]string{same: "nothing"}
	if again := rules().Digest(); again != same {
		t.Errorf("the same rules have the digests %s and %s", same, again)
	}
	for name, change := range map[string]func(*verify.Rules){
		"since":       func(r *verify.Rules) { r.Since = w.first },
		"rewrites":    func(r *verify.Rules) { r.AllowRewrite = true },
		"a signer":    func(r *verify.Rules) { r.Signers = r.Signers[:1] },
		"principal":   func(r *verify.Rules) { r.Signers[0].Principals = []string{"a@c"} },
		"group":       func(r *verify.Rules) { r.Signers[0].Groups = []string{"g"} },
		"namespace":   func(r *verify.Rules) { r.Signers[0].Namespaces = []string{"git"} },
		"begin":       func(r *verify.Rules) { r.Signers[0].ValidAfter = now },
		"end":         func(r *verify.Rules) { r.Signers[0].ValidBefore = now },
		"odd zone":    func(r *verify.Rules) { r.Signers[0].ValidBefore = now.Add(time.Second).In(time.FixedZone("", 24*3600)) },
		"key":         func(r *verify.Rules) { r.Signers[0].Keys = sshOf("carl") },
		"whose key":   func(r *verify.Rules) { r.Signers[0].Keys, r.Signers[1].Keys = sshOf("bob"), sshOf("alice") },
		"forge":       func(r *verify.Rules) { r.Forges[0].Name = "forgejo" },
		"forge's key": func(r *verify.Rules) { r.Forges[0].Keys.OpenPGP = public(t, other) },
		"edits":       func(r *verify.Rules) { r.Forges[0].MayEdit = true },
		"revoked":     func(r *verify.Rules) { r.Revoked = []string{ssh.FingerprintSHA256(w.bob.PublicKey())} },
		"paths":       func(r *verify.Rules) { r.Paths[0].Paths = []string{"*"} },
		"who may":     func(r *verify.Rules) { r.Paths[0].Signers = []string{"a@b"} },
		"its revocation": func(r *verify.Rules) {
			if err := w.forge.Revoke(packet.KeyCompromised, "", nil); err != nil {
				t.Fatal(err)
			}
			r.Forges[0].Keys.OpenPGP = public(t, w.forge)
			w.forge.Revocations = nil
		},
	} {
		r := rules()
		change(&r)
		if twin := seen[r.Digest()]; twin != "" {
			t.Errorf("%s has the digest of %s", name, twin)
		}
		seen[r.Digest()] = name
	}
}
