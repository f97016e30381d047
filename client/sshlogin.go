package client

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// maxRounds bounds how often a broker may ask during one login.
const maxRounds = 32

// A login is one attempt to get in.
type login struct {
	SSH
	user, password string

	given          bool // the password
	rounds         int
	offered, tried []string // ways to log in, as RFC 4252 calls them
	refusal        string   // in the broker's words
	err            error    // ends the login
}

// methods are the ways to log in, first the one that asks nobody. Of the others
// X2Go Client takes keyboard-interactive first.
func (l *login) methods(keys []ssh.Signer) []ssh.AuthMethod {
	var out []ssh.AuthMethod
	if len(keys) > 0 {
		out = append(out, ssh.PublicKeys(keys...))
	}
	if l.password != "" || l.Ask != nil {
		out = append(out, ssh.KeyboardInteractive(l.answer), ssh.PasswordCallback(l.typed))
	}
	return out
}

// next is asked before each attempt. A password that was wrong is not sent in
// another way, too: that would count as guessing.
func (l *login) next(at *ssh.ClientAuthContext) (ssh.AuthMethod, error) {
	l.offered, l.tried = at.AllowedMethods, at.TriedMethods
	if l.err == nil && l.given && (slices.Contains(l.tried, "keyboard-interactive") || slices.Contains(l.tried, "password")) {
		l.err = denied(l.refusal, false)
	}
	return nil, l.err
}

// typed is the password for the way that is called so.
func (l *login) typed() (string, error) {
	l.given = true
	if l.password != "" {
		return l.password, nil
	}
	var answer string
	answer, l.err = l.Ask("Password for "+l.user+": ", false)
	return answer, l.err
}

// answer gives the answers for one round of keyboard-interactive: the password
// for the first question whose answer is not shown, if it is known.
func (l *login) answer(_, instruction string, prompts []string, echo []bool) ([]string, error) {
	if l.rounds++; l.rounds > maxRounds {
		l.err = errors.New("the broker asks and asks")
		return nil, l.err
	}
	l.tell(instruction)
	answers := make([]string, len(prompts))
	for i, prompt := range prompts {
		switch {
		case l.password != "" && !echo[i] && !l.given:
			answers[i] = l.password
		case l.Ask == nil:
			l.err = fmt.Errorf("the broker asks %q, and nobody can answer", firstLine(prompt))
		default:
			answers[i], l.err = l.Ask(Printable(prompt[:min(len(prompt), 200)]), echo[i])
		}
		if l.err != nil {
			return nil, l.err
		}
		l.given = true
	}
	return answers, nil
}

// banner shows what the broker says, and keeps a reason for the end.
func (l *login) banner(text string) error {
	if strings.HasPrefix(text, refusal) {
		l.refusal = text
	} else {
		l.tell(text)
	}
	return nil
}

// tell shows some lines.
func (l *login) tell(text string) {
	if l.Tell == nil {
		return
	}
	for line := range strings.Lines(text[:min(len(text), maxWords)]) {
		l.Tell(Printable(strings.TrimRight(line, "\r\n")))
	}
}

// explain says why the login failed.
func (l *login) explain(err error) error {
	var hostKey *hostKeyError
	var algorithm *ssh.AlgorithmNegotiationError
	tried := slices.DeleteFunc(slices.Clone(l.tried), func(name string) bool { return name == "none" })
	switch {
	case l.err != nil:
		return l.err
	case errors.As(err, &hostKey):
		return hostKey
	case errors.As(err, &algorithm) && strings.Contains(algorithm.What, "host key"):
		return fmt.Errorf("the broker has no host key of the kinds that %s lists for it (%s, but not %s)", l.KnownHosts,
			Printable(strings.Join(algorithm.SupportedAlgorithms, " ")), strings.Join(algorithm.RequestedAlgorithms, " "))
	case l.refusal != "":
		return denied(l.refusal, false)
	case strings.Contains(err.Error(), "unable to authenticate") && len(tried) == 0:
		return fmt.Errorf("the broker lets people in by %s only, and you gave nothing for that", Printable(strings.Join(l.offered, ", ")))
	case strings.Contains(err.Error(), "unable to authenticate"):
		return fmt.Errorf("%w: what you gave was not taken; the broker lets people in by %s", ErrDenied, Printable(strings.Join(l.offered, ", ")))
	case errors.Is(err, io.EOF):
		return errors.New("it closed the connection during the login")
	}
	return errors.New(Printable(err.Error()))
}
