//go:build e2e

package ssh

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/x2broker/x2broker/tests/x2goclient"
)

// listing is what people and scripts type.
const listing = "x2broker --task listsessions"

// ssh runs OpenSSH's client at the broker, and gives what it prints. It asks
// nobody anything unless there is a password to be given.
func (o *office) ssh(ctx context.Context, h *x2goclient.Home, password string, args ...string) (output string, code int) {
	o.t.Helper()
	host, port, _ := strings.Cut(o.SSH, ":")
	all := []string{
		"-F", "/dev/null", "-p", port, "-o", "UserKnownHostsFile=" + filepath.Join(h.Path(), ".ssh", "known_hosts"),
		"-o", "StrictHostKeyChecking=yes", "-o", "IdentitiesOnly=yes", "-o", "NumberOfPasswordPrompts=1",
	}
	cmd := exec.CommandContext(ctx, "ssh", append(append(all, args...), host, listing)...)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + h.Path()}
	if password == "" {
		cmd.Args = append([]string{"ssh", "-o", "BatchMode=yes"}, cmd.Args[1:]...)
	} else {
		program := filepath.Join(h.Path(), "askpass")
		if err := os.WriteFile(program, []byte("#!/bin/sh\necho '"+password+"'\n"), 0o700); err != nil {
			o.t.Fatal(err)
		}
		cmd.Env = append(cmd.Env, "SSH_ASKPASS="+program, "SSH_ASKPASS_REQUIRE=force")
	}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		o.t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// lets fails unless OpenSSH's client gets the list of alice, or does not get in.
func (o *office) lets(in bool, password string, args ...string) {
	o.t.Helper()
	out, code := o.ssh(deadline(o.t), o.home(), password, args...)
	if got := code == 0 && strings.Contains(out, "\n[office]\n"); got != in {
		o.t.Errorf("ssh %q: in is %t, want %t; exit code %d:\n%s", args, got, in, code, out)
	}
	if !in && !strings.Contains(out, "Permission denied") {
		o.t.Errorf("ssh %q: does not say %q:\n%s", args, "Permission denied", out)
	}
}

// sshKeygen runs ssh-keygen, in dir.
func sshKeygen(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command("ssh-keygen", append([]string{"-q"}, args...)...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen %q: %v\n%s", args, err, out)
	}
}

func TestOpenSSHWithAPassword(t *testing.T) {
	o := newOffice(t, "")
	for _, method := range []string{"password", "keyboard-interactive"} {
		only := "PreferredAuthentications=" + method
		o.lets(true, "alice-pw", "-l", "alice", "-o", only)
		o.lets(false, "sour", "-l", "alice", "-o", only)
		o.lets(false, "alice-pw", "-l", "nobody-here", "-o", only)
	}
}

func TestOpenSSHWithAKey(t *testing.T) {
	o := newOffice(t, "")
	dir := t.TempDir()
	for _, kind := range []string{"ed25519", "ecdsa", "rsa"} {
		sshKeygen(t, dir, "-t", kind, "-N", "", "-f", kind)
	}
	sshKeygen(t, dir, "-t", "ed25519", "-N", "", "-f", "stranger")
	var lines []byte
	for _, kind := range []string{"ed25519", "ecdsa", "rsa"} {
		line, err := os.ReadFile(filepath.Join(dir, kind+".pub"))
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line...)
	}
	if err := os.WriteFile(filepath.Join(o.keys, "alice"), lines, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"ed25519", "ecdsa", "rsa"} {
		o.lets(true, "", "-l", "alice", "-i", filepath.Join(dir, kind))
	}
	o.lets(false, "", "-l", "alice", "-i", filepath.Join(dir, "stranger"))
	o.lets(false, "", "-l", "bob", "-i", filepath.Join(dir, "ed25519"))
}

func TestOpenSSHWithACertificate(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"ca", "other-ca"} {
		sshKeygen(t, dir, "-t", "ed25519", "-N", "", "-f", name)
	}
	revoked := filepath.Join(dir, "revoked")
	sign := func(name, ca string, args ...string) string {
		sshKeygen(t, dir, "-t", "ed25519", "-N", "", "-f", name)
		sshKeygen(t, dir, append(append([]string{"-s", ca, "-I", name}, args...), name+".pub")...)
		return filepath.Join(dir, name)
	}
	good, gone := sign("good", "ca", "-n", "alice"), sign("gone", "ca", "-n", "alice")
	line, err := os.ReadFile(gone + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(revoked, line, 0o600); err != nil {
		t.Fatal(err)
	}
	o := newOffice(t, fmt.Sprintf("ssh: {userCAs: [%q], revokedKeys: %q}\n", filepath.Join(dir, "ca.pub"), revoked))

	o.lets(true, "", "-l", "alice", "-i", good)
	o.lets(false, "", "-l", "bob", "-i", good)
	o.lets(false, "", "-l", "alice", "-i", gone)
	o.lets(false, "", "-l", "alice", "-i", sign("for-nobody", "ca"))
	o.lets(false, "", "-l", "alice", "-i", sign("strange", "other-ca", "-n", "alice"))
	o.lets(false, "", "-l", "alice", "-i", sign("old", "ca", "-n", "alice", "-V", "20200101:20200102"))
	o.lets(false, "", "-l", "alice", "-i", sign("elsewhere", "ca", "-n", "alice", "-O", "source-address=192.0.2.0/24"))
	o.lets(true, "", "-l", "alice", "-i", sign("here", "ca", "-n", "alice", "-O", "source-address=127.0.0.0/8"))
	o.lets(false, "", "-l", "alice", "-i", sign("forced", "ca", "-n", "alice", "-O", "force-command=/bin/sh"))
}

// Who has a key and a password gets in with both only.
func TestOpenSSHWithAKeyAndAPassword(t *testing.T) {
	o := newOffice(t, "ssh: keyAndPassword: true\n")
	key := newKey(t)
	o.authorize("alice", key)
	h := o.home()
	file := addKey(t, h, "id_ed25519", key)
	o.lets(true, "alice-pw", "-l", "alice", "-i", file)
	o.lets(false, "sour", "-l", "alice", "-i", file)
	o.lets(false, "", "-l", "alice", "-i", file)
	o.lets(false, "alice-pw", "-l", "alice")
}

// No shell, no files, no way through.
func TestOpenSSHGetsNothingElse(t *testing.T) {
	o := newOffice(t, "")
	key := newKey(t)
	o.authorize("alice", key)
	h := o.home()
	file := addKey(t, h, "id_ed25519", key)
	host, port, _ := strings.Cut(o.SSH, ":")
	known := "UserKnownHostsFile=" + filepath.Join(h.Path(), ".ssh", "known_hosts")
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"a shell":   {[]string{"ssh", "-tt", "-p", port, "-l", "alice", host}, "session broker"},
		"a program": {[]string{"ssh", "-p", port, "-l", "alice", host, "cat /etc/passwd"}, "error"},
		"a way":     {[]string{"ssh", "-p", port, "-l", "alice", "-W", o.listener.Addr().String(), host}, "prohibited"},
		"files":     {[]string{"sftp", "-P", port, "alice@" + host}, "onnection closed"},
	} {
		cmd := exec.CommandContext(deadline(t), tt.args[0], append([]string{"-F", "/dev/null", "-i", file, "-o", known, "-o", "BatchMode=yes"}, tt.args[1:]...)...)
		cmd.Env = []string{"PATH=/usr/bin:/bin"}
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), tt.want) || strings.Contains(string(out), "root:") {
			t.Errorf("%s: %v, does not say %q:\n%s", name, err, tt.want, out)
		}
	}
}
