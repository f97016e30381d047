package source_test

import (
	"crypto/ed25519"
	"encoding/pem"
	"os"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/x2broker/x2broker/broker/source"
	"github.com/x2broker/x2broker/broker/source/gittest"
)

func TestServersWhoseHostKeyIsNotTheRightOneAreNotTrusted(t *testing.T) {
	repo := gittest.New(t)
	repo.Commit(gittest.Commit{Files: site("1")})
	server := repo.ServeSSH()
	port := server.Addr[strings.LastIndex(server.Addr, ":")+1:]
	right := server.KnownHost(server.Addr)
	other, _ := gittest.NewKey(t)
	line := func(key ssh.PublicKey) string {
		return "[127.0.0.1]:" + port + " " + string(ssh.MarshalAuthorizedKey(key))
	}
	for name, c := range map[string]struct{ known, want string }{
		"unknown":        {"# nothing\n", "has no host key of [127.0.0.1]:" + port + ": add it: ssh-keyscan -p " + port + " 127.0.0.1 >>"},
		"another host":   {server.KnownHost("git.example.edu:22"), "has no host key of [127.0.0.1]:" + port},
		"changed":        {"# one\n" + line(other.PublicKey()), "the server's host key is not the one at line 2 of "},
		"revoked":        {right + "@revoked * " + strings.TrimPrefix(right, strings.Fields(right)[0]+" "), "host key is revoked, at line 2 of "},
		"no such file":   {"", "does not exist: write the server's host key into it: ssh-keyscan -p " + port + " 127.0.0.1 >"},
		"another kind":   {line(ecdsaKey(t)), "has no host key of the kinds that "},
		"not known_host": {"garbage\n", "site.auth.knownHostsFile: "},
	} {
		t.Run(name, func(t *testing.T) {
			file := gittest.WriteFile(t, "known_hosts", []byte(right))
			cfg := source.Config{URL: server.URL, StoreDir: t.TempDir(), Auth: source.Auth{KeyFile: server.KeyFile, KnownHostsFile: file}}
			src := open(t, cfg)
			before, _ := fetch(t, src)
			replace(t, file, c.known)
			err := fails(t, cfg, src, before, source.Lasting, c.want)
			if !strings.Contains(err.Error(), file) {
				t.Errorf("error %q does not name %s", err, file)
			}
			replace(t, file, right)
			want := repo.Commit(gittest.Commit{Files: site(name)})
			if rev, _ := fetch(t, src); rev.ID != want {
				t.Errorf("fetched %v, want %s", rev, want)
			}
		})
	}
}

// replace gives a file that content, or removes it for "".
func replace(t *testing.T, file, content string) {
	t.Helper()
	err := os.Remove(file)
	if content != "" {
		err = os.WriteFile(file, []byte(content), 0o600)
	}
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
}

func ecdsaKey(t *testing.T) ssh.PublicKey {
	t.Helper()
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte("ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7opKgwFB9nkt5YRrYMjNuG5N87uRgg6CLrbo5wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg="))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestAHostKeyThatChangesIsNotFollowed(t *testing.T) {
	repo := gittest.New(t)
	repo.Commit(gittest.Commit{Files: site("1")})
	server := repo.ServeSSH()
	cfg := source.Config{URL: server.URL, StoreDir: t.TempDir(), Auth: source.Auth{KeyFile: server.KeyFile, KnownHostsFile: server.KnownHostsFile}}
	src := open(t, cfg)
	before, _ := fetch(t, src)
	server.ChangeHostKey()
	fails(t, cfg, src, before, source.Lasting, "this may be somebody else's machine; if the server's administrators say that they changed it, remove the old one: ssh-keygen -R '[127.0.0.1]:")
	replace(t, server.KnownHostsFile, server.KnownHost(server.Addr))
	fetch(t, src)
}

func TestKeysThatCannotBeUsed(t *testing.T) {
	repo := gittest.New(t)
	repo.Commit(gittest.Commit{Files: site("1")})
	server := repo.ServeSSH()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte("geheim"))
	if err != nil {
		t.Fatal(err)
	}
	_, public := gittest.NewKey(t)
	if err := os.Chmod(public, 0o604); err != nil {
		t.Fatal(err)
	}
	_, stranger := gittest.NewKey(t)
	for file, want := range map[string]string{
		"/nowhere/key": "site.auth.keyFile: open /nowhere/key: no such file",
		public:         "can be read by every user of this machine: chmod o= " + public,
		stranger:       "does not accept the key in " + stranger + " for user git: add its public half",
		gittest.WriteFile(t, "locked", pem.EncodeToMemory(secret)): "has a passphrase, which nobody could type",
		gittest.WriteFile(t, "garbage", []byte("geheim")):          "no private key that can be read",
	} {
		cfg := source.Config{URL: server.URL, StoreDir: t.TempDir(), Auth: source.Auth{KeyFile: file, KnownHostsFile: server.KnownHostsFile}}
		err := fails(t, cfg, open(t, cfg), source.Revision{}, source.Lasting, want)
		if strings.Contains(err.Error(), "geheim") {
			t.Errorf("the key is in %q", err)
		}
	}
}

func TestARepositoryThatIsNotThereIsNamedOverSSH(t *testing.T) {
	repo := gittest.New(t)
	server := repo.ServeSSH()
	auth := source.Auth{KeyFile: server.KeyFile, KnownHostsFile: server.KnownHostsFile}
	for url, want := range map[string]string{
		server.URL: "the repository is empty",
		strings.Replace(server.URL, "site.git", "none.git", 1): "repository not found: check the url",
	} {
		cfg := source.Config{URL: url, StoreDir: t.TempDir(), Auth: auth}
		fails(t, cfg, open(t, cfg), source.Revision{}, source.Passing, want)
	}
}
