package brokertest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Need ends the tests if a program is not installed, and names its Debian package;
// missing are more packages that are not there.
func Need(programs map[string]string, missing ...string) {
	for program, debian := range programs {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, debian)
		}
	}
	if len(missing) > 0 {
		fmt.Fprintln(os.Stderr, "these Debian packages are missing:", strings.Join(missing, " "))
		os.Exit(1)
	}
}

// Program starts a program, waits until it listens on the address, host:port or the
// path of a unix socket, and stops it when the test ends, if not before. What it
// said is logged if the test fails.
func Program(tb testing.TB, addr, program string, args ...string) (stop func()) {
	tb.Helper()
	var log bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait()
	}()
	stop = func() {
		_ = cmd.Process.Signal(os.Interrupt)
		select {
		case <-done:
		case <-time.After(Deadline):
			_ = cmd.Process.Kill()
			<-done
		}
	}
	tb.Cleanup(func() {
		stop()
		if tb.Failed() {
			tb.Logf("%s said:\n%s", program, &log)
		}
	})
	network := "tcp"
	if filepath.IsAbs(addr) {
		network = "unix"
	}
	for deadline := time.Now().Add(Deadline); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial(network, addr)
		if err == nil {
			conn.Close()
			return stop
		}
		select {
		case <-done:
			tb.Fatalf("%s ended:\n%s", program, &log)
		default:
		}
		if time.Now().After(deadline) {
			tb.Fatalf("%s does not listen: %v", program, err)
		}
	}
}
