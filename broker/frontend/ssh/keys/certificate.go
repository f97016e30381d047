package keys

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

const (
	sourceAddress = "source-address"
	noTouch       = "no-touch-required"

	// maxRevoked bounds in bytes the file of revoked keys: 75,000 fingerprints.
	maxRevoked = 4 << 20
)

// signatures are those that an authority may sign with; SHA-1 is none of them.
var signatures = append(slices.Clone(usableTypes), ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512)

// checkCertificate wants a certificate that is good for the user, now and from
// here, by the word of one of our authorities.
func (c *Checker) checkCertificate(user string, cert *ssh.Certificate, address netip.Addr) error {
	if err := c.checkAuthority(cert); err != nil {
		return err
	}
	fail := func(format string, args ...any) error {
		return fmt.Errorf("certificate %s, serial %d: %w", short(cert.KeyId), cert.Serial, fmt.Errorf(format, args...))
	}
	if cert.CertType != ssh.UserCert {
		return fail("is for a host and not for a user")
	}
	if err := usable(cert.Key); err != nil {
		return fail("%w", err)
	}
	// An empty list means everybody to golang.org/x/crypto/ssh.
	if !slices.Contains(cert.ValidPrincipals, user) {
		return fail("is good for %s, not for %s", short(strings.Join(cert.ValidPrincipals, ",")), short(user))
	}
	if _, ok := cert.Extensions[noTouch]; ok && strings.HasPrefix(cert.Key.Type(), "sk-") {
		return fail("%s is not accepted: security keys must be touched", noTouch)
	}
	checker := ssh.CertChecker{SupportedCriticalOptions: []string{sourceAddress}, Clock: c.now}
	if err := checker.CheckCert(user, cert); err != nil {
		return fail("%w", err)
	}
	list, ok := cert.CriticalOptions[sourceAddress]
	if !ok {
		return nil
	}
	inside, err := inNetworks(list, address)
	if err != nil {
		return fail("source-address: %w", err)
	}
	if !inside {
		return fail("not from %v, says its source-address", address)
	}
	return nil
}

// checkAuthority wants one of our authorities, and a signature that can be
// relied on. That it is right is looked at later.
func (c *Checker) checkAuthority(cert *ssh.Certificate) error {
	if len(c.authorities) == 0 {
		return errors.New("certificates are not accepted: ssh.userCAs is not set")
	}
	fingerprint := ssh.FingerprintSHA256(cert.SignatureKey)
	var failed error
	known := false
	for _, f := range c.authorities {
		all, err := f.get()
		failed = errors.Join(failed, err)
		known = known || all[fingerprint]
	}
	switch {
	case known && !slices.Contains(signatures, cert.Signature.Format):
		return fmt.Errorf("signatures of the type %s are not accepted on certificates: sign with ssh-keygen -t rsa-sha2-512 -s", short(cert.Signature.Format))
	case known:
		return nil
	case failed != nil:
		return fmt.Errorf("the authority %s is not known, and not all could be read: %w", fingerprint, failed)
	}
	return fmt.Errorf("the authority %s is not in ssh.userCAs", fingerprint)
}

// parseAuthorities reads public keys, one a line as in a .pub file.
func parseAuthorities(text string) (map[string]bool, error) {
	all := map[string]bool{}
	err := eachLine(text, func(line string) error {
		key, err := parseKey(line)
		if err != nil {
			return err
		}
		all[ssh.FingerprintSHA256(key)] = true
		return usable(key)
	})
	if err == nil && len(all) == 0 {
		err = errors.New("holds no key: put the .pub file of the authority there")
	}
	if err != nil {
		return nil, err
	}
	return all, nil
}

// parseRevoked reads public keys and fingerprints, one a line.
func parseRevoked(text string) (map[string]bool, error) {
	if strings.HasPrefix(text, "SSHKRL\n\x00") {
		return nil, errors.New("is a list in the binary format of ssh-keygen -k: write public keys or SHA256 fingerprints, one a line")
	}
	all := map[string]bool{}
	err := eachLine(text, func(line string) error {
		first, _ := cutBlank(line)
		if digest, ok := strings.CutPrefix(first, "SHA256:"); ok {
			sum, err := base64.RawStdEncoding.Strict().DecodeString(digest)
			if err != nil || len(sum) != 32 {
				return fmt.Errorf("%s is no fingerprint: copy it from ssh-keygen -lf", short(first))
			}
			all[first] = true
			return nil
		}
		key, err := parseKey(line)
		if err != nil {
			return err
		}
		if cert, ok := key.(*ssh.Certificate); ok {
			key = cert.Key
		}
		all[ssh.FingerprintSHA256(key)] = true
		return nil
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// eachLine calls f for each line that is neither empty nor a comment, until one
// is wrong.
func eachLine(text string, f func(string) error) error {
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = trim(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if err := f(line); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	return nil
}
