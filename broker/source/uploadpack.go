package source

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"sync"
	"time"
)

// killDelay is the time from the end of the context to closing the pipes.
const killDelay = 2 * time.Second

// uploadPack begins a conversation about a repository on this machine, with the
// git program. go-git's own file transport waits for the program and its
// children for ever.
func uploadPack(ctx context.Context, path string) (conversation, error) {
	cmd := exec.CommandContext(ctx, "git", "upload-pack", path)
	// The text of errors is looked at.
	cmd.Env = append(os.Environ(), "LC_ALL=C", "GIT_PROTOCOL=")
	cmd.WaitDelay = killDelay
	killChildrenToo(cmd)
	stderr := &beginning{limit: stderrBytes}
	cmd.Stderr = stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, errors.Join(err, stdin.Close())
	}
	if err := cmd.Start(); err != nil {
		return nil, err // closes the pipes
	}
	shut := func() {
		_ = stdin.Close()
		_ = stdout.Close()
	}
	// A child that outlives the kill would keep a read waiting.
	unhook := context.AfterFunc(ctx, shut)
	hangUp := sync.OnceFunc(func() {
		shut()
		_ = cmd.Wait() // its exit status says nothing: hanging up on it is normal
		unhook()
	})
	return &stream{in: stdin, out: bufio.NewReader(stdout), stderr: stderr, hangUp: hangUp}, nil
}
