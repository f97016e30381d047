//go:build pam

// X2broker-authd asks PAM and NSS for the broker, which is neither root nor has
// cgo. It is root, and does nothing else.
//
// It listens on the socket that systemd hands over, or on --socket, and runs
// itself once more for each conversation.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"

	"github.com/x2broker/x2broker/broker/identity/authd"
)

// conversation is the argument with which it runs itself.
const conversation = "conversation"

func main() {
	var err error
	if len(os.Args) == 3 && os.Args[1] == conversation {
		err = converse(os.Args[2])
	} else {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		err = serve(ctx, os.Args[1:])
		stop()
	}
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "x2broker-authd: error: %v\n", err)
		os.Exit(1)
	}
}

// converse serves the one request that comes on its connection.
func converse(limit string) error {
	d, err := time.ParseDuration(limit)
	if err != nil {
		return err
	}
	if err := confine(); err != nil {
		return err
	}
	file := os.NewFile(authd.WorkerFD, "connection")
	conn, err := net.FileConn(file)
	if err != nil {
		return fmt.Errorf("%s is only for x2broker-authd itself: %w", conversation, err)
	}
	file.Close() // conn has a copy
	// Should whoever started it be gone, nobody else ends it.
	time.AfterFunc(d, func() { os.Exit(1) })
	return authd.Work(conn, time.Now().Add(d), backend{})
}

func serve(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("x2broker-authd", flag.ContinueOnError)
	socket := flags.String("socket", "", "listen on this `path`, if systemd hands no socket over")
	name := flags.String("user", "x2broker", "`user` of the broker, who alone may ask beside root")
	workers := flags.Int("workers", authd.DefaultWorkers, "conversations at once")
	deadline := flags.Duration("deadline", authd.DefaultDeadline, "longest conversation")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 || *workers < 1 || *deadline <= 0 {
		return fmt.Errorf("want no arguments, and workers and deadline above 0 (see --help)")
	}
	if os.Geteuid() != 0 {
		return errors.New("must be root: PAM reads /etc/shadow")
	}
	if err := havePAMFile(); err != nil {
		return err
	}
	broker, err := user.Lookup(*name)
	if err != nil {
		return fmt.Errorf("look up the broker's user: %w (name it with --user)", err)
	}
	uid, err := strconv.ParseUint(broker.Uid, 10, 32)
	if err != nil {
		return err
	}
	l, err := listen(*socket, broker.Gid)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	log.Info("started", "socket", l.Addr().String(), "user", *name, "uid", uid, "workers", *workers)
	server := authd.Server{
		Command: []string{"/proc/self/exe", conversation}, Peers: []uint32{uint32(uid)},
		Workers: *workers, Deadline: *deadline, Log: log,
	}
	return server.Serve(ctx, l)
}

// havePAMFile fails when PAM would take the service "other" instead of ours.
func havePAMFile() error {
	dirs := []string{"/etc/pam.d", "/usr/etc/pam.d", "/usr/lib/pam.d"} // pam.d(5)
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, service)); err == nil {
			return nil
		}
	}
	return fmt.Errorf("there is no %s/%s, which says how PAM decides: copy examples/deploy/pam.d/%s there", dirs[0], service, service)
}

// listen takes the socket of systemd, or makes one for root and a group.
func listen(path, gid string) (*net.UnixListener, error) {
	handed, err := activation.Listeners()
	if err != nil {
		return nil, fmt.Errorf("take the socket of systemd: %w", err)
	}
	if len(handed) > 0 {
		l, ok := handed[0].(*net.UnixListener)
		if !ok || len(handed) > 1 {
			return nil, errors.New("systemd must hand over one unix socket")
		}
		return l, nil
	}
	if path == "" {
		return nil, errors.New("no socket: start x2broker-authd.socket, or give --socket PATH")
	}
	if conn, err := net.Dial("unix", path); err == nil {
		conn.Close()
		return nil, fmt.Errorf("somebody listens on %s already", path)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() == fs.ModeSocket {
		if err := os.Remove(path); err != nil { // of one that was killed
			return nil, err
		}
	}
	mask := syscall.Umask(0o177)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	syscall.Umask(mask)
	if err != nil {
		return nil, err
	}
	id, err := strconv.Atoi(gid)
	if err == nil {
		err = os.Chown(path, 0, id)
	}
	if err == nil {
		err = os.Chmod(path, 0o660)
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}
