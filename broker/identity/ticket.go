package identity

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// The form of a ticket, before base64url without padding:
//
//	version        1 byte, 1
//	key id         8 bytes
//	chain          16 bytes
//	authenticator  1 byte length, 1 to 64 bytes
//	canonical name 1 byte length, 1 to 255 bytes
//	name as typed  1 byte length, 1 to 255 bytes
//	address        1 byte length, 4 bytes of IPv4 or the first 8 of IPv6
//	login time     8 bytes, seconds since 1970 UTC
//	generation     4 bytes
//	MAC            32 bytes, HMAC-SHA256 of all before
//
// Numbers are big endian. Every field has one form only, and so has the
// base64: there are no two texts for one ticket. The alphabet is
// [A-Za-z0-9_-] because X2Go Client sends an authid without encoding it.
const (
	ticketVersion = 1

	// maxTicket bounds in bytes the text that is decoded at all. The longest
	// ticket has 874.
	maxTicket = 1024

	// maxSigned is more than the bytes before the MAC of the longest ticket,
	// which are 623.
	maxSigned = 640

	keyIDSize = 8
	chainSize = 16
	ipv4Size  = 4
	ipv6Size  = ipv6Bits / 8
)

// ticketText is how tickets are written.
var ticketText = base64.RawURLEncoding.Strict()

// macLabel keeps other uses of the same key from making something that passes
// for a ticket.
const macLabel = "x2broker ticket\x00"

var errTicketForm = errors.New("malformed")

type (
	keyID   [keyIDSize]byte
	chainID [chainSize]byte
)

// ticketKey signs tickets.
type ticketKey struct {
	id     keyID
	secret [sha256.Size]byte
	macs   *sync.Pool // of *mac: half of the work is to begin one
}

// mac is an HMAC with a ticket key, and room for what it signs.
type mac struct {
	hash.Hash
	room []byte
}

func newTicketKey(random io.Reader) (ticketKey, error) {
	var id keyID
	var secret [sha256.Size]byte
	for _, b := range [][]byte{id[:], secret[:]} {
		if _, err := io.ReadFull(random, b); err != nil {
			return ticketKey{}, fmt.Errorf("make a ticket key: %w", err)
		}
	}
	return makeTicketKey(id, secret), nil
}

func makeTicketKey(id keyID, secret [sha256.Size]byte) ticketKey {
	return ticketKey{id: id, secret: secret, macs: &sync.Pool{
		New: func() any { return &mac{Hash: hmac.New(sha256.New, secret[:])} },
	}}
}

// sum gives the HMAC of label and parts, one after the other. It keeps nothing
// of them.
func (k ticketKey) sum(label string, parts ...[]byte) (sum [sha256.Size]byte) {
	m := k.macs.Get().(*mac)
	defer k.macs.Put(m)
	m.room = append(m.room[:0], label...)
	for _, p := range parts {
		m.room = append(m.room, p...)
	}
	m.Reset()
	_, _ = m.Write(m.room)
	clear(m.room) // a password may be among it
	m.room = m.Sum(m.room[:0])
	copy(sum[:], m.room)
	return sum
}

// ticket is what the text of one says, be it true or not.
type ticket struct {
	key           keyID
	chain         chainID
	authenticator string
	canonical     string
	typed         string
	network       netip.Prefix // as clientNet gives it
	login         int64        // seconds since 1970
	generation    uint32
	mac           [sha256.Size]byte
}

// fits reports whether the fields can be encoded.
func (t *ticket) fits() bool {
	for _, f := range []struct {
		s   string
		max int
	}{{t.authenticator, maxAuthenticatorName}, {t.canonical, MaxName}, {t.typed, MaxName}} {
		if f.s == "" || len(f.s) > f.max {
			return false
		}
	}
	return t.network.IsValid() && t.login >= 0
}

// signed appends to b the bytes that the MAC covers, of a ticket that fits.
func (t *ticket) signed(b []byte) []byte {
	b = append(b, ticketVersion)
	b = append(b, t.key[:]...)
	b = append(b, t.chain[:]...)
	for _, s := range []string{t.authenticator, t.canonical, t.typed} {
		b = append(b, byte(len(s)))
		b = append(b, s...)
	}
	if addr := t.network.Addr(); addr.Is4() {
		a := addr.As4()
		b = append(append(b, ipv4Size), a[:]...)
	} else {
		a := addr.As16()
		b = append(append(b, ipv6Size), a[:ipv6Size]...)
	}
	b = binary.BigEndian.AppendUint64(b, uint64(t.login))
	return binary.BigEndian.AppendUint32(b, t.generation)
}

// issue gives the text of a ticket that fits, signed with the key.
func (t *ticket) issue(k ticketKey) string {
	t.key = k.id
	b := t.signed(make([]byte, 0, maxSigned+sha256.Size))
	t.mac = k.sum(macLabel, b)
	return string(ticketText.AppendEncode(make([]byte, 0, maxTicket), append(b, t.mac[:]...)))
}

// authentic reports whether the ticket was signed with the key. The key id is
// in every ticket and no secret; the MAC is compared in constant time.
func (t *ticket) authentic(k ticketKey) bool {
	mac := k.sum(macLabel, t.signed(make([]byte, 0, maxSigned)))
	return t.key == k.id && hmac.Equal(t.mac[:], mac[:])
}

func (t *ticket) loginTime() time.Time { return time.Unix(t.login, 0) }

// decodeTicket reads the text of a ticket. It accepts exactly what issue
// makes; it does not look at the MAC.
func decodeTicket(text string) (ticket, error) {
	if len(text) > maxTicket || strings.ContainsAny(text, "\r\n") { // which the decoder skips
		return ticket{}, errTicketForm
	}
	b, err := ticketText.AppendDecode(make([]byte, 0, maxTicket), []byte(text))
	if err != nil {
		return ticket{}, errTicketForm
	}

	var t ticket
	r := fieldReader{rest: string(b)}
	version := r.bytes(1)
	copy(t.key[:], r.bytes(keyIDSize))
	copy(t.chain[:], r.bytes(chainSize))
	t.authenticator = r.field()
	t.canonical = r.field()
	t.typed = r.field()
	t.network = networkOf(r.field())
	login := binary.BigEndian.Uint64([]byte(r.bytes(8)))
	t.generation = binary.BigEndian.Uint32([]byte(r.bytes(4)))
	copy(t.mac[:], r.bytes(sha256.Size))
	if r.short || len(r.rest) > 0 || version[0] != ticketVersion || login > math.MaxInt64 {
		return ticket{}, errTicketForm
	}
	t.login = int64(login)
	if !t.fits() {
		return ticket{}, errTicketForm
	}
	return t, nil
}

func isTicketLetter(c byte) bool {
	return c == '-' || c == '_' ||
		'0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}

// networkOf is the inverse of what signed writes; the zero Prefix for bytes
// that it never writes.
func networkOf(b string) netip.Prefix {
	switch len(b) {
	case ipv4Size:
		return clientNet(netip.AddrFrom4([ipv4Size]byte([]byte(b))))
	case ipv6Size:
		var a [16]byte
		copy(a[:], b)
		return clientNet(netip.AddrFrom16(a))
	}
	return netip.Prefix{}
}

// fieldReader cuts fields off the front. After a field that is not there it
// is short, and gives zeros.
type fieldReader struct {
	rest  string
	short bool
}

func (r *fieldReader) bytes(n int) string {
	if r.short || len(r.rest) < n {
		r.short = true
		return string(make([]byte, n))
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *fieldReader) field() string { return r.bytes(int(r.bytes(1)[0])) }
