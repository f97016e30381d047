package verify_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/crypto/ssh"

	"github.com/x2broker/x2broker/broker/source/verify"
)

func TestMistakesInTheRulesAreNamed(t *testing.T) {
	tests := map[string]struct {
		change      func(w *world)
		field, want string
	}{
		"nobody":            {func(w *world) { w.rules.Signers = nil; w.rules.Paths = nil }, "signers", "nobody could sign a commit"},
		"no principal":      {func(w *world) { w.rules.Signers[1].Principals = nil }, "signers.1", "has no principal"},
		"no key":            {func(w *world) { w.rules.Signers[1].Keys = verify.Keys{} }, "signers.1", "bob@example.edu has no key"},
		"one key of two":    {func(w *world) { w.rules.Signers[1].Keys = w.rules.Signers[0].Keys }, "signers.1", "is named twice, for alice@example.edu and bob@example.edu"},
		"one OpenPGP key":   {func(w *world) { w.rules.Signers[1].Keys = w.rules.Forges[0].Keys }, "forges.0", "is named twice, for bob@example.edu and the forge github"},
		"an empty time":     {func(w *world) { w.rules.Signers[1].ValidAfter, w.rules.Signers[1].ValidBefore = now, now.Add(-1) }, "signers.1", "ends before it begins"},
		"two forges":        {func(w *world) { w.rules.Forges = append(w.rules.Forges, verify.Forge{Name: "github"}) }, "forges.1", "a name of its own"},
		"a revoked name":    {func(w *world) { w.rules.Revoked = []string{"bob"} }, "revoked.0", `"bob" is no fingerprint`},
		"a short id":        {func(w *world) { w.rules.Revoked = []string{"4AEE18F83AFDEB23"} }, "revoked.0", "is no fingerprint"},
		"no rule for all":   {func(w *world) { w.rules.Paths = w.rules.Paths[:1] }, "rules", "not every path has a rule"},
		"unknown signer":    {func(w *world) { w.rules.Paths[0].Signers = []string{"alise@example.edu"} }, "rules.0.signers.0", "is no principal of a signer"},
		"unknown group":     {func(w *world) { w.rules.Paths[0].Signers = []string{"group:polcy"} }, "rules.0.signers.0", "is no principal of a signer"},
		"absolute path":     {func(w *world) { w.rules.Paths[0].Paths = []string{"/policy/**"} }, "rules.0.paths.0", "is no path: write it from the root"},
		"directory":         {func(w *world) { w.rules.Paths[0].Paths = []string{"policy/"} }, "rules.0.paths.0", `all below a directory is "directory/**"`},
		"dots":              {func(w *world) { w.rules.Paths[0].Paths = []string{"a/../b"} }, "rules.0.paths.0", "or is one of . and .. which lead elsewhere"},
		"stars in a name":   {func(w *world) { w.rules.Paths[0].Paths = []string{"policy**"} }, "rules.0.paths.0", "has ** within a name"},
		"another's pattern": {func(w *world) { w.rules.Paths[0].Paths = []string{"*.{cue,rego}"} }, "rules.0.paths.0", "only * ? and ** are known"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			test.change(w)
			_, err := verify.New(w.rules)
			var rule *verify.RuleError
			if !errors.As(err, &rule) || rule.Field != test.field || !strings.Contains(rule.Text, test.want) {
				t.Errorf("got %v, want %s: %s", err, test.field, test.want)
			}
		})
	}
}

