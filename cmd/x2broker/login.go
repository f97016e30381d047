package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"text/tabwriter"
	"time"

	"github.com/x2broker/x2broker/client"
)

type loginCmd struct {
	URL          string        `arg:"" help:"Broker as in X2Go Client or pyhoca-cli: http://[user@]host:port/plain/ or .../json/, https://, or ssh://[user@]host:port/command."`
	User         string        `short:"u" help:"User name; default: the one in the URL."`
	PasswordFile string        `type:"existingfile" placeholder:"FILE" help:"File whose first line is the password. Default: ask, or the first line of standard input. Over ssh what else is asked takes the next lines."`
	Select       string        `placeholder:"PROFILE" help:"Id of a session profile to select."`
	Account      string        `help:"Account on the X2Go server, if it is not the user."`
	CA           string        `name:"ca" type:"existingfile" placeholder:"FILE" help:"PEM file with the CA of an https broker."`
	Key          string        `type:"existingfile" placeholder:"FILE" help:"Private key to log in with at an ssh broker, with the certificate FILE-cert.pub if there is one."`
	Agent        bool          `help:"Log in at an ssh broker with the keys of the agent at $$SSH_AUTH_SOCK."`
	Timeout      time.Duration `default:"60s" help:"For the whole command."`
	Format       string        `default:"text" enum:"text,json" help:"How to print: ${enum}."`
	sshFlags
}

// loginResult is the JSON form.
type loginResult struct {
	User     string           `json:"user"`
	Profiles []client.Profile `json:"profiles"`
	Selected *client.Server   `json:"selected,omitempty"`
}

// Help is the end of --help.
func (*loginCmd) Help() string {
	return "Exit codes: 0 the user gets in, and a server if he asked for one; 1 he is refused, throttled, or the broker does not answer, and the message says which; 2 the command line is wrong."
}

// Run lists, and selects if asked to.
func (c *loginCmd) Run(ctx context.Context, stdio stdio) error {
	u, err := brokerURL(c.URL)
	if err != nil {
		return err
	}
	if c.User == "" {
		c.User = u.User.Username()
	}
	if c.User == "" {
		return usageError(errors.New("no user: give --user, or a URL with the user in it, like ssh://user@host/"))
	}
	overSSH := u.Scheme == "ssh"
	if !overSSH && (c.Key != "" || c.Agent || c.KnownHosts != "" || len(c.Fingerprint) > 0) {
		return usageError(errors.New("--key, --agent, --known-hosts and --fingerprint are for brokers at ssh://"))
	}
	u.User = nil
	broker := &client.Client{URL: u.String(), User: c.User, Account: c.Account}
	defer broker.Close()
	if overSSH {
		err = c.overSSH(broker, stdio)
	} else {
		err = c.overHTTP(broker, stdio)
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
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

func (c *loginCmd) overHTTP(broker *client.Client, stdio stdio) (err error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if transport.TLSClientConfig, err = trusting(c.CA); err != nil {
		return err
	}
	broker.HTTP = brokerClient(transport)
	broker.Password, err = c.password(stdio)
	return err
}

// overSSH has somebody asked only for what the broker wants: a key may do.
func (c *loginCmd) overSSH(broker *client.Client, stdio stdio) (err error) {
	if broker.SSH, err = c.trust(); err != nil {
		return err
	}
	broker.SSH.KeyFile = c.Key
	if c.Agent {
		if broker.SSH.Agent, err = agentSocket(); err != nil {
			return err
		}
	}
	if c.PasswordFile != "" {
		if broker.Password, err = passwordFrom(c.PasswordFile); err != nil {
			return err
		}
	}
	broker.SSH.Ask = asker(stdio)
	broker.SSH.Tell = func(text string) { fmt.Fprintln(stdio.err, text) }
	return nil
}

func (c *loginCmd) password(stdio stdio) (string, error) {
	if c.PasswordFile == "" {
		return readPassword(stdio, "Password for "+c.User+": ")
	}
	return passwordFrom(c.PasswordFile)
}

func (c *loginCmd) print(w io.Writer, r loginResult) error {
	if len(r.Profiles) == 0 {
		fmt.Fprintf(w, "no session profiles for %s\n", r.User)
	} else {
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "PROFILE\tNAME\tCOMMAND\tHOST")
		for _, p := range r.Profiles {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", client.Printable(p.ID), client.Printable(p.Name()), client.Printable(p.Keys["command"]), client.Printable(p.Keys["host"]))
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	if r.Selected != nil {
		fmt.Fprintf(w, "selected %s: server %s port %d\n", c.Select, client.Printable(r.Selected.Address), r.Selected.Port)
	}
	return nil
}
