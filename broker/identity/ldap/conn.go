package ldap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-ldap/ldap/v3"
)

const (
	// maxReply bounds in bytes what a server may say to one question.
	maxReply = 8 << 20

	// A server that failed is asked last for so long.
	failedFor = 30 * time.Second
)

var errTooMuch = fmt.Errorf("the server's answer is longer than %d MiB", maxReply>>20)

// wire is a connection below TLS that may read only so much.
type wire struct {
	net.Conn
	left atomic.Int64
}

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if w.left.Add(-int64(n)) < 0 {
		return 0, errTooMuch
	}
	return n, err
}

// session is one connection to a server. One goroutine uses it at a time.
type session struct {
	conn   *ldap.Conn
	wire   *wire
	opened time.Time
	used   time.Time // when it was last known to be well
}

// within runs one exchange, which ends with ctx at the latest; ctx must have a
// deadline. A session whose exchange was cut off is of no more use.
func (s *session) within(ctx context.Context, exchange func() error) error {
	deadline, _ := ctx.Deadline()
	s.wire.left.Store(maxReply)
	_ = s.wire.SetDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { _ = s.wire.SetDeadline(time.Unix(1, 0)) })
	err := exchange()
	if !stop() {
		s.close()
		if err == nil { // it came too late
			return context.Cause(ctx)
		}
		return fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	_ = s.wire.SetDeadline(time.Time{})
	return err
}

func (s *session) bind(ctx context.Context, dn, password string) error {
	return s.within(ctx, func() error { return s.conn.Bind(dn, password) })
}

// search gives at most limit entries, and says whether there are more.
func (s *session) search(ctx context.Context, q query) (entries []*ldap.Entry, more bool, err error) {
	err = s.within(ctx, func() error {
		r := ldap.NewSearchRequest(q.base, q.scope, ldap.NeverDerefAliases, q.limit, 0, false, q.filter, q.attributes, nil)
		r.EnforceSizeLimit = true
		result, err := s.conn.Search(r)
		if result != nil {
			entries = result.Entries
		}
		return err
	})
	if ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded) {
		return entries, true, nil
	}
	if errors.Is(err, ldap.ErrSizeLimitExceeded) {
		s.close() // the rest of the answer is still on its way
		return entries, true, nil
	}
	return entries, false, err
}

func (s *session) close() {
	_ = s.wire.SetDeadline(time.Unix(1, 0)) // whatever waits for the server waits no more
	_ = s.conn.Close()
}

// answered reports whether an error is what a server said, so that the
// connection is well and another would say the same.
func answered(err error) bool {
	var e *ldap.Error
	return errors.As(err, &e) && e.ResultCode < ldap.ErrorNetwork &&
		e.ResultCode != ldap.LDAPResultBusy && e.ResultCode != ldap.LDAPResultUnavailable
}

// dialer opens connections to the first server that is well.
type dialer struct {
	servers        []*server
	bindDN         string
	passwordFile   string
	connectTimeout time.Duration
	now            func() time.Time
	log            *slog.Logger

	mu     sync.Mutex
	failed map[*server]time.Time
}

// dial connects to the first server for which prepare succeeds too.
func (d *dialer) dial(ctx context.Context, prepare func(context.Context, *session) error) (*session, error) {
	var all error
	for _, srv := range d.order() {
		s, err := d.try(ctx, srv, prepare)
		if err == nil {
			d.mark(srv, false)
			return s, nil
		}
		// A wrong password of the account is the same everywhere, and some
		// servers lock an account that has too many.
		stop := ldap.IsErrorWithCode(err, ldap.LDAPResultInvalidCredentials) || ctx.Err() != nil
		err = fmt.Errorf("%s: %w", srv.url, err)
		if all != nil {
			err = fmt.Errorf("%w; %w", all, err)
		}
		all = err
		if stop {
			break
		}
		d.mark(srv, true)
	}
	return nil, all
}

func (d *dialer) try(ctx context.Context, srv *server, prepare func(context.Context, *session) error) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, d.connectTimeout)
	defer cancel()
	s, err := srv.connect(ctx)
	if err != nil {
		return nil, err
	}
	s.opened = d.now()
	s.used = s.opened
	if prepare != nil {
		if err := prepare(ctx, s); err != nil {
			s.close()
			return nil, err
		}
	}
	return s, nil
}

// order puts servers that failed lately behind the others.
func (d *dialer) order() []*server {
	d.mu.Lock()
	defer d.mu.Unlock()
	var well, ill []*server
	for _, srv := range d.servers {
		if at, ok := d.failed[srv]; ok && d.now().Sub(at) < failedFor {
			ill = append(ill, srv)
		} else {
			well = append(well, srv)
		}
	}
	return append(well, ill...)
}

func (d *dialer) mark(srv *server, failed bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, before := d.failed[srv]
	switch {
	case failed:
		d.failed[srv] = d.now()
		if !before {
			d.log.Warn("directory server does not answer", "server", srv.url)
		}
	case before:
		delete(d.failed, srv)
		d.log.Info("directory server answers again", "server", srv.url)
	}
}

// searcher opens a connection that has the rights to search.
func (d *dialer) searcher(ctx context.Context) (*session, error) {
	return d.dial(ctx, func(ctx context.Context, s *session) error {
		if d.bindDN == "" {
			return nil
		}
		password, err := d.password()
		if err != nil {
			return err
		}
		if err := s.bind(ctx, d.bindDN, password); err != nil {
			return fmt.Errorf("log in as %q: %w", d.bindDN, err)
		}
		return nil
	})
}

func (d *dialer) password() (string, error) {
	text, err := os.ReadFile(d.passwordFile)
	if err != nil {
		return "", err
	}
	password := strings.TrimRight(string(text), "\r\n")
	if password == "" || strings.ContainsAny(password, "\r\n") {
		return "", fmt.Errorf("%s: want a password on one line", d.passwordFile)
	}
	return password, nil
}

// connect gives a connection that is encrypted, unless the configuration says
// otherwise.
func (srv *server) connect(ctx context.Context) (*session, error) {
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", srv.address)
	if err != nil {
		return nil, err
	}
	w := &wire{Conn: raw}
	w.left.Store(maxReply)
	var conn net.Conn = w
	if srv.tls {
		secure := tls.Client(w, srv.config)
		if err := secure.HandshakeContext(ctx); err != nil {
			raw.Close()
			return nil, err
		}
		conn = secure
	}
	s := &session{conn: ldap.NewConn(conn, srv.tls), wire: w}
	s.conn.Start()
	if srv.start {
		if err := s.within(ctx, func() error { return s.conn.StartTLS(srv.config) }); err != nil {
			s.close()
			return nil, fmt.Errorf("StartTLS: %w", err)
		}
	}
	return s, nil
}
