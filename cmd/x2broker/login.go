package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/x2broker/x2broker/client"
)

type loginCmd struct {
	URL          string        `arg:"" help:"Broker as in X2Go Client, http://[user@]host:port/plain/ or https://."`
	User         string        `short:"u" help:"User name; default: the one in the URL."`
	PasswordFile string        `type:"existingfile" placeholder:"FILE" help:"File whose first line is the password. Default: ask, or the first line of standard input."`
	Select       string        `placeholder:"PROFILE" help:"Id of a session profile to select."`
	Account      string        `help:"Account on the X2Go server, if it is not the user."`
	CA           string        `name:"ca" type:"existingfile" placeholder:"FILE" help:"PEM file with the CA of an https broker."`
	Timeout      time.Duration `default:"60s" help:"For the whole command."`
	Format       string        `default:"text" enum:"text,json" help:"How to print: ${enum}."`
}

// loginResult is the JSON form.
type loginResult struct {
	User     string           `json:"user"`
	Profiles []client.Profile `json:"profiles"`
	Selected *client.Server   `json:"selected,omitempty"`
}

// Run lists, and selects if asked to.
func (c *loginCmd) Run(ctx context.Context, stdio stdio) error {
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return usageError(fmt.Errorf("%q is no URL of a broker, like http://127.0.0.1:8080/plain/", c.URL))
	}
	if _, has := u.User.Password(); has {
		return usageError(errors.New("a password in the URL would be seen by every user of this machine: leave it out"))
	}
	if c.User == "" {
		c.User = u.User.Username()
	}
	if c.User == "" {
		return usageError(errors.New("no user: give --user, or http://user@host/"))
	}
	u.User = nil
	httpClient, err := c.httpClient()
	if err != nil {
		return err
	}
	password, err := c.password(stdio)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	broker := &client.Client{URL: u.String(), User: c.User, Password: password, Account: c.Account, HTTP: httpClient}
	result := loginResult{User: c.User}
	if result.Profiles, err = broker.List(ctx); err != nil {
		return err
	}
	if c.Select != "" {
		server, err := broker.Select(ctx, c.Select)
		if err != nil {
			return err
		}
		result.Selected = &server
	}
	if c.Format == "json" {
		return writeJSON(stdio.out, result)
	}
	return c.print(stdio.out, result)
}

func (c *loginCmd) password(stdio stdio) (string, error) {
	if c.PasswordFile == "" {
		return readPassword(stdio, "Password for "+c.User+": ")
	}
	f, err := os.Open(c.PasswordFile)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return firstLine(f)
}

// httpClient follows no redirects, as X2Go Client does not.
func (c *loginCmd) httpClient() (*http.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if c.CA != "" {
		pem, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, err
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s: no PEM certificate in it", c.CA)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

func (c *loginCmd) print(w io.Writer, r loginResult) error {
	if len(r.Profiles) == 0 {
		fmt.Fprintf(w, "no session profiles for %s\n", r.User)
	} else {
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "PROFILE\tNAME\tCOMMAND\tHOST")
		for _, p := range r.Profiles {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", printable(p.ID), printable(p.Name()), printable(p.Keys["command"]), printable(p.Keys["host"]))
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	if r.Selected != nil {
		fmt.Fprintf(w, "selected %s: server %s port %d\n", c.Select, printable(r.Selected.Address), r.Selected.Port)
	}
	return nil
}

// printable keeps a broker from writing control sequences to the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}
