package verify

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Report is what was found about the commits that are new.
type Report struct {
	Tip  string `json:"tip"`            // 40 hex digits
	Base string `json:"base,omitempty"` // what was accepted last, or since; empty: nothing
	// Rewrite says why the tip is refused as a whole, whoever signed it; then
	// its commits are not looked at.
	Rewrite string   `json:"rewrite,omitempty"`
	Commits []Commit `json:"commits"` // parents before children
}

// Commit is the verdict about one commit. All texts are harmless to a terminal.
type Commit struct {
	Hash     string `json:"hash"` // 40 hex digits
	Subject  string `json:"subject"`
	Author   string `json:"author"`           // as the commit says, which proves nothing
	Signer   string `json:"signer,omitempty"` // of the rules; empty: nobody known
	Key      string `json:"key,omitempty"`    // fingerprint of the key that the signature names
	Accepted bool   `json:"accepted"`
	// Reason of a refusal, with the remedy; continues "commit 1a2b3c4 ...".
	Reason   string   `json:"reason,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
}

// String is the whole sentence about a refused commit.
func (c Commit) String() string {
	return fmt.Sprintf("commit %s %q %s", c.Hash[:shortDigits], c.Subject, c.Reason)
}

// Err is nil if everything is accepted, or else the first refusal as a sentence.
func (r Report) Err() error {
	if r.Rewrite != "" {
		return errors.New(r.Rewrite)
	}
	for _, c := range r.Commits {
		if !c.Accepted {
			return errors.New(c.String())
		}
	}
	return nil
}

// Refused counts the commits that are refused.
func (r Report) Refused() int {
	n := 0
	for _, c := range r.Commits {
		if !c.Accepted {
			n++
		}
	}
	return n
}

// Write prints a line for each commit, the reason below those refused, and
// what it comes to.
func (r Report) Write(w io.Writer) error {
	if r.Rewrite != "" {
		_, err := fmt.Fprintf(w, "refused: %s\n", r.Rewrite)
		return err
	}
	width := 1
	for _, c := range r.Commits {
		width = max(width, utf8.RuneCountInString(c.Signer))
	}
	var b strings.Builder
	for _, c := range r.Commits {
		verdict := "ok"
		if !c.Accepted {
			verdict = "REFUSED"
		}
		fmt.Fprintf(&b, "%-7s  %s  %-*s  %s\n", verdict, c.Hash[:shortDigits], width, cmp.Or(c.Signer, "-"), c.Subject)
		if c.Reason != "" {
			fmt.Fprintf(&b, "         %s\n", c.Reason)
		}
		for _, warning := range c.Warnings {
			fmt.Fprintf(&b, "         warning: %s\n", warning)
		}
	}
	since := "from the first on"
	if r.Base != "" {
		since = "since " + r.Base[:shortDigits]
	}
	noun := "commits"
	if len(r.Commits) == 1 {
		noun = "commit"
	}
	fmt.Fprintf(&b, "%d %s %s: %d accepted, %d refused\n", len(r.Commits), noun, since, len(r.Commits)-r.Refused(), r.Refused())
	_, err := io.WriteString(w, b.String())
	return err
}
