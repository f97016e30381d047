package site_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/x2broker/x2broker/tests/brokertest"
)

// What `x2broker login` prints is what an admin has when a user calls.
func TestLoginSaysWhatBecameOfIt(t *testing.T) {
	repo := brokertest.NewRepo(t, campus)
	b := brokertest.Start(t, settings(t, repo.URL(), t.TempDir()))
	b.WaitReady()
	dir := t.TempDir()
	password := func(text string) string {
		file := filepath.Join(dir, "password")
		if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return "--password-file=" + file
	}
	right, wrong := password("alice-pw"), "--password-file="+filepath.Join(dir, "wrong")
	if err := os.WriteFile(filepath.Join(dir, "wrong"), []byte("wrong\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	plain := b.URL()
	json := strings.Replace(plain, "/plain/", "/json/", 1)
	const list = "PROFILE   NAME      COMMAND   HOST\nanywhere  Anywhere  TERMINAL  ts01.example.org,ts02.example.org\n"
	for _, test := range []struct {
		name string
		args []string
		code int
		want string // a regular expression for the whole output
	}{
		{"plain", []string{"-u", "alice", right, plain}, 0, list},
		{"JSON", []string{"-u", "alice", right, json}, 0, list},
		{"user in the URL", []string{right, strings.Replace(json, "://", "://alice@", 1)}, 0, list},
		{"select, plain", []string{"-u", "alice", right, "--select=anywhere", plain}, 0, list + "selected anywhere: server ts01.example.org port 22\n"},
		{"select, JSON", []string{"-u", "alice", right, "--select=anywhere", json}, 0, list + "selected anywhere: server ts01.example.org port 22\n"},
		{"hidden, plain", []string{"-u", "alice", right, "--select=lab", plain}, 1, `x2broker: error: select "lab": access denied: .*\n`},
		{"hidden, JSON", []string{"-u", "alice", right, "--select=lab", json}, 1, `x2broker: error: select "lab": access denied: no server available for this profile\n`},
		{"wrong password, plain", []string{"-u", "alice", wrong, plain}, 1, "x2broker: error: list session profiles: access denied\n"},
		{"wrong password, JSON", []string{"-u", "alice", wrong, json}, 1, "x2broker: error: list session profiles: access denied\n"},
		{"no such door", []string{"-u", "alice", right, strings.Replace(plain, "plain", "xml", 1)}, 1, `x2broker: error: list session profiles: the broker answered 404 .*\n`},
		{"nobody listens", []string{"-u", "alice", right, "http://127.0.0.1:1/plain/"}, 1, `x2broker: error: list session profiles: .*connection refused\n`},
		{"no user", []string{right, plain}, 2, `x2broker: error: no user: give --user, or a URL with the user in it, like ssh://user@host/\n`},
		{"password in the URL", []string{right, strings.Replace(plain, "://", "://alice:x@", 1)}, 2, `x2broker: error: a password in the URL would be seen .*\n`},
		{"no URL", []string{"-u", "alice", right, "broker"}, 2, `x2broker: error: "broker" is no URL of a broker.*\n`},
	} {
		out, code := brokertest.Run(t, append([]string{"login"}, test.args...)...)
		if code != test.code || !regexp.MustCompile(`^`+test.want+`$`).MatchString(out) {
			t.Errorf("%s: exit code %d, want %d; says\n%swant\n%s", test.name, code, test.code, out, test.want)
		}
	}
	// Each is told when to come again.
	said := regexp.MustCompile(`^x2broker: error: list session profiles: access denied for a while: too many failed logins, try again in \d+ s\n$`)
	for _, url := range []string{plain, json} {
		for tries := 0; ; tries++ {
			out, code := brokertest.Run(t, "login", "-u", "sam", wrong, url)
			if said.MatchString(out) && code == 1 {
				break
			}
			if tries > 10 {
				t.Fatalf("%s never throttles: %s", url, out)
			}
		}
	}
}

// Over SSH it says the same. What is asked is answered by the lines of standard input.
func TestLoginOverSSHSaysTheSame(t *testing.T) {
	repo := brokertest.NewRepo(t, campus)
	b := brokertest.Start(t, settings(t, repo.URL(), t.TempDir())+"listen: {http: \"127.0.0.1:0\", ssh: \"127.0.0.1:0\"}\n")
	b.WaitReady()
	known := brokertest.KnownHosts(t, b.SSH)
	url := "ssh://alice@" + b.SSH + "/usr/bin/x2gobroker"
	const list = "PROFILE   NAME      COMMAND   HOST\nanywhere  Anywhere  TERMINAL  ts01.example.org,ts02.example.org\n"
	for _, test := range []struct {
		name, stdin string
		args        []string
		code        int
		want        string // a regular expression for the whole output
	}{
		{"list", "alice-pw\n", []string{url}, 0, list},
		{"select", "alice-pw\n", []string{"--select=anywhere", url}, 0, list + "selected anywhere: server ts01.example.org port 22\n"},
		{"no path", "alice-pw\n", []string{strings.TrimSuffix(url, "/usr/bin/x2gobroker")}, 0, list},
		{"path of two words", "alice-pw\n", []string{strings.Replace(url, "x2gobroker", "x2broker%20ssh", 1)}, 0, list},
		{"hidden", "alice-pw\n", []string{"--select=lab", url}, 1, `x2broker: error: select "lab": access denied: .*\n`},
		{"not sent", "alice-pw\n", []string{"--select=a'b", url}, 1, `x2broker: error: select "a'b": the profile id has a .*\n`},
		{"wrong password", "wrong\n", []string{url}, 1, "x2broker: error: list session profiles: access denied\n"},
		{"no password", "", []string{url}, 1, `x2broker: error: list session profiles: ask "` + url[:6] + `.*: "Password:" is asked, and standard input has no line for it\n`},
		{"no key", "", []string{"--agent", url}, 2, `x2broker: error: --agent: there is no agent, .*\n`},
		{"unknown host", "", []string{strings.Replace(url, "127.0.0.1", "localhost", 1)}, 1, `x2broker: error: list session profiles: ask .* has no host key of \[localhost\]:.*\n`},
	} {
		cmd := exec.Command(brokertest.Binary(t), append([]string{"login", "--known-hosts", known}, test.args...)...)
		cmd.Stdin = strings.NewReader(test.stdin)
		cmd.Env = append(os.Environ(), "SSH_AUTH_SOCK=")
		out, _ := cmd.CombinedOutput() // the code says it
		if code := cmd.ProcessState.ExitCode(); code != test.code || !regexp.MustCompile(`^`+test.want+`$`).Match(out) {
			t.Errorf("%s: exit code %d, want %d; says\n%swant\n%s", test.name, code, test.code, out, test.want)
		}
	}
	said := regexp.MustCompile(`^x2broker: error: list session profiles: access denied for a while: too many failed logins, try again in \d+ s\n$`)
	wrong := filepath.Join(t.TempDir(), "wrong")
	if err := os.WriteFile(wrong, []byte("wrong\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for tries := 0; ; tries++ {
		out, code := brokertest.Run(t, "login", "-u", "sam", "--password-file", wrong, "--known-hosts", known, strings.Replace(url, "alice@", "", 1))
		if said.MatchString(out) && code == 1 {
			break
		}
		if tries > 10 {
			t.Fatalf("never throttled: %s", out)
		}
	}
}
