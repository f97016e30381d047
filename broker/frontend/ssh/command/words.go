package command

import (
	"strings"
	"unicode"
)

// A word of a command.
type word struct {
	text    string
	literal bool   // it was in quotes, or is a password: never an option
	place   string // for errors
}

// newPassword is followed by the new password in the frame of X2Go Client, which
// puts it last and in no quotes, whatever characters it has.
const newPassword = "--newpass"

// split reads words and "texts in double quotes", with blanks between them, from
// a part of the exec string. It accepts only what a shell would leave as it is.
func split(exec string, from, to int, framed bool) ([]word, error) {
	var words []word
	for at := from; at < to; {
		rest := exec[at:to]
		if rest[0] == ' ' {
			at++
			continue
		}
		w := word{place: place(exec, at)}
		if rest[0] == '"' {
			end := strings.IndexByte(rest[1:], '"')
			if end < 0 {
				return nil, usage("the quotes%s do not end", w.place)
			}
			w.text, w.literal = rest[1:1+end], true
			if i := strings.IndexFunc(w.text, specialInQuotes); i >= 0 {
				return nil, usage("a command can have no ' and no \\, $ or backtick, and there is one%s", place(exec, at+1+i))
			}
			at += 1 + end + 1
			if at < to && exec[at] != ' ' {
				return nil, usage("there is no blank behind the quotes%s", place(exec, at))
			}
			words = append(words, w)
			continue
		}
		w.text, _, _ = strings.Cut(rest, " ")
		if i := strings.IndexFunc(w.text, special); i >= 0 {
			return nil, usage("a character that means something to a shell is outside of quotes%s", place(exec, at+i))
		}
		words = append(words, w)
		at += len(w.text)
		if framed && w.text == newPassword && at < to {
			at++
			return append(words, word{text: exec[at:to], literal: true, place: place(exec, at)}), nil
		}
	}
	return words, nil
}

// specialInQuotes are the characters that mean something to a shell in double
// quotes, or would end the quotes of the frame.
func specialInQuotes(r rune) bool { return strings.ContainsRune("'\\$`", r) }

// special are the characters that mean something to a shell, or to the eye.
func special(r rune) bool {
	return strings.ContainsRune("'\"\\$`;&|<>()*?[]{}!#~", r) || !unicode.IsPrint(r)
}
