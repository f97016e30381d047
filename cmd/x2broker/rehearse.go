package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/x2broker/x2broker/client"
	"github.com/x2broker/x2broker/client/rehearse"
)

type rehearseCmd struct {
	Old string `required:"" placeholder:"URL" help:"The broker that users have now, as in X2Go Client: http://host:port/plain/inifile, https:// or ssh://host:port/usr/bin/x2gobroker-ssh."`
	New string `required:"" placeholder:"URL" help:"The broker that shall take its place."`

	Users        string     `type:"existingfile" placeholder:"FILE" help:"Test users, one a line: NAME [password-file=FILE] [key=FILE] [from=ADDRESS]. Passwords that are in no file are asked for, or read from standard input, a line each."`
	User         string     `short:"u" help:"One test user."`
	PasswordFile string     `type:"existingfile" placeholder:"FILE" help:"File whose first line is the password of users without one of their own."`
	Key          string     `type:"existingfile" placeholder:"FILE" help:"Private key for ssh brokers, of users without one of their own."`
	From         netip.Addr `placeholder:"ADDRESS" help:"Connect from this address of this machine, where a user has no other."`

	CA             string        `name:"ca" type:"existingfile" placeholder:"FILE" help:"PEM file with the CA of https brokers, or the certificate of one that signed it itself."`
	InsecureOld    bool          `help:"Believe any certificate of the old broker."`
	AllowPlainHTTP bool          `name:"allow-plain-http" help:"Send passwords over http:// to other machines."`
	Tries          int           `default:"20" help:"Selections of a profile at most, to see all servers that a broker chooses from."`
	Timeout        time.Duration `default:"60s" help:"For one request."`
	Format         string        `default:"text" enum:"text,json" help:"How to print: ${enum}."`
	sshFlags
}

// Run logs the users in, one after the other, and prints what differs.
func (c *rehearseCmd) Run(ctx context.Context, stdio stdio) error {
	r, err := c.rehearsal(stdio)
	if err != nil {
		return err
	}
	users, err := c.users(stdio)
	if err != nil {
		return err
	}
	report := rehearse.Report{Old: r.Old.URL, New: r.New.URL}
	for i, u := range users {
		progress(stdio, fmt.Sprintf("%d of %d users: %s", i+1, len(users), u.Name))
		result, err := r.User(ctx, u)
		progress(stdio, "")
		if err != nil {
			return fmt.Errorf("rehearse as %s: %w", u.Name, err)
		}
		report.Add(result)
	}
	write := report.Write
	if c.Format == "json" {
		write = report.WriteJSON
	}
	if err := write(stdio.out); err != nil {
		return err
	}
	if !report.Same() {
		return &exitError{exitFail, errSaid}
	}
	return nil
}

// rehearsal checks the command line but for the users.
func (c *rehearseCmd) rehearsal(stdio stdio) (*rehearse.Rehearsal, error) {
	if c.Tries < 1 {
		return nil, usageError(fmt.Errorf("--tries %d: want 1 or more", c.Tries))
	}
	if err := c.mayCarryPasswords(stdio, "--old", c.Old); err != nil {
		return nil, err
	}
	if err := c.mayCarryPasswords(stdio, "--new", c.New); err != nil {
		return nil, err
	}
	if c.Old == c.New {
		return nil, usageError(errors.New("--old and --new are the same broker"))
	}
	if c.InsecureOld && overSSH(c.Old) {
		return nil, usageError(errors.New("--insecure-old is about certificates of https: name the old broker's host key in --known-hosts, or by --fingerprint"))
	}
	old, err := c.side(c.Old, c.InsecureOld)
	if err != nil {
		return nil, err
	}
	if c.InsecureOld {
		fmt.Fprintln(stdio.err, "x2broker: warning: whoever answers for the old broker gets the passwords (--insecure-old)")
	}
	newer, err := c.side(c.New, false)
	if err != nil {
		return nil, err
	}
	return &rehearse.Rehearsal{Old: old, New: newer, Tries: c.Tries}, nil
}

// mayCarryPasswords refuses URLs over which others could read passwords.
func (c *rehearseCmd) mayCarryPasswords(stdio stdio, name, s string) error {
	u, err := brokerURL(s)
	if err != nil {
		return err
	}
	switch {
	case u.User != nil:
		return usageError(fmt.Errorf("%s: leave the user out of the URL, and give --user or --users", name))
	case u.Scheme == "ssh":
		return nil
	case slices.Contains(strings.Split(u.Path, "/"), "json"), slices.Contains(strings.Split(u.Path, "/"), "uccs"):
		return usageError(fmt.Errorf("%s: rehearse asks as X2Go Client does: give the URL with /plain/", name))
	case u.Scheme == "https" || loopback(u):
		return nil
	case !c.AllowPlainHTTP:
		return usageError(fmt.Errorf("%s: passwords would go over the network in clear: use https, or run this on that machine; --allow-plain-http does it all the same", name))
	}
	fmt.Fprintf(stdio.err, "x2broker: warning: %s: passwords go over the network in clear (--allow-plain-http)\n", name)
	return nil
}

func loopback(u *url.URL) bool {
	addr, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && addr.IsLoopback()
}

func overSSH(s string) bool { return strings.HasPrefix(s, "ssh://") }

// side is a broker that is asked without a proxy, as X2Go Client does.
func (c *rehearseCmd) side(s string, insecure bool) (rehearse.Side, error) {
	if overSSH(s) {
		trust, err := c.trust()
		return rehearse.Side{URL: s, SSH: func(from netip.Addr) client.SSH {
			out := trust
			out.Timeout, out.Dial = c.Timeout, c.dialer(from)
			return out
		}}, err
	}
	config, err := trusting(c.CA)
	if err != nil {
		return rehearse.Side{}, err
	}
	config.InsecureSkipVerify = insecure
	return rehearse.Side{URL: s, HTTP: func(from netip.Addr) *http.Client {
		client := brokerClient(&http.Transport{DialContext: c.dialer(from), TLSClientConfig: config, IdleConnTimeout: 10 * time.Second})
		client.Timeout = c.Timeout
		return client
	}}, nil
}

// dialer connects from an address of this machine, or from any.
func (c *rehearseCmd) dialer(from netip.Addr) func(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: c.Timeout}
	if from.IsValid() {
		dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, address)
		if errors.Is(err, syscall.EADDRNOTAVAIL) {
			return nil, fmt.Errorf("%s is no address of this machine", from)
		}
		return conn, err
	}
}

// progress shows a line on a terminal in place of the one before.
func progress(stdio stdio, text string) {
	if f, ok := stdio.err.(io.Reader); ok && terminal(f) {
		fmt.Fprintf(stdio.err, "\r\x1b[K%s", text)
	}
}
