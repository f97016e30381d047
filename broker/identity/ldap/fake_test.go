package ldap

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

// fake is as much of a directory server as these tests need, because slapd
// cannot be counted on where unit tests run, and no real server hangs or lies
// when it is told to. tests/e2e/ldap has the real one.
type fake struct {
	t        *testing.T
	listener net.Listener
	tls      *tls.Config
	ldaps    bool

	mu       sync.Mutex
	entries  map[string]map[string][]string // by lower-case DN
	conns    map[net.Conn]bool              // true once it is answered no more
	binds    []string                       // "dn password", in order
	searches []string
	opened   int
	hang     bool
	ignored  int // messages, since it hung
	flood    bool
	limit    int            // of entries in an answer, 0 for none
	results  map[string]int // result code of a bind, by DN
	clear    bool           // a password came in clear
}

const suffix = "dc=example,dc=org"

// newFake starts a server that speaks LDAPS, or clear and StartTLS.
func newFake(t *testing.T, ldaps bool, cert tls.Certificate) *fake {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{
		t: t, listener: l, ldaps: ldaps, tls: &tls.Config{Certificates: []tls.Certificate{cert}},
		entries: map[string]map[string][]string{}, conns: map[net.Conn]bool{}, results: map[string]int{},
	}
	f.add("cn=search,"+suffix, "userPassword", "search-pw")
	f.add("ou=people," + suffix)
	f.add("ou=groups," + suffix)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.conns[c] = false
			f.opened++
			f.mu.Unlock()
			serving.Go(func() { f.serve(c) })
		}
	})
	t.Cleanup(func() {
		f.stop()
		serving.Wait()
	})
	return f
}

func (f *fake) url() string {
	if f.ldaps {
		return "ldaps://" + f.listener.Addr().String()
	}
	return "ldap://" + f.listener.Addr().String()
}

// stop is a crash.
func (f *fake) stop() {
	f.listener.Close()
	f.cut()
}

// cut ends all connections.
func (f *fake) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.conns {
		c.Close()
	}
	clear(f.conns)
}

// silence is a firewall that forgets all connections without a word.
func (f *fake) silence() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.conns {
		f.conns[c] = true
	}
}

// add takes attributes as name, value, name, value.
func (f *fake) add(dn string, attributes ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := map[string][]string{"dn": {dn}, "objectClass": {"top"}}
	for i := 0; i < len(attributes); i += 2 {
		e[attributes[i]] = append(e[attributes[i]], attributes[i+1])
	}
	f.entries[strings.ToLower(dn)] = e
}

// seen is what has happened up to now.
type seen struct {
	binds, searches []string
	opened          int
	clear           bool
}

func (f *fake) seen() seen {
	f.mu.Lock()
	defer f.mu.Unlock()
	return seen{slices.Clone(f.binds), slices.Clone(f.searches), f.opened, f.clear}
}

func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fake) user(name string, attributes ...string) string {
	dn := "uid=" + name + ",ou=people," + suffix
	f.add(dn, append([]string{"uid", name, "userPassword", name + "-pw"}, attributes...)...)
	return dn
}

func (f *fake) group(name string, attributes ...string) string {
	dn := "cn=" + name + ",ou=groups," + suffix
	f.add(dn, append([]string{"cn", name}, attributes...)...)
	return dn
}

func (f *fake) serve(c net.Conn) {
	defer c.Close()
	raw, secure := c, f.ldaps
	if f.ldaps {
		c = tls.Server(c, f.tls)
	}
	r := bufio.NewReader(c)
	for {
		p, err := ber.ReadPacket(r)
		if err != nil || len(p.Children) < 2 {
			return
		}
		f.mu.Lock()
		hang, flood := f.hang || f.conns[raw], f.flood
		if hang {
			f.ignored++
		}
		f.mu.Unlock()
		if hang {
			continue
		}
		id, op := p.Children[0].Value.(int64), p.Children[1]
		switch op.Tag {
		case ldap.ApplicationBindRequest:
			dn, password := op.Children[1].Data.String(), op.Children[2].Data.String()
			f.answer(c, id, ldap.ApplicationBindResponse, f.bind(dn, password, secure))
		case ldap.ApplicationSearchRequest:
			if flood {
				f.pour(c, id)
				return
			}
			f.search(c, id, op)
		case ldap.ApplicationExtendedRequest: // StartTLS
			if f.tls.Certificates[0].Certificate == nil {
				f.answer(c, id, ldap.ApplicationExtendedResponse, ldap.LDAPResultUnwillingToPerform)
				continue
			}
			f.answer(c, id, ldap.ApplicationExtendedResponse, 0)
			secure = true
			c = tls.Server(c, f.tls)
			r = bufio.NewReader(c)
		default:
			return
		}
	}
}

