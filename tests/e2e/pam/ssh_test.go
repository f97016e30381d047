//go:build e2e

package pam

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/x2broker/x2broker/tests/brokertest"
	"github.com/x2broker/x2broker/tests/pamtest"
	"github.com/x2broker/x2broker/tests/x2goclient"
)

// A desk is a broker that X2Go Client reaches over SSH, and the PAM helper
// behind it.
type desk struct {
	*brokertest.Broker
	*pamtest.Helper
	t *testing.T
}

func newDesk(t *testing.T, settings string) *desk {
	t.Helper()
	if missing := x2goclient.Missing(); len(missing) > 0 {
		t.Fatal("these Debian packages are missing: ", strings.Join(missing, " "))
	}
	d := &desk{Helper: pamtest.Start(t), t: t}
	d.Broker = broker(t, "listen: {http: \"127.0.0.1:0\", ssh: \"127.0.0.1:0\"}\n"+settings+
		fmt.Sprintf("authenticators: [{type: \"pam\", socket: %q, maxAge: \"0s\"}]\n", d.Socket))
	return d
}

// client starts X2Go Client for a user. It ends with the test.
func (d *desk) client(ctx context.Context, user string, args ...string) *x2goclient.Client {
	d.t.Helper()
	c, err := x2goclient.Start(ctx, d.t.TempDir(), "ssh://"+user+"@"+d.SSH+"/x2broker", append(args, "--add-to-known-hosts")...)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(c.Close)
	return c
}

// must fails if anything that a client was to do could not be done.
func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// sees fails unless the client reads its n-th list, and it is that of the site.
func sees(ctx context.Context, t *testing.T, c *x2goclient.Client, n int) {
	t.Helper()
	ids, err := c.Profiles(ctx, n)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(ids, " "); got != "office" {
		t.Fatalf("profiles %q, want office", got)
	}
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*brokertest.Deadline)
	t.Cleanup(cancel)
	return ctx
}

// tokenKey is that of all tokens of these tests.
var tokenKey = []byte("a key of twenty byte")

// hotp is the n-th code of the token, RFC 4226.
func hotp(n uint64) string {
	mac := hmac.New(sha1.New, tokenKey)
	mac.Write(binary.BigEndian.AppendUint64(nil, n))
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 15
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[at:])&0x7fffffff%1000000)
}

const wrongCode = "000000"

// factors are real modules, each with rules that ask for the password and then
// for a code of the token.
var factors = map[string]func(t *testing.T, user string) (rule string){
	"pam_oath": func(t *testing.T, user string) string {
		file := filepath.Join(secretDir(t), "users.oath")
		must(t, os.WriteFile(file, fmt.Appendf(nil, "HOTP\t%s\t-\t%s\n", user, hex.EncodeToString(tokenKey)), 0o600))
		return "auth required pam_oath.so window=20 usersfile=" + file
	},
	"pam_google_authenticator": func(t *testing.T, user string) string {
		dir := secretDir(t)
		secret := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(tokenKey)
		must(t, os.WriteFile(filepath.Join(dir, user), []byte(secret+"\n\" HOTP_COUNTER 1\n\" WINDOW_SIZE 17\n"), 0o400))
		return "auth required pam_google_authenticator.so user=root no_increment_hotp secret=" + dir + "/${USER}"
	},
}

// secretDir is a directory that modules find safe.
func secretDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/etc", "x2broker-test-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestASecondFactorIsAskedForByX2GoClient(t *testing.T) {
	for name, rule := range factors {
		t.Run(name, func(t *testing.T) {
			alice := pamtest.NewUser(t, "alice", "sweet")
			pamtest.Rules(t, "auth requisite pam_unix.so nodelay\n"+rule(t, alice)+"\naccount required pam_unix.so\n")
			d := newDesk(t, "")
			ctx := deadline(t)

			c := d.client(ctx, alice)
			must(t, c.Login("sweet"), c.EnterCode(ctx, 1, hotp(1)))
			sees(ctx, t, c, 1)
			c.Close()

			c = d.client(ctx, alice)
			must(t, c.Login("sweet"), c.EnterCode(ctx, 1, wrongCode), c.EnterCode(ctx, 2, hotp(2)))
			sees(ctx, t, c, 1)
			c.Close()

			// A code is good once.
			c = d.client(ctx, alice)
			must(t, c.Login("sweet"), c.EnterCode(ctx, 1, hotp(2)), c.EnterCode(ctx, 2, wrongCode), c.EnterCode(ctx, 3, wrongCode))
			// The form is there again: the client has not been left waiting.
			must(t, c.Dismiss(ctx, "Authentication failed."), c.Login("sweet"), c.EnterCode(ctx, 4, hotp(3)))
			sees(ctx, t, c, 1)
			c.Close()

			c = d.client(ctx, alice)
			must(t, c.Login("sour"), c.Dismiss(ctx, "Authentication failed."), c.Login("sweet"), c.EnterCode(ctx, 1, hotp(4)))
			sees(ctx, t, c, 1)
		})
	}
}

