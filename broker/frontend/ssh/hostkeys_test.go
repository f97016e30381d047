package ssh

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"
)

var quiet = slog.New(slog.DiscardHandler)

// privateKey gives a file with a new key.
func privateKey(t *testing.T, key crypto.PrivateKey, passphrase string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	writeKey(t, file, key, passphrase)
	return file
}

func writeKey(t *testing.T, file string, key crypto.PrivateKey, passphrase string) {
	t.Helper()
	block, err := ssh.MarshalPrivateKey(key, "")
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
}

func newEd25519(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func hostKeys(t *testing.T, files ...string) *HostKeys {
	t.Helper()
	k, err := LoadHostKeys(files, t.TempDir(), quiet)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestHostKeysAreMadeOnce(t *testing.T) {
	state := t.TempDir()
	first, err := LoadHostKeys(nil, state, quiet)
	if err != nil {
		t.Fatal(err)
	}
	prints := first.State().Fingerprints
	if len(prints) != 2 || !strings.HasPrefix(prints[0], "ssh-ed25519 SHA256:") || !strings.HasPrefix(prints[1], "ecdsa-sha2-nistp256 SHA256:") {
		t.Errorf("%q", prints)
	}
	err = filepath.WalkDir(filepath.Join(state, "ssh"), func(path string, e fs.DirEntry, _ error) error {
		if info, err := e.Info(); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	second, err := LoadHostKeys(nil, state, quiet)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(prints, second.State().Fingerprints); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A key that clients know is lost, and the broker says so instead of making
// another one: each client would warn of an attack.
func TestAMadeHostKeyThatIsBrokenIsNotReplaced(t *testing.T) {
	state := t.TempDir()
	if _, err := LoadHostKeys(nil, state, quiet); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(state, "ssh", "host_ed25519")
	if err := os.WriteFile(file, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadHostKeys(nil, state, quiet); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("%v", err)
	}
}

func TestWhatIsNoHostKeyIsExplained(t *testing.T) {
	good := privateKey(t, newEd25519(t), "")
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	garbage := filepath.Join(t.TempDir(), "garbage")
	if err := os.WriteFile(garbage, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, files := range map[string][]string{
		"there is no such file: ssh-keygen": {good, "/nonexistent"},
		"it is no private key":              {garbage},
		"it has a passphrase":               {privateKey(t, newEd25519(t), "secret")},
		"1024 bits is too short":            {privateKey(t, short, "")},
		"it is the second one of type":      {good, privateKey(t, newEd25519(t), "")},
		"SSH host key " + good + ": it is":  {good, good},
	} {
		if _, err := LoadHostKeys(files, t.TempDir(), quiet); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestNewHostKeysAreShownWithoutARestart(t *testing.T) {
	file := privateKey(t, newEd25519(t), "")
	k := hostKeys(t, file)
	old := k.State().Fingerprints
	writeKey(t, file, newEd25519(t), "")
	k.Look()
	if s := k.State(); s.Failed != "" || slices.Equal(s.Fingerprints, old) {
		t.Errorf("%+v, was %q", s, old)
	}
}

func TestHostKeysThatCannotBeUsedChangeNothing(t *testing.T) {
	for name, spoil := range map[string]func(*testing.T, string){
		"missing": func(_ *testing.T, file string) { os.Remove(file) },
		"garbage": func(t *testing.T, file string) { check(t, os.WriteFile(file, []byte("garbage"), 0o600)) },
		"locked":  func(t *testing.T, file string) { writeKey(t, file, newEd25519(t), "secret") },
	} {
		t.Run(name, func(t *testing.T) {
			file := privateKey(t, newEd25519(t), "")
			k := hostKeys(t, file)
			old := k.State().Fingerprints
			spoil(t, file)
			k.Look()
			s := k.State()
			if diff := cmp.Diff(old, s.Fingerprints); diff != "" || s.Failed == "" {
				t.Errorf("%q (-want +got):\n%s", s.Failed, diff)
			}
			writeKey(t, file, newEd25519(t), "")
			k.Look()
			if s := k.State(); s.Failed != "" || slices.Equal(s.Fingerprints, old) {
				t.Errorf("a good one after that: %+v", s)
			}
		})
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
