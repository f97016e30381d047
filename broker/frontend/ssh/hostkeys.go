package ssh

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"

	"golang.org/x/crypto/ssh"

	"github.com/x2broker/x2broker/broker/durable"
	"github.com/x2broker/x2broker/broker/listen"
)

// minRSA is how many bits an RSA key must have.
const minRSA = 2048

// HostKeys prove to clients that they speak to the right server. They follow
// their files.
type HostKeys struct {
	*listen.Followed
	files []string
	log   *slog.Logger

	current atomic.Pointer[[]ssh.Signer]
}

// LoadHostKeys reads files with private keys, in the forms of OpenSSH or PEM,
// without a passphrase. Without any files it makes keys once, in the directory
// ssh of the state directory: clients remember them.
func LoadHostKeys(files []string, stateDir string, log *slog.Logger) (*HostKeys, error) {
	if len(files) == 0 {
		var err error
		if files, err = makeHostKeys(filepath.Join(stateDir, "ssh"), log); err != nil {
			return nil, err
		}
	}
	k := &HostKeys{files: files, log: log}
	k.Followed = listen.NewFollowed(k.renew, files...)
	signers, err := readHostKeys(files)
	if err != nil {
		return nil, err
	}
	k.current.Store(&signers)
	return k, nil
}

// renew uses what is in the files now.
func (k *HostKeys) renew() error {
	signers, err := readHostKeys(k.files)
	if err != nil {
		k.log.Error("the new SSH host keys cannot be used, the old ones stay", "err", err)
		return err
	}
	k.current.Store(&signers)
	k.log.Info("SSH host keys loaded", "keys", fingerprints(signers))
	return nil
}

// signers gives the keys in use.
func (k *HostKeys) signers() []ssh.Signer { return *k.current.Load() }

// HostKeyState is for people.
type HostKeyState struct {
	Fingerprints []string // "ssh-ed25519 SHA256:..." of the keys in use
	Failed       string   // why the newer ones in the files are not used; "" when there are none
}

// State says what is in use.
func (k *HostKeys) State() HostKeyState {
	failed := k.Failed() // waits for one that is being read
	return HostKeyState{Fingerprints: fingerprints(k.signers()), Failed: failed}
}

func fingerprints(signers []ssh.Signer) []string {
	out := make([]string, len(signers))
	for i, s := range signers {
		out[i] = s.PublicKey().Type() + " " + ssh.FingerprintSHA256(s.PublicKey())
	}
	return out
}

func readHostKeys(files []string) ([]ssh.Signer, error) {
	var all []ssh.Signer
	for _, name := range files {
		signer, err := readHostKey(name)
		if err != nil {
			return nil, fmt.Errorf("SSH host key %s: %w", name, err)
		}
		if slices.ContainsFunc(all, func(s ssh.Signer) bool { return s.PublicKey().Type() == signer.PublicKey().Type() }) {
			return nil, fmt.Errorf("SSH host key %s: it is the second one of type %s, and only one of a type can be shown to clients: leave one out", name, signer.PublicKey().Type())
		}
		all = append(all, signer)
	}
	return all, nil
}

func readHostKey(name string) (ssh.Signer, error) {
	data, err := os.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errors.New("there is no such file: ssh-keygen -t ed25519 -N '' makes one")
	case errors.Is(err, fs.ErrPermission):
		return nil, errors.New("the broker's user may not read it: chgrp it to his group, and chmod 0640 it")
	case err != nil:
		return nil, err
	}
	key, err := ssh.ParseRawPrivateKey(data)
	if missing := new(ssh.PassphraseMissingError); errors.As(err, &missing) {
		return nil, errors.New("it has a passphrase, which nobody can type here: ssh-keygen -p -N '' removes it from a copy")
	}
	if err != nil {
		return nil, errors.New("it is no private key of OpenSSH or in PEM: name the file without .pub")
	}
	if k, ok := key.(*rsa.PrivateKey); ok && k.N.BitLen() < minRSA {
		return nil, fmt.Errorf("an RSA key of %d bits is too short, clients want %d: ssh-keygen -t ed25519 makes a good one", k.N.BitLen(), minRSA)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		return nil, err
	}
	switch signer.PublicKey().Type() {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521:
		return signer, nil
	case ssh.KeyAlgoRSA: // without SHA-1
		return ssh.NewSignerWithAlgorithms(signer.(ssh.AlgorithmSigner), []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256})
	}
	return nil, fmt.Errorf("keys of type %s are not used any more: ssh-keygen -t ed25519 makes a good one", signer.PublicKey().Type())
}

// makers are the kinds of keys that the broker makes: the usual one, and one for
// clients that do not know it.
var makers = []struct {
	file string
	make func() (crypto.PrivateKey, error)
}{
	{"host_ed25519", func() (crypto.PrivateKey, error) {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}},
	{"host_ecdsa", func() (crypto.PrivateKey, error) {
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}},
}

// makeHostKeys makes the keys that are not there, and gives the files of all. A
// file that is there is never replaced.
func makeHostKeys(dir string, log *slog.Logger) ([]string, error) {
	fail := func(err error) ([]string, error) {
		return nil, fmt.Errorf("make the SSH host keys in %s: %w", dir, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fail(err)
	}
	var files []string
	for _, m := range makers {
		name := filepath.Join(dir, m.file)
		files = append(files, name)
		if _, err := os.Lstat(name); err == nil {
			continue
		} else if !errors.Is(err, fs.ErrNotExist) {
			return fail(err)
		}
		key, err := m.make()
		if err != nil {
			return fail(err)
		}
		block, err := ssh.MarshalPrivateKey(key, "x2broker")
		if err != nil {
			return fail(err)
		}
		if err := durable.Replace(name, pem.EncodeToMemory(block)); err != nil {
			return fail(err)
		}
		log.Info("SSH host key made", "file", name)
	}
	return files, nil
}
