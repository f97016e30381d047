//go:build e2e

package openssh

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/x2broker/x2broker/tests/pamtest"
)

// Both ways for X2Go Client: sshd has a forced command, or the URL has a path and
// users have a shell.
func TestX2GoClientBehindSSHD(t *testing.T) {
	alice := pamtest.NewUser(t, "alice", "sweet")
	o := newOffice(t, "")
	for name, tt := range map[string]struct {
		settings []string
		path     string
	}{
		"forced command":  {[]string{"ForceCommand " + o.command()}, "/x2broker"},
		"path in the URL": {nil, strings.ReplaceAll(o.command(), " ", "%20")},
	} {
		t.Run(name, func(t *testing.T) {
			d := o.sshd(nil, tt.settings...)
			h := o.home(d)
			url := "ssh://" + alice + "@" + d.address + tt.path
			ctx := deadline(t)

			c, err := h.Start(ctx, url, "--sessionid=alice")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := c.Login("sour"); err != nil {
				t.Fatal(err)
			}
			if err := c.Dismiss(ctx, "Authentication failed."); err != nil {
				t.Fatal(err)
			}
			if err := c.Login("sweet"); err != nil {
				t.Fatal(err)
			}
			sees(ctx, t, c, "alice")
			server, err := c.Server(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if want := o.listener.Addr().String(); server != want {
				t.Errorf("server %s, want %s", server, want)
			}
			c.Close()

			key := o.addKey(h, alice)
			c, err = h.Start(ctx, url, "--broker-ssh-key="+key)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			sees(ctx, t, c, "alice")
		})
	}
}

// list is what somebody types.
const list = "x2broker --task listsessions"

func TestTwoUsersOfThisMachine(t *testing.T) {
	alice, bob := pamtest.NewUser(t, "alice", "sweet"), pamtest.NewUser(t, "bob", "sour")
	o := newOffice(t, "")
	d := o.sshd(nil, "ForceCommand "+o.command())
	h := o.home(d)
	o.addKey(h, alice, bob)
	for user, want := range map[string]string{alice: "[alice]", bob: "[bob]"} {
		out := o.ssh(d, h, user, list)
		if !strings.Contains(out, "Access granted\n") || !strings.Contains(out, want) || strings.Count(out, "\n[") != 1 {
			t.Errorf("%s is given, instead of %s only:\n%s", user, want, out)
		}
	}
}

// A shell lets its user say what he likes. The kernel says who he is.
func TestNobodyIsSomebodyElse(t *testing.T) {
	alice, bob := pamtest.NewUser(t, "alice", "sweet"), pamtest.NewUser(t, "bob", "sour")
	o := newOffice(t, "")
	d := o.sshd(nil)
	h := o.home(d)
	o.addKey(h, alice, bob)
	for name, tt := range map[string]struct{ line, want string }{
		"--user":       {o.command() + " --user " + bob + " --task listsessions", "Access denied"},
		"root":         {"LOGNAME=root " + o.command() + " --user root --task listsessions", "Access denied"},
		"both":         {"LOGNAME=" + bob + " " + o.command() + " --user " + bob + " --task listsessions", "Access denied"},
		"his original": {"SSH_ORIGINAL_COMMAND='x --user " + bob + " --task listsessions' " + o.command(), "Access denied"},
		"--login":      {o.command() + " --user " + bob + " --login " + alice + " --task listsessions", "Access denied"},
		"LOGNAME":      {"LOGNAME=" + bob + " USER=" + bob + " " + o.command() + " --task listsessions", "[alice]"}, // is not looked at
	} {
		if out := o.ssh(d, h, alice, tt.line); !strings.Contains(out, tt.want) || strings.Contains(out, "[bob]") {
			t.Errorf("%s: %s is given, instead of %s\n%s", name, alice, tt.want, out)
		}
	}
	// And with a ticket of the other one.
	_, rest, _ := strings.Cut(o.ssh(d, h, bob, o.command()+" --task listsessions"), "AUTHID:")
	ticket, _, ok := strings.Cut(rest, "\n")
	if !ok {
		t.Fatal("no ticket")
	}
	out := o.ssh(d, h, alice, o.command()+" --task listsessions --authid "+ticket)
	if strings.Contains(out, "[bob]") {
		t.Errorf("with a ticket of %s, %s is given\n%s", bob, alice, out)
	}
}

// A user writes into his ~/.bashrc, which bash reads before a forced command,
// that he comes from where he would see more.
func TestWhereAUserSaysHeComesFromDoesNotCount(t *testing.T) {
	alice := pamtest.NewUser(t, "alice", "sweet")
	o := newOffice(t, "")
	home := filepath.Join(o.dir, "home")
	for _, err := range []error{
		os.Mkdir(home, 0o755),
		os.WriteFile(filepath.Join(home, ".bashrc"), []byte("export SSH_CLIENT='192.0.2.7 22 22' SSH_CONNECTION='192.0.2.7 22 192.0.2.1 22'\necho read >&2\n"), 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	pamtest.Command(t, "", "usermod", "--shell", "/bin/bash", "--home", home, alice)
	for name, settings := range map[string][]string{"forced command": {"ForceCommand " + o.command()}, "own shell": nil} {
		d := o.sshd(nil, settings...)
		h := o.home(d)
		o.addKey(h, alice)
		line := list
		if settings == nil {
			line = o.command() + " --task listsessions"
		}
		out := o.ssh(d, h, alice, line)
		if !strings.Contains(out, "read\n") {
			t.Errorf("%s: bash did not read .bashrc, this test shows nothing", name)
		}
		if !strings.Contains(out, "[alice]") || strings.Contains(out, "[far]") {
			t.Errorf("%s: %s is given\n%s", name, alice, out)
		}
	}
}
