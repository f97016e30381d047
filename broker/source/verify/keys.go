package verify

import (
	"bytes"
	"crypto/rsa"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
	"golang.org/x/crypto/ssh"
)

// Keys are public keys of one holder.
type Keys struct {
	SSH     []ssh.PublicKey
	OpenPGP []*openpgp.Entity
}

const (
	beginOpenPGPKey = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
	endOpenPGPKey   = "-----END PGP PUBLIC KEY BLOCK-----"
)

// ParseKeys reads a file of public keys: OpenPGP as gpg --armor --export
// writes them, or SSH, one a line as in a .pub file.
func ParseKeys(data []byte) (Keys, error) {
	var keys Keys
	switch {
	case bytes.Contains(data, []byte("PRIVATE KEY")):
		return keys, errors.New("is a private key: name the file of the public one, and change the key if others could read this")
	case bytes.Contains(data, []byte(beginOpenPGPKey)):
		entities, err := parseOpenPGP(string(data))
		return Keys{OpenPGP: entities}, err
	}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		key, err := ParseSSHKey(line)
		if err != nil {
			return keys, err
		}
		keys.SSH = append(keys.SSH, key)
	}
	if len(keys.SSH) == 0 {
		return keys, errors.New("holds no key: it takes what gpg --armor --export prints, or the text of a .pub file")
	}
	return keys, nil
}

// ParseSSHKey reads a line of a .pub file.
func ParseSSHKey(line string) (ssh.PublicKey, error) {
	key, _, options, rest, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil || len(options) > 0 || len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("%q is no SSH public key: copy the line of the .pub file, like \"ssh-ed25519 AAAA...\"", plain(line))
	}
	if err := usableSSH(key); err != nil {
		return nil, fmt.Errorf("key %s %w", ssh.FingerprintSHA256(key), err)
	}
	return key, nil
}

// usableSSH refuses kinds of keys that cannot be relied on.
func usableSSH(key ssh.PublicKey) error {
	if _, ok := key.(*ssh.Certificate); ok {
		return errors.New("is a certificate, and certificates are not followed: sign with the plain key")
	}
	switch key.Type() {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoSKED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoSKECDSA256:
		return nil
	case ssh.KeyAlgoRSA:
		if c, ok := key.(ssh.CryptoPublicKey); ok {
			if k, ok := c.CryptoPublicKey().(*rsa.PublicKey); ok && k.N.BitLen() >= minRSABits {
				return nil
			}
		}
		return fmt.Errorf("is of RSA with less than %d bits: make one with ssh-keygen -t ed25519", minRSABits)
	}
	return fmt.Errorf("is of the type %s, which is not accepted: make one with ssh-keygen -t ed25519", plain(key.Type()))
}

// parseOpenPGP reads one armoured block after the other: people put several
// into one file, and the library reads the first.
func parseOpenPGP(text string) ([]*openpgp.Entity, error) {
	var all []*openpgp.Entity
	for {
		begin := strings.Index(text, beginOpenPGPKey)
		if begin < 0 {
			return all, nil
		}
		block, rest, ok := strings.Cut(text[begin:], endOpenPGPKey)
		if !ok {
			return nil, errors.New("ends in the middle of an OpenPGP key: export it anew with gpg --armor --export")
		}
		entities, err := openpgp.ReadArmoredKeyRing(strings.NewReader(block + endOpenPGPKey + "\n"))
		if err != nil {
			return nil, fmt.Errorf("holds an OpenPGP key that cannot be read: %w: export it anew with gpg --armor --export", err)
		}
		if len(entities) == 0 {
			return nil, errors.New("holds no OpenPGP key that can be read: export it anew with gpg --armor --export")
		}
		for _, e := range entities {
			if e.PrivateKey != nil {
				return nil, errors.New("is a private key: name the file of the public one, and change the key if others could read this")
			}
		}
		all, text = append(all, entities...), rest
	}
}

// sharedKey gives the fingerprint of a key that is in both.
func sharedKey(a, b *openpgp.Entity) string {
	in := map[string]bool{}
	for _, f := range fingerprints(a) {
		in[f] = true
	}
	for _, f := range fingerprints(b) {
		if in[f] {
			return f
		}
	}
	return ""
}

// fingerprints gives those of the primary key and of its subkeys.
func fingerprints(e *openpgp.Entity) []string {
	all := []string{openpgpFingerprint(e.PrimaryKey.Fingerprint)}
	for _, s := range e.Subkeys {
		all = append(all, openpgpFingerprint(s.PublicKey.Fingerprint))
	}
	return all
}

func openpgpFingerprint(raw []byte) string { return strings.ToUpper(hex.EncodeToString(raw)) }

// cleanFingerprint gives the one way in which a fingerprint is compared.
func cleanFingerprint(s string) (string, bool) {
	if body, ok := strings.CutPrefix(s, "SHA256:"); ok {
		return s, len(body) == 43 && strings.IndexFunc(body, func(r rune) bool {
			return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '+' && r != '/'
		}) < 0
	}
	s = strings.ToUpper(strings.ReplaceAll(s, " ", ""))
	raw, err := hex.DecodeString(s)
	return s, err == nil && (len(raw) == 20 || len(raw) == 32)
}
