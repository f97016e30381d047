package verify

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
)

// namespace is what git writes into its SSH signatures, so that one over a
// file cannot be taken for one over a commit.
const namespace = "git"

var errUnsigned = errors.New("is not signed: sign it, git commit --amend -S, or let somebody sign who may")

// errForged leaves open what was changed: a signature does not tell.
var errForged = errors.New("has a signature that does not fit it: it was changed after it was signed, so make it and sign it anew")

// signed is who has signed, and with which key.
type signed struct {
	by          *holder // nil if no holder has the key
	fingerprint string  // of the key, as far as the signature tells
}

// identify finds the holder of the key that made the signature. The error
// continues "commit X ..."; what is known of the key comes with it. again is for
// a commit that was accepted earlier, when the key had its time.
func (v *Verifier) identify(signature string, payload []byte, now time.Time, again bool) (signed, error) {
	switch {
	case signature == "":
		return signed{}, errUnsigned
	case strings.IndexFunc(signature, func(r rune) bool { return r != '\n' && (r < ' ' || r > '~') }) >= 0:
		return signed{}, errors.New("has a signature with characters that are not of its format: sign it anew")
	}
	signature = strings.TrimRight(signature, "\n") + "\n" // forges add empty lines
	var who signed
	var err error
	switch begin, _, _ := strings.Cut(signature, "\n"); begin {
	case "-----BEGIN SSH SIGNATURE-----":
		who, err = v.identifySSH(signature, payload)
	case "-----BEGIN PGP SIGNATURE-----":
		who, err = v.identifyOpenPGP(signature, payload, now, again)
	case "-----BEGIN SIGNED MESSAGE-----":
		err = errors.New("is signed with S/MIME, which is not followed: sign with an SSH or OpenPGP key")
	default:
		err = errors.New("has a signature of an unknown kind: sign with an SSH or OpenPGP key")
	}
	if err != nil {
		return who, err
	}
	return who, who.by.usableAt(now, again)
}

func (v *Verifier) identifySSH(signature string, payload []byte) (signed, error) {
	block, rest := pem.Decode([]byte(signature))
	if block == nil || len(rest) > 0 || len(block.Headers) > 0 || strings.Count(signature, "-----BEGIN ") != 1 {
		return signed{}, errors.New("has an SSH signature that is damaged, or more than one: sign it anew")
	}
	sig, err := sshsig.ParseSignature(block.Bytes)
	if err != nil {
		return signed{}, fmt.Errorf("has an SSH signature that cannot be read (%v): sign it anew, with a key made by ssh-keygen -t ed25519", plain(err.Error()))
	}
	if err := usableSSH(sig.PublicKey); err != nil {
		return signed{fingerprint: ssh.FingerprintSHA256(sig.PublicKey)}, fmt.Errorf("is signed with an SSH key that %w", err)
	}
	who := signed{fingerprint: ssh.FingerprintSHA256(sig.PublicKey)}
	if v.revoked[who.fingerprint] {
		return who, revokedError(who.fingerprint)
	}
	who.by = v.ssh[string(sig.PublicKey.Marshal())]
	switch {
	case who.by == nil:
		return who, unknownError("SSH key " + who.fingerprint)
	case sig.Namespace != namespace:
		return who, fmt.Errorf("has a signature that %s made for %q, not for git: sign it anew with git", who.by.name, plain(sig.Namespace))
	case len(sig.Signature.Rest) > 0 && !strings.HasPrefix(sig.PublicKey.Type(), "sk-"):
		return who, errForged
	}
	if err := sshsig.Verify(bytes.NewReader(payload), sig, sig.PublicKey, sig.HashAlgorithm, namespace); err != nil {
		return who, errForged
	}
	if len(who.by.namespaces) > 0 && !slices.ContainsFunc(who.by.namespaces, func(p string) bool { return matches(p, namespace) }) {
		return who, fmt.Errorf("is signed by %s with a key that is for other namespaces than git: add git to them in the allowed signers", who.by.name)
	}
	return who, nil
}

// usableAt refuses a holder whose time is not now; again, only one whose time is
// to come.
func (h *holder) usableAt(now time.Time, again bool) error {
	if !h.validAfter.IsZero() && now.Before(h.validAfter) {
		return fmt.Errorf("is signed by %s, whose key counts from %s on: wait, or change validAfter", h.name, h.validAfter.UTC().Format(time.RFC3339))
	}
	if !again && !h.validBefore.IsZero() && now.After(h.validBefore) {
		return fmt.Errorf("is signed by %s, whose key counted until %s: let somebody else sign, or change validBefore", h.name, h.validBefore.UTC().Format(time.RFC3339))
	}
	return nil
}

func revokedError(fingerprint string) error {
	return fmt.Errorf("is signed with the key %s, which is revoked: look at what it changes, and let somebody sign with another key", fingerprint)
}

func unknownError(key string) error {
	return fmt.Errorf("is signed with the %s, which is nobody's among the signers: if you know whose it is, add it", key)
}

// matches holds a name against a pattern of "*" and "?".
func matches(pattern, name string) bool {
	pattern = strings.NewReplacer(`\`, `\\`, "[", `\[`).Replace(pattern)
	ok, err := path.Match(pattern, name) // neither has a slash
	return err == nil && ok
}
