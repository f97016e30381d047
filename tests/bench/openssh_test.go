package bench

import (
	"fmt"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/x2broker/x2broker/tests/brokertest"
)

// BenchmarkOpenSSH is what sshd starts for each request of a client behind OpenSSH,
// from its start to its end, against the same program that prints its version; one
// after the other, in turn.
//
//	list-ms   of x2broker ssh --task listsessions
//	start-ms  of x2broker version
func BenchmarkOpenSSH(b *testing.B) {
	me, err := user.Current()
	if err != nil {
		b.Fatal(err)
	}
	repo := brokertest.NewRepo(b, site(1000))
	socket := filepath.Join(b.TempDir(), "ssh.sock")
	startBroker(b, fmt.Sprintf("site: url: %q\nstateDir: %q\nlisten: {http: \"127.0.0.1:0\", openssh: path: %q}\n", repo.URL(), b.TempDir(), socket)+
		brokertest.Users(b, map[string][]string{me.Username: {"staff"}}))
	run := func(want string, args ...string) time.Duration {
		cmd := exec.Command(brokertest.Binary(b), args...)
		cmd.Env = []string{"LOGNAME=" + me.Username}
		start := time.Now()
		out, err := cmd.CombinedOutput()
		took := time.Since(start)
		if err != nil || !strings.Contains(string(out), want) {
			b.Fatalf("%v: %v\n%s", args, err, out)
		}
		return took
	}
	var list, start time.Duration
	n := 0
	for b.Loop() {
		start += run("x2broker", "version")
		list += run("END_USER_SESSIONS", "ssh", "--socket", socket, "--task", "listsessions")
		n++
	}
	b.ReportMetric(0, "ns/op") // of both
	b.ReportMetric(list.Seconds()*1000/float64(n), "list-ms")
	b.ReportMetric(start.Seconds()*1000/float64(n), "start-ms")
}
