package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/x2broker/x2broker/broker/identity"
)

// bcrypt is the default: its hashes are read by the tools of other servers too,
// and a login takes no memory worth speaking of, however many people guess.
type passwdCmd struct {
	Cost     *int `placeholder:"12" help:"Work factor of bcrypt, 10 to 16: each step doubles the time of a login."`
	Argon2id bool `name:"argon2id" help:"Print a hash of argon2id instead of bcrypt: harder to guess with graphics cards; takes 64 MiB at each login."`
}

// Run prints a hash and nothing else, so that it can be piped.
func (c *passwdCmd) Run(_ context.Context, io stdio) error {
	cost := identity.DefaultCost
	if c.Cost != nil {
		cost = *c.Cost
	}
	switch {
	case c.Cost != nil && c.Argon2id:
		return usageError(errors.New("--cost is of bcrypt: leave it out with --argon2id"))
	case cost < 10 || cost > 16:
		return usageError(fmt.Errorf("--cost %d: want 10 to 16", cost))
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
	hash := ""
	if c.Argon2id {
		hash, err = identity.HashArgon2id(password, rand.Reader)
	} else {
		hash, err = identity.HashPassword(password, cost)
	}
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
