//go:build e2e

package ldap

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/x2broker/x2broker/tests/brokertest"
)

// slapd is OpenLDAP's server on loopback, with data and a CA of its own.
type slapd struct {
	t              *testing.T
	dir            string
	plain, secure  string // host:port for StartTLS and for LDAPS
	ca, secretFile string
	stop           func()
}

const configuration = `include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
attributetype ( 1.3.6.1.4.1.24552.500.1.1.1.13 NAME 'sshPublicKey' DESC 'OpenSSH public key' EQUALITY octetStringMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.40 )
objectclass ( 1.3.6.1.4.1.24552.500.1.1.2.0 NAME 'ldapPublicKey' DESC 'OpenSSH LPK' SUP top AUXILIARY MUST ( sshPublicKey $ uid ) )
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
TLSCACertificateFile @dir@/ca.pem
TLSCertificateFile @dir@/cert.pem
TLSCertificateKeyFile @dir@/cert.key
security simple_bind=128
database mdb
suffix "dc=example,dc=org"
directory @dir@/db
rootdn "cn=admin,dc=example,dc=org"
rootpw admin-pw
overlay memberof
access to attrs=userPassword by anonymous auth
access to * by dn.exact="cn=search,dc=example,dc=org" read
`

// data has "staff" in "faculty" in "university", which is in "staff" again.
const data = `dn: dc=example,dc=org
objectClass: dcObject
objectClass: organization
dc: example
o: Example

dn: cn=search,dc=example,dc=org
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: search
userPassword: search-pw

dn: ou=people,dc=example,dc=org
objectClass: organizationalUnit
ou: people

dn: ou=groups,dc=example,dc=org
objectClass: organizationalUnit
ou: groups

dn: uid=alice,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: alice
cn: Alice Smith
sn: Smith
userPassword: alice-pw

dn: uid=bob,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: bob
cn: Bob
sn: Bob
employeeType: expired
userPassword: bob-pw

dn: uid=o\2a(rien),ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: o*(rien)
cn: O
sn: O
userPassword: o*(rien)-pw

dn: cn=staff,ou=groups,dc=example,dc=org
objectClass: groupOfNames
cn: staff
member: uid=alice,ou=people,dc=example,dc=org
member: cn=university,ou=groups,dc=example,dc=org

dn: cn=faculty,ou=groups,dc=example,dc=org
objectClass: groupOfNames
cn: faculty
member: cn=staff,ou=groups,dc=example,dc=org

dn: cn=university,ou=groups,dc=example,dc=org
objectClass: groupOfNames
cn: university
member: cn=faculty,ou=groups,dc=example,dc=org
`

func newSlapd(t *testing.T) *slapd {
	t.Helper()
	s := &slapd{t: t, dir: t.TempDir(), plain: freeAddr(t), secure: freeAddr(t)}
	s.ca = certificates(t, s.dir)
	s.secretFile = s.write("secret", "search-pw\n")
	if err := os.Mkdir(filepath.Join(s.dir, "db"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.write("slapd.conf", strings.ReplaceAll(configuration, "@dir@", s.dir))
	// The overlay sees what is added through the server only.
	s.start()
	s.tool("ldapadd", data)
	return s
}

func (s *slapd) write(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// start runs the server and waits until it listens.
func (s *slapd) start() {
	s.t.Helper()
	var log bytes.Buffer
	cmd := exec.Command(program, "-d", "0", "-f", filepath.Join(s.dir, "slapd.conf"), "-h", "ldap://"+s.plain+" ldaps://"+s.secure)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait()
	}()
	s.stop = func() {
		_ = cmd.Process.Kill() // as a crash does
		<-done
	}
	s.t.Cleanup(s.stop)
	for _, addr := range []string{s.plain, s.secure} {
		for deadline := time.Now().Add(brokertest.Deadline); ; time.Sleep(10 * time.Millisecond) {
			conn, err := net.Dial("tcp", addr)
			if err == nil {
				conn.Close()
				break
			}
			select {
			case <-done:
				s.t.Fatalf("slapd ended:\n%s", &log)
			default:
			}
			if time.Now().After(deadline) {
				s.t.Fatalf("slapd does not listen: %v", err)
			}
		}
	}
}

// tool runs ldapadd or ldapmodify with an LDIF.
func (s *slapd) tool(program, ldif string) {
	s.t.Helper()
	cmd := exec.Command(program, "-x", "-ZZ", "-H", "ldap://"+s.plain, "-D", "cn=admin,dc=example,dc=org", "-w", "admin-pw")
	cmd.Env = append(os.Environ(), "LDAPTLS_CACERT="+s.ca)
	cmd.Stdin = strings.NewReader(ldif)
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("%s: %v\n%s", program, err, out)
	}
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// certificates writes ca.pem, and cert.pem and cert.key for 127.0.0.1, and gives
// the path of the first.
func certificates(t *testing.T, dir string) string {
	t.Helper()
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	server := &x509.Certificate{
		SerialNumber: big.NewInt(2), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		NotBefore: authority.NotBefore, NotAfter: authority.NotAfter,
	}
	authorityKey, serverKey := newKey(t), newKey(t)
	store := func(name, kind string, der []byte, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	der, err := x509.CreateCertificate(rand.Reader, server, authority, serverKey.Public(), authorityKey)
	store("cert.pem", "CERTIFICATE", der, err)
	der, err = x509.MarshalPKCS8PrivateKey(serverKey)
	store("cert.key", "PRIVATE KEY", der, err)
	der, err = x509.CreateCertificate(rand.Reader, authority, authority, authorityKey.Public(), authorityKey)
	return store("ca.pem", "CERTIFICATE", der, err)
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
