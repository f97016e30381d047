//go:build e2e

// Package pam logs real users of this machine in, through the real helper and
// pam_unix. It makes users and /etc/pam.d/x2broker, and removes them.
package pam

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/x2broker/x2broker/broker/identity"
	"github.com/x2broker/x2broker/broker/identity/authd"
	"github.com/x2broker/x2broker/tests/brokertest"
)

const pamFile = "/etc/pam.d/x2broker"

// prefix is that of the users that the tests make.
const prefix = "x2bt-"

var helperBinary string

func TestMain(m *testing.M) {
	if socket := os.Getenv("X2BROKER_TEST_LOOKUP"); socket != "" { // as another user
		_, err := authd.NewClient(socket).Lookup(context.Background(), "root")
		fmt.Println("lookup:", err)
		return
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "x2broker-pam-")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if os.Getuid() != 0 {
		fmt.Fprintln(os.Stderr, "these tests make users: they need root")
		return 1
	}
	helperBinary = filepath.Join(dir, "x2broker-authd")
	build := exec.Command("go", "build", "-tags", "pam", "-o", helperBinary, "github.com/x2broker/x2broker/cmd/x2broker-authd")
	build.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build x2broker-authd: %v (it needs the Debian packages gcc and libpam0g-dev)\n%s", err, out)
		return 1
	}
	if _, err := os.Stat(pamFile); err == nil {
		fmt.Fprintln(os.Stderr, pamFile, "is there already: this machine has a broker, and the tests would change how it lets people in")
		return 1
	}
	defer os.Remove(pamFile)
	return m.Run()
}

