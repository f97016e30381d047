//go:build e2e

package migrate

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/x2broker/x2broker/tests/brokertest"
)

// daemon is the Python broker, of Debian's package x2gobroker-daemon.
const daemon = "/usr/bin/x2gobroker-daemon"

// accounts is the library that gives it users and groups of the test.
const accounts = "libnss_wrapper.so"

// reference runs the Python broker on an x2gobroker.conf and a file of profiles,
// where these users are in these groups, and gives its URL. Its cookies are in
// the directory that comes second.
func reference(t *testing.T, conf, profiles string, groups map[string][]string) (url, cookies string) {
	t.Helper()
	home := t.TempDir()
	log, err := os.Create(filepath.Join(home, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	addr := freeAddr(t)
	cmd := exec.Command(daemon, "-i", "-b", addr)
	cmd.Env = []string{
		"PATH=/usr/bin:/bin:/usr/sbin:/sbin", // its python3 must be Debian's
		"HOME=" + home, "LANG=C.UTF-8", "LOGNAME=x2gobroker", "X2GOBROKER_DEBUG=1",
		"X2GOBROKER_CONFIG=" + conf, "X2GOBROKER_SESSIONPROFILES=" + profiles,
		"LD_PRELOAD=" + accounts,
	}
	passwd, group := fmt.Sprintf("me:x:%d:%d::%s:/bin/sh\n", os.Getuid(), os.Getgid(), home), "x2gobroker:x:64000:\n"
	members := map[string][]string{}
	id := 64001
	for user, of := range groups {
		passwd += fmt.Sprintf("%s:x:%d:%d::/nonexistent:/bin/sh\n", user, id, id)
		id++
		for _, g := range of {
			members[g] = append(members[g], user)
		}
	}
	for g, users := range members {
		group += fmt.Sprintf("%s:x:%d:%s\n", g, id, strings.Join(users, ","))
		id++
	}
	for name, text := range map[string]string{"PASSWD": passwd, "GROUP": group} {
		file := filepath.Join(home, name)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		cmd.Env = append(cmd.Env, "NSS_WRAPPER_"+name+"="+file)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("the Python broker says:\n%s", text[max(0, len(text)-4000):])
		}
	})
	await(t, addr)
	return "http://" + addr + "/plain/inifile", filepath.Join(home, ".x2go", "broker-cookies")
}

// await waits until somebody listens.
func await(t *testing.T, addr string) {
	t.Helper()
	deadline := time.Now().Add(brokertest.Deadline)
	for time.Now().Before(deadline) {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("nobody listens on %s", addr)
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
