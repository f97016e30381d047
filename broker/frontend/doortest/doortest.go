// Package doortest has a whole broker behind a frontend, for tests: nothing in it
// is a double but the bcrypt cost.
package doortest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/x2broker/x2broker/broker/farm"
	"github.com/x2broker/x2broker/broker/frontend"
	"github.com/x2broker/x2broker/broker/identity"
	"github.com/x2broker/x2broker/broker/session"
	"github.com/x2broker/x2broker/broker/snapshot"
	"github.com/x2broker/x2broker/broker/source"
	"github.com/x2broker/x2broker/schema"
)

// Password is everybody's.
const Password = "s&w ü"

// Address is where requests come from.
const Address = "192.0.2.1"

// AddressOf is another for each text, so that the guesses of one fuzzed request do
// not throttle the next.
func AddressOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return netip.AddrFrom4([4]byte{10, sum[0], sum[1], sum[2]}).String()
}

// A Broker answers from a site.
type Broker struct {
	Service *session.Service
	Options frontend.Options // of the service
	Log     *Log
}

// Log is what the broker has logged, at every level.
type Log struct {
	mu sync.Mutex
	b  strings.Builder
}

// Write appends.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// Reset forgets what was logged.
func (l *Log) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b.Reset()
}

func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Files are those of a site, by path.
type Files map[string]string

// New returns a broker with these users, who have no groups and [Password].
func New(tb testing.TB, files Files, users ...string) *Broker {
	tb.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(Password), bcrypt.MinCost)
	check(tb, err)
	static := map[string]identity.StaticUser{}
	for _, name := range users {
		static[name] = identity.StaticUser{Hash: string(hash)}
	}
	a, _, err := identity.NewStatic(identity.StaticConfig{Users: static})
	check(tb, err)
	return NewWith(tb, files, a)
}

// NewOpen returns a broker that lets everybody in, like `type: "none"`.
func NewOpen(tb testing.TB, files Files) *Broker {
	tb.Helper()
	none, err := identity.NewNone(nil, nil)
	check(tb, err)
	return NewWith(tb, files, none)
}

// NewWith returns a broker that asks this authenticator.
func NewWith(tb testing.TB, files Files, a identity.Authenticator) *Broker {
	tb.Helper()
	site := fstest.MapFS{}
	for name, text := range files {
		site[name] = &fstest.MapFile{Data: []byte(text)}
	}
	tree, err := source.FromFS(site)
	check(tb, err)
	b := &Broker{Log: &Log{}}
	log := slog.New(slog.NewTextHandler(b.Log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	keeper := snapshot.New(snapshot.Options{Source: source.NewFixed("test", tree), Compiler: schema.NewCompiler(), Log: log})
	check(tb, keeper.Refresh(context.Background()))
	chain, err := identity.NewChain(a)
	check(tb, err)
	tickets, err := identity.NewTickets(identity.TicketConfig{
		StateDir: tb.TempDir(), Lifetime: time.Hour, Rotate: true, VerifyAddress: true, Clock: time.Now, Rand: rand.Reader, Logger: log,
	})
	check(tb, err)
	throttle, err := identity.NewThrottle(identity.ThrottleConfig{Clock: time.Now, Rand: rand.Reader, Logger: log})
	check(tb, err)
	gate := identity.NewGate(identity.GateConfig{Chain: chain, Tickets: tickets, Throttle: throttle, Logger: log})
	b.Service = session.New(keeper, gate, farm.New(time.Now, func(int) int { return 0 }), time.Now, log)
	b.Options = frontend.Options{Service: b.Service, Log: log}
	return b
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// A Door is a frontend that is asked by tests.
type Door struct{ http.Handler }

// Open puts the handler of a frontend below its path, such as /plain/.
func Open(path string, h http.Handler) Door {
	return Door{frontend.ClientAddress(nil)(http.StripPrefix(path, h))}
}

// Do sends a form, or "" for no body. Headers are names and values in turn.
func (d Door) Do(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	return d.DoFrom(Address, method, path, body, headers...)
}

// DoFrom does so from another address.
func (d Door) DoFrom(address, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	u, err := url.Parse(path)
	if err != nil {
		panic(err) // a mistake in the test
	}
	return d.Send(address, method, u, body, headers...)
}

// Send sends a request whose URL may be nonsense.
func (d Door) Send(address, method string, u *url.URL, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "/", strings.NewReader(body))
	r.URL = u
	r.RemoteAddr = address + ":7"
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w
}
