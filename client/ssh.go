package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// SSH says how to get in at a broker whose URL is ssh://host[:port]/path. The
// path is the command that X2Go Client runs there, and may be missing where the
// broker is itself the SSH server; port is 22 if there is none.
// A host whose key is not known is never told anything.
type SSH struct {
	KnownHosts   string   // file like OpenSSH's known_hosts, with all hosts that are trusted
	Fingerprints []string // of the host's key, like SHA256:...; with any KnownHosts is not read

	KeyFile string // private key to log in with; with the certificate KeyFile-cert.pub, if there is one
	Agent   string // socket of an agent whose keys are tried after that

	// Ask answers what the broker asks at login, and is asked for the passphrase
	// of KeyFile and for the password where it is wanted and Client has none. nil:
	// nobody answers, and the password of Client is given once.
	Ask func(prompt string, echo bool) (string, error)
	// Tell shows what the broker says at login; nil: nobody sees it.
	Tell func(text string)

	Timeout time.Duration // for one request, with connecting; 0: only the context counts
	Dial    func(ctx context.Context, network, address string) (net.Conn, error)
}

// maxWords bounds in bytes what a broker may say on stderr or at once at login.
const maxWords = 16 << 10

// Close ends the connection of a client over SSH.
func (c *Client) Close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// run asks over SSH. One connection serves all requests; one that has died
// since the last is made anew.
func (c *Client) run(ctx context.Context, fields url.Values) (granted, error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return granted{}, err
	}
	if u.Hostname() == "" {
		return granted{}, fmt.Errorf("%q has no host", c.URL)
	}
	fields.Set("authid", c.Ticket)
	command, err := c.command(u.Path, fields)
	if err != nil {
		return granted{}, err
	}
	if c.SSH.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.SSH.Timeout)
		defer cancel()
	}
	text, err := c.exchange(ctx, u, command)
	if err != nil && !errors.Is(err, ErrDenied) {
		c.Close()
		if ended := ctx.Err(); errors.Is(ended, context.DeadlineExceeded) {
			err = fmt.Errorf("no answer in time: %w", ended)
		} else if ended != nil {
			err = ended
		}
		return granted{}, &url.Error{Op: "ask", URL: c.URL, Err: err}
	}
	if err != nil {
		return granted{}, err
	}
	return c.plain(text, false)
}

// exchange gives what the broker answers between the marker lines.
func (c *Client) exchange(ctx context.Context, u *url.URL, command string) (string, error) {
	mark := newMark()
	var ch *channel
	var err error
	if c.conn != nil {
		if ch, err = c.start(ctx, frame(command, mark), false); err != nil {
			c.Close()
		}
	}
	if c.conn == nil {
		if err := c.connect(ctx, u); err != nil {
			return "", err
		}
		if ch, err = c.start(ctx, frame(command, mark), false); err != nil {
			return "", err
		}
	}
	stdout, stderr, err := ch.read()
	if err != nil {
		return "", err
	}
	text, ok := framed(stdout, mark)
	if !ok {
		return "", fmt.Errorf("is this a broker? The path in the URL is the command there, and its answer has no marker lines%s", said(stdout+stderr))
	}
	if strings.TrimSpace(text) == "" && stderr != "" {
		return "", fmt.Errorf("the command in the path of the URL answers nothing%s", said(stderr))
	}
	return text, nil
}

// said quotes the beginning of a text, if there is any.
func said(text string) string {
	if text = strings.TrimSpace(text); text == "" {
		return ""
	}
	return fmt.Sprintf("; it says %q", firstLine(text))
}

