package verify

import (
	"crypto"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
)

// openpgpKey is an OpenPGP key, with its subkeys, and whose it is.
type openpgpKey struct {
	entity *openpgp.Entity
	holder *holder
}

var errOpenPGP = errors.New("has an OpenPGP signature that is damaged, or more than one: sign it anew")

// identifyOpenPGP does what gpg --verify does, but finds one signature only,
// and holds the key against now instead of against the date that the signer
// has written into the signature.
func (v *Verifier) identifyOpenPGP(signature string, payload []byte, now time.Time, again bool) (signed, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	sig, err := readOpenPGP(signature)
	if err != nil {
		return signed{}, err
	}
	who := signed{fingerprint: issuer(sig)}
	switch sig.Hash {
	case crypto.SHA256, crypto.SHA384, crypto.SHA512, crypto.SHA3_256, crypto.SHA3_512:
	default:
		return who, fmt.Errorf("has an OpenPGP signature with %v, which can be forged: put \"digest-algo SHA512\" into gpg.conf and sign it anew", sig.Hash)
	}
	if v.revoked[who.fingerprint] {
		return who, revokedError(who.fingerprint)
	}
	reason := unknownError("OpenPGP key " + who.fingerprint)
	for _, k := range v.openpgp {
		public := k.find(sig)
		if public == nil {
			continue
		}
		who = signed{by: k.holder, fingerprint: openpgpFingerprint(public.Fingerprint)}
		reason = v.checkOpenPGP(k, public, sig, payload, now)
		if reason != nil && again && v.checkOpenPGP(k, public, sig, payload, sig.CreationTime) == nil {
			reason = nil // it has expired since
		}
		if reason == nil {
			return who, nil
		}
		if len(sig.IssuerFingerprint) > 0 {
			break
		}
	}
	return who, reason
}

// readOpenPGP gives the one signature in armour.
func readOpenPGP(text string) (*packet.Signature, error) {
	if strings.Count(text, "-----BEGIN ") != 1 || !strings.HasSuffix(text, "\n-----END PGP SIGNATURE-----\n") {
		return nil, errOpenPGP
	}
	block, err := armor.Decode(strings.NewReader(text))
	if err != nil {
		return nil, errOpenPGP
	}
	packets := packet.NewReader(block.Body)
	first, err := packets.NextWithUnsupported()
	if err != nil {
		return nil, fmt.Errorf("has an OpenPGP signature that cannot be read (%v): sign it anew", plain(err.Error()))
	}
	sig, ok := first.(*packet.Signature)
	if !ok {
		return nil, errOpenPGP
	}
	if _, err := packets.NextWithUnsupported(); !errors.Is(err, io.EOF) {
		return nil, errOpenPGP
	}
	if sig.SigType != packet.SigTypeBinary || sig.IssuerKeyId == nil && len(sig.IssuerFingerprint) == 0 {
		return nil, errors.New("has an OpenPGP signature that git would not have made: sign it anew with git")
	}
	return sig, nil
}

// issuer is the fingerprint in a signature, or the key id of old ones.
func issuer(sig *packet.Signature) string {
	if len(sig.IssuerFingerprint) > 0 {
		return openpgpFingerprint(sig.IssuerFingerprint)
	}
	return fmt.Sprintf("%016X", *sig.IssuerKeyId)
}

// find gives the key or subkey that the signature names.
func (k openpgpKey) find(sig *packet.Signature) *packet.PublicKey {
	if sig.CheckKeyIdOrFingerprint(k.entity.PrimaryKey) {
		return k.entity.PrimaryKey
	}
	for _, s := range k.entity.Subkeys {
		if sig.CheckKeyIdOrFingerprint(s.PublicKey) {
			return s.PublicKey
		}
	}
	return nil
}

// checkOpenPGP holds the signature against a key.
func (v *Verifier) checkOpenPGP(k openpgpKey, public *packet.PublicKey, sig *packet.Signature, payload []byte, now time.Time) error {
	for _, f := range []string{openpgpFingerprint(public.Fingerprint), openpgpFingerprint(k.entity.PrimaryKey.Fingerprint)} {
		if v.revoked[f] {
			return revokedError(f)
		}
	}
	hash, err := sig.PrepareVerify()
	if err != nil {
		return errOpenPGP
	}
	_, _ = hash.Write(payload) // a hash takes everything
	if err := public.VerifySignature(hash, sig); err != nil {
		return errForged
	}
	cfg := &packet.Config{Time: func() time.Time { return now }, MinRSABits: minRSABits}
	usable, ok := k.entity.SigningKeyById(now, public.KeyId, cfg)
	if !ok || usable.PublicKey != public {
		return fmt.Errorf("is signed by %s with the OpenPGP key %s, which %s", k.holder.name, openpgpFingerprint(public.Fingerprint), k.fault(public, now, cfg))
	}
	for _, n := range sig.Notations {
		if n.IsCritical {
			return errors.New("has an OpenPGP signature with a condition that is not known here: sign it anew")
		}
	}
	switch {
	case sig.CreationTime.After(now.Add(clockDrift)):
		return fmt.Errorf("has an OpenPGP signature of %s, which is to come: set the clock of the machine that signed, or of this one", sig.CreationTime.UTC().Format(time.RFC3339))
	case sig.CreationTime.Before(public.CreationTime):
		return errors.New("has an OpenPGP signature that is older than its key: sign it anew")
	case sig.SigLifetimeSecs != nil && *sig.SigLifetimeSecs > 0 && now.After(sig.CreationTime.Add(time.Duration(*sig.SigLifetimeSecs)*time.Second)):
		return errors.New("has an OpenPGP signature that has expired: sign it anew")
	}
	return nil
}

// fault says why a key is not good for signing now.
func (k openpgpKey) fault(public *packet.PublicKey, now time.Time, cfg *packet.Config) string {
	const renew = ": renew it, export it anew with gpg --armor --export, and put that into the broker's configuration"
	_, err := k.entity.VerifyPrimaryKey(now, cfg)
	for i := range k.entity.Subkeys {
		if s := &k.entity.Subkeys[i]; err == nil && s.PublicKey == public {
			_, err = s.Verify(now, cfg)
		}
	}
	switch {
	case errors.Is(err, pgperrors.ErrKeyRevoked):
		return "is revoked: let somebody sign with another key"
	case errors.Is(err, pgperrors.ErrKeyExpired):
		return "has expired" + renew
	case err != nil:
		return "is not bound to its owner now" + renew
	}
	return fmt.Sprintf("is not good for signing: it needs the flag for signing, and RSA of at least %d bits or an elliptic curve", minRSABits)
}