// A text that X2Go Client does not know is shown in its window, with what PAM
// said before it.
func TestAnyOtherQuestionIsShownByX2GoClient(t *testing.T) {
	code := module(t, "code", `
#include <string.h>
#include <security/pam_modules.h>
#include <security/pam_ext.h>
int pam_sm_authenticate(pam_handle_t *h, int flags, int argc, const char **argv) {
	char *said = NULL;
	pam_info(h, "Look at your token");
	if (pam_prompt(h, PAM_PROMPT_ECHO_OFF, &said, "Answer to challenge 7: ") != PAM_SUCCESS || !said) return PAM_CONV_ERR;
	return strcmp(said, "123 ü€") ? PAM_AUTH_ERR : PAM_SUCCESS;
}
`)
	alice := pamtest.NewUser(t, "alice", "süß")
	pamtest.Rules(t, "auth requisite pam_unix.so nodelay\nauth required "+code+"\naccount required pam_unix.so\n")
	d := newDesk(t, "")
	ctx := deadline(t)
	c := d.client(ctx, alice)
	// With the word "challenge" the client would hang.
	must(t, c.Login("süß"), c.AnswerPrompt(ctx, "Look at your token\nAnswer to question 7: ", "123 ü€"))
	sees(ctx, t, c, 1)
	c.Close()

	c = d.client(ctx, alice)
	must(t, c.Login("süß"), c.AnswerPrompt(ctx, "Look at your token\nAnswer to question 7: ", "124"))
	must(t, c.Dismiss(ctx, "Authentication failed."), c.Login("süß"))
}

// The new password is good for the next connection, and the old connection for
// nothing: what is typed into the form counts.
func TestX2GoClientChangesAPasswordOverSSH(t *testing.T) {
	pamtest.Rules(t, pamtest.Shipped(t))
	const first, second = "sweet 100%&+", `Quite ü 'another'; $(1) "`
	alice := pamtest.NewUser(t, "alice", first)
	d := newDesk(t, "")
	ctx := deadline(t)
	c := d.client(ctx, alice, "--change-broker-pass")
	must(t, c.Login(first))
	sees(ctx, t, c, 1)
	must(t, c.ChangePassword(ctx, first, second))
	d.WaitLog(`msg="password changed"`)
	must(t, c.Dismiss(ctx, "Error"), c.Login(first), c.Dismiss(ctx, "Authentication failed."), c.Login(second))
	sees(ctx, t, c, 2)
	if text := d.Log() + d.Text(); strings.Contains(text, "sweet") || strings.Contains(text, "Quite") {
		t.Errorf("a password is in the log:\n%s", text)
	}
}

// The account ends, and with it what a connection is good for.
func TestALockedUserIsNotAnsweredOnHisConnection(t *testing.T) {
	pamtest.Rules(t, pamtest.Shipped(t))
	alice := pamtest.NewUser(t, "alice", "sweet")
	d := newDesk(t, "")
	ctx := deadline(t)
	c := d.client(ctx, alice, "--change-broker-pass")
	must(t, c.Login("sweet"))
	sees(ctx, t, c, 1)
	pamtest.Command(t, "", "usermod", "--lock", alice)
	must(t, c.ChangePassword(ctx, "sweet", "Quite-another-1"), c.Dismiss(ctx, "Error"), c.Login("sweet"), c.Dismiss(ctx, "Authentication failed."))
}
