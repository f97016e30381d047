package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/x2broker/x2broker/broker/identity"
)

type passwdCmd struct {
	Cost int `default:"12" help:"Work factor of bcrypt, 10 to 16: each step doubles the time of a login."`
}

// Run prints a hash and nothing else, so that it can be piped.
func (c *passwdCmd) Run(_ context.Context, io stdio) error {
	if c.Cost < 10 || c.Cost > 16 {
		return usageError(fmt.Errorf("--cost %d: want 10 to 16", c.Cost))
	}
	password, err := readPassword(io, "Password: ")
	if err != nil {
		return err
	}
	if terminal(io.in) {
		again, err := readPassword(io, "Again: ")
		if err != nil {
			return err
		}
		if again != password {
			return errors.New("the passwords differ")
		}
	}
	hash, err := identity.HashPassword(password, c.Cost)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(io.out, hash)
	return err
}

// readPassword asks on a terminal, without echo; elsewhere it takes the first
// line.
func readPassword(stdio stdio, prompt string) (string, error) {
	if terminal(stdio.in) {
		fmt.Fprint(stdio.err, prompt)
		password, err := term.ReadPassword(int(stdio.in.(*os.File).Fd()))
		fmt.Fprintln(stdio.err)
		return string(password), err
	}
	return firstLine(stdio.in)
}

func firstLine(r io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(r, 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read password: %w", err)
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return "", errors.New("no password: type one, or give it as the first line of standard input")
	}
	return line, nil
}

func terminal(r io.Reader) bool {
	f, ok := r.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
