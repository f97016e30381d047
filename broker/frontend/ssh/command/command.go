// Package command reads what clients of the SSH broker ask for: the string of an
// exec request, or a command line after a shell. It runs nothing.
//
// # Promises
//
// There is no shell here, and nothing is expanded. What would mean something to
// a shell outside of the one frame that X2Go Client sends is an error that names
// its place, never a guess. All that comes out is text without control
// characters under the names of the protocol's fields, and all of it is a claim
// of the client: who he is, his SSH login says.
//
// An option that is there twice is an error: two readers could take it for
// different things. So is an option in the place of a value.
//
// Sources: X2Go Client 4.1.2.2 and x2gobroker 0.0.4.3, as observed.
package command

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// longest is the most bytes of an exec string, or of all words of a command
// line. Real clients send a few hundred.
const longest = 16 << 10

// A Request is what one exec string, or one command line, asks for.
type Request struct {
	// LoginCheck asks for the line LOGIN OK and nothing else, WhoAmI for the
	// name of the user: so X2Go Client tries a new connection, the latter one
	// with Kerberos.
	LoginCheck, WhoAmI bool

	// Begin and End are lines to print before and after the answer, without
	// their ends; "" for none.
	Begin, End string

	// Form has those of the fields task, user, login, authid, sid, newpass,
	// event, server, client, cmd, display, start and elapsed that were given.
	Form map[string]string

	// Backend is the name of a backend, "" for the usual one.
	Backend string

	// Silent wants no output: an event that does not come as the task
	// clientevent, as the reference broker ignores it.
	Silent bool
}

// A UsageError says what is wrong with a request. Its text may be shown: it
// repeats nothing of the request but names of options.
type UsageError struct {
	Code   int    // exit code
	Text   string // lines
	Stdout bool   // for standard output, as the reference broker does; else for standard error
}

// Error gives the text.
func (e *UsageError) Error() string { return strings.TrimRight(e.Text, "\n") }

// Exit codes of the reference broker.
const (
	codeUsage  = 2
	codeNoTask = 254
	codeMode   = 255
)

func usage(format string, args ...any) *UsageError {
	return &UsageError{Code: codeUsage, Text: "x2broker ssh: error: " + fmt.Sprintf(format, args...) + " (see x2broker ssh --help)\n"}
}

const uuid = `[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}`

// frame is what X2Go Client puts around each command. The port for FreeBSD has
// another shell and path, some releases have no path or other blanks.
var frame = regexp.MustCompile(`^(?:bash -l|sh) -c 'echo "(X2GODATABEGIN:(` + uuid + `))"; *` +
	`(?:export PATH="[A-Za-z0-9/:._-]*"; *)?export TERM="dumb"; *` +
	`(.*); echo "(X2GODATAEND:(` + uuid + `))";'$`)

// Parse reads the string of an exec request. Accepted are the login check, a
// command in the frame of X2Go Client, and a bare command for people. A string
// that is not UTF-8 is Latin-1. The error is a *[UsageError].
func Parse(exec string) (Request, error) {
	if len(exec) > longest {
		return Request{}, usage("the command is longer than %d bytes", longest)
	}
	exec = Text(exec)
	if i := strings.IndexFunc(exec, unicode.IsControl); i >= 0 {
		return Request{}, usage("there is a control character%s", place(exec, i))
	}
	if strings.Trim(exec, " ") == `echo "LOGIN OK"` {
		return Request{LoginCheck: true}, nil
	}
	m := frame.FindStringSubmatchIndex(exec)
	if m == nil {
		return parseLine(exec, 0, len(exec), false)
	}
	part := func(i int) string { return exec[m[2*i]:m[2*i+1]] }
	if part(2) != part(5) {
		return Request{}, usage("the marks of begin and end differ")
	}
	r, err := Request{WhoAmI: true}, error(nil)
	if part(3) != "whoami" {
		r, err = parseLine(exec, m[6], m[7], true)
	}
	if err != nil {
		return Request{}, err
	}
	r.Begin, r.End = part(1), part(4)
	return r, nil
}

// ParseArgs reads the words of a command line, without the name of the program.
// Words that are not UTF-8 are Latin-1. The error is a *[UsageError].
func ParseArgs(args []string) (Request, error) {
	total := 0
	words := make([]word, len(args))
	for i, a := range args {
		if total += len(a) + 1; total > longest {
			return Request{}, usage("the command is longer than %d bytes", longest)
		}
		words[i] = word{text: Text(a), place: fmt.Sprintf(" in word %d", i+1)}
		if strings.ContainsFunc(words[i].text, unicode.IsControl) {
			return Request{}, usage("there is a control character%s", words[i].place)
		}
	}
	return parseOptions(words)
}

// parseLine reads the command that is between two places of the exec string.
func parseLine(exec string, from, to int, framed bool) (Request, error) {
	words, err := split(exec, from, to, framed)
	if err != nil {
		return Request{}, err
	}
	// The path of a URL is the name of the program, and may be missing.
	if len(words) > 0 && !words[0].literal && !strings.HasPrefix(words[0].text, "-") {
		if !programName.MatchString(words[0].text) {
			return Request{}, usage("the name of the program has a character that it may not have%s", words[0].place)
		}
		if words = words[1:]; len(words) > 0 && !words[0].literal && words[0].text == "ssh" {
			words = words[1:]
		}
	}
	return parseOptions(words)
}

var programName = regexp.MustCompile(`^[A-Za-z0-9._/-]+$`)

// Text makes UTF-8 of what is Latin-1, and leaves UTF-8 as it is.
func Text(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		b.WriteRune(rune(s[i]))
	}
	return b.String()
}

// place names a place in the string, for people, who count from 1.
func place(s string, at int) string {
	return fmt.Sprintf(" at character %d", utf8.RuneCountInString(s[:at])+1)
}
