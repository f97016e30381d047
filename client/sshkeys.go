package client

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// signers gives the keys to log in with: that of the file, then those of the
// agent, which is asked to sign until done is called.
func (s SSH) signers() (all []ssh.Signer, done func(), err error) {
	done = func() {}
	if s.KeyFile != "" {
		if all, err = s.readKey(); err != nil {
			return nil, done, err
		}
	}
	if s.Agent == "" {
		return all, done, nil
	}
	conn, err := net.Dial("unix", s.Agent)
	if err != nil {
		return nil, done, fmt.Errorf("ssh agent: %w: is it running?", err)
	}
	done = func() { conn.Close() }
	held, err := agent.NewClient(conn).Signers()
	if err == nil && len(all)+len(held) == 0 {
		err = errors.New("it holds no key: add one with ssh-add")
	}
	if err != nil {
		done()
		return nil, done, fmt.Errorf("ssh agent at %s: %w", s.Agent, err)
	}
	for _, key := range held {
		if key, err = modern(key); err == nil { // one that is too old is as none
			all = append(all, key)
		}
	}
	return all, done, nil
}

// readKey reads the private key, and the certificate beside it, which comes
// first.
func (s SSH) readKey() ([]ssh.Signer, error) {
	text, err := os.ReadFile(s.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	key, err := ssh.ParsePrivateKey(text)
	if missing := new(ssh.PassphraseMissingError); errors.As(err, &missing) {
		if s.Ask == nil {
			return nil, fmt.Errorf("private key %s has a passphrase, and nobody can be asked: use an agent", s.KeyFile)
		}
		passphrase, err := s.Ask("Passphrase of "+s.KeyFile+": ", false)
		if err != nil {
			return nil, fmt.Errorf("passphrase of %s: %w", s.KeyFile, err)
		}
		if key, err = ssh.ParsePrivateKeyWithPassphrase(text, []byte(passphrase)); err != nil {
			return nil, fmt.Errorf("private key %s: that is not its passphrase", s.KeyFile)
		}
	} else if err != nil {
		return nil, fmt.Errorf("private key %s: no private key that can be read: make one with ssh-keygen -t ed25519", s.KeyFile)
	}
	if key, err = modern(key); err != nil {
		return nil, fmt.Errorf("private key %s: %w", s.KeyFile, err)
	}
	text, err = os.ReadFile(s.KeyFile + "-cert.pub")
	if errors.Is(err, os.ErrNotExist) {
		return []ssh.Signer{key}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	public, _, _, _, err := ssh.ParseAuthorizedKey(text)
	cert, ok := public.(*ssh.Certificate)
	if err != nil || !ok {
		return nil, fmt.Errorf("certificate %s-cert.pub: no certificate that can be read", s.KeyFile)
	}
	withCert, err := ssh.NewCertSigner(cert, key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s-cert.pub: it is of another key", s.KeyFile)
	}
	return []ssh.Signer{withCert, key}, nil
}

// modern keeps a key from signing with SHA-1.
func modern(key ssh.Signer) (ssh.Signer, error) {
	public, err := ssh.ParsePublicKey(key.PublicKey().Marshal())
	if err != nil {
		return nil, err
	}
	if cert, ok := public.(*ssh.Certificate); ok {
		public = cert.Key
	}
	kind := public.Type()
	if kind != ssh.KeyAlgoRSA {
		if !slices.Contains(ssh.SupportedAlgorithms().PublicKeyAuths, kind) {
			return nil, fmt.Errorf("keys of the kind %s are not safe: make another with ssh-keygen -t ed25519", kind)
		}
		return key, nil
	}
	able, ok := key.(ssh.AlgorithmSigner)
	if !ok {
		return nil, errors.New("this RSA key cannot sign with SHA-2")
	}
	return ssh.NewSignerWithAlgorithms(able, []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256})
}
