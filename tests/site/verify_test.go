package site_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"

	"github.com/x2broker/x2broker/tests/brokertest"
)

// sign does what git asks of `ssh-keygen -Y sign -n git -f KEY FILE`.
func sign(args []string) error {
	if len(args) != 7 || args[1] != "sign" || args[2] != "-n" || args[4] != "-f" {
		return fmt.Errorf("asked to %q", args)
	}
	pemKey, err := os.ReadFile(args[5])
	if err != nil {
		return err
	}
	key, err := ssh.ParsePrivateKey(pemKey)
	if err != nil {
		return err
	}
	payload, err := os.ReadFile(args[6])
	if err != nil {
		return err
	}
	sig, err := sshsig.Sign(bytes.NewReader(payload), key, sshsig.HashSHA512, args[3])
	if err != nil {
		return err
	}
	return os.WriteFile(args[6]+".sig", sshsig.Armor(sig), 0o600)
}

// A signer is a key in a file.
type signer struct{ public, file string }

func newSigner(t *testing.T) signer {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	sshPublic, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return signer{strings.TrimSpace(string(ssh.MarshalAuthorizedKey(sshPublic))), file}
}

// fingerprint is what ssh-keygen -l prints.
func (s signer) fingerprint(t *testing.T) string {
	t.Helper()
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(s.public))
	if err != nil {
		t.Fatal(err)
	}
	return ssh.FingerprintSHA256(key)
}

// signs makes the repository's later commits signed.
func (s signer) signs(t *testing.T, repo *brokertest.Repo) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range map[string]string{
		"commit.gpgSign": "true", "gpg.format": "ssh", "gpg.ssh.program": self, "user.signingKey": s.file,
	} {
		repo.Set(key, value)
	}
}

func TestOnlySignedCommitsServe(t *testing.T) {
	repo := brokertest.NewRepo(t, campus) // not signed, accepted by the operator's word
	first := repo.Push(brokertest.Files{"params.cue": "package site\n\nparams: n: 0\n"})
	ada := newSigner(t)
	ada.signs(t, repo)
	settings := func(mode string) string {
		return fmt.Sprintf("site: {url: %q, poll: \"100ms\"}\nstateDir: %q\n", repo.URL(), t.TempDir()) + brokertest.Users(t, map[string][]string{"alice": {"staff"}}) +
			fmt.Sprintf("verify: {mode: %q, since: %q, signers: [{principal: \"ada@example.org\", keys: [%q]}]}\n", mode, first, ada.public)
	}
	enforcing := brokertest.Start(t, settings("enforce"))
	warning := brokertest.Start(t, settings("warn"))
	enforcing.WaitLog(`msg="revision serves".*revision=` + first)

	signed := repo.Push(brokertest.Files{"params.cue": "package site\n\nparams: n: 1\n"})
	enforcing.WaitLog(`msg="revision serves".*revision=` + signed)

	repo.Set("commit.gpgSign", "false")
	unsigned := repo.Push(brokertest.Files{"params.cue": "package site\n\nparams: n: 2\n"})
	enforcing.WaitLog(`msg="revision refused, the last good one serves on".* revision=` + unsigned + ` .*gate=Verified`)
	enforcing.WaitLog(`msg=diagnostic .*revision=` + unsigned + ` .*is not signed`)
	warning.WaitLog(`msg="revision serves".*revision=` + unsigned)
	warning.WaitLog(`msg="mode enforce would refuse the newest commit" commit=` + unsigned)
	if strings.Contains(enforcing.Log(), "revision serves\" site=\""+repo.URL()+" refs/heads/main\" revision="+unsigned) {
		t.Error("the unsigned commit serves")
	}

	repo.Set("commit.gpgSign", "true")
	above := repo.Push(brokertest.Files{"params.cue": "package site\n\nparams: n: 3\n"})
	enforcing.WaitLog(`msg="revision refused, the last good one serves on".* revision=` + above + ` .*gate=Verified`) // what is below it is still not signed
}

