package worker

import (
	"fmt"
	"os"
	"strings"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"github.com/landlock-lsm/go-landlock/landlock"
	"golang.org/x/sys/unix"
)

// Confinement says what the process was found unable to do, by trying.
type Confinement struct {
	NoNetwork  bool     `json:"no_network"`
	NoFiles    bool     `json:"no_files"`
	NoPrograms bool     `json:"no_programs"`
	Why        []string `json:"why,omitempty"` // what could not be given up, and why
}

// String gives one line.
func (c Confinement) String() string {
	var parts []string
	for _, p := range []struct {
		is   bool
		what string
	}{{c.NoNetwork, "no network"}, {c.NoFiles, "no files"}, {c.NoPrograms, "no programs"}} {
		if p.is {
			parts = append(parts, p.what)
		}
	}
	return strings.Join(append(parts, c.Why...), ", ")
}

// confine gives up all that compiling does not need: files by Landlock, and all
// system calls but those of Go's runtime by seccomp, so that either alone is
// enough for files. Without both, limits remain: of memory, and writing no file.
func confine(memory int64) Confinement {
	var c Confinement
	note := func(what string, err error) {
		if err != nil {
			c.Why = append(c.Why, fmt.Sprintf("%s: %v", what, err))
		}
	}
	// An allocation may be faster than the broker looks.
	note("memory limit", limit(unix.RLIMIT_DATA, uint64(memory)*4))
	note("file size limit", limit(unix.RLIMIT_FSIZE, 0))
	note("core limit", limit(unix.RLIMIT_CORE, 0))
	if err := landlock.V5.RestrictPaths(); err != nil {
		note("landlock", err)
	}
	note("seccomp", seccomp.LoadFilter(seccomp.Filter{
		NoNewPrivs: true,
		Flag:       seccomp.FilterFlagTSync,
		Policy: seccomp.Policy{
			DefaultAction: seccomp.ActionErrno,
			Syscalls:      []seccomp.SyscallGroup{{Action: seccomp.ActionAllow, Names: ofThisMachine(runtimeCalls)}},
		},
	}))
	c.NoNetwork = refused(func() (int, error) { return unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0) })
	c.NoFiles = refused(func() (int, error) { return unix.Open("/", unix.O_RDONLY|unix.O_CLOEXEC, 0) })
	c.NoPrograms = refused(func() (int, error) {
		return -1, unix.Exec("/nonexistent", nil, nil)
	})
	return c
}

func limit(resource int, n uint64) error {
	return unix.Setrlimit(resource, &unix.Rlimit{Cur: n, Max: n})
}

// refused tries a call that gives a file descriptor.
func refused(try func() (int, error)) bool {
	fd, err := try()
	if err == nil {
		_ = unix.Close(fd)
	}
	return err == unix.EPERM || err == unix.EACCES || os.IsPermission(err)
}

// runtimeCalls are the system calls of a Go program that reads and writes pipes
// and computes (Go 1.26, Linux).
var runtimeCalls = []string{
	"read", "write", "readv", "writev", "close", "fstat", "lseek", "fcntl", "ioctl",
	"mmap", "munmap", "mprotect", "mremap", "madvise", "mincore", "brk", "membarrier",
	"futex", "nanosleep", "clock_nanosleep", "clock_gettime", "clock_getres", "gettimeofday",
	"clone", "clone3", "set_robust_list", "rseq", "arch_prctl", "prctl", "exit", "exit_group",
	"sigaltstack", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "restart_syscall", "tgkill", "tkill",
	"getpid", "gettid", "getppid", "getuid", "geteuid", "getgid", "getegid", "getrusage", "getrandom", "uname",
	"sched_yield", "sched_getaffinity", "getrlimit", "timer_create", "timer_settime", "timer_delete", "setitimer",
	"epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "eventfd2", "pipe2", "poll", "ppoll",
}

// ofThisMachine drops the calls that this kind of processor does not have.
func ofThisMachine(names []string) []string {
	info, err := arch.GetInfo("")
	if err != nil {
		return names // loading the filter says why
	}
	var out []string
	for _, name := range names {
		if _, known := info.SyscallNames[name]; known {
			out = append(out, name)
		}
	}
	return out
}
