package keys

import (
	"bytes"
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// minRSABits is the least that a key of RSA must have.
const minRSABits = 2048

// Options say where keys are.
type Options struct {
	// Files are absolute paths with {user}, in the format of sshd(8) under
	// AUTHORIZED_KEYS FILE FORMAT.
	Files []string

	Sources []Source // asked after the files

	UserCAs []string // files with public keys of authorities, read anew when they change
	Revoked string   // file with keys or fingerprints, read anew when it changes; "" for none

	Log  *slog.Logger
	Now  func() time.Time
	Zone *time.Location // of times without a Z; nil for that of the machine

	// UID gives the user of this machine with a name, whose own files count as
	// his; nil asks /etc/passwd. Where it knows nobody, only files of root and of
	// the broker count.
	UID func(name string) (uid uint32, ok bool)
}

// A Source is a directory that holds public keys of its users, each a line, or
// several, of an authorized_keys file. It returns no keys, or an error, for a
// name that is not a user of its own. Answers are kept for a minute.
type Source interface {
	PublicKeys(ctx context.Context, user string) ([]string, error)
}

// Checker decides who may log in with a key. It is safe for concurrent use.
type Checker struct {
	files       []template
	sources     []*kept
	authorities []*followed[map[string]bool]
	revoked     *followed[map[string]bool] // nil: none

	log  *slog.Logger
	now  func() time.Time
	zone *time.Location
	uid  func(string) (uint32, bool)

	mu   sync.Mutex
	told map[string]bool // of what the log has been told
}

// maxTold bounds what is remembered of what the log was told.
const maxTold = 1000

// New checks the options and reads the files that all users share. The warnings
// are for an operator, one sentence each; errors name the field of broker.cue.
func New(o Options) (c *Checker, warnings []string, err error) {
	c = &Checker{log: o.Log, now: o.Now, zone: o.Zone, uid: o.UID, told: map[string]bool{}}
	if c.zone == nil {
		c.zone = time.Local
	}
	if c.uid == nil {
		c.uid = passwd
	}
	if c.files, err = parseTemplates(o.Files); err != nil {
		return nil, nil, fmt.Errorf("ssh.authorizedKeys: %w", err)
	}
	for _, t := range c.files {
		if err := t.checkFixed(); err != nil {
			warnings = append(warnings, fmt.Sprintf("ssh.authorizedKeys: %s lets nobody in: %v", t.text, err))
		}
	}
	for _, s := range o.Sources {
		c.sources = append(c.sources, newKept(s, o.Now, c.zone))
	}
	for _, file := range o.UserCAs {
		f := follow(file, maxFile, parseAuthorities)
		_, err := f.get()
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("there is no file %s: put the .pub file of the authority there", file)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("ssh.userCAs: %w", err)
		}
		c.authorities = append(c.authorities, f)
	}
	if o.Revoked != "" {
		c.revoked = follow(o.Revoked, maxRevoked, parseRevoked)
		_, err := c.revoked.get()
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("there is no file %s: make one, empty as long as no key is revoked", o.Revoked)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("ssh.revokedKeys: %w", err)
		}
	}
	return c, warnings, nil
}

// Any reports whether there is any place where a key could stand.
func (c *Checker) Any() bool {
	return len(c.files) > 0 || len(c.sources) > 0 || len(c.authorities) > 0
}

// Authorized returns nil if the key, or the certificate, may log in as the user
// from the address. user is the canonical name. The error is for a log: it says
// why not, and is nothing for whoever showed the key.
func (c *Checker) Authorized(ctx context.Context, user string, key ssh.PublicKey, address netip.Addr) error {
	if user == "" {
		return errors.New("a key without a user")
	}
	address = address.Unmap().WithZone("")
	if err := c.checkRevoked(key); err != nil {
		return err
	}
	if cert, ok := key.(*ssh.Certificate); ok {
		return c.checkCertificate(user, cert, address)
	}
	if err := usable(key); err != nil {
		return err
	}
	var refused []string
	for _, t := range c.files {
		place, entries, err := c.read(t, user)
		if err != nil {
			refused = append(refused, err.Error())
			continue
		}
		why := c.match(entries, key, address)
		if why == "" {
			return nil
		}
		refused = append(refused, place+": "+why)
	}
	for _, s := range c.sources {
		entries, broken, err := s.entries(ctx, user)
		if err != nil {
			refused = append(refused, "directory: "+err.Error())
			continue
		}
		c.tell("the entry of "+user+" in a directory", broken)
		why := c.match(entries, key, address)
		if why == "" {
			return nil
		}
		refused = append(refused, "directory: "+why)
	}
	if len(refused) == 0 {
		return errors.New("only certificates can log in: neither ssh.authorizedKeys nor a directory with sshKeyAttribute is set")
	}
	return errors.New(strings.Join(refused, "; "))
}