// shipped is the file of examples/deploy.
func shipped(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("../../../examples/deploy/pam.d/x2broker")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// pamRules installs the file of the PAM service; each login reads it.
func pamRules(t testing.TB, text string) {
	t.Helper()
	if err := os.WriteFile(pamFile, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A helper is a running x2broker-authd.
type helper struct {
	*authd.Client
	socket string
	cmd    *exec.Cmd
	log    *os.File
}

// start runs x2broker-authd until the test ends.
func start(t testing.TB, args ...string) *helper {
	t.Helper()
	dir, err := os.MkdirTemp("", "x2broker-pam-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	h := &helper{socket: filepath.Join(dir, "authd.sock")}
	if h.log, err = os.Create(filepath.Join(dir, "log")); err != nil {
		t.Fatal(err)
	}
	h.Client = authd.NewClient(h.socket)
	// With what the unit leaves of root, and nothing else.
	h.cmd = exec.Command("setpriv", append([]string{"--bounding-set", capabilities(t), "--inh-caps", "-all", "--no-new-privs", helperBinary, "--socket", h.socket, "--user", "nobody"}, args...)...)
	h.cmd.Stderr = h.log
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = h.cmd.Process.Signal(syscall.SIGTERM)
		if err := h.cmd.Wait(); err != nil {
			t.Errorf("x2broker-authd: %v\n%s", err, h.text())
		}
		h.log.Close()
	})
	wait(t, "x2broker-authd does not listen", func() bool {
		_, err := h.Lookup(t.Context(), "root")
		return err == nil
	})
	return h
}

// capabilities are those of the unit, as setpriv(1) writes them.
func capabilities(t testing.TB) string {
	t.Helper()
	unit, err := os.ReadFile("../../../examples/deploy/x2broker-authd.service")
	if err != nil {
		t.Fatal(err)
	}
	set := "-all"
	for line := range strings.Lines(string(unit)) {
		if names, ok := strings.CutPrefix(line, "CapabilityBoundingSet="); ok {
			for _, name := range strings.Fields(names) {
				set += ",+" + strings.ToLower(strings.TrimPrefix(name, "CAP_"))
			}
		}
	}
	return set
}

func (h *helper) text() string {
	text, _ := os.ReadFile(h.log.Name())
	return string(text)
}

// login tries a password, from an address that PAM can log.
func (h *helper) login(t testing.TB, name, password string) (identity.Identity, error) {
	t.Helper()
	return h.Authenticate(t.Context(), credentials(name, password))
}

func credentials(name, password string) identity.Credentials {
	return identity.Credentials{Name: name, Password: password, Address: netip.MustParseAddr("192.0.2.1")}
}

// newUser makes a user with a password, or without one.
func newUser(t testing.TB, name, password string) string {
	t.Helper()
	name = prefix + name
	_ = exec.Command("userdel", name).Run() // of a run that was killed
	command(t, "", "useradd", "--no-create-home", "--user-group", "--groups", "games", name)
	t.Cleanup(func() { command(t, "", "userdel", name) })
	if password != "" {
		setPassword(t, name, password)
	}
	return name
}

func setPassword(t testing.TB, name, password string) {
	t.Helper()
	command(t, name+":"+password+"\n", "chpasswd")
}

func command(t testing.TB, stdin, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
}

func TestRealUsers(t *testing.T) {
	pamRules(t, shipped(t))
	h := start(t)
	alice := newUser(t, "alice", "sweet")

	id, err := h.login(t, alice, "sweet")
	if err != nil || id.Name != alice || !slices.Contains(id.Groups, "games") || !slices.Contains(id.Groups, alice) {
		t.Errorf("the right password: %v, %v", id, err)
	}
	var wrong sync.WaitGroup
	for name, tt := range map[string]struct {
		user, password string
		want           error
	}{
		"wrong password":     {alice, "sour", identity.ErrWrongPassword},
		"part of it":         {alice, "swee", identity.ErrWrongPassword},
		"other case":         {strings.ToUpper(alice), "sweet", identity.ErrUnknownUser},
		"unknown user":       {prefix + "nobody-of-that-name", "sweet", identity.ErrUnknownUser},
		"empty password":     {alice, "", identity.ErrNoPassword},
		"a path as a name":   {"../../etc/passwd", "sweet", identity.ErrUnknownUser},
		"an option as name":  {"--help", "sweet", identity.ErrUnknownUser},
		"the daemon's user":  {"daemon", "*", identity.ErrWrongPassword},
		"300 characters":     {alice, strings.Repeat("x", 300), identity.ErrWrongPassword},
		"a line of protocol": {alice, "sweet x2go", identity.ErrWrongPassword},
	} {
		wrong.Go(func() { // together: PAM wants 2 s to pass after each
			if id, err := h.login(t, tt.user, tt.password); !errors.Is(err, tt.want) {
				t.Errorf("%s: %v, %v; want %v", name, id, err, tt.want)
			}
		})
	}
	wrong.Wait()
	if id, err := h.Lookup(t.Context(), alice); err != nil || !slices.Contains(id.Groups, "games") {
		t.Errorf("lookup: %v, %v", id, err)
	}
	command(t, "", "gpasswd", "--delete", alice, "games")
	if id, err := h.Lookup(t.Context(), alice); err != nil || slices.Contains(id.Groups, "games") {
		t.Errorf("lookup after the group was lost: %v, %v", id, err)
	}
	if text := h.text(); strings.Contains(text, "sweet") || strings.Contains(text, "sour") {
		t.Errorf("a password is in the log:\n%s", text)
	}
}

func TestPasswordsOfAllKinds(t *testing.T) {
	pamRules(t, shipped(t))
	h := start(t)
	var all sync.WaitGroup
	for i, password := range []string{
		"two words", " blanks around ", "thérèse ß 漢字 🗝", "100%s%n%d", `quote " ' back\slash`, "a:colon:b", "$HOME `id` ;&|",
		strings.Repeat("0123456789", 20),
	} {
		user := newUser(t, fmt.Sprint("user", i), password)
		if _, err := h.login(t, user, password); err != nil {
			t.Errorf("%q: %v", password, err)
		}
		for _, wrong := range []string{password + "x", password[:len(password)-1]} {
			all.Go(func() { // together: PAM wants 2 s to pass after each
				if _, err := h.login(t, user, wrong); err == nil {
					t.Errorf("%q lets %q in", password, wrong)
				}
			})
		}
	}
	all.Wait()
}

func TestAccountsThatAreNotValid(t *testing.T) {
	pamRules(t, shipped(t))
	h := start(t)
	for _, tt := range []struct {
		name   string
		change []string
		login  error // with the right password
	}{
		{name: "locked", change: []string{"usermod", "--lock"}, login: identity.ErrWrongPassword},
		{name: "expired", change: []string{"chage", "--expiredate", "2020-01-01"}, login: identity.ErrExpired},
		{name: "inactive", change: []string{"chage", "--lastday", "2020-01-01", "--maxdays", "30", "--inactive", "5"}, login: identity.ErrExpired},
		{name: "forced", change: []string{"chage", "--lastday", "0"}, login: identity.ErrMustChange},
		{name: "none", change: []string{"passwd", "--delete"}, login: identity.ErrWrongPassword},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			user := newUser(t, tt.name, "sweet")
			if _, err := h.login(t, user, "sweet"); err != nil {
				t.Fatal(err)
			}
			if _, err := h.Lookup(t.Context(), user); err != nil {
				t.Fatal(err)
			}
			command(t, "", tt.change[0], append(tt.change[1:], user)...)
			if id, err := h.login(t, user, "sweet"); !errors.Is(err, tt.login) {
				t.Errorf("login: %v, %v; want %v", id, err, tt.login)
			}
			// Whoever does not know the password learns nothing of the account.
			if _, err := h.login(t, user, "sour"); !errors.Is(err, identity.ErrWrongPassword) {
				t.Errorf("with a wrong password: %v", err)
			}
			if id, err := h.Lookup(t.Context(), user); tt.name != "none" && !errors.Is(err, identity.ErrUnknownUser) {
				t.Errorf("lookup: %v, %v; a ticket would let him in", id, err)
			}
		})
	}
}

