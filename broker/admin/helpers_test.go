package admin_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/x2broker/x2broker/broker/admin"
	"github.com/x2broker/x2broker/broker/session"
	"github.com/x2broker/x2broker/broker/snapshot"
	"github.com/x2broker/x2broker/broker/source"
	"github.com/x2broker/x2broker/broker/source/gittest"
	"github.com/x2broker/x2broker/schema"
)

func site(name string) map[string]string {
	return map[string]string{"site.cue": fmt.Sprintf(`package site

site: name: %q
servers: ts01: {}
profiles: office: {name: "Office", hosts: ids: ["ts01"], access: groups: ["staff"]}
`, name)}
}

// A fixture is a keeper with a repository and a control socket.
type fixture struct {
	repo   *gittest.Repo
	dir    string
	log    *buffer
	keeper *snapshot.Keeper
	broker *admin.Broker
	client *admin.Client
}

// newFixture serves the first commit, of site("one").
func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{repo: gittest.New(t), dir: t.TempDir(), log: &buffer{}}
	f.repo.Commit(gittest.Commit{Files: site("one"), Subject: "Open the lab"})
	log := slog.New(slog.NewTextHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	src, err := source.Open(source.Config{URL: f.repo.URL(), StoreDir: filepath.Join(f.dir, "git")})
	if err != nil {
		t.Fatal(err)
	}
	f.keeper = snapshot.New(snapshot.Options{Source: src, Compiler: schema.NewCompiler(), StateDir: f.dir, Poll: time.Hour, Log: log})
	f.broker = &admin.Broker{
		Keeper: f.keeper, Version: "v1.2.3", Listeners: []string{"http 127.0.0.1:8080"}, Started: time.Now(), Now: time.Now,
		Worker: func() (string, int) { return "no network", 1 },
		Doors: func() admin.Doors {
			return admin.Doors{
				Open: 3, Most: 100, Refused: map[string]uint64{"slow": 2},
				Certificate: &admin.Certificate{Until: time.Unix(2e9, 0), Failed: "is garbage"},
				SSH:         &admin.SSH{Open: 4, Waiting: 2, Turned: 9, Logins: []admin.SSHLogins{{Method: "password", Outcome: "denied", Count: 6}}, Failed: "are garbage"},
			}
		},
		Entry: func() session.Entry {
			e := session.Entry{}
			e.Tickets.Chains, e.Tickets.Turned, e.Tickets.Failing = 12, 345, true
			e.Throttle.Blocked, e.Throttle.InFlight, e.Throttle.Refused = 3, 2, map[string]uint64{"user": 7}
			return e
		},
	}
	f.client = admin.NewClient(f.dir)
	if err := f.keeper.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	l, err := admin.ListenControl(f.dir, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := admin.NewControl(f.broker, log).Serve(ctx, l); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
		if _, err := os.Stat(filepath.Join(f.dir, "control.sock")); err == nil {
			t.Error("the socket is left behind")
		}
	})
	return f
}

// run follows the repository until the test ends.
func (f *fixture) run(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { f.keeper.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
}

// buffer may be written to by many.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// broken is a site with a mistake in line 3 of profiles.cue.
var broken = map[string]string{
	"site.cue":     site("broken")["site.cue"],
	"profiles.cue": "package site\n\nprofiles: a: {nome: 1, hosts: ids: [\"ts01\"]}\n",
}
