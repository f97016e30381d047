package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/x2broker/x2broker/client/rehearse"
)

// A testUser is a line of the users' file.
type testUser struct {
	name, passwordFile, key string
	from                    netip.Addr
}

// users gives the test users with their passwords.
func (c *rehearseCmd) users(stdio stdio) ([]rehearse.User, error) {
	passwords := &prompter{stdio: stdio, lines: bufio.NewReader(stdio.in), known: map[string]string{}}
	lines, err := c.testUsers(passwords)
	if err != nil {
		return nil, err
	}
	var out []rehearse.User
	for _, l := range lines {
		if l.passwordFile == "" {
			l.passwordFile = c.PasswordFile
		}
		if !l.from.IsValid() {
			l.from = c.From
		}
		if l.key == "" {
			l.key = c.Key
		}
		u := rehearse.User{Name: l.name, KeyFile: l.key, From: l.from}
		switch {
		case l.passwordFile != "":
			u.Password, err = passwordFrom(l.passwordFile)
		case l.key == "" || !overSSH(c.Old) || !overSSH(c.New): // else the key does
			u.Password, err = passwords.of(l.name)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, u)
	}
	return out, nil
}

func (c *rehearseCmd) testUsers(p *prompter) ([]testUser, error) {
	switch {
	case c.Users != "" && c.User != "":
		return nil, usageError(errors.New("give --users or --user, not both"))
	case c.Users != "":
		return readTestUsers(c.Users)
	case c.User != "":
		return []testUser{{name: c.User}}, nil
	case terminal(p.stdio.in):
		fmt.Fprint(p.stdio.err, "User: ")
		name, err := p.line()
		if err != nil || name == "" {
			return nil, usageError(errors.New("no user: give --users FILE or --user NAME"))
		}
		return []testUser{{name: name}}, nil
	}
	return nil, usageError(errors.New("no user: give --users FILE or --user NAME"))
}

// readTestUsers reads a file of users. Names of files in it are relative to it.
func readTestUsers(file string) ([]testUser, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var out []testUser
	for i, line := range strings.Split(string(data), "\n") {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		u := testUser{name: words[0]}
		for at, word := range words[1:] {
			switch what, value, _ := strings.Cut(word, "="); what {
			case "password-file":
				u.passwordFile = beside(file, value)
			case "key":
				u.key = beside(file, value)
			case "from":
				if u.from, err = netip.ParseAddr(value); err != nil {
					return nil, usageError(fmt.Errorf("%s:%d: from=%s is no IP address", file, i+1, value))
				}
			default: // not named: it may be a password
				return nil, usageError(fmt.Errorf("%s:%d: word %d of the line is none of password-file=FILE, key=FILE and from=ADDRESS; passwords do not belong here", file, i+1, at+2))
			}
		}
		out = append(out, u)
	}
	if len(out) == 0 {
		return nil, usageError(fmt.Errorf("%s: no user in it", file))
	}
	return out, nil
}

// beside is the path of a file that another names.
func beside(file, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(file), name)
}

// A prompter asks for passwords, each user's once.
type prompter struct {
	stdio stdio
	lines *bufio.Reader // of standard input, where that is no terminal
	known map[string]string
}

func (p *prompter) of(user string) (string, error) {
	if password, ok := p.known[user]; ok {
		return password, nil
	}
	ask := p.line
	if terminal(p.stdio.in) {
		ask = func() (string, error) { return readPassword(p.stdio, "Password for "+user+": ") }
	}
	password, err := ask()
	if err == nil && password == "" {
		err = errors.New("no line for him on standard input")
	}
	if err != nil {
		return "", fmt.Errorf("password of %s: %w", user, err)
	}
	p.known[user] = password
	return password, nil
}

// line reads one line, "" at the end.
func (p *prompter) line() (string, error) {
	line, err := p.lines.ReadString('\n')
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return strings.TrimRight(line, "\r\n"), err
}
