package authd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/x2broker/x2broker/broker/listen/peer"
)

// WorkerFD is the file descriptor of the connection in the process of a
// conversation.
const WorkerFD = 3

// Defaults of a [Server].
const (
	DefaultWorkers  = maxPasswords + maxConversations + maxLookups
	DefaultDeadline = conversationTime + 10*time.Second // the broker gives up before
)

// Server holds the socket. It starts a process for each conversation and ends
// it when its time is over or its peer is gone; it reads nothing itself, and
// writes only that it is busy.
type Server struct {
	// Command starts the process of a conversation, which has the connection as
	// WorkerFD, the deadline as its last argument, and must call [Work]. Env is
	// added to its environment, which has next to nothing.
	Command []string
	Env     []string
	// Peers are the users that may ask; root may always.
	Peers []uint32
	// Workers is how many processes there may be at once, Deadline how long
	// each may live.
	Workers  int
	Deadline time.Duration
	Log      *slog.Logger
}

// Serve answers until the context ends or the listener fails. It closes the
// listener, ends all processes, and waits for them.
func (s *Server) Serve(ctx context.Context, l *net.UnixListener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	slots := make(chan struct{}, s.Workers)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel() // before waiting
	for {
		conn, err := l.AcceptUnix()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.ECONNABORTED):
			s.Log.Warn("cannot accept a connection", "error", err)
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		case err != nil:
			return fmt.Errorf("accept: %w", err)
		}
		if err := s.check(conn); err != nil {
			s.Log.Warn("connection refused", "reason", err)
			conn.Close()
			continue
		}
		select {
		case slots <- struct{}{}:
			running.Go(func() {
				defer func() { <-slots }()
				defer conn.Close()
				if err := s.converse(ctx, conn); err != nil {
					s.Log.Warn("conversation failed", "error", err)
				}
			})
		default:
			s.Log.Warn("too many conversations at once", "limit", s.Workers)
			_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
			_ = write(conn, Result{Code: Busy}) // or it finds out when we hang up
			conn.Close()
		}
	}
}

// check asks the kernel who is at the other end.
func (s *Server) check(conn *net.UnixConn) error {
	from, err := peer.Of(conn)
	if err != nil {
		return err
	}
	if from.Uid != 0 && !slices.Contains(s.Peers, from.Uid) {
		return fmt.Errorf("process %d of user %d is not the broker's", from.Pid, from.Uid)
	}
	return nil
}

// converse runs the process of one conversation.
func (s *Server) converse(ctx context.Context, conn *net.UnixConn) error {
	ctx, cancel := context.WithTimeout(ctx, s.Deadline)
	defer cancel()
	cmd, err := s.start(conn)
	if err != nil {
		return fmt.Errorf("start a process: %w", err)
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		awaitHangup(conn)
	}()
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		awaitExit(cmd.Process.Pid)
	}()
	why := ""
	select {
	case <-exited:
		why = "the process ended"
	case <-gone:
	case <-ctx.Done():
		why = fmt.Sprintf("killed, no result within %v", s.Deadline)
	}
	// Modules start programs: these must not outlive the conversation. The
	// process is not waited for yet, so that the number is still its own.
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	<-exited
	err = cmd.Wait()
	_ = conn.SetReadDeadline(time.Now())
	<-gone
	if err != nil && why != "" {
		return fmt.Errorf("process %d: %s: %w", cmd.Process.Pid, why, err)
	}
	return nil
}

// start starts a process that has the connection, and nothing that was
// inherited but the standard error output.
func (s *Server) start(conn *net.UnixConn) (*exec.Cmd, error) {
	file, err := conn.File()
	if err != nil {
		return nil, err
	}
	defer file.Close()
	args := append(slices.Clone(s.Command[1:]), s.Deadline.String())
	cmd := exec.Command(s.Command[0], args...)
	cmd.Env = append([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"}, s.Env...)
	cmd.Dir = "/"
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = []*os.File{file}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd, cmd.Start()
}

// awaitExit returns when the process has ended, and leaves it to be waited for.
func awaitExit(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// awaitHangup returns when the peer has hung up, or at the read deadline. It
// reads nothing: what comes is for the process of the conversation.
func awaitHangup(conn *net.UnixConn) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Read(func(fd uintptr) bool {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, err := unix.Poll(p, 0)
		return err == nil && n > 0 && p[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0
	})
}
