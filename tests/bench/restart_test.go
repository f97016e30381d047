package bench

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/x2broker/x2broker/client"
	"github.com/x2broker/x2broker/tests/brokertest"
)

// BenchmarkRestart measures a restart of the real broker from what it kept, with
// the repository away: from its start to its first answer, a list. peak-MB is
// the most that it has had in memory, with its worker process.
func BenchmarkRestart(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		b.Run(fmt.Sprintf("profiles=%d", n), func(b *testing.B) {
			files := brokertest.Files{}
			for name, text := range fullSite(n) {
				files[name] = string(text)
			}
			repo := brokertest.NewRepo(b, files)
			state, file := b.TempDir(), b.TempDir()+"/broker.cue"
			address := freeAddress(b)
			settings := fmt.Sprintf("site: {url: %q, poll: \"1h\"}\nstateDir: %q\nlisten: http: %q\n", repo.URL(), state, address) +
				brokertest.Users(b, map[string][]string{"carol": {"group7"}})
			if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
				b.Fatal(err)
			}
			answered(b, file, address)(func(int) {
				for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
					if _, err := os.Stat(filepath.Join(state, "last-good.compiled")); err == nil {
						return
					} else if time.Now().After(end) {
						b.Fatal(err)
					}
				}
			})
			if err := os.Rename(repo.Bare, repo.Bare+".away"); err != nil {
				b.Fatal(err)
			}
			peak := 0
			for b.Loop() {
				stop := answered(b, file, address)
				b.StopTimer()
				stop(func(pid int) { peak = max(peak, peakOf(b, pid)) })
				b.StartTimer()
			}
			b.ReportMetric(float64(peak), "peak-MB")
		})
	}
}

func freeAddress(b *testing.B) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// answered starts a broker and waits for its first answer. What it gives ends
// the broker, after a last look.
func answered(b *testing.B, file, address string) (stop func(look func(pid int))) {
	b.Helper()
	cmd := exec.Command(brokertest.Binary(b), "serve", "--config", file)
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	carol := &client.Client{URL: "http://" + address + "/plain/", User: "carol", Password: "carol-pw"}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		_, err := carol.List(ctx)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			b.Fatal(err)
		}
		time.Sleep(time.Millisecond) // it does not listen yet
	}
	return func(look func(pid int)) {
		look(cmd.Process.Pid)
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	}
}

// peakOf is the sum of what a process and its children have had in memory at
// most, in MB.
func peakOf(b *testing.B, pid int) int {
	b.Helper()
	parent := strconv.Itoa(pid)
	threads, err := filepath.Glob("/proc/" + parent + "/task/*/children") // each has its own
	if err != nil || len(threads) == 0 {
		b.Fatal(pid, err)
	}
	sum := peak(parent)
	for _, thread := range threads {
		children, _ := os.ReadFile(thread) // which may have ended
		for _, child := range strings.Fields(string(children)) {
			if commandLine(child) != commandLine(parent) { // else it is about to become another program
				sum += peak(child)
			}
		}
	}
	return sum
}

func commandLine(pid string) string {
	text, _ := os.ReadFile("/proc/" + pid + "/cmdline")
	return string(text)
}

// peak is what a process has had in memory at most, in MB; 0 if it has ended.
func peak(pid string) int {
	status, _ := os.ReadFile("/proc/" + pid + "/status")
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kb := 0
	_, _ = fmt.Sscan(rest, &kb)
	return kb >> 10
}
