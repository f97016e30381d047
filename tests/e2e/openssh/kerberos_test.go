//go:build e2e

package openssh

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/x2broker/x2broker/tests/pamtest"
)

const realmName = "X2BROKER.TEST"

// A realm is a running KDC.
type realm struct {
	t   *testing.T
	dir string
	env []string // of programs that use it
}

func newRealm(t *testing.T) *realm {
	t.Helper()
	r := &realm{t: t, dir: t.TempDir()}
	address := freeAddress(t)
	file := func(name, text string) string {
		path := filepath.Join(r.dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	r.env = []string{
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin",
		"KRB5_CONFIG=" + file("krb5.conf", fmt.Sprintf(`[libdefaults]
	default_realm = %[1]s
	dns_lookup_kdc = false
	dns_lookup_realm = false
	dns_canonicalize_hostname = false
	rdns = false
	udp_preference_limit = 1
[realms]
	%[1]s = {
		kdc = %[2]s
	}
[domain_realm]
	localhost = %[1]s
`, realmName, address)),
		"KRB5_KDC_PROFILE=" + file("kdc.conf", fmt.Sprintf(`[realms]
	%[1]s = {
		database_name = %[3]s/principal
		key_stash_file = %[3]s/stash
		acl_file = %[3]s/acl
		kdc_listen = %[2]s
		kdc_tcp_listen = %[2]s
	}
`, realmName, address, r.dir)),
		"KRB5_KTNAME=" + r.keytab(),
	}
	r.run("", "kdb5_util", "create", "-s", "-P", "master", "-r", realmName)
	r.run("", "kadmin.local", "addprinc", "-randkey", "host/localhost")
	r.run("", "kadmin.local", "ktadd", "-k", r.keytab(), "host/localhost")

	log, err := os.Create(filepath.Join(r.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	kdc := exec.Command("/usr/sbin/krb5kdc", "-n")
	kdc.Env, kdc.Stdout, kdc.Stderr = r.env, log, log
	kdc.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := kdc.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = kdc.Process.Signal(syscall.SIGTERM)
		if err := kdc.Wait(); err != nil {
			text, _ := os.ReadFile(log.Name())
			t.Errorf("krb5kdc: %v\n%s", err, text)
		}
	})
	pamtest.Wait(t, "krb5kdc does not listen", func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return r
}

func (r *realm) keytab() string { return filepath.Join(r.dir, "keytab") }

// run runs a program of the realm that must not fail.
func (r *realm) run(stdin, name string, args ...string) {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), name, args...)
	cmd.Env, cmd.Stdin = r.env, strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
}

// ticket makes a principal and gives him a ticket: the name of its cache.
func (r *realm) ticket(user string) string {
	r.t.Helper()
	cache := "FILE:" + filepath.Join(r.dir, "cache-"+user)
	r.run("", "kadmin.local", "addprinc", "-pw", "secret", user)
	r.run("secret\n", "kinit", "-c", cache, user)
	return cache
}

// kerberized starts an sshd that lets in by tickets only.
func (o *office) kerberized(r *realm, settings ...string) *sshd {
	o.t.Helper()
	return o.sshd(r.env, append([]string{"PasswordAuthentication no", "GSSAPIAuthentication yes",
		"GSSAPIStrictAcceptorCheck no", // this machine has a name of its own
	}, settings...)...)
}

// newKerberosUser makes a user who has a ticket and no password. His entry in
// /etc/shadow must have a * for it: ! is of a locked user.
func newKerberosUser(t *testing.T, name string) string {
	t.Helper()
	name = pamtest.NewUser(t, name, "")
	pamtest.Command(t, "", "usermod", "--password", "*", name)
	return name
}

func TestATicketOfKerberosIsEnoughForSSH(t *testing.T) {
	alice, bob := newKerberosUser(t, "alice"), newKerberosUser(t, "bob")
	r := newRealm(t)
	o := newOffice(t, "")
	d := o.kerberized(r, "ForceCommand "+o.command())
	h := o.home(d)
	_, port, _ := net.SplitHostPort(d.address)
	ssh := func(cache, user string) string {
		cmd := exec.CommandContext(deadline(t), "ssh", "-F", "/dev/null", "-o", "BatchMode=yes", "-o", "GSSAPIAuthentication=yes",
			"-o", "UserKnownHostsFile="+filepath.Join(h.Path(), ".ssh", "known_hosts"), "-p", port, "-l", user, "localhost", list)
		cmd.Env = append(r.env, "KRB5CCNAME="+cache)
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return string(out)
	}
	of := r.ticket(alice)
	if out := ssh(of, alice); !strings.Contains(out, "Access granted\n") || !strings.Contains(out, "[alice]") {
		t.Errorf("with a ticket:\n%s", out)
	}
	if out := ssh("FILE:"+filepath.Join(r.dir, "none"), alice); !strings.Contains(out, "Permission denied") {
		t.Errorf("without a ticket:\n%s", out)
	}
	if out := ssh(of, bob); !strings.Contains(out, "Permission denied") {
		t.Errorf("with the ticket of another:\n%s", out)
	}
}

// --broker-krblogin has X2Go Client run ssh for each request.
func TestATicketOfKerberosIsEnoughForX2GoClient(t *testing.T) {
	alice := newKerberosUser(t, "alice")
	r := newRealm(t)
	cache := r.ticket(alice)
	o := newOffice(t, "")
	for name, tt := range map[string]struct {
		settings []string
		path     string
	}{
		"forced command":  {[]string{"ForceCommand " + o.command()}, "/x2broker"},
		"path in the URL": {nil, strings.ReplaceAll(o.command(), " ", "%20")},
	} {
		t.Run(name, func(t *testing.T) {
			d := o.kerberized(r, tt.settings...)
			_, port, _ := net.SplitHostPort(d.address)
			h := o.home(d)
			for _, v := range append(r.env[1:2:2], "KRB5CCNAME="+cache) {
				name, value, _ := strings.Cut(v, "=")
				h.Setenv(name, value)
			}
			ctx := deadline(t)
			c, err := h.Start(ctx, "ssh://"+alice+"@localhost:"+port+tt.path, "--broker-krblogin", "--sessionid=alice")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			sees(ctx, t, c, "alice")
			server, err := c.Server(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if want := o.listener.Addr().String(); server != want {
				t.Errorf("server %s, want %s", server, want)
			}
		})
	}
}
