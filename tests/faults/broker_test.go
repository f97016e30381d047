package faults_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/x2broker/x2broker/broker/admin"
	"github.com/x2broker/x2broker/broker/audience"
	"github.com/x2broker/x2broker/broker/farm"
	"github.com/x2broker/x2broker/broker/frontend"
	"github.com/x2broker/x2broker/broker/frontend/plain"
	"github.com/x2broker/x2broker/broker/identity"
	"github.com/x2broker/x2broker/broker/session"
	"github.com/x2broker/x2broker/broker/snapshot"
	"github.com/x2broker/x2broker/broker/source"
	"github.com/x2broker/x2broker/broker/source/gittest"
	"github.com/x2broker/x2broker/broker/worker"
	"github.com/x2broker/x2broker/client"
	"github.com/x2broker/x2broker/tests/brokertest"
)

// A broker is put together here as serve does it, in this process but for the
// worker, so that its time, limits and name server can be chosen. It follows a
// repository that git http-backend serves, through a proxy that does harm.
type broker struct {
	*testing.T
	repo  *gittest.Repo
	https *gittest.HTTPS
	proxy *gittest.Proxy
	ssh   *gittest.SSH        // nil unless the repository is read through it
	sign  func([]byte) string // what is pushed; nil: not
	clock *atomic.Int64       // nil for the real one

	source  source.Config // may be changed before start
	options snapshot.Options
	memory  int64 // of the worker

	keeper *snapshot.Keeper
	status *admin.Client
	url    string // where users come
	hook   string // where the forge calls
	newest string // id of the commit that was pushed last
	before string // and of the one before
}

// patience is how long a test waits for what the broker should say soon: some of
// what runs beside it takes all that a machine has.
const patience = 2 * brokertest.Deadline

const hookSecret = "a secret of the forge"

func newBroker(t *testing.T) *broker {
	b := &broker{T: t, repo: gittest.New(t)}
	b.https = b.repo.ServeHTTPS()
	u, err := url.Parse(b.https.URL)
	if err != nil {
		t.Fatal(err)
	}
	b.proxy = gittest.NewProxy(t, u.Host)
	u.Host = b.proxy.Addr
	dir := t.TempDir()
	b.source = source.Config{
		URL: u.String(), StoreDir: filepath.Join(dir, "git"), Auth: source.Auth{CAFile: b.https.CAFile},
	}
	b.options = snapshot.Options{StateDir: dir, Poll: 50 * time.Millisecond}
	return b
}

