//go:build e2e

// Package pam logs real users of this machine in, through the real helper and
// real modules.
package pam

import (
	"context"
	"errors"
	"fmt"
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
	"github.com/x2broker/x2broker/tests/pamtest"
)

func TestMain(m *testing.M) {
	if socket := os.Getenv("X2BROKER_TEST_LOOKUP"); socket != "" { // as another user
		_, err := authd.NewClient(socket).Lookup(context.Background(), "root")
		fmt.Println("lookup:", err)
		return
	}
	os.Exit(pamtest.Main(m))
}

func TestRealUsers(t *testing.T) {
	pamtest.Rules(t, pamtest.Shipped(t))
	h := pamtest.Start(t)
	alice := pamtest.NewUser(t, "alice", "sweet")

	id, err := h.Login(t, alice, "sweet")
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
		"unknown user":       {pamtest.Prefix + "nobody-of-that-name", "sweet", identity.ErrUnknownUser},
		"empty password":     {alice, "", identity.ErrNoPassword},
		"a path as a name":   {"../../etc/passwd", "sweet", identity.ErrUnknownUser},
		"an option as name":  {"--help", "sweet", identity.ErrUnknownUser},
		"the daemon's user":  {"daemon", "*", identity.ErrWrongPassword},
		"300 characters":     {alice, strings.Repeat("x", 300), identity.ErrWrongPassword},
		"a line of protocol": {alice, "sweet x2go", identity.ErrWrongPassword},
	} {
		wrong.Go(func() { // together: PAM wants 2 s to pass after each
			if id, err := h.Login(t, tt.user, tt.password); !errors.Is(err, tt.want) {
				t.Errorf("%s: %v, %v; want %v", name, id, err, tt.want)
			}
		})
	}
	wrong.Wait()
	if id, err := h.Lookup(t.Context(), alice); err != nil || !slices.Contains(id.Groups, "games") {
		t.Errorf("lookup: %v, %v", id, err)
	}
	pamtest.Command(t, "", "gpasswd", "--delete", alice, "games")
	if id, err := h.Lookup(t.Context(), alice); err != nil || slices.Contains(id.Groups, "games") {
		t.Errorf("lookup after the group was lost: %v, %v", id, err)
	}
	if text := h.Text(); strings.Contains(text, "sweet") || strings.Contains(text, "sour") {
		t.Errorf("a password is in the log:\n%s", text)
	}
}

func TestPasswordsOfAllKinds(t *testing.T) {
	pamtest.Rules(t, pamtest.Shipped(t))
	h := pamtest.Start(t)
	var all sync.WaitGroup
	for i, password := range []string{
		"two words", " blanks around ", "thérèse ß 漢字 🗝", "100%s%n%d", `quote " ' back\slash`, "a:colon:b", "$HOME `id` ;&|",
		strings.Repeat("0123456789", 20),
	} {
		user := pamtest.NewUser(t, fmt.Sprint("user", i), password)
		if _, err := h.Login(t, user, password); err != nil {
			t.Errorf("%q: %v", password, err)
		}
		for _, wrong := range []string{password + "x", password[:len(password)-1]} {
			all.Go(func() { // together: PAM wants 2 s to pass after each
				if _, err := h.Login(t, user, wrong); err == nil {
					t.Errorf("%q lets %q in", password, wrong)
				}
			})
		}
	}
	all.Wait()
}

func TestAccountsThatAreNotValid(t *testing.T) {
	pamtest.Rules(t, pamtest.Shipped(t))
	h := pamtest.Start(t)
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
			user := pamtest.NewUser(t, tt.name, "sweet")
			if _, err := h.Login(t, user, "sweet"); err != nil {
				t.Fatal(err)
			}
			if _, err := h.Lookup(t.Context(), user); err != nil {
				t.Fatal(err)
			}
			pamtest.Command(t, "", tt.change[0], append(tt.change[1:], user)...)
			if id, err := h.Login(t, user, "sweet"); !errors.Is(err, tt.login) {
				t.Errorf("login: %v, %v; want %v", id, err, tt.login)
			}
			// Whoever does not know the password learns nothing of the account.
			if _, err := h.Login(t, user, "sour"); !errors.Is(err, identity.ErrWrongPassword) {
				t.Errorf("with a wrong password: %v", err)
			}
			if id, err := h.Lookup(t.Context(), user); tt.name != "none" && !errors.Is(err, identity.ErrUnknownUser) {
				t.Errorf("lookup: %v, %v; a ticket would let him in", id, err)
			}
		})
	}
}

