package golden_test

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"github.com/x2broker/x2broker/broker/frontend/ssh"
	"github.com/x2broker/x2broker/broker/frontend/ssh/command"
	"github.com/x2broker/x2broker/broker/session"
)

// printed gives what the SSH frontend prints the form of an answer over HTTP:
// text with the body of plain, behind which it prints one line feed. What is not
// of that kind has its exit code for a status.
func printed(code int, stdout string) answer {
	body, ok := strings.CutSuffix(stdout, "\n")
	if code == 0 && (ok || stdout == usage) {
		return text(body)
	}
	return answer{Status: code, Body: stdout}
}

// usage stands in recorded answers for what every broker says in its own words.
const usage = "{{USAGE TEXT on stdout}}"

// magic is the user whom the old broker believes any name. Its recordings speak
// for others through him: here these have logged in themselves.
const magic = "x2gobroker"

// login is who has logged in over SSH.
func (r *request) login() string {
	name, ok := r.Env["LOGNAME"]
	if !ok {
		return r.RunAs
	}
	if as := r.options().Get("user"); name == magic && as != "" {
		return as
	}
	return name
}

// options are those of the command line by their names in plain.
func (r *request) options() url.Values {
	form := url.Values{}
	asked, err := command.ParseArgs(r.Command[1:])
	if err != nil {
		return form // a case about that
	}
	for name, value := range asked.Form {
		form.Set(name, value)
	}
	return form
}

// command asks as a user who has logged in over SSH.
func (p *play) command(x *exchange) (answer, error) {
	var args []string
	for _, a := range x.Command[1:] {
		a, err := p.known.fill(a)
		if err != nil {
			return answer{}, err
		}
		args = append(args, a)
	}
	asked, err := command.ParseArgs(args)
	if err != nil {
		r := ssh.Usage(err)
		return printed(r.Code, string(r.Stdout)), nil
	}
	address, _, _ := strings.Cut(x.Env["SSH_CLIENT"], " ")
	from, err := netip.ParseAddr(address)
	if err != nil {
		return answer{}, err
	}
	proof, err := p.broker.service.ConnectAs(p.t.Context(), session.Credentials{Name: x.login(), Address: from})
	if err != nil {
		return printed(0, "Access denied\n\n"), nil // see broker/frontend/ssh/local
	}
	r := p.broker.door.Run(p.t.Context(), asked, proof)
	if r.Code != 0 && len(r.Stderr) == 0 {
		return answer{}, fmt.Errorf("exit code %d without a word", r.Code)
	}
	return printed(r.Code, string(r.Stdout)), nil
}

// failed is what is printed with a code and a word on standard error.
func failed(code int) answer { return answer{Status: code} }

var overSSH = []*deviation{
	{
		Name:   "The SSH login decides",
		Reason: "An authid proves nothing to whoever has logged in already. A used, wrong or missing one costs nobody his answer, and an authid that all clients share opens nothing.",
		Cases:  []string{"ssh-authid-aliases/4", "ssh-require-cookie"},
		Expect: instead(granted),
	},
	{
		Name:   "--user is a claim that must match",
		Reason: "The old broker answers whoever asks under another name as himself, and says so in a log only. It believes its own user any name; there is no such user.",
		Cases:  []string{"ssh-user-denied/0", "ssh-no-logname/1"},
		Expect: instead(text("Access denied\n")),
	},
	{
		Name:   "The kernel says who asks",
		Reason: "LOGNAME is a variable that a user may set, and only says which of his names is meant. It may be missing.",
		Cases:  []string{"ssh-no-logname/0"},
		Expect: instead(text("OK")), // see testcon
	},
	{
		Name:   "Who logs in over SSH must be known",
		Reason: "The old broker answers every name that sshd lets in. Whom no authenticator of the broker knows, or knows any more, is denied.",
		Cases:  []string{"ssh-pw-override"},
		Expect: instead(text("Access denied\n")),
	},
	{
		Name:   "The policy says who may use which account",
		Reason: "The old broker takes any name behind --login, and has agents act for it. Unless the policy of the site says otherwise, users have accounts of their own name.",
		Cases:  []string{"ssh-login-option/2"},
		Expect: instead(text("Access denied: this account is not available\n")),
	},
	{
		Name:   "A backend that there is not is an error",
		Reason: "The old broker prints nothing for one that is switched off, and X2Go Client calls that a failed login.",
		Cases:  []string{"ssh-backend/2"},
		Expect: instead(failed(1)),
	},
}
