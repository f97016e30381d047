//go:build unix

package source

import (
	"os/exec"
	"syscall"
)

// killChildrenToo makes the end of cmd's context the end of all that the
// program has started.
func killChildrenToo(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
