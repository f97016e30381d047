package x2goclient

import (
	"context"
	"errors"
	"regexp"
	"strings"
)

// EnterCode types a second factor into the small dialog that X2Go Client opens
// when an SSH broker asks for one with a text that it knows: `Verification
// code:`, `One-time password (OATH) for`, `passcode:`, `Enter PASSCODE:`, or
// `YubiKey for`, at the beginning of a line. It waits for the n-th such question.
func (c *Client) EnterCode(ctx context.Context, n int, code string) error {
	if _, err := c.WaitLog(ctx, n, `Verification code request`); err != nil {
		return err
	}
	if _, err := c.WaitWindow(ctx, c.at); err != nil {
		return err
	}
	return errors.Join(c.Type(code), c.Enter())
}

// AnswerPrompt types into the card "Terminal output", which X2Go Client shows
// in its main window for every other question of an SSH broker. It waits for the
// question with that text.
func (c *Client) AnswerPrompt(ctx context.Context, prompt, answer string) error {
	shown := regexp.QuoteMeta(strings.ReplaceAll(prompt, "\n", `\n`))
	if _, err := c.WaitLog(ctx, 1, `SSH (?:Session prompt|Interaction update):"`+shown+`"`); err != nil {
		return err
	}
	return errors.Join(c.display.focus(c.window), c.Type(answer), c.Enter())
}
