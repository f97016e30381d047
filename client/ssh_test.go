package client_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/x2broker/x2broker/client"
)

func TestOverSSHItSaysWhatX2GoClientSays(t *testing.T) {
	b := startSSH(t, nil)
	b.answer = func(exec string) (string, string) {
		if strings.Contains(exec, "selectsession") {
			return framedAnswer(exec, "AUTHID:t-2\nAccess granted\nSERVER:ts01:22\n\n"), "noise"
		}
		return framedAnswer(exec, granted), "noise"
	}
	c := b.client(t)
	c.Account = "alice2"
	ctx := context.Background()
	list, err := c.List(ctx)
	if err != nil || len(list) != 1 || list[0].Name() != "P" {
		t.Fatalf("%v, %v", list, err)
	}
	if _, err := c.List(ctx); err != nil {
		t.Fatal(err)
	}
	server, err := c.Select(ctx, "p")
	if want := (client.Server{Address: "ts01", Port: 22}); err != nil || server != want || c.Ticket != "t-2" {
		t.Fatalf("%v, %v, ticket %q", server, err, c.Ticket)
	}
	frame := func(command string) string {
		return `bash -l -c 'echo "X2GODATABEGIN:UUID"; export PATH="/usr/local/bin:/usr/bin:/bin";export TERM="dumb"; ` + command + `; echo "X2GODATAEND:UUID";'`
	}
	var got []string
	seen := map[string]bool{}
	for _, request := range b.execs {
		kind, text, _ := strings.Cut(request, " ")
		if kind != "exec" {
			got = append(got, kind)
			continue
		}
		_, text, _ = strings.Cut(text, map[bool]string{true: "bash", false: "echo"}[strings.Contains(text, "bash")])
		if m := mark.FindStringSubmatch(text); m != nil {
			if seen[m[1]] {
				t.Errorf("the same UUID twice: %s", m[1])
			}
			seen[m[1]] = true
			text = "bash" + strings.ReplaceAll(text, m[1], "UUID")
		} else {
			text = "echo" + text
		}
		got = append(got, text)
	}
	want := []string{
		"pty-req", "window-change", `echo "LOGIN OK"`,
		frame("/usr/bin/x2gobroker --user alice --task listsessions"),
		frame("/usr/bin/x2gobroker --user alice --authid t-1 --task listsessions"),
		frame(`/usr/bin/x2gobroker --user alice --task selectsession --sid "p" --authid t-1 --login alice2`),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(b.conns) != 1 {
		t.Errorf("%d connections", len(b.conns))
	}
}

// A broker that is the SSH server itself needs no command.
func TestAURLWithoutAPathLeavesTheCommandOut(t *testing.T) {
	b := startSSH(t, nil)
	c := b.client(t)
	c.URL = "ssh://" + b.address
	if _, err := c.List(context.Background()); err != nil {
		t.Fatal(err)
	}
	if last := b.execs[len(b.execs)-1]; !strings.Contains(last, `export TERM="dumb";  --user alice --task listsessions; echo`) {
		t.Errorf("ran %q", last)
	}
}

func TestAConnectionThatHasDiedIsMadeAnew(t *testing.T) {
	b := startSSH(t, nil)
	c := b.client(t)
	for range 2 {
		if _, err := c.List(context.Background()); err != nil {
			t.Fatal(err)
		}
		b.drop()
	}
	if len(b.conns) != 2 {
		t.Errorf("%d connections", len(b.conns))
	}
}

// A broker that has refused a request may end the connection, and answer no more
// on it meanwhile.
func TestAConnectionThatRunsNothingAnyMoreIsMadeAnew(t *testing.T) {
	var execs atomic.Int32
	b := startSSH(t, func(b *sshBroker) {
		// The login check and a list are answered.
		b.refuse = func(request string) bool { return request == "exec" && execs.Add(1) == 3 }
	})
	c := b.client(t)
	for range 2 {
		if _, err := c.List(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if len(b.conns) != 2 {
		t.Errorf("%d connections", len(b.conns))
	}
}

func TestServersThatRunNothing(t *testing.T) {
	for refused, want := range map[string]string{
		"pty-req": "it refuses a terminal, without which X2Go Client does not go on",
		"exec":    "it runs no commands",
	} {
		b := startSSH(t, func(b *sshBroker) { b.refuse = func(request string) bool { return request == refused } })
		if _, err := b.client(t).List(context.Background()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", refused, err)
		}
	}
}

func TestWhatAShellWouldTakeForACommandIsNotSent(t *testing.T) {
	b := startSSH(t, nil)
	for name, change := range map[string]func(*client.Client){
		"the user name has a '\\''":                 func(c *client.Client) { c.User = "alice'; reboot; '" },
		"the user name has a ' '":                   func(c *client.Client) { c.User = "alice --user bob" },
		"the account has a '$'":                     func(c *client.Client) { c.Account = "$(id)" },
		"the ticket that the broker gave has a ';'": func(c *client.Client) { c.Ticket = "a;b" },
		"the path of the URL has a '`'":             func(c *client.Client) { c.URL += "`id`" },
		"the path of the URL has a '\\n'":           func(c *client.Client) { c.URL += "%0Aid" },
		"has no host":                               func(c *client.Client) { c.URL = "ssh:///usr/bin/x2gobroker" },
	} {
		c := b.client(t)
		change(c)
		if _, err := c.Select(context.Background(), "p"); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, id := range []string{`a"b`, "a'b", "a\\b", "a\x00b"} {
		if _, err := b.client(t).Select(context.Background(), id); err == nil || !strings.Contains(err.Error(), "the profile id has a ") {
			t.Errorf("%q: %v", id, err)
		}
	}
	if len(b.conns) != 0 {
		t.Errorf("%d connections", len(b.conns))
	}
}

func TestAnswersOverSSH(t *testing.T) {
	for name, test := range map[string]struct {
		answer func(exec string) (string, string)
		want   string
		denied bool
	}{
		"refused": {func(e string) (string, string) { return framedAnswer(e, "Access denied: locked\n\n"), "" }, "access denied: locked", true},
		// as x2gobroker-ssh does
		"refused without a word": {func(e string) (string, string) { return framedAnswer(e, ""), "" }, "access denied", true},
		"no such command": {
			func(e string) (string, string) {
				return framedAnswer(e, ""), "bash: line 1: /usr/bin/x2gobroker: No such file or directory\n"
			},
			`the command in the path of the URL answers nothing; it says "bash: line 1: /usr/bin/x2gobroker: No such file`, false,
		},
		"no broker": {
			func(e string) (string, string) {
				return map[bool]string{true: "LOGIN OK\n", false: "This account \x1b[2Jis not available."}[strings.HasPrefix(e, "echo")], ""
			},
			`is this a broker? The path in the URL is the command there, and its answer has no marker lines; it says "This account [2Jis not`, false,
		},
		"cut off": {
			func(e string) (string, string) {
				text, _, _ := strings.Cut(framedAnswer(e, granted), "END_USER")
				return text, ""
			},
			"has no marker lines", false,
		},
		"markers of another answer": {
			func(e string) (string, string) {
				if strings.HasPrefix(e, "echo") {
					return "LOGIN OK\n", ""
				}
				return framedAnswer(`X2GODATABEGIN:00000000-0000-4000-8000-000000000000"`, granted), ""
			},
			"has no marker lines", false,
		},
		"no shell": {func(string) (string, string) { return "", "no shell" }, `it does not answer echo "LOGIN OK", for which X2Go Client waits; it says "no shell"`, false},
		"too much": {
			func(e string) (string, string) {
				if strings.HasPrefix(e, "echo") {
					return "LOGIN OK\n", ""
				}
				return strings.Repeat("x", 65<<20), ""
			}, "it sends more than 64 MiB", false,
		},
		"much on stderr": {func(e string) (string, string) {
			return framedAnswer(e, "Access denied: no\n"), strings.Repeat("x", 1<<20)
		}, "access denied: no", true},
	} {
		t.Run(name, func(t *testing.T) {
			b := startSSH(t, nil)
			b.answer = test.answer
			_, err := b.client(t).List(context.Background())
			if err == nil || !strings.Contains(err.Error(), test.want) || errors.Is(err, client.ErrDenied) != test.denied {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestABrokerThatDoesNotAnswerIsNotWaitedFor(t *testing.T) {
	silent := make(chan struct{})
	b := startSSH(t, func(b *sshBroker) {
		b.answer = func(string) (string, string) { <-silent; return "", "" }
	})
	defer close(silent)
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	for _, address := range []string{b.address, mute.Addr().String()} {
		c := b.client(t)
		c.URL = "ssh://" + address + "/x"
		c.SSH.Timeout = 300 * time.Millisecond
		if _, err := c.List(context.Background()); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no answer in time") {
			t.Errorf("%v", err)
		}
	}
	c := b.client(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := c.List(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	c.URL = "ssh://127.0.0.1:1/x"
	if _, err := c.List(context.Background()); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("%v", err)
	}
}
