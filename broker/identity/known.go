package identity

import (
	"bytes"
	"container/list"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

const (
	knownFile     = "known.logins"
	knownHeader   = "x2broker known logins, version 1: binary, do not edit.  Secret.\n"
	knownSaltSize = 32
	knownIDSize   = 16
	knownSize     = knownIDSize + 8

	// knownFor is how long a success frees a pair from the wider limits.
	knownFor = 30 * 24 * time.Hour

	// maxKnown bounds the pairs that are remembered, some 30 MB; the one that
	// succeeded the longest ago goes first.
	maxKnown = 1 << 17
)

var errKnownDamaged = errors.New("the file is damaged")

// knownID stands for a pair of name and client; the salt makes it of no use to
// somebody who has lists of names and addresses, but not the file.
type knownID [knownIDSize]byte

// knownLogins are the pairs of name and client that have succeeded.
type knownLogins struct {
	salt    [knownSaltSize]byte
	byID    map[knownID]*list.Element
	order   *list.List // of knownLogin, the latest first
	changed bool       // since it was written
}

type knownLogin struct {
	id   knownID
	last int64 // seconds since 1970
}

func newKnownLogins(random io.Reader) (*knownLogins, error) {
	k := &knownLogins{byID: make(map[knownID]*list.Element), order: list.New()}
	if _, err := io.ReadFull(random, k.salt[:]); err != nil {
		return nil, fmt.Errorf("make a salt: %w", err)
	}
	return k, nil
}

func (k *knownLogins) id(name string, addr netip.Addr) knownID {
	sum := sha256.Sum256([]byte(string(k.salt[:]) + clientNet(addr).String() + "\x00" + name))
	return knownID(sum[:])
}

func (k *knownLogins) knows(id knownID, now time.Time) bool {
	e := k.byID[id]
	return e != nil && now.Sub(time.Unix(e.Value.(knownLogin).last, 0)) < knownFor
}

// succeeded remembers a success, and forgets what is too old or too much. That
// one was an hour ago or now makes no difference worth writing.
func (k *knownLogins) succeeded(id knownID, now time.Time) {
	if e := k.byID[id]; e != nil {
		if age := now.Sub(time.Unix(e.Value.(knownLogin).last, 0)); age >= 0 && age < time.Hour {
			return
		}
		k.order.Remove(e)
	}
	k.byID[id] = k.order.PushFront(knownLogin{id, now.Unix()})
	k.changed = true
	for e := k.order.Back(); e != nil; e = k.order.Back() {
		old := e.Value.(knownLogin)
		if k.order.Len() <= maxKnown && now.Sub(time.Unix(old.last, 0)) < knownFor {
			return
		}
		k.order.Remove(e)
		delete(k.byID, old.id)
	}
}

// text is the file: the header, the salt, then for each pair, the latest first,
// its id and the time; then a checksum (CRC-32C) of all, after four zeros.
func (k *knownLogins) text() []byte {
	b := append(make([]byte, 0, len(knownHeader)+knownSaltSize+k.order.Len()*knownSize+8), knownHeader...)
	b = append(b, k.salt[:]...)
	for e := k.order.Front(); e != nil; e = e.Next() {
		l := e.Value.(knownLogin)
		b = append(b, l.id[:]...)
		b = binary.BigEndian.AppendUint64(b, uint64(l.last))
	}
	b = append(b, 0, 0, 0, 0)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, markTable))
}

// parseKnown accepts exactly what text makes.
func parseKnown(data []byte) (*knownLogins, error) {
	n := len(data) - len(knownHeader) - knownSaltSize - 8
	if n < 0 || n%knownSize != 0 || n/knownSize > maxKnown || !bytes.HasPrefix(data, []byte(knownHeader)) {
		return nil, errKnownDamaged
	}
	summed, sum := data[:len(data)-4], data[len(data)-4:]
	if binary.BigEndian.Uint32(sum) != crc32.Checksum(summed, markTable) || !bytes.HasSuffix(summed, make([]byte, 4)) {
		return nil, errKnownDamaged
	}
	body := summed[len(knownHeader) : len(summed)-4]
	k, err := newKnownLogins(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for body = body[knownSaltSize:]; len(body) > 0; body = body[knownSize:] {
		l := knownLogin{knownID(body[:knownIDSize]), int64(binary.BigEndian.Uint64(body[knownIDSize:]))}
		if k.byID[l.id] != nil {
			return nil, errKnownDamaged
		}
		k.byID[l.id] = k.order.PushBack(l)
	}
	return k, nil
}

// readKnown reads the file of a state directory.
func readKnown(dir string) (*knownLogins, error) {
	name := filepath.Join(dir, knownFile)
	info, err := os.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Mode()&0o022 != 0 {
		return nil, fmt.Errorf("%w: mode %v, so that others may have changed it", errKnownDamaged, info.Mode())
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return parseKnown(data)
}

// isFirst reports whether there was no file yet.
func isFirst(err error) bool { return errors.Is(err, fs.ErrNotExist) }