func TestSomebodyWithoutAPasswordDoesNotGetInByAny(t *testing.T) {
	pamRules(t, "auth required pam_unix.so nullok\naccount required pam_unix.so\n")
	h := start(t)
	user := newUser(t, "empty", "sweet")
	command(t, "", "passwd", "--delete", user)
	for _, password := range []string{"x", " ", "sweet"} {
		if id, err := h.login(t, user, password); !errors.Is(err, identity.ErrWrongPassword) {
			t.Errorf("%q: %v, %v", password, id, err)
		}
	}
	enter := func(context.Context, identity.Prompt) (string, error) { return "", nil }
	if id, err := h.Converse(t.Context(), credentials(user, ""), enter); !errors.Is(err, identity.ErrWrongPassword) {
		t.Errorf("only pressing Enter: %v, %v", id, err)
	}
}

func TestForcedChangeInAConversation(t *testing.T) {
	pamRules(t, shipped(t))
	h := start(t)
	user := newUser(t, "forced", "sweet")
	command(t, "", "chage", "--lastday", "0", user)
	var said []string
	ask := func(_ context.Context, p identity.Prompt) (string, error) {
		said = append(said, p.Text)
		if strings.Contains(strings.ToLower(p.Text), "current") {
			return "sweet", nil
		}
		return "Quite-another-1", nil
	}
	if id, err := h.Converse(t.Context(), credentials(user, "sweet"), ask); err != nil || id.Name != user {
		t.Errorf("got %v, %v; PAM said %q", id, err, said)
	}
	if _, err := h.login(t, user, "Quite-another-1"); err != nil {
		t.Errorf("the new password: %v; PAM said %q", err, said)
	}
}

// module compiles a PAM module.
func module(t testing.TB, name, text string) string {
	t.Helper()
	source := filepath.Join(t.TempDir(), name+".c")
	text += "int pam_sm_setcred(pam_handle_t *h, int flags, int argc, const char **argv) { return PAM_SUCCESS; }\n"
	if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(filepath.Dir(source), "pam_"+name+".so")
	command(t, "", "gcc", "-shared", "-fPIC", "-o", out, source, "-lpam")
	return out
}

