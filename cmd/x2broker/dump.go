package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// keepMemory keeps passwords in memory from reaching the disk or a debugger: a
// crash leaves no core, and other processes of the same user may not look.
func keepMemory() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("switch core dumps off: %w", err)
	}
	// Core dumps that go to a program have no limit.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("switch core dumps off: %w", err)
	}
	return nil
}