// What the rules accepted once does not come back by itself when they have
// changed: not at a restart, and not because an operator says so.
func TestWhatARevokedKeySignedDoesNotComeBack(t *testing.T) {
	repo := brokertest.NewRepo(t, campus)
	state := t.TempDir()
	ada, bob := newSigner(t), newSigner(t)
	number := func(n int) brokertest.Files {
		return brokertest.Files{"params.cue": fmt.Sprintf("package site\n\nparams: n: %d\n", n)}
	}
	since := repo.Push(number(0)) // not signed
	settings := func(more string) string {
		return fmt.Sprintf("site: {url: %q, poll: \"100ms\"}\nstateDir: %q\n", repo.URL(), state) + brokertest.Users(t, map[string][]string{"alice": {"staff"}}) + more
	}
	enforce := func(more string) string {
		return settings(fmt.Sprintf("verify: {mode: \"enforce\", since: %q, signers: [{principal: \"ada@example.org\", keys: [%q]}, {principal: \"bob@example.org\", keys: [%q]}]%s}\n",
			since, ada.public, bob.public, more))
	}
	revoked := enforce(fmt.Sprintf(", revoked: [%q]", bob.fingerprint(t)))
	away := func(is bool) {
		t.Helper()
		from, to := repo.Bare, repo.Bare+".away"
		if !is {
			from, to = to, from
		}
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}

	b := brokertest.Start(t, enforce(""))
	b.WaitLog(`msg="revision serves".*revision=` + since)
	ada.signs(t, repo)
	good := repo.Push(number(1))
	b.WaitLog(`msg="revision serves".*revision=` + good)
	bob.signs(t, repo)
	bad := repo.Push(number(2))
	b.WaitLog(`msg="revision serves".*revision=` + bad)
	b.Stop()

	away(true)
	b = brokertest.Start(t, enforce("")) // as before: no reason to ask again
	b.WaitLog(`msg="revision serves".*revision=` + bad + `.*from="kept on disk"`)
	b.Stop()

	b = brokertest.Start(t, revoked)
	b.WaitLog(`msg="revision serves".*revision=` + good + `.*from="kept on disk"`)
	b.WaitLog("site cannot be read")
	contains(t, operator(t, state, 0, "status"), "NOT USED", "is not accepted by the rules of verify as they are now",
		bad[:10], bob.fingerprint(t)+", which is revoked", "Verified  "+good[:12], "Serving   "+good[:12])
	away(false)
	b.WaitLog(`msg="revision refused, the last good one serves on".* revision=` + bad + ` .*gate=Verified`)
	contains(t, operator(t, state, 3, "pin", bad), "which is revoked", "is refused by gate Verified")
	ada.signs(t, repo)
	above := repo.Push(number(3)) // what bob signed is below it
	b.WaitLog(`msg="revision refused, the last good one serves on".* revision=` + above + ` .*gate=Verified`)
	contains(t, operator(t, state, 0, "rollback"), "serves "+since) // by the operator's word
	contains(t, operator(t, state, 0, "pin", good), "serves "+good)
	operator(t, state, 0, "unpin")
	b.Stop()

	b = brokertest.Start(t, settings("")) // without verification anything goes
	b.WaitLog(`msg="revision serves".*revision=` + above)
	contains(t, operator(t, state, 0, "rollback"), "serves "+bad)
	b.Stop()

	b = brokertest.Start(t, revoked) // what an operator held before does not, either
	b.WaitLog(`level=ERROR msg="revision refused.* revision=` + bad + ` .*gate=Verified`)
	contains(t, operator(t, state, 0, "status"), "PINNED: "+bad[:12], "REFUSED: "+bad[:12]+" by gate Verified", "which is revoked")
	operator(t, state, 0, "unpin")
	b.Stop()

	away(true)
	if err := os.RemoveAll(filepath.Join(state, "git")); err != nil {
		t.Fatal(err)
	}
	b = brokertest.Start(t, enforce(", allowRewrite: true")) // other rules, and nothing to hold against them
	b.WaitLog("none of the kept sites can serve, waiting for the source")
	contains(t, operator(t, state, 0, "status"), "NOT USED", "verify commit ", "Serving nothing")
	away(false)
	b.WaitLog(`msg="revision serves".*revision=` + above)
}

func TestASiteThatWasKeptWithoutVerificationIsVerified(t *testing.T) {
	repo := brokertest.NewRepo(t, campus)
	state := t.TempDir()
	ada := newSigner(t)
	since := repo.Push(brokertest.Files{"params.cue": "package site\n\nparams: n: 0\n"})
	settings := func(mode string) string {
		return fmt.Sprintf("site: {url: %q, poll: \"100ms\"}\nstateDir: %q\n", repo.URL(), state) + brokertest.Users(t, map[string][]string{"alice": {"staff"}}) +
			fmt.Sprintf("verify: {mode: %q, since: %q, signers: [{principal: \"ada@example.org\", keys: [%q]}]}\n", mode, since, ada.public)
	}
	ada.signs(t, repo)
	signed := repo.Push(brokertest.Files{"params.cue": "package site\n\nparams: n: 1\n"})
	b := brokertest.Start(t, settings("off"))
	b.WaitLog(`msg="revision serves".*revision=` + signed)
	repo.Set("commit.gpgSign", "false")
	unsigned := repo.Push(brokertest.Files{"params.cue": "package site\n\nparams: n: 2\n"})
	b.WaitLog(`msg="revision serves".*revision=` + unsigned)
	b.Stop()
	if err := os.Rename(repo.Bare, repo.Bare+".away"); err != nil {
		t.Fatal(err)
	}
	for _, restart := range [][2]string{{"warn", unsigned}, {"enforce", signed}} {
		mode, want := restart[0], restart[1]
		b := brokertest.Start(t, settings(mode))
		b.WaitReady()
		b.WaitLog(`msg="revision serves".*revision=` + want + `.*from="kept on disk"`)
		b.Stop()
		if n := strings.Count(b.Log(), `msg="revision serves"`); n != 1 {
			t.Errorf("mode %s: %d revisions served:\n%s", mode, n, b.Log())
		}
	}
}