// A directory that does not tell case apart: here it is a PAM module that says
// who is meant.
func TestANameIsCanonicalHoweverItIsTyped(t *testing.T) {
	lower := module(t, "lower", `
#include <ctype.h>
#include <stddef.h>
#include <security/pam_modules.h>
int pam_sm_authenticate(pam_handle_t *h, int flags, int argc, const char **argv) {
	const char *typed; char name[256] = "";
	if (pam_get_user(h, &typed, NULL) != PAM_SUCCESS) return PAM_AUTH_ERR;
	for (int i = 0; typed[i] && i < 255; i++) name[i] = tolower(typed[i]);
	return pam_set_item(h, PAM_USER, name);
}
`)
	pamRules(t, "auth required "+lower+"\n"+shipped(t))
	h := start(t)
	alice := newUser(t, "alice", "sweet")
	id, err := h.login(t, strings.ToUpper(alice), "sweet")
	if err != nil || id.Name != alice {
		t.Errorf("got %v, %v; want %s", id, err, alice)
	}
	if _, err := h.login(t, strings.ToUpper(alice), "sour"); !errors.Is(err, identity.ErrWrongPassword) {
		t.Errorf("a wrong password: %v", err)
	}
}

func TestOneTimeCodesArePassedOn(t *testing.T) {
	code := module(t, "code", `
#include <string.h>
#include <security/pam_modules.h>
#include <security/pam_ext.h>
int pam_sm_authenticate(pam_handle_t *h, int flags, int argc, const char **argv) {
	char *said = NULL;
	pam_info(h, "Look at your token");
	if (pam_prompt(h, PAM_PROMPT_ECHO_ON, &said, "Code: ") != PAM_SUCCESS || !said) return PAM_CONV_ERR;
	return strcmp(said, "123456") ? PAM_AUTH_ERR : PAM_SUCCESS;
}
`)
	pamRules(t, "auth required "+code+"\n"+shipped(t))
	h := start(t)
	alice := newUser(t, "alice", "sweet")
	answer := "123456"
	var prompts []identity.Prompt
	ask := func(_ context.Context, p identity.Prompt) (string, error) {
		prompts = append(prompts, p)
		return answer, nil
	}
	id, err := h.Converse(t.Context(), credentials(alice, "sweet"), ask)
	if err != nil || id.Name != alice {
		t.Errorf("got %v, %v", id, err)
	}
	want := []identity.Prompt{{Text: "Look at your token", Message: true}, {Text: "Code: ", Echo: true}}
	if !slices.Equal(prompts, want) {
		t.Errorf("prompts %+v, want %+v", prompts, want)
	}
	answer = "654321"
	if _, err := h.Converse(t.Context(), credentials(alice, "sweet"), ask); !errors.Is(err, identity.ErrWrongPassword) {
		t.Errorf("a wrong code: %v", err)
	}
	if id, err := h.login(t, alice, "sweet"); err == nil || errors.Is(err, identity.ErrNotTried) {
		t.Errorf("where nobody can be asked: %v, %v", id, err)
	}
}

func TestAnotherUserIsNotAnswered(t *testing.T) {
	pamRules(t, shipped(t))
	h := start(t)
	if err := os.Chmod(h.socket, 0o666); err != nil { // who it is counts, not the mode
		t.Fatal(err)
	}
	for uid, want := range map[uint32]string{65534: "lookup: <nil>\n", 2: "hung up"} {
		self, err := os.ReadFile("/proc/self/exe")
		if err != nil {
			t.Fatal(err)
		}
		program := filepath.Join(filepath.Dir(h.socket), "test")
		if err := os.WriteFile(program, self, 0o755); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(program)
		cmd.Dir = "/"
		cmd.Env = []string{"X2BROKER_TEST_LOOKUP=" + h.socket}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("user %d: %v, %s; want %q", uid, err, out, want)
		}
		_ = os.Remove(program)
	}
	if text := h.text(); !strings.Contains(text, "of user 2 is not the broker's") {
		t.Errorf("the log does not say it:\n%s", text)
	}
}

func TestWithoutItsPAMFileTheHelperDoesNotStart(t *testing.T) {
	_ = os.Remove(pamFile)
	out, err := exec.Command(helperBinary, "--socket", filepath.Join(t.TempDir(), "s"), "--user", "nobody").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "there is no /etc/pam.d/x2broker") {
		t.Errorf("%v: %s", err, out)
	}
}

