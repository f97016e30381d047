package client

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"
)

// hostKeys says which host keys of the address are trusted, and of which kinds
// the server shall show one.
func (s SSH) hostKeys(address string) (ssh.HostKeyCallback, []string, error) {
	kinds := ssh.SupportedAlgorithms().HostKeys
	if len(s.Fingerprints) > 0 {
		for _, f := range s.Fingerprints {
			if !strings.HasPrefix(f, "SHA256:") {
				return nil, nil, fmt.Errorf("%q is no fingerprint of a host key: want SHA256:..., as ssh-keygen -lf prints it", f)
			}
		}
		return s.named, kinds, nil
	}
	if s.KnownHosts == "" {
		return nil, nil, errors.New("no file of known hosts, and no fingerprint: the broker could be anybody")
	}
	db, err := knownhosts.NewDB(s.KnownHosts)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil, fmt.Errorf("%s does not exist: write the broker's host key into it: %s >%s, and compare it with what the broker's administrators publish", s.KnownHosts, keyscan(address), s.KnownHosts)
	}
	if err != nil {
		return nil, nil, err
	}
	if known := db.HostKeyAlgorithms(address); len(known) > 0 {
		kinds = slices.DeleteFunc(known, func(name string) bool { return !slices.Contains(kinds, name) })
		if len(kinds) == 0 {
			return nil, nil, fmt.Errorf("%s has only host keys of %s whose kind is not safe: compare %s with what the broker's administrators publish, and correct the file", s.KnownHosts, knownhosts.Normalize(address), keyscan(address))
		}
	}
	check := db.HostKeyCallback()
	return func(address string, remote net.Addr, key ssh.PublicKey) error {
		return s.explainHostKey(check(address, remote, key), address, key)
	}, kinds, nil
}

// named trusts keys by fingerprint, and of certificates the key.
func (s SSH) named(_ string, _ net.Addr, key ssh.PublicKey) error {
	if cert, ok := key.(*ssh.Certificate); ok {
		key = cert.Key
	}
	if seen := ssh.FingerprintSHA256(key); !slices.Contains(s.Fingerprints, seen) {
		return &hostKeyError{fmt.Sprintf("the host key has the fingerprint %s (%s), which is not one of those named: this may be somebody else's machine", seen, key.Type())}
	}
	return nil
}

// A hostKeyError says why a host is not trusted. Nothing was sent to it.
type hostKeyError struct{ text string }

func (e *hostKeyError) Error() string { return e.text }

func (s SSH) explainHostKey(err error, address string, key ssh.PublicKey) error {
	var (
		revoked *xknownhosts.RevokedError
		wrong   *xknownhosts.KeyError
		file    = s.KnownHosts
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &revoked):
		return &hostKeyError{fmt.Sprintf("the host key is revoked, at line %d of %s: this may be somebody else's machine: ask the broker's administrators for the new key", revoked.Revoked.Line, file)}
	case errors.As(err, &wrong) && len(wrong.Want) == 0:
		return &hostKeyError{fmt.Sprintf("%s has no host key of %s; it shows %s (%s): compare that with what the broker's administrators publish, and add it: %s >>%s",
			file, knownhosts.Normalize(address), ssh.FingerprintSHA256(key), key.Type(), keyscan(address), file)}
	case errors.As(err, &wrong):
		return &hostKeyError{fmt.Sprintf("the host key has changed, it is not the one at line %d of %s: this may be somebody else's machine; if the broker's administrators say that they changed it, remove the old one: ssh-keygen -R '%s' -f %s, and add the new: %s >>%s",
			wrong.Want[0].Line, file, knownhosts.Normalize(address), file, keyscan(address), file)}
	}
	return &hostKeyError{Printable(err.Error())}
}

// keyscan gives the command that prints the host keys of an address.
func keyscan(address string) string {
	host, port, _ := net.SplitHostPort(address)
	if port == "22" {
		return "ssh-keyscan " + host
	}
	return "ssh-keyscan -p " + port + " " + host
}
