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

// KnownHosts writes what ssh-keyscan would print for these SSH servers, each
// host:port, to a file, and gives its path.
func KnownHosts(tb testing.TB, servers ...string) string {
	tb.Helper()
	var lines string
	for _, server := range servers {
		seen := errors.New("seen")
		_, err := ssh.Dial("tcp", server, &ssh.ClientConfig{Timeout: Deadline, HostKeyCallback: func(address string, _ net.Addr, key ssh.PublicKey) error {
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