// match returns "" if a line allows the key, else why none does.
func (c *Checker) match(entries []entry, key ssh.PublicKey, address netip.Addr) string {
	var why []string
	blob := key.Marshal()
	for _, e := range entries {
		if !bytes.Equal(e.key.Marshal(), blob) {
			continue
		}
		reason := e.refuses(address, c.now())
		if reason == "" {
			return ""
		}
		why = append(why, fmt.Sprintf("line %d: %s", e.line, reason))
	}
	if len(why) == 0 {
		return "the key is not there"
	}
	return strings.Join(why, ", ")
}

// read gives the keys in a user's file.
func (c *Checker) read(t template, user string) (place string, entries []entry, err error) {
	place, data, err := t.read(user, c.uid)
	if err != nil {
		return place, nil, err
	}
	entries, broken := parseKeys(string(data), c.zone)
	c.tell(place, broken)
	return place, entries, nil
}

// tell logs each mistake once, as long as it is remembered.
func (c *Checker) tell(place string, broken []error) {
	for _, err := range broken {
		text := place + ": " + err.Error()
		c.mu.Lock()
		told := c.told[text]
		if len(c.told) >= maxTold {
			clear(c.told)
		}
		c.told[text] = true
		c.mu.Unlock()
		if !told {
			c.log.Warn("a public key cannot be read, it counts for nothing", "in", place, "err", err)
		}
	}
}

func (c *Checker) checkRevoked(key ssh.PublicKey) error {
	if c.revoked == nil {
		return nil
	}
	revoked, err := c.revoked.get()
	if err != nil {
		return fmt.Errorf("no key is accepted, because it cannot be told which are revoked: %w", err)
	}
	if cert, ok := key.(*ssh.Certificate); ok {
		if revoked[ssh.FingerprintSHA256(cert.SignatureKey)] {
			return fmt.Errorf("the authority %s is revoked", ssh.FingerprintSHA256(cert.SignatureKey))
		}
		key = cert.Key
	}
	if revoked[ssh.FingerprintSHA256(key)] {
		return fmt.Errorf("the key %s is revoked", ssh.FingerprintSHA256(key))
	}
	return nil
}

// usable refuses kinds of keys that cannot be relied on. That a security key
// (sk-) was touched is checked with its signature, by golang.org/x/crypto/ssh.
func usable(key ssh.PublicKey) error {
	if key.Type() == ssh.KeyAlgoRSA {
		c, _ := key.(ssh.CryptoPublicKey)
		if c != nil {
			if k, ok := c.CryptoPublicKey().(*rsa.PublicKey); ok && k.N.BitLen() >= minRSABits {
				return nil
			}
		}
		return fmt.Errorf("keys of RSA with less than %d bits are not accepted: make one with ssh-keygen -t ed25519", minRSABits)
	}
	if !slices.Contains(usableTypes, key.Type()) {
		return fmt.Errorf("keys of the type %s are not accepted: make one with ssh-keygen -t ed25519", short(key.Type()))
	}
	return nil
}

var usableTypes = []string{
	ssh.KeyAlgoED25519, ssh.KeyAlgoSKED25519,
	ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoSKECDSA256,
}

// passwd finds users of this machine, as far as /etc/passwd has them.
func passwd(name string) (uint32, bool) {
	u, err := user.Lookup(name)
	if err != nil {
		return 0, false
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	return uint32(uid), err == nil
}