// connect logs in, and looks whether commands run, as X2Go Client does first.
func (c *Client) connect(ctx context.Context, u *url.URL) error {
	port := u.Port()
	if port == "" {
		port = "22"
	}
	address := net.JoinHostPort(u.Hostname(), port)
	check, kinds, err := c.SSH.hostKeys(address)
	if err != nil {
		return err
	}
	keys, done, err := c.SSH.signers()
	if err != nil {
		return err
	}
	defer done()
	dial := c.SSH.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	conn, err := dial(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	secure := ssh.SupportedAlgorithms()
	login := &login{SSH: c.SSH, user: c.User, password: c.Password}
	authenticated, channels, requests, err := ssh.NewClientConn(conn, address, &ssh.ClientConfig{
		Config: ssh.Config{
			KeyExchanges: secure.KeyExchanges,
			Ciphers:      secure.Ciphers,
			MACs:         slices.DeleteFunc(secure.MACs, func(name string) bool { return name == ssh.HMACSHA1 }),
		},
		User: c.User, Auth: login.methods(keys), AuthCallback: login.next,
		HostKeyCallback: check, HostKeyAlgorithms: kinds,
		BannerCallback: login.banner,
		ClientVersion:  "SSH-2.0-x2broker",
	})
	if err != nil {
		return login.explain(err)
	}
	c.conn = ssh.NewClient(authenticated, channels, requests)
	ch, err := c.start(ctx, `echo "LOGIN OK"`, true)
	if err != nil {
		return err
	}
	stdout, stderr, err := ch.read()
	if err == nil && !strings.Contains(stdout, "LOGIN OK") {
		err = fmt.Errorf(`it does not answer echo "LOGIN OK", for which X2Go Client waits%s`, said(stdout+stderr))
	}
	return err
}

// A channel runs one command.
type channel struct {
	ssh.Channel
	conn io.Closer
	stop func() bool // the watch over the context
}

// start runs a command, in a terminal if need be. When ctx ends so does the
// connection, and with it all waiting.
func (c *Client) start(ctx context.Context, command string, terminal bool) (*channel, error) {
	conn := c.conn
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	ch, requests, err := conn.OpenChannel("session", nil)
	var refused *ssh.OpenChannelError
	if errors.As(err, &refused) {
		err = fmt.Errorf("it opens no session: %s", Printable(refused.Message))
	}
	if err != nil {
		stop()
		return nil, err
	}
	go ssh.DiscardRequests(requests) // ends with the channel; the exit code counts for nothing
	if terminal {
		err = askTerminal(ch)
	}
	if err == nil {
		err = request(ch, "exec", "it runs no commands", struct{ Command string }{command})
	}
	if err != nil {
		stop()
		ch.Close()
		return nil, err
	}
	return &channel{ch, conn, stop}, nil
}

// askTerminal asks for a terminal of 80x24, as X2Go Client does.
func askTerminal(ch ssh.Channel) error {
	err := request(ch, "pty-req", "it refuses a terminal, without which X2Go Client does not go on", struct {
		Term                         string
		Columns, Rows, Width, Height uint32
		Modes                        string
	}{"xterm", 80, 24, 0, 0, "\x00"})
	if err == nil {
		_, err = ch.SendRequest("window-change", false, ssh.Marshal(struct{ Columns, Rows, Width, Height uint32 }{80, 24, 0, 0}))
	}
	return err
}

// request says in words if the server refuses.
func request(ch ssh.Channel, kind, refused string, payload any) error {
	ok, err := ch.SendRequest(kind, true, ssh.Marshal(payload))
	if err != nil {
		return fmt.Errorf("it closed the connection: %w", err)
	}
	if !ok {
		return errors.New(refused)
	}
	return nil
}

// read gives what the command prints; of stderr the beginning.
func (ch *channel) read() (stdout, stderr string, err error) {
	defer ch.stop()
	defer ch.Close()
	words := make(chan string)
	go func() {
		text, _ := io.ReadAll(io.LimitReader(ch.Stderr(), maxWords))
		_, _ = io.Copy(io.Discard, ch.Stderr())
		words <- string(text)
	}()
	text, err := io.ReadAll(io.LimitReader(ch, maxReply+1))
	if len(text) > maxReply {
		ch.conn.Close()
		err = fmt.Errorf("it sends more than %d MiB", maxReply>>20)
	}
	return string(text), <-words, err
}
