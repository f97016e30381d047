package ldap

import (
	"context"
	"crypto/tls"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/x2broker/x2broker/broker/identity"
)

func TestPasswordsTravelEncrypted(t *testing.T) {
	ca, cert := authority(t)
	otherCA, _ := authority(t)
	for name, tc := range map[string]struct {
		ldaps  bool
		cert   tls.Certificate
		change func(*Config)
		ok     bool
		clear  bool
	}{
		"LDAPS":                               {ldaps: true, cert: cert, ok: true},
		"StartTLS":                            {cert: cert, ok: true},
		"a server that does not do StartTLS":  {},
		"LDAPS, another authority":            {ldaps: true, cert: cert, change: func(c *Config) { c.CAFile = otherCA }},
		"StartTLS, another authority":         {cert: cert, change: func(c *Config) { c.CAFile = otherCA }},
		"LDAPS, authorities of the system":    {ldaps: true, cert: cert, change: func(c *Config) { c.CAFile = "" }},
		"LDAPS, another name":                 {ldaps: true, cert: cert, change: func(c *Config) { c.Servers[0] = strings.Replace(c.Servers[0], "127.0.0.1", "localhost", 1) }},
		"clear on loopback, since it is said": {cert: cert, change: func(c *Config) { c.NoStartTLS = true }, ok: true, clear: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.fake = newFake(t, tc.ldaps, tc.cert)
			w.user("alice")
			w.config.CAFile, w.config.Servers = ca, []string{w.url()}
			if tc.change != nil {
				tc.change(&w.config)
			}
			id, err := login(t, w.open(t), "alice", "alice-pw")
			if (err == nil && id.Name == "alice") != tc.ok || !tc.ok && !errors.Is(err, identity.ErrNotTried) {
				t.Errorf("got %v, %v, want ok %v", id, err, tc.ok)
			}
			if w.seen().clear != tc.clear {
				t.Errorf("passwords in clear: %v, want %v", w.seen().clear, tc.clear)
			}
			if !tc.ok && len(w.seen().binds) > 0 {
				t.Errorf("a password was sent to a server that is not the one: %q", w.seen().binds)
			}
		})
	}
}

func TestTheNextServerIsAsked(t *testing.T) {
	w := newWorld(t)
	w.user("alice")
	dead := newFake(t, true, w.tls.Certificates[0])
	dead.stop()
	hanging := newFake(t, true, w.tls.Certificates[0])
	hanging.hang = true
	w.config.Servers = []string{dead.url(), hanging.url(), w.url()}
	w.config.Timeout = 2 * time.Second
	d := w.open(t)
	if id, err := login(t, d, "alice", "alice-pw"); err != nil {
		t.Fatalf("got %v, %v", id, err)
	}
	asked := hanging.seen().opened
	d.pool.drop()
	if _, err := login(t, d, "alice", "alice-pw"); err != nil || hanging.seen().opened != asked {
		t.Errorf("%v; the server that hung was asked %d times more", err, hanging.seen().opened-asked)
	}
	if !strings.Contains(w.log.String(), "directory server does not answer") {
		t.Errorf("log:\n%s", w.log.String())
	}
}

func TestAWrongServicePasswordIsNotTriedOnEveryServer(t *testing.T) {
	w := newWorld(t)
	noTLS := newFake(t, false, tls.Certificate{}) // its answer is no reason to stop
	w.config.Servers = []string{noTLS.url(), w.url(), w.url()}
	w.config.PasswordFile = write(t, "pw", "old")
	_, err := login(t, w.open(t), "alice", "alice-pw")
	if !errors.Is(err, identity.ErrNotTried) || !strings.Contains(err.Error(), "cn=search") || strings.Contains(err.Error(), "old") || len(w.seen().binds) != 1 {
		t.Errorf("%d binds, %v", len(w.seen().binds), err)
	}
}

func TestAConnectionThatDiedIsReplaced(t *testing.T) {
	w := newWorld(t)
	w.user("alice")
	d := w.open(t)
	for range 3 {
		if _, err := d.Lookup(t.Context(), "alice"); err != nil {
			t.Fatal(err)
		}
		w.cut()
	}
}

func TestARestingConnectionIsProbed(t *testing.T) {
	w := newWorld(t)
	w.user("alice")
	d := w.open(t)
	lookup := func() {
		t.Helper()
		if _, err := d.Lookup(t.Context(), "alice"); err != nil {
			t.Fatal(err)
		}
	}
	lookup()
	lookup()
	w.clock.advance(probeAfter)
	lookup()
	if len(w.seen().searches) != 4 || w.seen().opened != 1 {
		t.Errorf("searches %q over %d connections", w.seen().searches, w.seen().opened)
	}
	w.clock.advance(maxAge)
	lookup()
	if w.seen().opened != 2 {
		t.Errorf("%d connections, want a new one after %v", w.seen().opened, maxAge)
	}
}

// A firewall forgets connections without a word. The first question finds out,
// and costs a part of its time; the others rest no longer.
func TestConnectionsThatAreSilentAreReplacedAtOnce(t *testing.T) {
	for name, rested := range map[string]time.Duration{"after a rest": probeAfter, "right away": 0} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.user("alice")
			w.config.Timeout = 2 * time.Second
			d := w.open(t)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var resting []*session
			for range 5 {
				s, err := d.dialer.searcher(ctx)
				if err != nil {
					t.Fatal(err)
				}
				resting = append(resting, s)
			}
			for _, s := range resting {
				d.pool.put(s)
			}
			w.silence()
			w.clock.advance(rested)
			if _, err := d.Lookup(ctx, "alice"); err != nil {
				t.Error(err)
			}
			w.set(func() {
				if n := len(d.pool.idle); n != 1 || w.ignored != 1 {
					t.Errorf("%d connections rest, %d were asked for nothing; want the new one, and one", n, w.ignored)
				}
			})
		})
	}
}

func TestADirectoryThatHangsOrFloodsIsAnErrorInTime(t *testing.T) {
	for name, tc := range map[string]struct {
		timeout time.Duration
		turn    func(*world)
		want    string
	}{
		"hangs":  {time.Second, func(w *world) { w.hang = true }, "search for the user"},
		"floods": {time.Minute, func(w *world) { w.flood = true }, "answer is longer than 8 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.user("alice")
			w.config.Timeout = tc.timeout
			d := w.open(t)
			if _, err := d.Lookup(t.Context(), "alice"); err != nil {
				t.Fatal(err)
			}
			w.set(func() { tc.turn(w) })
			if _, err := login(t, d, "alice", "alice-pw"); !errors.Is(err, identity.ErrNotTried) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want ErrNotTried and %q", err, tc.want)
			}
			w.set(func() { w.hang, w.flood = false, false })
			if _, err := login(t, d, "alice", "alice-pw"); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

func TestAQuestionEndsWithItsRequest(t *testing.T) {
	w := newWorld(t)
	w.hang = true
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	d := w.open(t)
	go func() {
		_, err := d.Lookup(ctx, "alice")
		done <- err
	}()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestManyAtOnce(t *testing.T) {
	w := newWorld(t)
	w.user("alice")
	w.config.Connections = 2
	d := w.open(t)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, err := d.Authenticate(t.Context(), identity.Credentials{Name: "alice", Password: "alice-pw"}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := len(d.pool.idle); n > 2 {
		t.Errorf("%d connections rest, want 2 at most", n)
	}
}
