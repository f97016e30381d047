//go:build e2e

package systemd

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/sys/unix"

	"github.com/x2broker/x2broker/tests/brokertest"
)

// filterVariable makes the test binary put on a filter and become the program in
// its arguments.
const filterVariable = "X2BROKER_TEST_SYSCALLS"

// confined does not return.
func confined(calls string) {
	fail := func(what string, err error) {
		fmt.Fprintln(os.Stderr, what, err)
		os.Exit(70)
	}
	info, err := arch.GetInfo("")
	if err != nil {
		fail("this processor:", err)
	}
	var known []string
	for _, name := range strings.Split(calls, ",") {
		if _, ok := info.SyscallNames[name]; ok {
			known = append(known, name)
		}
	}
	os.Unsetenv(filterVariable)
	err = seccomp.LoadFilter(seccomp.Filter{NoNewPrivs: true, Flag: seccomp.FilterFlagTSync, Policy: seccomp.Policy{
		DefaultAction: seccomp.ActionErrno, Syscalls: []seccomp.SyscallGroup{{Action: seccomp.ActionAllow, Names: known}},
	}})
	if err != nil {
		fail("filter:", err)
	}
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, 1); err != unix.EPERM { // of @resources
		fail("the filter does not hold:", err)
	}
	fail("exec:", syscall.Exec(os.Args[1], os.Args[1:], os.Environ()))
}

// allowed are the system calls that a unit allows, as systemd reads its lines.
func allowed(t *testing.T, unit string) []string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(deploy, unit))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for line := range strings.SplitSeq(string(data), "\n") {
		value, ok := strings.CutPrefix(line, "SystemCallFilter=")
		if !ok {
			continue
		}
		value, without := strings.CutPrefix(value, "~")
		for _, name := range strings.Fields(value) {
			for _, call := range expand(t, name) {
				all = slices.DeleteFunc(all, func(c string) bool { return c == call })
				if !without {
					all = append(all, call)
				}
			}
		}
	}
	if len(all) < 100 {
		t.Fatalf("%d system calls", len(all))
	}
	return all
}

// expand gives the calls in a set of systemd's.
func expand(t *testing.T, name string) (calls []string) {
	t.Helper()
	if !strings.HasPrefix(name, "@") {
		return []string{name}
	}
	out, err := analyze("syscall-filter", "--no-pager", name)
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	for _, line := range strings.Split(out, "\n")[1:] {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			calls = append(calls, expand(t, line)...)
		}
	}
	return calls
}

// There is no systemd to start the unit where tests run, so its filter is put
// on by the test: the broker must still fetch with git, which it starts, and
// the process that evaluates CUE must still give up all that it gives up.
func TestTheBrokerWorksUnderTheUnitsFilterOfSystemCalls(t *testing.T) {
	calls := allowed(t, "x2broker.service")
	repo := brokertest.NewRepo(t, brokertest.Files{"site.cue": "package site\n\nsite: name: \"Test\"\nservers: ts01: {}\n" +
		"profiles: desktop: {name: \"Desktop\", hosts: ids: [\"ts01\"], access: everyone: true}\n"})
	dir := t.TempDir()
	settings := filepath.Join(dir, "broker.cue")
	if err := os.WriteFile(settings, []byte(fmt.Sprintf("site: url: %q\nlisten: http: \"127.0.0.1:0\"\nstateDir: %q\n", repo.URL(), filepath.Join(dir, "state"))+
		brokertest.Users(t, map[string][]string{"alice": nil})), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(os.Args[0], brokertest.Binary(t), "serve", "--config", settings)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), filterVariable+"="+strings.Join(calls, ","))
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("ends with %v", err)
		}
	}()
	wants := []string{`confinement="no network, no files, no programs"`, `msg="revision serves"`}
	for deadline := time.Now().Add(brokertest.Deadline); ; time.Sleep(20 * time.Millisecond) {
		text, err := os.ReadFile(log.Name())
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(wants, func(w string) bool { return !strings.Contains(string(text), w) }) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the log does not say %q:\n%s", wants, text)
		}
	}
}