func TestPatternsOfPaths(t *testing.T) {
	paths := []string{"site.cue", "a.rego", "policy/a.rego", "policy/x/b.rego", "profiles/staff/lab.cue", "policy", "policyx/a"}
	for pattern, want := range map[string][]string{
		"policy/**":        {"policy/a.rego", "policy/x/b.rego"},
		"*.cue":            {"site.cue"},
		"**/*.rego":        {"a.rego", "policy/a.rego", "policy/x/b.rego"},
		"policy/*":         {"policy/a.rego"},
		"policy/**/b.*":    {"policy/x/b.rego"},
		"?.rego":           {"a.rego"},
		"profiles/*/*":     {"profiles/staff/lab.cue"},
		"policy":           {"policy"},
		"policy/**/a.rego": {"policy/a.rego"},
	} {
		w := newWorld(t)
		w.rules.Paths = []verify.PathRule{{Paths: []string{pattern}, Signers: nil}, {Paths: []string{"**"}, Signers: []string{"*"}}}
		var got []string
		for _, p := range paths {
			c := after(w, w.byBob, nil)
			c.files = files{"policy/access.rego": "old", "profiles/lab.cue": "lab", "site.cue": "site"}
			c.files[p] = "new"
			if p == "policy" {
				delete(c.files, "policy/access.rego")
			}
			first := w.verify(w.commit(c))
			if first.Err() != nil && strings.Contains(first.Err().Error(), "may not change "+p+" (rule 1): nobody may") {
				got = append(got, p)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", pattern, diff)
		}
	}
}

func TestAllowedSigners(t *testing.T) {
	key := sshKey("alice").PublicKey()
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
	zone := time.FixedZone("", 3600)
	got, err := verify.ParseAllowedSigners([]byte(strings.Join([]string{
		"# a comment", "",
		"alice@example.edu,*@alice.example.edu " + line + " a comment",
		`bob@example.edu namespaces="git,file",valid-after="20260101",valid-before=202602031405Z ` + line,
		"carol@example.edu\tNamespaces=git  " + line,
	}, "\n")), zone)
	if err != nil {
		t.Fatal(err)
	}
	keys := verify.Keys{SSH: []ssh.PublicKey{key}}
	want := []verify.Signer{
		{Principals: []string{"alice@example.edu", "*@alice.example.edu"}, Keys: keys},
		{
			Principals: []string{"bob@example.edu"}, Keys: keys, Namespaces: []string{"git", "file"},
			ValidAfter: time.Date(2026, 1, 1, 0, 0, 0, 0, zone), ValidBefore: time.Date(2026, 2, 3, 14, 5, 0, 0, time.UTC),
		},
		{Principals: []string{"carol@example.edu"}, Keys: keys, Namespaces: []string{"git"}},
	}
	same := cmp.Comparer(func(a, b ssh.PublicKey) bool { return bytes.Equal(a.Marshal(), b.Marshal()) })
	if diff := cmp.Diff(want, got, same, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestMistakesInAllowedSigners(t *testing.T) {
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(sshKey("alice").PublicKey())))
	for text, want := range map[string]string{
		"alice@example.edu":                "is no SSH public key",
		line:                               "has no principal before the key",
		"*@x cert-authority " + line:       "certificates are not followed",
		"a@x,!b@x " + line:                 "excludes, which is not followed",
		"a@x, " + line:                     "is empty",
		`"a b" ` + line:                    "has a quote",
		"a@x valid-after=tomorrow " + line: `"tomorrow" is no time`,
		"a@x valid-after=20261301 " + line: `"20261301" is no time`,
		"a@x valid-after=20260101,valid-after=20260102 " + line:  "is there twice",
		"a@x no-touch-required " + line:                          "is not known",
		"a@x " + strings.Replace(line, "AAAA", "AAAB", 1):        "is no SSH public key",
		`a@x namespaces="git ` + line:                            "quotes do not match",
		"a@x namespaces= " + line:                                "has no value",
		"\n\na@x ssh-dss AAAAB3NzaC1kc3MAAAAA a@x " + line + "x": "line 3: ",
	} {
		_, err := verify.ParseAllowedSigners([]byte(text), time.UTC)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\ngot  %v\nwant %s", text, err, want)
		}
	}
}

func TestKeyFiles(t *testing.T) {
	line := string(ssh.MarshalAuthorizedKey(sshKey("alice").PublicKey()))
	keys, err := verify.ParseKeys([]byte("# mine\n\n" + line + line))
	if err != nil || len(keys.SSH) != 2 {
		t.Errorf("got %v, %v", keys, err)
	}
	for text, want := range map[string]string{
		"":                                       "holds no key",
		"x":                                      `"x" is no SSH public key`,
		"from=x " + line:                         "is no SSH public key",
		"-----BEGIN OPENSSH PRIVATE KEY-----":    "is a private key",
		"-----BEGIN PGP PRIVATE KEY BLOCK-----":  "is a private key",
		"-----BEGIN PGP PUBLIC KEY BLOCK-----\n": "ends in the middle",
		"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n-----END PGP PUBLIC KEY BLOCK-----\n": "gpg --armor --export",
	} {
		if _, err := verify.ParseKeys([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q\ngot  %v\nwant %s", text, err, want)
		}
	}
}

func TestAPrivateKeyInTheCoatOfAPublicOneIsRefused(t *testing.T) {
	var b bytes.Buffer
	w, err := armor.Encode(&b, "PGP PUBLIC KEY BLOCK", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := pgpKey(t, nil).SerializePrivate(w, nil); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := verify.ParseKeys(b.Bytes()); err == nil || !strings.Contains(err.Error(), "is a private key") {
		t.Errorf("got %v", err)
	}
}

func TestKeysOfDSAAreRefused(t *testing.T) {
	const dsa = "ssh-dss AAAAB3NzaC1kc3MAAACBAMApTtIQGAn7mhKe1jZdBnPNPpKSYSdZ2Pw5H//UyimWP8QQkcEoGjr0uOT7fcr1hDLMs1fOC4GZ91d9fz9IXFZkav5Tj6H6WncvdnuZhTppIcGGrHpN6ETyb1uJvPPV7bM6uL72/5gFGs+v3rlzxn/gh2aAcC+M+kci0dGNU5uFAAAAFQD0aYZ8jiHF4nY2cf8ppwm/NBTv/wAAAIEApbC/S0QX6LtWU+UT/mnASQTiiBJ6ZX+CJaiS0vycpftQ6d+FflC0REDP24QQ7oz02kPmgXnkJqmDKj1emD1Z/5g7xdZGMx3vuVZ8WEDVIcZUkmgDomrSoQURrOwY6HUs66OFjL9AaemzDgQfxt2T3Q2aAeUx7L8KvLKz6O6UNjEAAACBALctO7T4DkLunzv/LSn7DXcSYEZ+dGFirsmUqzjGzLUT+5O0+pcT69pj+f2cGp5PfA2dknaznPhL7afRunyzrudJxH8hJ2aWO1sqmsmjIcM2j2hmNTu9aAUv1Gnj9zqdGFYFDY+MNYq8Wjuqki+n6QPE0y96DKKaMB92RXCY53bw"
	if _, err := verify.ParseSSHKey(dsa); err == nil || !strings.Contains(err.Error(), "is of the type ssh-dss, which is not accepted") {
		t.Errorf("got %v", err)
	}
}
