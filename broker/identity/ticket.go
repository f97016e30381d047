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

	keyIDSize = 8
	chainSize = 16
	ipv4Size  = 4
	ipv6Size  = ipv6Bits / 8
)

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
	macs   *sync.Pool // of HMACs with the secret: half of one is to begin it
}

func newTicketKey(random io.Reader) (ticketKey, error) {
	var k ticketKey
	if _, err := io.ReadFull(random, k.id[:]); err != nil {
		return ticketKey{}, fmt.Errorf("make a ticket key: %w", err)
	}
	if _, err := io.ReadFull(random, k.secret[:]); err != nil {
		return ticketKey{}, fmt.Errorf("make a ticket key: %w", err)
	}
	k.macs = &sync.Pool{New: func() any { return hmac.New(sha256.New, k.secret[:]) }}
	return k, nil
}

func (k ticketKey) mac(signed []byte) [sha256.Size]byte { return k.sum([]byte(macLabel), signed) }

// sum gives the HMAC of parts, one after the other.
func (k ticketKey) sum(parts ...[]byte) (sum [sha256.Size]byte) {
	h := k.macs.Get().(hash.Hash)
	defer k.macs.Put(h)
	h.Reset()
	for _, p := range parts {
		_, _ = h.Write(p)
	}
	h.Sum(sum[:0])
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

// signed returns the bytes that the MAC covers, of a ticket that fits.
func (t *ticket) signed() []byte {
	b := []byte{ticketVersion}
	b = append(b, t.key[:]...)
	b = append(b, t.chain[:]...)
	for _, s := range []string{t.authenticator, t.canonical, t.typed} {
		b = append(b, byte(len(s)))
		b = append(b, s...)
	}
	addr := t.network.Addr().AsSlice()
	if t.network.Addr().Is6() {
		addr = addr[:ipv6Size]
	}
	b = append(b, byte(len(addr)))
	b = append(b, addr...)
	b = binary.BigEndian.AppendUint64(b, uint64(t.login))
	return binary.BigEndian.AppendUint32(b, t.generation)
}

// encode returns the text of a ticket that fits, with the MAC it has.
func (t *ticket) encode() string {
	return base64.RawURLEncoding.EncodeToString(append(t.signed(), t.mac[:]...))
}

// sign puts in the MAC.
func (t *ticket) sign(k ticketKey) {
	t.key = k.id
	t.mac = k.mac(t.signed())
}

// authentic reports whether the ticket was signed with the key. The key id is
// in every ticket and no secret; the MAC is compared in constant time.
func (t *ticket) authentic(k ticketKey) bool {
	mac := k.mac(t.signed())
	return t.key == k.id && hmac.Equal(t.mac[:], mac[:])
}

func (t *ticket) loginTime() time.Time { return time.Unix(t.login, 0) }

// decodeTicket reads the text of a ticket. It accepts exactly what encode
// makes; it does not look at the MAC.
func decodeTicket(text string) (ticket, error) {
	if len(text) > maxTicket {
		return ticket{}, errTicketForm
	}
	for i := range len(text) {
		if !isTicketLetter(text[i]) { // the decoder skips CR and LF
			return ticket{}, errTicketForm
		}
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return ticket{}, errTicketForm
	}

	var t ticket
	r := fieldReader{rest: b}
	version := r.bytes(1)
	copy(t.key[:], r.bytes(keyIDSize))
	copy(t.chain[:], r.bytes(chainSize))
	t.authenticator = string(r.field())
	t.canonical = string(r.field())
	t.typed = string(r.field())
	t.network = networkOf(r.field())
	login := binary.BigEndian.Uint64(r.bytes(8))
	t.generation = binary.BigEndian.Uint32(r.bytes(4))
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
func networkOf(b []byte) netip.Prefix {
	switch len(b) {
	case ipv4Size:
		return clientNet(netip.AddrFrom4([ipv4Size]byte(b)))
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
	rest  []byte
	short bool
}

func (r *fieldReader) bytes(n int) []byte {
	if r.short || len(r.rest) < n {
		r.short = true
		return make([]byte, n)
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *fieldReader) field() []byte { return r.bytes(int(r.bytes(1)[0])) }
