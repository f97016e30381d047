package hostile_test

import (
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/x2broker/x2broker/tests/brokertest"
)

// dialSSH opens a connection to the SSH server from an address, before any word of
// SSH.
func (v *victim) dialSSH(from string) net.Conn {
	v.t.Helper()
	conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).Dial("tcp", v.SSH)
	if err != nil {
		v.t.Fatal(err)
	}
	v.t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(brokertest.Deadline))
	return conn
}

// loginSSH logs a user in over SSH.
func (v *victim) loginSSH(user, from string) *ssh.Client {
	v.t.Helper()
	nc := v.dialSSH(from)
	conn, channels, requests, err := ssh.NewClientConn(nc, v.SSH, &ssh.ClientConfig{
		User: user, Auth: []ssh.AuthMethod{ssh.Password(user + "-pw")}, HostKeyCallback: ssh.InsecureIgnoreHostKey(),
	})
	if err != nil {
		v.t.Fatal(err)
	}
	_ = nc.SetDeadline(time.Time{})
	return ssh.NewClient(conn, channels, requests)
}

// idle is how many SSH connections log in and say no more; strangers say nothing
// at all.
var idle = flag.Int("idle", 50, "idle SSH connections")

const strangers = 600

// Class 15. Connections that log in over SSH and say no more, thousands if you
// like (-idle 10000, as in make soak), and hundreds from many networks that do not
// even do that. Whoever comes with a password gets his list, over SSH and HTTP.
func TestIdleSSHConnectionsHarmNobodyElse(t *testing.T) {
	most := *idle + 2*strangers
	v := start(t, fmt.Sprintf(`ssh: "127.0.0.1:0", limits: {connections: %d, perAddress: %d}`, most, most))
	before := v.memory()
	for range *idle {
		v.loginSSH("bob", enemy)
	}
	t.Logf("%d connections take %d KiB each", *idle, (v.memory()-before)/max(*idle, 1))
	closed := make(chan struct{}, strangers)
	for i := range strangers {
		conn := v.dialSSH(fmt.Sprintf("127.0.1.%d", 1+i%20))
		go func() {
			_, _ = io.Copy(io.Discard, conn)
			closed <- struct{}{}
		}()
	}
	// As many as may wait do, and each of the others made room for a newer one.
	for range strangers - 256 {
		<-closed
	}
	for range 3 {
		session, err := v.loginSSH("alice", home).NewSession()
		if err != nil {
			t.Fatal(err)
		}
		if out, err := session.Output("x2broker --task listsessions"); err != nil || !granted(string(out)) {
			t.Errorf("%q, %v", out, err)
		}
		v.unharmed()
	}
	s, _ := v.status()
	if got := s.Doors.SSH; got.Open != *idle+3 || got.Waiting > 256 || got.Turned < strangers-256 {
		t.Errorf("the status counts %+v", got)
	}
}

// memory is what the broker takes, in KiB.
func (v *victim) memory() (kib int) {
	v.t.Helper()
	s, _ := v.status()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.PID))
	if err != nil {
		v.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), "VmRSS:")
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		v.t.Fatal(err)
	}
	return kib
}
