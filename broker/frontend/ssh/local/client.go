package local

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/user"
	"strconv"
	"syscall"
	"time"

	"github.com/x2broker/x2broker/broker/frontend/ssh"
	"github.com/x2broker/x2broker/broker/frontend/ssh/command"
)

// answerTime is more than the broker takes.
const answerTime = loginTime + 100*time.Second

// maxAnswer is the most bytes of an answer.
const maxAnswer = 64 << 20

// Ask asks the broker at the socket, unless the command is none, which it finds
// out itself. The error says what to do about it.
func Ask(ctx context.Context, socket string, q Request) (Answer, error) {
	if _, err := q.parse(); err != nil {
		return answerOf(ssh.Usage(err)), nil
	}
	body, err := q.encode()
	if err != nil {
		return Answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://x2broker"+path, bytes.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	resp, err := (&http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}).RoundTrip(req)
	if err != nil {
		return Answer{}, explain(socket, err)
	}
	defer resp.Body.Close()
	d := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer))
	if resp.StatusCode != http.StatusOK {
		var f failure
		if err := d.Decode(&f); err != nil || f.Error == "" {
			return Answer{}, fmt.Errorf("the broker at %s answers %s: is it of the same version as this program?", socket, resp.Status)
		}
		return Answer{}, errors.New(f.Error)
	}
	var a Answer
	if err := d.Decode(&a); err != nil {
		return Answer{}, explain(socket, err)
	}
	return a, nil
}

// encode gives the body, in UTF-8, which JSON wants.
func (q Request) encode() ([]byte, error) {
	if q.Original != nil {
		text := command.Text(*q.Original)
		q.Original, q.Args = &text, nil
	}
	args := make([]string, len(q.Args))
	for i, a := range q.Args {
		args[i] = command.Text(a)
	}
	q.Args = args
	body, err := json.Marshal(q)
	if err == nil && len(body) > MaxBody {
		err = errors.New("the command, LOGNAME and SSH_CLIENT are too long")
	}
	return body, err
}

// explain says what can be done about it.
func explain(socket string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no broker answers at %s: is x2broker running, and is listen.openssh set in its broker.cue? (x2broker ssh --socket PATH asks at another place)", socket)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("you may not use the broker at %s: %s", socket, remedy(socket))
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the broker at %s does not answer", socket)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return fmt.Errorf("the broker at %s hung up: it stops, or you have too many connections to it; try again", socket)
	}
	return fmt.Errorf("ask the broker at %s: %w", socket, err)
}

// remedy names the group that one must be in.
func remedy(socket string) string {
	info, err := os.Stat(socket)
	if err != nil {
		return "you cannot look into its directory; that is to be changed for all users (chmod 0755)"
	}
	gid := strconv.Itoa(int(info.Sys().(*syscall.Stat_t).Gid))
	if g, err := user.LookupGroupId(gid); err == nil {
		gid = g.Name
	}
	return "be a member of the group " + gid + " and log in again (usermod -aG " + gid + " USER), or let listen.openssh have another group or mode"
}