func (f *fake) bind(dn, password string, secure bool) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.binds = append(f.binds, dn+" "+password)
	f.clear = f.clear || !secure
	if code, ok := f.results[strings.ToLower(dn)]; ok {
		return code
	}
	if password == "" {
		return 0 // anonymous, as RFC 4513 has it
	}
	if e := f.entries[strings.ToLower(dn)]; e == nil || !slices.Contains(e["userPassword"], password) {
		return ldap.LDAPResultInvalidCredentials
	}
	return 0
}

func (f *fake) search(c net.Conn, id int64, op *ber.Packet) {
	f.mu.Lock()
	defer f.mu.Unlock()
	base, scope, filter := strings.ToLower(op.Children[0].Data.String()), op.Children[1].Value.(int64), op.Children[6]
	limit := int(op.Children[3].Value.(int64))
	if f.limit > 0 {
		limit = f.limit
	}
	text, _ := ldap.DecompileFilter(filter)
	f.searches = append(f.searches, text)
	if base != "" && base != suffix && f.entries[base] == nil {
		f.answer(c, id, ldap.ApplicationSearchResultDone, ldap.LDAPResultNoSuchObject)
		return
	}
	n := 0
	for dn, e := range f.entries {
		if scope == ldap.ScopeBaseObject && dn != base || !strings.HasSuffix(dn, base) || !matches(filter, e) {
			continue
		}
		if n == limit {
			f.answer(c, id, ldap.ApplicationSearchResultDone, ldap.LDAPResultSizeLimitExceeded)
			return
		}
		n++
		f.entry(c, id, e, op.Children[7])
	}
	f.answer(c, id, ldap.ApplicationSearchResultDone, 0)
}

func (f *fake) entry(c net.Conn, id int64, e map[string][]string, wanted *ber.Packet) {
	op := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchResultEntry, nil, "")
	op.AppendChild(octets(e["dn"][0]))
	list := ber.NewSequence("")
	for _, w := range wanted.Children {
		for name, values := range e {
			if !strings.EqualFold(strings.Split(name, ";")[0], w.Data.String()) {
				continue
			}
			attribute := ber.NewSequence("")
			attribute.AppendChild(octets(name))
			set := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSet, nil, "")
			for _, v := range values {
				set.AppendChild(octets(v))
			}
			attribute.AppendChild(set)
			list.AppendChild(attribute)
		}
	}
	op.AppendChild(list)
	f.send(c, id, op)
}

func (f *fake) answer(c net.Conn, id int64, tag ber.Tag, code int) {
	op := ber.Encode(ber.ClassApplication, ber.TypeConstructed, tag, nil, "")
	op.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, code, ""))
	op.AppendChild(octets(""))
	op.AppendChild(octets(""))
	f.send(c, id, op)
}

// pour sends references until nobody reads.
func (f *fake) pour(c net.Conn, id int64) {
	for {
		op := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchResultReference, nil, "")
		op.AppendChild(octets(strings.Repeat("x", 1<<20)))
		if f.send(c, id, op) != nil {
			return
		}
	}
}

func (f *fake) send(c net.Conn, id int64, op *ber.Packet) error {
	p := ber.NewSequence("")
	p.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, id, ""))
	p.AppendChild(op)
	_, err := c.Write(p.Bytes())
	return err
}

func octets(s string) *ber.Packet {
	return ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, s, "")
}

// matches knows and, or, not, equality, presence, and one extensible match.
func matches(filter *ber.Packet, e map[string][]string) bool {
	has := func(attribute, value string) bool {
		for name, values := range e {
			if strings.EqualFold(name, attribute) && slices.ContainsFunc(values, func(v string) bool { return strings.EqualFold(v, value) }) {
				return true
			}
		}
		return false
	}
	each := func(p *ber.Packet) bool { return matches(p, e) }
	switch filter.Tag {
	case ldap.FilterAnd:
		return !slices.ContainsFunc(filter.Children, func(p *ber.Packet) bool { return !each(p) })
	case ldap.FilterOr:
		return slices.ContainsFunc(filter.Children, each)
	case ldap.FilterNot:
		return !each(filter.Children[0])
	case ldap.FilterEqualityMatch:
		return has(filter.Children[0].Data.String(), filter.Children[1].Data.String())
	case ldap.FilterPresent:
		_, ok := e[filter.Data.String()]
		return ok
	case ldap.FilterExtensibleMatch: // stands for what only Active Directory has
		return has("allMember", filter.Children[2].Data.String())
	}
	return false
}

// authority writes a CA file and makes a certificate for 127.0.0.1.
func authority(t *testing.T) (caFile string, cert tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	caFile = write(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	return caFile, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
