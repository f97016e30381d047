// Package x2goclient drives the real X2Go Client of Debian (x2goclient 4.1.2.2)
// on a private X server, without a window manager and without looking for
// pictures: the user name is in the broker's URL, the password is typed through
// XTEST, --sessionid or --session selects, and what the client did is read from
// its debug log and from its windows.
package x2goclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"syscall"
	"time"
	"unicode"

	"github.com/jezek/xgb/xproto"
)

// poll is how often the client is looked at while something is awaited.
const poll = 50 * time.Millisecond

// MainTitle is the title of the client's main window.
const MainTitle = "X2Go Client"

// Client is a running X2Go Client. It is not safe for concurrent use.
type Client struct {
	display *display
	cmd     *exec.Cmd
	home    string        // path
	at      string        // "alice@127.0.0.1:2222", what the client calls an SSH broker in its dialogs
	log     string        // path
	ended   chan struct{} // closed when the client has ended
	window  xproto.Window
}

// Start runs the client in this home and waits for its main window. brokerURL
// should name the user, http://user@host/.
func (h *Home) Start(ctx context.Context, brokerURL string, args ...string) (*Client, error) {
	broker, err := url.Parse(brokerURL)
	if err != nil {
		return nil, err
	}
	d, err := startDisplay(ctx)
	if err != nil {
		return nil, err
	}
	c := &Client{display: d, home: h.Path(), at: broker.User.Username() + "@" + broker.Host, log: filepath.Join(h.dir, "client.log"), ended: make(chan struct{})}
	log, err := os.Create(c.log)
	if err != nil {
		d.close()
		return nil, err
	}
	defer log.Close()
	c.cmd = exec.Command("x2goclient", append([]string{"--debug", "--broker-url=" + brokerURL}, args...)...)
	c.cmd.Env = append(slices.Clone(h.env), "DISPLAY="+d.name)
	c.cmd.Stdout, c.cmd.Stderr = log, log
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.cmd.Start(); err != nil {
		d.close()
		return nil, err
	}
	go func() {
		defer close(c.ended)
		_ = c.cmd.Wait() // how it ended is of no interest
	}()
	c.window, err = c.WaitWindow(ctx, MainTitle)
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Close ends the client, the programs that it started, and its X server. The
// programs, nxproxy and an sshd for printing and shared folders, stay in its
// process group. It may be called again.
func (c *Client) Close() {
	if !c.Running() && c.display.conn == nil {
		return
	}
	_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL) // they may have ended
	<-c.ended
	c.display.close()
}

// Home is the client's home directory.
func (c *Client) Home() string { return c.home }

// Running reports whether the client has not ended.
func (c *Client) Running() bool {
	select {
	case <-c.ended:
		return false
	default:
		return true
	}
}

// Log is what the client has written.
func (c *Client) Log() string {
	text, err := os.ReadFile(c.log)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// WaitLog waits until the log has at least n matches, and gives the submatches
// of the n-th.
func (c *Client) WaitLog(ctx context.Context, n int, pattern string) ([]string, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	var found []string
	err = c.await(ctx, fmt.Sprintf("match %d of %s in its log", n, pattern), func() (bool, error) {
		all := re.FindAllStringSubmatch(c.Log(), n)
		if len(all) < n {
			return false, nil
		}
		found = all[n-1]
		return true, nil
	})
	return found, err
}

// WaitWindow waits for a visible window with that title and gives it the
// keyboard.
func (c *Client) WaitWindow(ctx context.Context, title string) (xproto.Window, error) {
	var found xproto.Window
	err := c.await(ctx, fmt.Sprintf("window %q", title), func() (bool, error) {
		windows, err := c.display.windows()
		if err != nil {
			return false, err
		}
		for _, w := range windows {
			if w.title == title {
				found = w.id
				return true, c.display.focus(w.id)
			}
		}
		return false, nil
	})
	return found, err
}

// await polls until done, the client ends, or the context does.
func (c *Client) await(ctx context.Context, what string, done func() (bool, error)) error {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-c.ended:
			if ok, err := done(); ok || err != nil {
				return err
			}
			return fmt.Errorf("x2goclient ended before %s:\n%s", what, c.Log())
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w; windows: %q; log:\n%s", what, ctx.Err(), c.Titles(), c.Log())
		}
	}
}

// Titles are the titles of all visible windows, the topmost last.
func (c *Client) Titles() []string {
	windows, err := c.display.windows()
	if err != nil {
		return []string{err.Error()}
	}
	var out []string
	for _, w := range windows {
		out = append(out, w.title)
	}
	return out
}

// Type types a text as if at the keyboard.
func (c *Client) Type(text string) error {
	for _, r := range text {
		if !unicode.IsPrint(r) {
			return fmt.Errorf("cannot type %q", r)
		}
		symbol := xproto.Keysym(r)
		if r > 0xff {
			symbol |= 0x01000000 // keysymdef.h: a code point beyond Latin-1
		}
		if err := c.display.press(symbol); err != nil {
			return err
		}
	}
	return nil
}

// Enter presses the return key.
func (c *Client) Enter() error { return c.display.press(keyReturn) }

// Dismiss answers a message window with its default button and waits until it
// is gone.
func (c *Client) Dismiss(ctx context.Context, title string) error {
	if _, err := c.WaitWindow(ctx, title); err != nil {
		return err
	}
	if err := c.Enter(); err != nil {
		return err
	}
	return c.await(ctx, fmt.Sprintf("window %q to close", title), func() (bool, error) {
		return !slices.Contains(c.Titles(), title), nil
	})
}

// Screenshot writes what is on the screen as a PNG file.
func (c *Client) Screenshot(file string) error { return c.display.screenshot(file) }

// Login types the password into the login form, where the cursor is when the
// URL names the user.
func (c *Client) Login(password string) error {
	return errors.Join(c.display.focus(c.window), c.Type(password), c.Enter())
}

// Profiles waits until the client has read the n-th list of session profiles
// and gives their ids, in the broker's order. It fails if the client counted
// others than the list has.
func (c *Client) Profiles(ctx context.Context, n int) ([]string, error) {
	counted, err := c.WaitLog(ctx, n, `Reading (\d+) sessions from config file`)
	if err != nil {
		return nil, err
	}
	list, err := c.WaitLog(ctx, n, `Inifile content: "(.*)"`)
	if err != nil {
		return nil, err
	}
	ids := []string{}
	for _, m := range regexp.MustCompile(`\\n\[([A-Za-z0-9._-]+)\]\\n`).FindAllStringSubmatch(list[1], -1) {
		ids = append(ids, m[1])
	}
	if counted[1] != strconv.Itoa(len(ids)) {
		return nil, fmt.Errorf("x2goclient read %s profiles of the list %s", counted[1], list[1])
	}
	return ids, nil
}

// Server waits until the client has read the broker's choice, and gives it as
// host:port.
func (c *Client) Server(ctx context.Context) (string, error) {
	address, err := c.WaitLog(ctx, 1, `Server IP address:\s+"([^"]*)"`)
	if err != nil {
		return "", err
	}
	port, err := c.WaitLog(ctx, 1, `Server port:\s+"([^"]*)"`)
	if err != nil {
		return "", err
	}
	return net.JoinHostPort(address[1], port[1]), nil
}
