package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/x2broker/x2broker/broker/frontend/ssh/local"
)

// sshCmd takes its options unread: they are those of x2gobroker, and the broker
// reads them.
type sshCmd struct {
	Args []string `arg:"" optional:"" passthrough:""`
}

// formerNames are those of programs of the Python broker, which are in the URLs
// of clients. Under these x2broker is x2broker ssh.
var formerNames = []string{"x2gobroker", "x2gobroker-ssh"}

// Run hands over to the broker what sshd started this for.
func (c *sshCmd) Run(ctx context.Context, io stdio) error {
	socket, args, err := takeSocket(c.Args)
	if err != nil {
		return sshError(exitUsage, err)
	}
	q := local.Request{Args: args, User: os.Getenv("LOGNAME")}
	if original, ok := os.LookupEnv("SSH_ORIGINAL_COMMAND"); ok {
		q.Original = &original
	}
	if client, ok := os.LookupEnv("SSH_CLIENT"); ok {
		q.Client = &client
	}
	a, err := local.Ask(ctx, socket, q)
	if err != nil {
		return sshError(exitFail, err)
	}
	_, err = fmt.Fprint(io.out, a.Stdout)
	_, errToo := fmt.Fprint(io.err, a.Stderr)
	if err := errors.Join(err, errToo); err != nil {
		return err
	}
	if a.Code != exitOK {
		return &exitError{a.Code, errSaid}
	}
	return nil
}

// takeSocket takes the option --socket off, which must be the first.
func takeSocket(args []string) (socket string, rest []string, err error) {
	if len(args) == 0 {
		return local.DefaultSocket, nil, nil
	}
	name, value, glued := strings.Cut(args[0], "=")
	switch {
	case name != "--socket":
		return local.DefaultSocket, args, nil
	case glued:
		return value, args[1:], nil
	case len(args) == 1:
		return "", nil, errors.New("--socket needs a path")
	}
	return args[1], args[2:], nil
}

// sshError is what X2Go Client shows when it gets nothing else.
func sshError(code int, err error) error { return &exitError{code, fmt.Errorf("ssh: %w", err)} }
