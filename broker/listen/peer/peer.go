// Package peer says who is at the other end of a unix socket. It is the word of
// the kernel, SO_PEERCRED of unix(7), about the process that connected; nothing
// that is sent changes it.
package peer

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"

	"golang.org/x/sys/unix"
)

// Of asks the kernel who connected.
func Of(conn *net.UnixConn) (*unix.Ucred, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("ask who connected: %w", err)
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return nil, fmt.Errorf("ask who connected: %w", err)
	}
	if credErr != nil {
		return nil, fmt.Errorf("ask who connected: %w", credErr)
	}
	return cred, nil
}

// Listen makes a listener that accepts connections of users whom admit lets in.
// It is called with the numeric user id when somebody connects, and the function
// that it returns when that connection ends; nil refuses him, without a byte. The
// connections of l must be *net.UnixConn.
func Listen(l net.Listener, admit func(uid uint32) (leave func()), log *slog.Logger) net.Listener {
	return &listener{l, admit, log}
}

type listener struct {
	net.Listener
	admit func(uint32) func()
	log   *slog.Logger
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		accepted, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		cred, err := Of(accepted.(*net.UnixConn))
		if err != nil {
			l.log.Warn("unix socket refused a connection", "socket", l.Addr().String(), "err", err)
			accepted.Close()
			continue
		}
		if leave := l.admit(cred.Uid); leave != nil {
			return &conn{Conn: accepted, uid: cred.Uid, leave: sync.OnceFunc(leave)}, nil
		}
		accepted.Close()
	}
}

// conn is a connection whose other end the kernel has named.
type conn struct {
	net.Conn
	uid   uint32
	leave func()
}

func (c *conn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

type uidKey struct{}

// Context is for http.Server.ConnContext: [UID] finds the user in its result. It
// panics on connections of other listeners.
func Context(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, uidKey{}, c.(*conn).uid)
}

// UID is the numeric user id of whoever connected. It panics in other contexts
// than those of [Context], for nobody must be taken for user 0.
func UID(ctx context.Context) uint32 { return ctx.Value(uidKey{}).(uint32) }
