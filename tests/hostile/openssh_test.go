package hostile_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"github.com/x2broker/x2broker/tests/brokertest"
)

// A shell is what sshd starts for a user of this machine.
type shell struct {
	t      *testing.T
	me     string
	socket string
}

// startOpenSSH runs a broker with a socket for x2broker ssh.
func startOpenSSH(t *testing.T, settings string) (*brokertest.Broker, *shell) {
	t.Helper()
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	s := &shell{t, u.Username, filepath.Join(t.TempDir(), "ssh.sock")}
	repo := brokertest.NewRepo(t, brokertest.Files{"site.cue": site})
	b := brokertest.Start(t, fmt.Sprintf("site: url: %q\nstateDir: %q\nlisten: {http: \"127.0.0.1:0\", openssh: {path: %q, %s}}\n",
		repo.URL(), filepath.Join(t.TempDir(), "state"), s.socket, settings)+
		brokertest.Users(t, map[string][]string{s.me: {"staff"}, "alice": {"staff"}}))
	b.WaitReady()
	return b, s
}

// run starts the program under a name, with this environment and no other.
func (s *shell) run(name string, env []string, args ...string) (out, errText string, code int) {
	s.t.Helper()
	cmd := exec.Command(brokertest.Binary(s.t), args...)
	cmd.Args[0] = name
	cmd.Env = env
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
}

// Class 13. A user of this machine starts what sshd starts, in an environment that
// he has made up. He gets what is his.
func TestWhoComesThroughOpenSSHIsWhoTheKernelSays(t *testing.T) {
	_, s := startOpenSSH(t, "")
	at := "--socket=" + s.socket
	list := []string{"ssh", at, "--task", "listsessions"}
	for story, c := range map[string]struct {
		env  []string
		args []string
		out  string // begins so, behind the line with the ticket
		code int
	}{
		"nothing is set":                       {nil, list, "Access granted\nSTART_USER_SESSIONS\n\n[everywhere]", 0},
		"LOGNAME is alice":                     {[]string{"LOGNAME=alice"}, list, "Access granted\nSTART_USER_SESSIONS\n\n[everywhere]", 0},
		"LOGNAME is alice, and so is --user":   {[]string{"LOGNAME=alice"}, append(list[:4:4], "--user", "alice"), "Access denied\n\n", 0},
		"SSH_CLIENT is in the lab":             {[]string{"SSH_CLIENT=" + inLab + " 1 22"}, list, "Access granted\nSTART_USER_SESSIONS\n\n[everywhere]", 0},
		"SSH_ORIGINAL_COMMAND is a shell's":    {[]string{"SSH_ORIGINAL_COMMAND=id; id"}, list, "", 2},
		"SSH_ORIGINAL_COMMAND is for alice":    {[]string{"SSH_ORIGINAL_COMMAND=x --user alice --task listsessions"}, list, "Access denied\n\n", 0},
		"SSH_ORIGINAL_COMMAND is what he asks": {[]string{"SSH_ORIGINAL_COMMAND=x --task selectsession --sid everywhere"}, list, "Access granted\nSERVER:ts01:22\n\n", 0},
		"he has no task":                       {nil, list[:2], "Usage: x2broker ssh", 254},
		"he has no broker":                     {nil, []string{"ssh", "--socket", "/nosuch", "--task", "listsessions"}, "", 1},
	} {
		out, errText, code := s.run("x2broker", c.env, c.args...)
		if strings.HasPrefix(out, "AUTHID:") {
			_, out, _ = strings.Cut(out, "\n")
		}
		if !strings.HasPrefix(out, c.out) || code != c.code || strings.Contains(out, "[lab]") || (out == "") != (errText != "") {
			t.Errorf("%s: exit code %d, %s%s", story, code, out, errText)
		}
	}
}

// With trustAddress the site's policy sees where the client is.
func TestTheAddressOfAClientBehindOpenSSH(t *testing.T) {
	_, s := startOpenSSH(t, "trustAddress: true")
	args := []string{"ssh", "--socket", s.socket, "--task", "listsessions"}
	for client, want := range map[string]bool{inLab + " 40000 22": true, enemy + " 40000 22": false} {
		if out, _, code := s.run("x2broker", []string{"SSH_CLIENT=" + client}, args...); strings.Contains(out, "[lab]") != want || code != 0 {
			t.Errorf("%s: exit code %d, %s", client, code, out)
		}
	}
	if out, errText, code := s.run("x2broker", []string{"SSH_CLIENT=unknown"}, args...); out != "" || code != 1 || !strings.Contains(errText, "SSH_CLIENT") {
		t.Errorf("no address: exit code %d, %s%s", code, out, errText)
	}
}

// URLs of clients name programs of the Python broker; links lead here.
func TestTheOldNamesAreKnown(t *testing.T) {
	_, s := startOpenSSH(t, "")
	for _, name := range []string{"/usr/bin/x2gobroker", "/usr/bin/x2gobroker-ssh"} {
		if out, errText, code := s.run(name, nil, "--socket", s.socket, "--tas", "foo", "--user", s.me); !strings.HasSuffix(out, "Access granted\n\n") || code != 0 {
			t.Errorf("%s: exit code %d, %s%s", name, code, out, errText)
		}
	}
}

func TestTheSocketOfOpenSSHHasItsMode(t *testing.T) {
	b, s := startOpenSSH(t, `mode: "0600"`)
	info, err := os.Stat(s.socket)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if !strings.Contains(b.Log(), "openssh "+s.socket) {
		t.Errorf("the log does not name it:\n%s", b.Log())
	}
	b.Stop()
	if _, err := os.Stat(s.socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is left behind: %v", err)
	}
}
