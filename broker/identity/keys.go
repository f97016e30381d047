package identity

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/x2broker/x2broker/broker/durable"
)

const (
	keyFile = "ticket.key"

	// maxKeys and maxKeyFile bound what is read: a key is made each month, and
	// one that no ticket can be of any more is dropped.
	maxKeys    = 64
	maxKeyFile = 64 << 10
)

// errNoKeys means that a key file has nothing to go on with.
var errNoKeys = errors.New("no usable ticket keys")

// A datedKey signs from a time on, until the next one does.
type datedKey struct {
	ticketKey
	from time.Time // whole seconds
}

// keyring has the keys of all tickets that may be alive, the oldest first, and
// at least one. It is not changed.
type keyring []datedKey

// signing gives the newest key whose time has come.
func (r keyring) signing(now time.Time) ticketKey {
	for i := len(r) - 1; i > 0; i-- {
		if !r[i].from.After(now) {
			return r[i].ticketKey
		}
	}
	return r[0].ticketKey
}

// find gives the key that a ticket names.
func (r keyring) find(id keyID) (ticketKey, bool) {
	for i := range r {
		if r[i].id == id {
			return r[i].ticketKey, true
		}
	}
	return ticketKey{}, false
}

// newKeyring makes one key that signs at once.
func newKeyring(random io.Reader, now time.Time) (keyring, error) {
	k, err := newTicketKey(random)
	if err != nil {
		return nil, err
	}
	return keyring{{k, now.Truncate(time.Second)}}, nil
}

// rotated adds a new key and leaves out those whose tickets have all expired.
func (r keyring) rotated(random io.Reader, now time.Time, lifetime time.Duration) (keyring, error) {
	fresh, err := newKeyring(random, now)
	if err != nil {
		return nil, err
	}
	all := slices.Concat(r, fresh)
	var kept keyring
	for i, k := range all[:len(all)-1] {
		if last := all[i+1].from.Add(lifetime); !last.Before(now) {
			kept = append(kept, k)
		}
	}
	return append(kept[max(0, len(kept)-maxKeys+1):], fresh...), nil
}

// KeyLine returns a new line for a key file that several brokers share. The key
// in it signs tickets from the time on, and is good for those of other brokers
// at once.
func KeyLine(random io.Reader, from time.Time) (string, error) {
	r, err := newKeyring(random, from)
	if err != nil {
		return "", err
	}
	return string(r.text()), nil
}

// text is what a key file has: a line for each key with a version, the time from
// which it signs, the key id and the secret, both in hexadecimal.
func (r keyring) text() []byte {
	var b bytes.Buffer
	for _, k := range r {
		fmt.Fprintf(&b, "2 %s %x %x\n", k.from.UTC().Format(time.RFC3339), k.id, k.secret)
	}
	return b.Bytes()
}

// parseKeys reads the lines of a key file; empty ones, and those that begin with
// #, do not count. No error has a secret in it.
func parseKeys(data []byte) (keyring, error) {
	var r keyring
	for n, line := range strings.Split(string(data), "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		k, err := parseKey(fields)
		if err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", errNoKeys, n+1, err)
		}
		if _, twice := r.find(k.id); twice {
			return nil, fmt.Errorf("%w: line %d: the key id %x is there twice", errNoKeys, n+1, k.id)
		}
		r = append(r, k)
	}
	if len(r) == 0 || len(r) > maxKeys {
		return nil, fmt.Errorf("%w: %d keys, want 1 to %d", errNoKeys, len(r), maxKeys)
	}
	slices.SortStableFunc(r, func(a, b datedKey) int { return a.from.Compare(b.from) })
	return r, nil
}

func parseKey(fields []string) (k datedKey, err error) {
	if len(fields) != 4 || fields[0] != "2" {
		return k, errors.New("want 2, a time, a key id and a secret, as `x2broker ticket-key` prints them")
	}
	if k.from, err = time.Parse(time.RFC3339, fields[1]); err != nil {
		return k, errors.New("the time is not like 2026-01-31T12:00:00Z")
	}
	id, errID := hex.DecodeString(fields[2])
	secret, errSecret := hex.DecodeString(fields[3])
	if errID != nil || errSecret != nil || len(id) != len(k.id) || len(secret) != len(k.secret) {
		return k, fmt.Errorf("want a key id of %d and a secret of %d hexadecimal digits", 2*len(k.id), 2*len(k.secret))
	}
	k.ticketKey = makeTicketKey(keyID(id), [32]byte(secret))
	return k, nil
}

// readKeys reads a key file. It wraps errNoKeys unless the file cannot be read
// at all: a file that others can read may be known to them, and a link may lead
// anywhere.
func readKeys(name string, forbidden fs.FileMode) (keyring, error) {
	info, err := os.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: %w", errNoKeys, err)
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular(), info.Size() > maxKeyFile:
		return nil, fmt.Errorf("%w: %s is not a file of at most %d bytes", errNoKeys, name, maxKeyFile)
	case info.Mode()&forbidden != 0:
		return nil, fmt.Errorf("%w: %s has mode %v, so that others may know them", errNoKeys, name, info.Mode())
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return parseKeys(data)
}

// writeKeys puts the keys into dir as ticket.key.
func writeKeys(dir string, r keyring) error {
	if err := durable.Replace(filepath.Join(dir, keyFile), r.text()); err != nil {
		return fmt.Errorf("write the ticket keys: %w", err)
	}
	return nil
}
