package ssh

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/x2broker/x2broker/broker/session"
)

// A conversation passes prompts on to a client, one at a time, in a form that
// X2Go Client 4.1.2.2 shows to its user:
//
//   - what it is told without being asked is never shown, so that messages go in
//     front of the next prompt;
//   - it answers prompts that begin "Password:" with the password of its form, so
//     that nothing goes in front of these;
//   - it has no form, and so answers these with nothing, where it was told to log
//     in with a key: then it is asked once more in other words, which it shows;
//   - it hangs at a prompt with the word "challenge";
//   - it asks its user for a code once, and answers each further prompt of that
//     kind with the same code.
type conversation struct {
	challenge ssh.KeyboardInteractiveChallenge
	messages  []string // to be shown with the next prompt
	prompts   int
	coded     bool   // a code was asked for
	again     bool   // a password was asked for once more
	first     string // answer
	broken    bool
}

// codePrompt is how lines begin by which X2Go Client knows that a code is asked
// for.
var codePrompt = regexp.MustCompile(`(?m)^(?:Verification code:|One-time password \(OATH\) for|passcode:|Enter PASSCODE:|YubiKey for)`)

var challengeWord = regexp.MustCompile(`(?i)challenge`)

// ask is a [session.Ask].
func (t *conversation) ask(_ context.Context, p session.Prompt) (string, error) {
	if p.Message {
		if len(t.messages) < maxMessages {
			t.messages = append(t.messages, p.Text)
		}
		return "", nil
	}
	if t.prompts++; t.prompts > maxPrompts {
		return "", fmt.Errorf("more than %d prompts in one login", maxPrompts)
	}
	said := t.said()
	prompt := challengeWord.ReplaceAllString(p.Text, "question")
	if codePrompt.MatchString(prompt) {
		if t.coded {
			prompt = "Next: " + strings.ReplaceAll(prompt, "\n", " ")
		}
		t.coded = true
	}
	instruction := said
	ofForm := strings.HasPrefix(prompt, "Password:")
	if said != "" && !ofForm {
		prompt, instruction = said+"\n"+prompt, ""
	}
	answer, err := t.put(instruction, prompt, p.Echo)
	if err == nil && answer == "" && ofForm && !t.again {
		t.again = true
		answer, err = t.put("", "Your password: ", p.Echo)
	}
	if t.prompts == 1 {
		t.first = answer
	}
	return answer, err
}

// put asks one question.
func (t *conversation) put(instruction, prompt string, echo bool) (string, error) {
	answers, err := t.challenge("", instruction, []string{prompt}, []bool{echo})
	if err != nil {
		t.broken = true
		return "", err
	}
	return text([]byte(answers[0])), nil
}

// end shows the messages after the last prompt, to clients that do show them.
func (t *conversation) end() {
	if len(t.messages) > 0 && !t.broken {
		_, _ = t.challenge("", t.said(), nil, nil) // nothing depends on it
	}
}

// said gives the messages, once.
func (t *conversation) said() string {
	all := challengeWord.ReplaceAllString(strings.Join(t.messages, "\n"), "question")
	t.messages = nil
	if len(all) > maxMessage {
		all = strings.ToValidUTF8(all[:maxMessage], "")
	}
	return all
}
