package brokertest

import (
	"context"
	"errors"
	"os/exec"
	"syscall"
	"testing"
)

// Run runs an x2broker command to its end, and gives what it wrote and its exit
// code.
func Run(tb testing.TB, args ...string) (output string, code int) {
	tb.Helper()
	binary := Binary(tb) // building it does not count
	ctx, cancel := context.WithTimeout(context.Background(), Deadline)
	defer cancel()
	out, err := exec.CommandContext(ctx, binary, args...).CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return string(out), exit.ExitCode()
	}
	if err != nil {
		tb.Fatalf("x2broker %q: %v", args, err)
	}
	return string(out), 0
}

// Stop asks the broker to end, as systemd does, and waits for it.
func (b *Broker) Stop() {
	b.tb.Helper()
	b.end(syscall.SIGTERM)
}
