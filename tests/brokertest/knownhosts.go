package brokertest

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// KnownHosts writes what ssh-keyscan would print for the brokers' SSH servers to a
// file, and gives its path.
func KnownHosts(tb testing.TB, brokers ...*Broker) string {
	tb.Helper()
	var lines string
	for _, b := range brokers {
		seen := errors.New("seen")
		_, err := ssh.Dial("tcp", b.SSH, &ssh.ClientConfig{Timeout: Deadline, HostKeyCallback: func(address string, _ net.Addr, key ssh.PublicKey) error {
			lines += knownhosts.Line([]string{address}, key) + "\n"
			return seen
		}})
		if !errors.Is(err, seen) {
			tb.Fatal(err)
		}
	}
	file := filepath.Join(tb.TempDir(), "known_hosts")
	if err := os.WriteFile(file, []byte(lines), 0o600); err != nil {
		tb.Fatal(err)
	}
	return file
}