func TestSomebodyWithoutAPasswordDoesNotGetInByAny(t *testing.T) {
	pamtest.Rules(t, "auth required pam_unix.so nullok\naccount required pam_unix.so\n")
	h := pamtest.Start(t)
	user := pamtest.NewUser(t, "empty", "sweet")
	pamtest.Command(t, "", "passwd", "--delete", user)
	for _, password := range []string{"x", " ", "sweet"} {
		if id, err := h.Login(t, user, password); !errors.Is(err, identity.ErrWrongPassword) {
			t.Errorf("%q: %v, %v", password, id, err)
		}
	}
	enter := func(context.Context, identity.Prompt) (string, error) { return "", nil }
	if id, err := h.Converse(t.Context(), pamtest.Credentials(user, ""), enter); !errors.Is(err, identity.ErrWrongPassword) {
		t.Errorf("only pressing Enter: %v, %v", id, err)
	}
}

func TestForcedChangeInAConversation(t *testing.T) {
	pamtest.Rules(t, pamtest.Shipped(t))
	h := pamtest.Start(t)
	user := pamtest.NewUser(t, "forced", "sweet")
	pamtest.Command(t, "", "chage", "--lastday", "0", user)
	var said []string
	ask := func(_ context.Context, p identity.Prompt) (string, error) {
		said = append(said, p.Text)
		if strings.Contains(strings.ToLower(p.Text), "current") {
			return "sweet", nil
		}
		return "Quite-another-1", nil
	}
	if id, err := h.Converse(t.Context(), pamtest.Credentials(user, "sweet"), ask); err != nil || id.Name != user {
		t.Errorf("got %v, %v; PAM said %q", id, err, said)
	}
	if _, err := h.Login(t, user, "Quite-another-1"); err != nil {
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
	pamtest.Command(t, "", "gcc", "-shared", "-fPIC", "-o", out, source, "-lpam")
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
	pamtest.Rules(t, "auth required "+lower+"\n"+pamtest.Shipped(t))
	h := pamtest.Start(t)
	alice := pamtest.NewUser(t, "alice", "sweet")
	id, err := h.Login(t, strings.ToUpper(alice), "sweet")
	if err != nil || id.Name != alice {
		t.Errorf("got %v, %v; want %s", id, err, alice)
	}
	if _, err := h.Login(t, strings.ToUpper(alice), "sour"); !errors.Is(err, identity.ErrWrongPassword) {
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
	pamtest.Rules(t, "auth required "+code+"\n"+pamtest.Shipped(t))
	h := pamtest.Start(t)
	alice := pamtest.NewUser(t, "alice", "sweet")
	answer := "123456"
	var prompts []identity.Prompt
	ask := func(_ context.Context, p identity.Prompt) (string, error) {
		prompts = append(prompts, p)
		return answer, nil
	}
	id, err := h.Converse(t.Context(), pamtest.Credentials(alice, "sweet"), ask)
	if err != nil || id.Name != alice {
		t.Errorf("got %v, %v", id, err)
	}
	want := []identity.Prompt{{Text: "Look at your token", Message: true}, {Text: "Code: ", Echo: true}}
	if !slices.Equal(prompts, want) {
		t.Errorf("prompts %+v, want %+v", prompts, want)
	}
	answer = "654321"
	if _, err := h.Converse(t.Context(), pamtest.Credentials(alice, "sweet"), ask); !errors.Is(err, identity.ErrWrongPassword) {
		t.Errorf("a wrong code: %v", err)
	}
	if id, err := h.Login(t, alice, "sweet"); err == nil || errors.Is(err, identity.ErrNotTried) {
		t.Errorf("where nobody can be asked: %v, %v", id, err)
	}
}

func TestAnotherUserIsNotAnswered(t *testing.T) {
	pamtest.Rules(t, pamtest.Shipped(t))
	h := pamtest.Start(t)
	if err := os.Chmod(h.Socket, 0o666); err != nil { // who it is counts, not the mode
		t.Fatal(err)
	}
	for uid, want := range map[uint32]string{65534: "lookup: <nil>\n", 2: "hung up"} {
		self, err := os.ReadFile("/proc/self/exe")
		if err != nil {
			t.Fatal(err)
		}
		program := filepath.Join(filepath.Dir(h.Socket), "test")
		if err := os.WriteFile(program, self, 0o755); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(program)
		cmd.Dir = "/"
		cmd.Env = []string{"X2BROKER_TEST_LOOKUP=" + h.Socket}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("user %d: %v, %s; want %q", uid, err, out, want)
		}
		_ = os.Remove(program)
	}
	if text := h.Text(); !strings.Contains(text, "of user 2 is not the broker's") {
		t.Errorf("the log does not say it:\n%s", text)
	}
}

func TestWithoutItsPAMFileTheHelperDoesNotStart(t *testing.T) {
	_ = os.Remove(pamtest.File)
	out, err := exec.Command(pamtest.Binary, "--socket", filepath.Join(t.TempDir(), "s"), "--user", "nobody").CombinedOutput()
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
	pamtest.Rules(t, "auth [success=1 default=ignore] pam_succeed_if.so quiet user != "+user+"\nauth required pam_exec.so "+script+"\n"+pamtest.Shipped(t))
}

// processes gives the processes of conversations, and what they have started.
func processes(t testing.TB, h *pamtest.Helper) []string {
	t.Helper()
	out, _ := exec.Command("pgrep", "-P", fmt.Sprint(h.PID())).Output()
	return strings.Fields(string(out))
}

func TestAHangingModuleCostsOneLogin(t *testing.T) {
	slow, alice := pamtest.NewUser(t, "slow", "sweet"), pamtest.NewUser(t, "alice", "sweet")
	hanging(t, slow)
	h := pamtest.Start(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := h.Authenticate(ctx, pamtest.Credentials(slow, "sweet"))
		ended <- err
	}()
	pamtest.Wait(t, "no process hangs", func() bool { return len(processes(t, h)) == 1 })
	for range 5 {
		if _, err := h.Login(t, alice, "sweet"); err != nil {
			t.Errorf("a login beside it: %v", err)
		}
	}
	cancel()
	if err := <-ended; err == nil {
		t.Error("who hangs got in")
	}
	pamtest.Wait(t, "the process runs on after the broker has hung up", func() bool { return len(processes(t, h)) == 0 })
}

func TestAKilledProcessCostsOneLogin(t *testing.T) {
	slow, alice := pamtest.NewUser(t, "slow", "sweet"), pamtest.NewUser(t, "alice", "sweet")
	hanging(t, slow)
	h := pamtest.Start(t)
	ended := make(chan error, 1)
	go func() {
		_, err := h.Login(t, slow, "sweet")
		ended <- err
	}()
	var pids []string
	pamtest.Wait(t, "no process hangs", func() bool { pids = processes(t, h); return len(pids) == 1 })
	pamtest.Command(t, "", "kill", "-9", pids[0])
	if err := <-ended; err == nil || errors.Is(err, identity.ErrNotTried) {
		t.Errorf("got %v: has to count as a failure", err)
	}
	if _, err := h.Login(t, alice, "sweet"); err != nil {
		t.Errorf("the next login: %v", err)
	}
}

func TestAHangingModuleIsEndedAtTheDeadline(t *testing.T) {
	slow := pamtest.NewUser(t, "slow", "sweet")
	hanging(t, slow)
	h := pamtest.Start(t, "--deadline", "1s")
	if _, err := h.Login(t, slow, "sweet"); err == nil {
		t.Error("who hangs got in")
	}
	pamtest.Wait(t, "the log does not say it", func() bool { return strings.Contains(h.Text(), "no result within 1s") })
}

// A process with a password in memory must not be looked into, nor leave a core.
func TestProcessesCannotBeDumped(t *testing.T) {
	slow := pamtest.NewUser(t, "slow", "very-sweet-secret")
	hanging(t, slow)
	h := pamtest.Start(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = h.Authenticate(ctx, pamtest.Credentials(slow, "very-sweet-secret"))
	}()
	defer func() { cancel(); <-ended }()
	var pids []string
	pamtest.Wait(t, "no process hangs", func() bool { pids = processes(t, h); return len(pids) == 1 })
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
