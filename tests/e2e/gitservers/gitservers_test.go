//go:build e2e

// Package gitservers has the real broker binary read sites from the servers of
// Debian: OpenSSH, and git http-backend behind nginx.
package gitservers

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/x2broker/x2broker/tests/brokertest"
)

func TestMain(m *testing.M) {
	brokertest.Need(map[string]string{"git": "git", sshd: "openssh-server", "nginx": "nginx-light", "fcgiwrap": "fcgiwrap"})
	brokertest.Main(m)
}

const sshd = "/usr/sbin/sshd" // it insists on being started by its full path

// site has one profile, which everybody sees.
func site(id string) brokertest.Files {
	return brokertest.Files{"site.cue": fmt.Sprintf(`package site

site: name: "Test"
servers: ts01: {}
profiles: %q: {name: "Desktop", hosts: ids: ["ts01"], access: everyone: true}
`, id)}
}

// start serves with the state in a directory, which it gives.
func start(t *testing.T, url, auth string) (b *brokertest.Broker, state string) {
	t.Helper()
	state = t.TempDir()
	b = brokertest.Start(t, fmt.Sprintf("site: {url: %q, poll: \"100ms\", auth: {%s}}\nstateDir: %q\n", url, auth, state)+
		brokertest.Users(t, map[string][]string{"alice": {"staff"}}))
	b.WaitReady()
	return b, state
}

// says waits until x2broker status has those words.
func says(t *testing.T, state, words string) {
	t.Helper()
	var out string
	for deadline := time.Now().Add(brokertest.Deadline); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if out, _ = brokertest.Run(t, "status", "--state-dir", state); strings.Contains(out, words) {
			return
		}
	}
	t.Errorf("the status does not say %q:\n%s", words, out)
}

// sees lists until alice sees that profile and no other.
func sees(t *testing.T, b *brokertest.Broker, want string) {
	t.Helper()
	deadline := time.Now().Add(brokertest.Deadline)
	var got []string
	for time.Now().Before(deadline) {
		profiles, err := b.Client("alice", "127.0.0.1").List(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		got = nil
		for _, p := range profiles {
			got = append(got, p.ID)
		}
		if slices.Equal(got, []string{want}) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("the list stays %v, want %s\n%s", got, want, b.Log())
}

func TestASiteOverSSH(t *testing.T) {
	repo := brokertest.NewRepo(t, site("one"))
	dir := t.TempDir()
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(freeAddr(t))
	key, known, host := filepath.Join(dir, "key"), filepath.Join(dir, "known_hosts"), filepath.Join(dir, "host")
	run(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
	run(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", host)
	config := write(t, dir, "sshd_config", fmt.Sprintf(`Port %s
ListenAddress 127.0.0.1
HostKey %s
AuthorizedKeysFile %s.pub
PidFile none
StrictModes no
UsePAM no
PermitRootLogin yes
`, port, host, key))
	if me.Uid == "0" {
		_ = os.MkdirAll("/run/sshd", 0o755) // sshd says if it cannot do without
	}
	stop := brokertest.Program(t, "127.0.0.1:"+port, sshd, "-D", "-e", "-f", config)
	scan := func() { write(t, dir, "known_hosts", run(t, "ssh-keyscan", "-p", port, "127.0.0.1")) }
	scan()
	b, state := start(t, fmt.Sprintf("ssh://%s@127.0.0.1:%s%s", me.Username, port, repo.Bare), fmt.Sprintf("keyFile: %q, knownHostsFile: %q", key, known))
	sees(t, b, "one")
	repo.Push(site("two"))
	sees(t, b, "two")

	stop()
	for _, name := range []string{host, host + ".pub"} {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	run(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", host)
	brokertest.Program(t, "127.0.0.1:"+port, sshd, "-D", "-e", "-f", config)
	says(t, state, "the server's host key is not the one at line")
	repo.Push(site("three"))
	sees(t, b, "two")
	scan()
	sees(t, b, "three")
}

func TestASiteOverHTTPS(t *testing.T) {
	repo := brokertest.NewRepo(t, site("one"))
	dir := t.TempDir()
	addr, socket := freeAddr(t), filepath.Join(dir, "fcgi")
	ca := certificate(t, dir)
	grant := func(token string) { write(t, dir, "users", "deploy:{PLAIN}"+token+"\n") }
	grant("geheim-1")
	token := write(t, dir, "token", "geheim-1\n")
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	config := write(t, dir, "nginx.conf", strings.NewReplacer(
		"@dir@", dir, "@addr@", addr, "@socket@", socket, "@root@", filepath.Dir(repo.Bare), "@user@", me.Username,
		"@backend@", filepath.Join(strings.TrimSpace(run(t, "git", "--exec-path")), "git-http-backend"),
	).Replace(`daemon off;
user @user@;
pid @dir@/pid;
error_log stderr;
events {}
http {
	access_log off;
	client_body_temp_path @dir@/body;
	fastcgi_temp_path @dir@/fastcgi;
	proxy_temp_path @dir@/proxy;
	uwsgi_temp_path @dir@/uwsgi;
	scgi_temp_path @dir@/scgi;
	server {
		listen @addr@ ssl;
		ssl_certificate @dir@/cert.pem;
		ssl_certificate_key @dir@/cert.key;
		auth_basic "git";
		auth_basic_user_file @dir@/users;
		location / {
			fastcgi_pass unix:@socket@;
			fastcgi_param SCRIPT_FILENAME @backend@;
			fastcgi_param GIT_PROJECT_ROOT @root@;
			fastcgi_param GIT_HTTP_EXPORT_ALL "";
			fastcgi_param PATH_INFO $uri;
			fastcgi_param QUERY_STRING $query_string;
			fastcgi_param REQUEST_METHOD $request_method;
			fastcgi_param CONTENT_TYPE $content_type;
			fastcgi_param CONTENT_LENGTH $content_length;
			fastcgi_param REMOTE_USER $remote_user;
		}
	}
}
`))
	brokertest.Program(t, socket, "fcgiwrap", "-s", "unix:"+socket)
	brokertest.Program(t, addr, "nginx", "-e", "stderr", "-c", config)
	b, state := start(t, "https://"+addr+"/site.git", fmt.Sprintf("tokenFile: %q, user: \"deploy\", caFile: %q", token, ca))
	sees(t, b, "one")
	repo.Push(site("two"))
	sees(t, b, "two")

	grant("geheim-2")
	says(t, state, "the server refuses the token in "+token)
	repo.Push(site("three"))
	sees(t, b, "two")
	write(t, dir, "token", "geheim-2\n")
	sees(t, b, "three")

	good := read(t, ca)
	other := certificate(t, t.TempDir())
	write(t, dir, "cert.pem", read(t, other))
	says(t, state, "the server's certificate is from an authority that is not trusted here")
	repo.Push(site("four"))
	sees(t, b, "three")
	write(t, dir, "cert.pem", good)
	sees(t, b, "four")
	if strings.Contains(b.Log(), "geheim") {
		t.Errorf("the token is in the log:\n%s", b.Log())
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

func run(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := exec.Command(program, args...).Output()
	if err != nil {
		t.Fatalf("%s %s: %v", program, strings.Join(args, " "), err)
	}
	return string(out)
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// certificate writes cert.pem and cert.key for 127.0.0.1 and gives the path of
// the former.
func certificate(t *testing.T, dir string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}, &x509.Certificate{SerialNumber: big.NewInt(1)}, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "cert.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	return write(t, dir, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})))
}
