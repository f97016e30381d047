//go:build !unix

package source

import "os/exec"

// killChildrenToo can do nothing here: only the program itself is killed.
func killChildrenToo(*exec.Cmd) {}