// start serves until the test ends.
func (b *broker) start() {
	b.Helper()
	log := slog.New(slog.NewTextHandler(b.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
	src, err := source.Open(b.source)
	if err != nil {
		b.Fatal(err)
	}
	dir := b.options.StateDir
	compiler := worker.New(worker.Options{Command: []string{"/proc/self/exe", asWorker}, Memory: b.memory, Log: log})
	users := audience.Open(dir, time.Now, log)
	b.options.Source, b.options.Compiler, b.options.Log = src, compiler, log
	b.options.Audience = func() (people []snapshot.Person) {
		for _, u := range users.Recent() {
			people = append(people, snapshot.Person{Name: u.Name, Groups: u.Groups, Address: u.Address, Time: u.Last})
		}
		return people
	}
	b.keeper = snapshot.New(b.options)
	none, err := identity.NewNone([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, nil)
	if err != nil {
		b.Fatal(err)
	}
	chain, err := identity.NewChain(none)
	if err != nil {
		b.Fatal(err)
	}
	throttle, err := identity.NewThrottle(identity.ThrottleConfig{Clock: time.Now, Rand: rand.Reader, Logger: log})
	if err != nil {
		b.Fatal(err)
	}
	gate := identity.NewGate(identity.GateConfig{Chain: chain, Throttle: throttle, Logger: log})
	service := session.New(b.keeper, gate, farm.New(time.Now, func(int) int { return 0 }), time.Now, log)
	service.Observe(func(d session.Done) {
		if d.Err == nil {
			users.Saw(d.Grant.User, d.Grant.Groups, d.Address)
		}
	})
	operated := &admin.Broker{
		Keeper: b.keeper, Version: "test", Started: time.Now(), Now: time.Now, Worker: func() (string, int) { return "", compiler.Starts() },
		Doors: func() admin.Doors { return admin.Doors{} }, Entry: gate.Status,
	}
	operated.Webhook = admin.NewWebhook(admin.GitHub, []byte(hookSecret), b.keeper.Nudge, admin.NewMetrics(operated), time.Now, log)
	mux := http.NewServeMux()
	mux.Handle("/plain/", frontend.ClientAddress(nil)(http.StripPrefix("/plain/", plain.New(frontend.Options{Service: service, Log: log}, http.StatusOK))))
	mux.Handle("/hook", operated.Webhook)
	server := httptest.NewServer(mux)
	b.url, b.hook = server.URL+"/plain/", server.URL+"/hook"
	control, err := admin.ListenControl(dir, log)
	if err != nil {
		b.Fatal(err)
	}
	b.status = admin.NewClient(dir)
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan struct{}, 2)
	go func() {
		b.keeper.Run(ctx)
		done <- struct{}{}
	}()
	go func() {
		if err := admin.NewControl(operated, log).Serve(ctx, control); err != nil {
			b.Error(err)
		}
		done <- struct{}{}
	}()
	b.Cleanup(func() {
		cancel()
		<-done
		<-done
		server.Close()
		compiler.Close()
	})
}

// site has one profile, which everybody sees, and what more there is.
func site(id string, more ...string) map[string]string {
	files := map[string]string{"site.cue": fmt.Sprintf(`package site

site: name: "Faults"
servers: ts01: {}
profiles: %q: {name: "Desktop", hosts: ids: ["ts01"], access: everyone: true}
`, id)}
	for i := 0; i < len(more); i += 2 {
		files[more[i]] = more[i+1]
	}
	return files
}

// push commits a good site, signed if commits are to be.
func (b *broker) push(id string, more ...string) {
	b.Helper()
	b.commit(gittest.Commit{Files: site(id, more...)})
}

// commit commits, and gives the commit's id.
func (b *broker) commit(c gittest.Commit) string {
	b.Helper()
	b.before = b.newest
	if b.sign == nil {
		b.newest = b.repo.Commit(c)
		return b.newest
	}
	if b.newest != "" {
		b.repo.Branch("next", b.repo.Run("rev-parse", "main"))
	}
	c.Branch = "next"
	b.repo.Commit(c)
	b.newest = b.repo.Sign(c.Branch, b.sign)
	b.repo.Branch("main", b.newest)
	return b.newest
}

// reset takes the branch back to the commit that serves.
func (b *broker) reset() {
	b.Helper()
	b.repo.Branch("main", b.keeper.Current().Revision.ID)
}

// await waits until f is true of what x2broker status prints and of the state
// behind it.
func (b *broker) await(what string, f func(text string, s snapshot.Status) bool) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), patience)
	defer cancel()
	for {
		s, changed := b.keeper.Watch()
		text := b.said()
		if f(text, s) {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			b.Fatalf("waiting for %s; status:\n%s", what, text)
		}
	}
}

// said is what x2broker status prints now.
func (b *broker) said() string {
	b.Helper()
	report, err := b.status.Status(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	if _, err := json.Marshal(report); err != nil { // status --format json
		b.Error(err)
	}
	var text strings.Builder
	if err := report.WriteText(&text, time.Now()); err != nil {
		b.Fatal(err)
	}
	return text.String()
}

// says waits until the status says why.
func (b *broker) says(reason string) {
	b.Helper()
	b.await(fmt.Sprintf("%q", reason), func(text string, _ snapshot.Status) bool { return strings.Contains(text, reason) })
}

// refused checks that the newest commit is refused at that gate, and so is said
// to whoever waits for it; "" for not at all.
func (b *broker) refused(gate string) {
	b.Helper()
	got, s := "", b.keeper.Status()
	if s.Refused != nil {
		got = s.Refused.Gate
	}
	if got != gate {
		b.Errorf("refused at gate %q, want %q", got, gate)
	}
	if gate == "" {
		return
	}
	waited, err := b.status.Wait(b.Context(), b.newest, patience)
	if err != nil || waited.Outcome != admin.Refuses {
		b.Errorf("status --wait: %s, %v", waited.Outcome, err)
	}
}

// serves waits until the commit that was pushed last serves, kept on disk, with
// nothing left to complain of.
func (b *broker) serves(id string) {
	b.Helper()
	b.await("commit "+b.newest, func(text string, s snapshot.Status) bool {
		return s.Serving.Revision.ID == b.newest && s.Refused == nil && s.Failures == 0 && s.Unkept == ""
	})
	b.lists(id)
}

// lists checks what users are offered now.
func (b *broker) lists(want ...string) {
	b.Helper()
	if got := b.seenBy("tess"); !slices.Equal(got, want) {
		b.Errorf("the list is %v, want %v", got, want)
	}
}

func (b *broker) seenBy(user string) (ids []string) {
	b.Helper()
	c := &client.Client{URL: b.url, User: user, HTTP: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	profiles, err := c.List(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	for _, p := range profiles {
		ids = append(ids, p.ID)
	}
	return ids
}