// hanging has pam_exec hang for one user.
func hanging(t testing.TB, user string) {
	t.Helper()
	script := filepath.Join(t.TempDir(), "hang")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nexec sleep 1000\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	pamRules(t, "auth [success=1 default=ignore] pam_succeed_if.so quiet user != "+user+"\nauth required pam_exec.so "+script+"\n"+shipped(t))
}

// processes gives the processes of conversations, and what they have started.
func (h *helper) processes(t testing.TB) []string {
	t.Helper()
	out, _ := exec.Command("pgrep", "-P", fmt.Sprint(h.cmd.Process.Pid)).Output()
	return strings.Fields(string(out))
}

func TestAHangingModuleCostsOneLogin(t *testing.T) {
	slow, alice := newUser(t, "slow", "sweet"), newUser(t, "alice", "sweet")
	hanging(t, slow)
	h := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := h.Authenticate(ctx, credentials(slow, "sweet"))
		ended <- err
	}()
	wait(t, "no process hangs", func() bool { return len(h.processes(t)) == 1 })
	for range 5 {
		if _, err := h.login(t, alice, "sweet"); err != nil {
			t.Errorf("a login beside it: %v", err)
		}
	}
	cancel()
	if err := <-ended; err == nil {
		t.Error("who hangs got in")
	}
	wait(t, "the process runs on after the broker has hung up", func() bool { return len(h.processes(t)) == 0 })
}

func TestAKilledProcessCostsOneLogin(t *testing.T) {
	slow, alice := newUser(t, "slow", "sweet"), newUser(t, "alice", "sweet")
	hanging(t, slow)
	h := start(t)
	ended := make(chan error, 1)
	go func() {
		_, err := h.login(t, slow, "sweet")
		ended <- err
	}()
	var pids []string
	wait(t, "no process hangs", func() bool { pids = h.processes(t); return len(pids) == 1 })
	command(t, "", "kill", "-9", pids[0])
	if err := <-ended; err == nil || errors.Is(err, identity.ErrNotTried) {
		t.Errorf("got %v: has to count as a failure", err)
	}
	if _, err := h.login(t, alice, "sweet"); err != nil {
		t.Errorf("the next login: %v", err)
	}
}

func TestAHangingModuleIsEndedAtTheDeadline(t *testing.T) {
	slow := newUser(t, "slow", "sweet")
	hanging(t, slow)
	h := start(t, "--deadline", "1s")
	if _, err := h.login(t, slow, "sweet"); err == nil {
		t.Error("who hangs got in")
	}
	wait(t, "the log does not say it", func() bool { return strings.Contains(h.text(), "no result within 1s") })
}

// A process with a password in memory must not be looked into, nor leave a core.
func TestProcessesCannotBeDumped(t *testing.T) {
	slow := newUser(t, "slow", "very-sweet-secret")
	hanging(t, slow)
	h := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = h.Authenticate(ctx, credentials(slow, "very-sweet-secret"))
	}()
	defer func() { cancel(); <-ended }()
	var pids []string
	wait(t, "no process hangs", func() bool { pids = h.processes(t); return len(pids) == 1 })
	for file, want := range map[string]string{
		"limits":  "Max core file size        0                    0",
		"status":  "NoNewPrivs:\t1",
		"cmdline": "conversation",
	} {
		text, err := os.ReadFile("/proc/" + pids[0] + "/" + file)
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %v, does not say %q:\n%s", file, err, want, text)
		}
		if strings.Contains(string(text), "secret") {
			t.Errorf("%s has the password in it", file)
		}
	}
	environ, err := os.ReadFile("/proc/" + pids[0] + "/environ")
	if err != nil || strings.Contains(string(environ), "secret") {
		t.Errorf("environment: %v %q", err, environ)
	}
}

// wait waits for something that tells nobody when it happens.
func wait(t testing.TB, not string, happened func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), brokertest.Deadline)
	defer cancel()
	for !happened() {
		if ctx.Err() != nil {
			t.Fatal(not)
		}
		if err := exec.CommandContext(ctx, "sleep", "0.02").Run(); err != nil {
			t.Fatal(not)
		}
	}
}
