package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/x2broker/x2broker/broker/frontend"
	"github.com/x2broker/x2broker/broker/frontend/plain"
	"github.com/x2broker/x2broker/broker/frontend/ssh/command"
	"github.com/x2broker/x2broker/broker/session"
)

// Name is what policies and metrics see of this frontend.
const Name = "ssh"

// answerTime is how long one answer may take; a request may wait 30 s for the
// first snapshot.
const answerTime = 90 * time.Second

// Exit codes of answers that are none. Denied and refused is 0: clients look at
// the text only.
const codeFailed = 1

// A Door answers what somebody who has proved who he is asks for, whichever
// server he came through.
type Door struct {
	service  *session.Service
	zeroconf bool // answer --backend zeroconf
	dialect  frontend.Dialect
	log      *slog.Logger
}

// NewDoor returns a Door.
func NewDoor(service *session.Service, zeroconf bool, log *slog.Logger) *Door {
	return &Door{service: service, zeroconf: zeroconf, dialect: dialect{plain.Dialect(0)}, log: log}
}

// dialect is that of plain but for testcon.
type dialect struct{ frontend.Dialect }

// Tested does not say "Access granted": over SSH X2Go Client 4.1.2.2 takes this
// for the answer to selectsession, and a grant without SERVER: crashes it.
// It is as long as over HTTP, for people who measure.
func (dialect) Tested(b *bytes.Buffer) {
	b.WriteString("OK\n")
	for range 512 {
		b.WriteString("...............................................................\n")
	}
}

// Result is what a command prints, and its exit code.
type Result struct {
	Stdout, Stderr []byte
	Code           int

	// End says that nothing was granted. X2Go Client then shows its login form,
	// and sends what is typed there only if the connection has ended.
	End bool
}

// Exec runs the command line of an SSH exec request.
func (d *Door) Exec(ctx context.Context, line string, p *session.Proof) Result {
	r, err := command.Parse(line)
	if err != nil {
		return Usage(err)
	}
	return d.Run(ctx, r, p)
}

// Usage is the result of a command line that is none, by the error of
// [command.Parse] or [command.ParseArgs].
func Usage(err error) Result {
	usage := new(command.UsageError)
	if !errors.As(err, &usage) {
		return failure(err.Error())
	}
	text := []byte(usage.Text)
	if usage.Stdout {
		return Result{Stdout: text, Code: usage.Code}
	}
	return Result{Stderr: text, Code: usage.Code}
}

// Run does one request for whoever has the proof. What the request itself says
// about who he is must match, or it is denied.
func (d *Door) Run(ctx context.Context, r command.Request, p *session.Proof) Result {
	if r.LoginCheck {
		return Result{Stdout: []byte("LOGIN OK\n")}
	}
	var out bytes.Buffer
	mark(&out, r.Begin)
	var result Result
	switch {
	case r.WhoAmI:
		out.WriteString(p.User() + "\n")
	case !r.Silent:
		result = d.answer(ctx, &out, r, p)
	}
	mark(&out, r.End)
	result.Stdout = out.Bytes()
	return result
}

// mark writes a line between which and the next a client looks for the answer.
func mark(b *bytes.Buffer, text string) {
	if text != "" {
		b.WriteString(text)
		b.WriteByte('\n')
	}
}

// answer writes what is printed, with one line feed behind it.
func (d *Door) answer(ctx context.Context, b *bytes.Buffer, r command.Request, p *session.Proof) Result {
	zeroconf, ok := frontend.Backend(r.Backend, d.zeroconf)
	if !ok {
		return failure(fmt.Sprintf("there is no backend %q here", r.Backend))
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	form := frontend.Form(r.Form)
	start := b.Len()
	err := frontend.Answer(ctx, d.service, d.dialect, b, form, session.Request{
		Credentials: session.Credentials{Name: form["user"], Ticket: form["authid"], Address: p.Address(), Proof: p},
		Account:     form["login"],
		Frontend:    Name,
		Zeroconf:    zeroconf,
	})
	if err != nil {
		b.Truncate(start)
		_, body, ok := frontend.Refusal(d.dialect, err)
		if !ok {
			return d.fail(ctx, err)
		}
		b.WriteString(body)
	}
	b.WriteByte('\n')
	return Result{End: err != nil || form["task"] == "setpass"}
}

// fail says that there is no answer, and no more than a stranger may know.
func (d *Door) fail(ctx context.Context, err error) Result {
	if errors.Is(err, session.ErrNotReady) {
		return failure(session.ErrNotReady.Error() + ", try again later")
	}
	d.log.ErrorContext(ctx, "request failed", "error", err)
	return failure("the broker failed, its log says why")
}

func failure(text string) Result {
	return Result{Stderr: []byte("x2broker: error: " + text + "\n"), Code: codeFailed}
}
