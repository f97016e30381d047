package config_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/crypto/ssh"

	"github.com/x2broker/x2broker/broker/config"
	"github.com/x2broker/x2broker/broker/source/verify"
)

const (
	aliceKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINW/Sj/M5xewOIvMJ0nrwUitmWmyP0XuG2Bf1Yd4V2rE"
	bobKey   = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIF8T/ChvWBmyGzLqqYDcwsqi7jNMKTyUPnPWSNo2hxOj"
	carolKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBWSnXcxMVzXO6gVhSgLGzNeaXCC0TSLjFtqSCE+XcR4"
	rules    = `rules: [{paths: ["policy/**"], signers: ["group:policy"]}, {paths: ["**"], signers: ["*"]}]`
)

// write writes files beside each other, readable by all and changeable by
// their owner, and gives the name of broker.cue.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "broker.cue")
}

var sameKey = cmp.Comparer(func(a, b ssh.PublicKey) bool { return bytes.Equal(a.Marshal(), b.Marshal()) })

func keys(t *testing.T, lines ...string) verify.Keys {
	t.Helper()
	k, err := verify.ParseKeys([]byte(strings.Join(lines, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestEveryFieldOfVerifyIsRead(t *testing.T) {
	block := `verify: {
	mode: "enforce", since: "0123456789012345678901234567890123456789", allowRewrite: true
	signers: [{principal: "alice@example.edu", keys: ["` + aliceKey + `"], groups: ["policy"], validAfter: "2026-01-31", validBefore: "2027-01-31T12:00:00+01:00"}]
	allowedSignersFile: "signers"
	forges: [{name: "forge", keyFile: "forge.pub", mayEdit: true}]
	` + rules + `
	revoked: ["SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"]
}
`
	want := config.Verify{Mode: config.VerifyEnforce, Rules: verify.Rules{
		Since: plumbing.NewHash("0123456789012345678901234567890123456789"), AllowRewrite: true,
		Signers: []verify.Signer{
			{
				Principals: []string{"alice@example.edu"}, Groups: []string{"policy"}, Keys: keys(t, aliceKey),
				ValidAfter: time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC), ValidBefore: time.Date(2027, 1, 31, 11, 0, 0, 0, time.UTC),
			},
			{Principals: []string{"bob@example.edu"}, Namespaces: []string{"git"}, Keys: keys(t, bobKey)},
		},
		Forges: []verify.Forge{{Name: "forge", MayEdit: true, Keys: keys(t, carolKey)}},
		Paths: []verify.PathRule{
			{Paths: []string{"policy/**"}, Signers: []string{"group:policy"}},
			{Paths: []string{"**"}, Signers: []string{"*"}},
		},
		Revoked: []string{"SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"},
	}}
	file := write(t, map[string]string{
		"broker.cue": users + block, "verify.cue": block,
		"signers": "bob@example.edu namespaces=\"git\" " + bobKey + "\n", "forge.pub": carolKey + "\n",
	})
	c, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, c.Verify, sameKey, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, name := range []string{"broker.cue", "verify.cue"} { // whole, or the block alone
		got, err := config.LoadVerify(filepath.Join(filepath.Dir(file), name))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, sameKey, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s alone (-want +got):\n%s", name, diff)
		}
	}
}

func TestMistakesInVerifyAreNamed(t *testing.T) {
	alice := `signers: [{principal: "alice@example.edu", keys: ["` + aliceKey + `"], groups: ["policy"]}]`
	tests := map[string]struct{ text, want string }{
		"unknown field":     {"verify: {\n\tmod: \"warn\"\n}", `broker.cue:3:2: verify.mod: unknown field`},
		"unknown mode":      {"verify: mode: \"strict\"", `broker.cue:2:15: verify.mode`},
		"no principal":      {"verify: signers: [{keys: []}]", `broker.cue: verify.signers.0.principal: required field is missing`},
		"nobody":            {"verify: {}", `broker.cue:2:1: verify.signers: nobody could sign`},
		"no key":            {"verify: signers: [\n{principal: \"a@b\"}]", `broker.cue:3:1: verify.signers.0: a@b has no key`},
		"bad key":           {"verify: signers: [{principal: \"a@b\", keys: [\n\"ssh-ed25519 x\"]}]", `broker.cue:3:1: verify.signers.0.keys.0: "ssh-ed25519 x" is no SSH public key`},
		"short since":       {"verify: {" + alice + "\nsince: \"0123abc\"}", `broker.cue:3:1: verify.since: "0123abc" is no commit: give the 40 hex digits`},
		"time":              {`verify: signers: [{principal: "a@b", keys: [], validAfter: "soon"}]`, `verify.signers.0.validAfter: "soon" is no time`},
		"no file":           {`verify: signers: [{principal: "a@b", keyFile: "gone"}]`, `no such file`},
		"a private key":     {`verify: signers: [{principal: "a@b", keyFile: "private"}]`, `verify.signers.0.keyFile: private: is a private key`},
		"a directory":       {`verify: signers: [{principal: "a@b", keyFile: "."}]`, `is no file`},
		"open to others":    {`verify: signers: [{principal: "a@b", keyFile: "open"}]`, `broker.cue:2:38: verify.signers.0.keyFile: `},
		"why it is refused": {`verify: signers: [{principal: "a@b", keyFile: "open"}]`, `can be changed by others than its owner, who could name themselves: chmod go-w it`},
		"unknown group":     {"verify: {" + alice + "\nrules: [{paths: [\"**\"], signers: [\"group:x\"]}]}", `broker.cue:3:35: verify.rules.0.signers.0: "group:x" is no principal`},
		"no rule for all":   {"verify: {" + alice + "\nrules: [{paths: [\"*\"], signers: [\"*\"]}]}", `broker.cue:3:1: verify.rules: not every path has a rule`},
		"signers' file":     {"verify: {" + alice + "\nallowedSignersFile: \"authority\"}", `broker.cue:3:1: verify.allowedSignersFile: authority: line 1: cert-authority: certificates are not followed`},
		"a key of two":      {"verify: {" + alice + "\nallowedSignersFile: \"same\"}", `broker.cue:3:1: verify.allowedSignersFile: key SHA256:`},
		"two at once":       {"verify: {" + alice + "\nsince: \"x\", revoked: [], forges: [{name: \"f\", keyFile: \"gone\"}]}", `verify.forges.0.keyFile: open`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			file := write(t, map[string]string{
				"broker.cue": users + test.text, "open": aliceKey, "private": "-----BEGIN OPENSSH PRIVATE KEY-----",
				"authority": "*@b cert-authority " + aliceKey, "same": "a@b " + aliceKey,
			})
			if err := os.Chmod(filepath.Join(filepath.Dir(file), "open"), 0o666); err != nil {
				t.Fatal(err)
			}
			_, err := config.Load(file)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
			if _, alone := config.LoadVerify(file); alone == nil || !strings.Contains(alone.Error(), test.want) {
				t.Errorf("block alone: got  %v\nwant %s", alone, test.want)
			}
		})
	}
}

func TestABrokerCueThatOthersCanChangeNamesNoSigners(t *testing.T) {
	file := write(t, map[string]string{"broker.cue": users + `verify: signers: [{principal: "a@b", keys: ["` + aliceKey + `"]}]`})
	if _, err := config.Load(file); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o660); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load(file); err == nil || !strings.Contains(err.Error(), "can be changed by others than its owner") {
		t.Errorf("got %v", err)
	}
}

func TestTheVerifyBlockMustBeThere(t *testing.T) {
	if _, err := config.LoadVerify(write(t, map[string]string{"broker.cue": users})); err == nil || !strings.Contains(err.Error(), "has no verify block") {
		t.Errorf("got %v", err)
	}
}

func TestTheBlockOfThePageIsRead(t *testing.T) {
	page, err := os.ReadFile("../../docs/verify.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```cue\n")
	block, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("docs/verify.md has no block of CUE")
	}
	file := write(t, map[string]string{"broker.cue": block})
	dir := filepath.Join(filepath.Dir(file), "keys")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"alice.pub": aliceKey, "github.asc": carolKey} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	v, err := config.LoadVerify(file)
	if err != nil || v.Mode != config.VerifyWarn || len(v.Rules.Signers) != 2 || v.Rules.Since.IsZero() {
		t.Errorf("got %+v, %v", v, err)
	}
}
