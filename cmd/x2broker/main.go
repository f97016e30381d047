// X2broker is a session broker for X2Go.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"syscall"
	_ "time/tzdata" // sites name time zones, and not every machine has the data

	"github.com/alecthomas/kong"
)

// Exit codes.
const (
	exitOK    = 0
	exitFail  = 1 // failed at run time
	exitUsage = 2 // the command line or broker.cue is wrong
	exitSite  = 3 // the site does not compile
	exitCase  = 4 // a case or test of the site fails
)

// An exitError is an error with an exit code of its own. An empty text prints
// nothing: everything has been said.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func usageError(err error) error { return &exitError{exitUsage, err} }

var errSaid = errors.New("")

type cli struct {
	Serve    serveCmd    `cmd:"" help:"Answer X2Go clients. Without a site: the built-in demo site, on loopback."`
	Check    checkCmd    `cmd:"" help:"Say what is wrong with a site, by file, line and column."`
	Explain  explainCmd  `cmd:"" help:"Say what a user gets from a site, and which line decided it."`
	Init     initCmd     `cmd:"" help:"Write a site to start from."`
	Vendor   vendorCmd   `cmd:"" help:"Renew the copies of schema and library that a site keeps for plain cue and opa."`
	Import   importCmd   `cmd:"" help:"Make a site of the files of the Python broker x2gobroker."`
	Rehearse rehearseCmd `cmd:"" help:"Log test users in at two brokers and say what differs for them."`
	Verify   verifyCmd   `cmd:"" help:"Say which commits of a site a broker would refuse because of who signed them."`
	Login    loginCmd    `cmd:"" help:"Log in to a broker as X2Go Client does; list and select session profiles."`
	SSH      sshCmd      `cmd:"" name:"ssh" passthrough:"" help:"Ask the broker of this machine for who came through OpenSSH; sshd starts this."`
	Passwd   passwdCmd   `cmd:"" help:"Print the hash of a password for broker.cue."`

	TicketKey ticketKeyCmd `cmd:"" help:"Print a key for ticket.keyFile, which several brokers share."`

	Status   statusCmd   `cmd:"" help:"Say what the running broker serves, and why; or wait for a commit."`
	Pin      pinCmd      `cmd:"" help:"Serve one commit of the site's history and stay there."`
	Unpin    unpinCmd    `cmd:"" help:"End pin or rollback."`
	Rollback rollbackCmd `cmd:"" help:"Pin the commit that served before."`
	Freeze   freezeCmd   `cmd:"" help:"Stay at the commit that serves."`
	Unfreeze unfreezeCmd `cmd:"" help:"End freeze."`

	Version versionCmd `cmd:"" help:"Print the version."`

	Worker workerCmd `cmd:"" name:"compile-worker" hidden:"" help:"Compile sites for the broker that started this."`
}

// stdio is where a command reads and writes.
type stdio struct {
	in       io.Reader
	out, err io.Writer
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	args := os.Args[1:]
	if slices.Contains(formerNames, filepath.Base(os.Args[0])) {
		args = append([]string{"ssh"}, args...)
	}
	code := run(ctx, args, stdio{os.Stdin, os.Stdout, os.Stderr})
	stop()
	os.Exit(code)
}

// run is main with its surroundings passed in.
func run(ctx context.Context, args []string, io stdio) int {
	exited := -1
	var c cli
	parser, err := kong.New(&c,
		kong.Name("x2broker"),
		kong.Description("A session broker for X2Go: profiles and servers are CUE files in a Git repository, Rego policies decide who sees what."),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Writers(io.out, io.err),
		kong.Exit(func(code int) { exited = code }),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(io),
	)
	if err != nil {
		return report(io, err)
	}
	command, err := parser.Parse(args)
	if exited >= 0 {
		return exited
	}
	if err != nil {
		return report(io, usageError(fmt.Errorf("%w (see x2broker --help)", err)))
	}
	return report(io, command.Run())
}

// report prints the error and gives the exit code.
func report(io stdio, err error) int {
	if err == nil {
		return exitOK
	}
	if text := err.Error(); text != "" {
		fmt.Fprintf(io.err, "x2broker: error: %s\n", text)
	}
	var e *exitError
	if errors.As(err, &e) {
		return e.code
	}
	return exitFail
}

// writeJSON prints for tools, --format json.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

type versionCmd struct{}

// Run prints the version that the Go toolchain knows.
func (versionCmd) Run(io stdio) error {
	_, err := fmt.Fprintln(io.out, "x2broker", version())
	return err
}

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}
