package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/x2broker/x2broker/client"
)

// sshFlags say whom to trust over ssh://.
type sshFlags struct {
	KnownHosts  string   `placeholder:"FILE" help:"Host keys of ssh brokers that are trusted; default: ~/.ssh/known_hosts."`
	Fingerprint []string `placeholder:"SHA256:..." sep:"none" help:"Trust the host key with this fingerprint instead; may be given several times."`
}

// trust gives a client's settings with the host keys that are trusted.
func (f sshFlags) trust() (client.SSH, error) {
	out := client.SSH{KnownHosts: f.KnownHosts, Fingerprints: f.Fingerprint}
	if out.KnownHosts == "" && len(f.Fingerprint) == 0 {
		home, err := os.UserHomeDir()
		if err != nil {
			return out, fmt.Errorf("find ~/.ssh/known_hosts: %w: give --known-hosts or --fingerprint", err)
		}
		out.KnownHosts = filepath.Join(home, ".ssh", "known_hosts")
	}
	return out, nil
}

// agentSocket is where the user's SSH agent listens.
func agentSocket() (string, error) {
	socket := os.Getenv("SSH_AUTH_SOCK")
	if socket == "" {
		return "", usageError(errors.New("--agent: there is no agent, SSH_AUTH_SOCK is not set: start one with eval $(ssh-agent), and add keys with ssh-add"))
	}
	return socket, nil
}

// asker has a person answer, with echo or without; without a terminal the next
// line of standard input does.
func asker(stdio stdio) func(prompt string, echo bool) (string, error) {
	lines := bufio.NewReader(io.LimitReader(stdio.in, 64<<10))
	return func(prompt string, echo bool) (string, error) {
		if terminal(stdio.in) && !echo {
			return readPassword(stdio, prompt)
		}
		if terminal(stdio.in) {
			fmt.Fprint(stdio.err, prompt)
		}
		line, err := lines.ReadString('\n')
		if line == "" && errors.Is(err, io.EOF) {
			return "", fmt.Errorf("%q is asked, and standard input has no line for it", strings.TrimSpace(prompt))
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return "", err
		}
		return strings.TrimRight(line, "\r\n"), nil
	}
}
