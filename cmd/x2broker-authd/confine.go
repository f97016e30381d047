//go:build pam

package main

/*
#include <sys/prctl.h>
#include <sys/resource.h>

// Before Go has threads: no_new_privs is kept for each of them. It costs
// nothing: root has no use for setuid programs such as unix_chkpwd.
__attribute__((constructor)) static void before_threads(void) {
	struct rlimit none = {0, 0};
	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}
*/
import "C"

import (
	"errors"
	"fmt"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// confine gives the process of a conversation its limits, and looks whether what
// was given up before holds.
func confine() error {
	debug.SetTraceback("none") // a crash shall not print what was in memory
	for _, l := range []struct {
		what     string
		resource int
		most     uint64
	}{
		{"memory", unix.RLIMIT_DATA, 1 << 30},
		{"files", unix.RLIMIT_NOFILE, 256},
		{"size of files", unix.RLIMIT_FSIZE, 256 << 20}, // a password change writes /etc/shadow anew
		{"processor time", unix.RLIMIT_CPU, 60},
	} {
		if err := unix.Setrlimit(l.resource, &unix.Rlimit{Cur: l.most, Max: l.most}); err != nil {
			return fmt.Errorf("limit %s: %w", l.what, err)
		}
	}
	dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	if err != nil || dumpable != 0 {
		return errors.New("the process could be dumped, with passwords in it")
	}
	return nil
}
