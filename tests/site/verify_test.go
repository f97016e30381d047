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

// signAs makes the repository's later commits signed, and gives the public key.
func signAs(t *testing.T, repo *brokertest.Repo) string {
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
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range map[string]string{
		"commit.gpgSign": "true", "gpg.format": "ssh", "gpg.ssh.program": self, "user.signingKey": file,
	} {
		repo.Set(key, value)
	}
	sshPublic, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(sshPublic)))
}

func TestOnlySignedCommitsServe(t *testing.T) {
	repo := brokertest.NewRepo(t, campus) // not signed, accepted by the operator's word
	first := repo.Push(brokertest.Files{"params.cue": "package site\n\nparams: n: 0\n"})
	key := signAs(t, repo)
	settings := func(mode string) string {
		return fmt.Sprintf("site: {url: %q, poll: \"100ms\"}\nstateDir: %q\n", repo.URL(), t.TempDir()) + brokertest.Users(t, map[string][]string{"alice": {"staff"}}) +
			fmt.Sprintf("verify: {mode: %q, since: %q, signers: [{principal: \"ada@example.org\", keys: [%q]}]}\n", mode, first, key)
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
