package admin_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/x2broker/x2broker/broker/admin"
	"github.com/x2broker/x2broker/broker/snapshot"
	"github.com/x2broker/x2broker/broker/source/gittest"
)

func TestStatusNamesTheStagesInOrder(t *testing.T) {
	f := newFixture(t)
	r, err := f.client.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range r.Stages {
		got = append(got, s.Stage)
		if s.Stage == snapshot.Verified {
			if s.Reason != snapshot.NotConfigured || s.Commit != "" {
				t.Errorf("Verified: %+v", s)
			}
		} else if s.Commit != r.Stages[4].Commit || s.Author != "Ada Admin" || s.Subject != "Open the lab" || s.Time.IsZero() {
			t.Errorf("%s: %+v", s.Stage, s)
		}
	}
	if want := []string{"Fetched", "Verified", "Compiled", "Tested", "Serving"}; !slices.Equal(got, want) {
		t.Errorf("stages %v", got)
	}
	if r.Name != "one" || r.Objects != (admin.Objects{Profiles: 1, Servers: 1}) || r.Worker != "no network" {
		t.Errorf("%+v", r)
	}
}

func TestTheSocketIsPrivate(t *testing.T) {
	f := newFixture(t)
	info, err := os.Stat(filepath.Join(f.dir, "control.sock"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// The modes of files keep others away; this is for the day that they do not.
func TestOtherUsersAreRefusedWhateverTheModes(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can connect as somebody else")
	}
	f := newFixture(t)
	file := filepath.Join(f.dir, "control.sock")
	for dir := file; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	answered := make(chan string)
	go func() {
		runtime.LockOSThread() // and the thread ends with this function
		if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, 65534, 65534, 65534); e != 0 {
			answered <- e.Error()
			return
		}
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err == nil {
			err = unix.Connect(fd, &unix.SockaddrUnix{Name: file})
		}
		if err != nil {
			answered <- err.Error()
			return
		}
		_, _ = unix.Write(fd, []byte("GET /v1/status HTTP/1.0\r\n\r\n")) // it may be closed already
		reply := make([]byte, 100)
		n, err := unix.Read(fd, reply)
		switch {
		case n > 0:
			answered <- string(reply[:n])
		case err != nil && !errors.Is(err, unix.ECONNRESET):
			answered <- err.Error()
		default:
			answered <- ""
		}
	}()
	if got := <-answered; got != "" {
		t.Errorf("nobody got %q", got)
	}
	if !strings.Contains(f.log.String(), "control socket refused a connection\" uid=65534") {
		t.Errorf("not in the log:\n%s", f.log)
	}
	if _, err := f.client.Status(t.Context()); err != nil {
		t.Errorf("and now root: %v", err)
	}
}

func TestALongStateDirectoryHasASocketToo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long/", 40))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 { // and what a killed broker left is no obstacle
		l, err := admin.ListenControl(dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
}

func TestWithoutABrokerTheRemedyIsTold(t *testing.T) {
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, "control.sock")) // left by a killed broker
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	for _, dir := range []string{dir, t.TempDir(), "/nonexistent"} {
		_, err := admin.NewClient(dir).Status(t.Context())
		if err == nil || !strings.Contains(err.Error(), "no broker runs with the state directory "+dir+": start it with x2broker serve") {
			t.Errorf("%v", err)
		}
	}
}

func TestWaitEndsWhenTheCommitServesOrIsRefused(t *testing.T) {
	f := newFixture(t)
	f.run(t)
	good := f.repo.Commit(gittest.Commit{Files: site("two")})
	for _, commit := range []string{good[:7], good, strings.ToUpper(good)} {
		if w, err := f.client.Wait(t.Context(), commit, time.Minute); err != nil || w.Outcome != admin.Serves || w.Report.Stages[4].Commit != good {
			t.Fatalf("%s: %v, %v", commit, w, err)
		}
	}
	bad := f.repo.Commit(gittest.Commit{Files: broken})
	w, err := f.client.Wait(t.Context(), bad, time.Minute)
	if err != nil || w.Outcome != admin.Refuses || w.Report.Refused.Gate != snapshot.Compiled || w.Report.Stages[4].Commit != good {
		t.Fatalf("%+v, %v", w, err)
	}
	if d := w.Report.Refused.Diagnostics; len(d) == 0 || !strings.HasPrefix(d[0], "profiles.cue:3:") {
		t.Errorf("diagnostics %q", d)
	}
	if w, err := f.client.Wait(t.Context(), strings.Repeat("0", 40), time.Millisecond); err != nil || w.Outcome != admin.TimedOut {
		t.Errorf("an unknown commit: %v, %v", w.Outcome, err)
	}
	if _, err := f.client.Wait(t.Context(), "abc", time.Minute); err == nil {
		t.Error("waits for three digits")
	}
}

func TestWaitEndsWhenAnOperatorHoldsAnotherCommit(t *testing.T) {
	f := newFixture(t)
	f.run(t)
	if _, err := f.client.Freeze(t.Context(), "exams", time.Time{}); err != nil {
		t.Fatal(err)
	}
	next := f.repo.Commit(gittest.Commit{Files: site("two")})
	if w, err := f.client.Wait(t.Context(), next, time.Minute); err != nil || w.Outcome != admin.Held {
		t.Errorf("%v, %v", w.Outcome, err)
	}
}

func TestOrdersAreSignedAndEndByThemselves(t *testing.T) {
	f := newFixture(t)
	first := f.keeper.Current().Revision.ID
	f.repo.Commit(gittest.Commit{Files: site("two")})
	if err := f.keeper.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	hold, err := f.client.Pin(t.Context(), first[:7], "broken login", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if d := time.Until(hold.Until); hold.UID != os.Getuid() || hold.By == "" || hold.Reason != "broken login" || d < 23*time.Hour || d > 25*time.Hour {
		t.Errorf("%+v", hold)
	}
	if got := f.keeper.Current().Revision.ID; got != first {
		t.Errorf("serves %s", got)
	}
	if r, err := f.client.Status(t.Context()); err != nil || r.Hold == nil || !strings.Contains(r.State, "pinned until") {
		t.Errorf("%+v, %v", r.Hold, err)
	}
	if err := f.client.Lift(t.Context(), snapshot.Pin, "fixed"); err != nil {
		t.Error(err)
	}
	for what, until := range map[string]time.Time{"the past": time.Now().Add(-time.Hour), "for good": time.Now().AddDate(1, 0, 0)} {
		if _, err := f.client.Freeze(t.Context(), "", until); err == nil {
			t.Errorf("frozen until %s", what)
		}
	}
	if _, err := f.client.Freeze(t.Context(), strings.Repeat("x", 501), time.Time{}); err == nil {
		t.Error("a long reason is taken")
	}
}

func TestARefusedPinSaysWhy(t *testing.T) {
	f := newFixture(t)
	bad := f.repo.Commit(gittest.Commit{Files: broken})
	_ = f.keeper.Refresh(t.Context()) // it is refused
	_, err := f.client.Pin(t.Context(), bad, "", time.Time{})
	rejected := new(admin.RejectedError)
	if !errors.As(err, &rejected) || len(rejected.Diagnostics) == 0 || !strings.Contains(rejected.Text, "refused by gate Compiled") {
		t.Errorf("%v", err)
	}
	if _, err := f.client.Pin(t.Context(), "0123456", "", time.Time{}); !errors.As(err, &rejected) || len(rejected.Diagnostics) != 0 {
		t.Errorf("%v", err)
	}
}

func TestOrdersThatAreNoneAreRefused(t *testing.T) {
	f := newFixture(t)
	conn := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(f.dir, "control.sock"))
	}}}
	defer conn.CloseIdleConnections()
	for name, c := range map[string]struct {
		method, path, body string
		want               int
	}{
		"garbage":           {"POST", "freeze", "{", 400},
		"nothing":           {"POST", "freeze", "", 400},
		"unknown field":     {"POST", "freeze", `{"force": true}`, 400},
		"too long":          {"POST", "freeze", `{"reason": "` + strings.Repeat("x", 1<<20) + `"}`, 400},
		"a look at orders":  {"GET", "freeze", "", 405},
		"unknown order":     {"POST", "stop", "{}", 404},
		"nothing to lift":   {"POST", "unpin", "{}", 409},
		"wait for ever":     {"GET", "wait?commit=0123456&timeout=100h", "", 400},
		"wait for nothing":  {"GET", "wait?timeout=1s", "", 400},
		"wait without time": {"GET", "wait?commit=0123456", "", 400},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, "http://x/v1/"+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := conn.Do(req)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		resp.Body.Close()
		if resp.StatusCode != c.want {
			t.Errorf("%s: %s, want %d", name, resp.Status, c.want)
		}
	}
	if f.keeper.Status().Hold != nil {
		t.Error("something is held")
	}
}

func TestStoppingEndsAWait(t *testing.T) {
	dir := t.TempDir()
	l, err := admin.ListenControl(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t)
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error)
	go func() { served <- admin.NewControl(f.broker, slog.New(slog.DiscardHandler)).Serve(ctx, l) }()
	waited := make(chan struct{})
	go func() {
		_, _ = admin.NewClient(dir).Wait(t.Context(), "0123456", time.Hour) // what it says does not matter
		close(waited)
	}()
	if _, err := admin.NewClient(dir).Status(t.Context()); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	<-waited
}

func TestWaitEndsWhenANewerCommitServes(t *testing.T) {
	f := newFixture(t)
	overtaken := f.repo.Commit(gittest.Commit{Files: broken})
	last := f.repo.Commit(gittest.Commit{Files: site("two")})
	f.run(t)
	w, err := f.client.Wait(t.Context(), overtaken, time.Minute)
	if err != nil || w.Outcome != admin.Serves || w.Report.Stages[4].Commit != last {
		t.Errorf("%v, %v", w, err)
	}
	other := f.repo.Commit(gittest.Commit{Branch: "feature", Files: site("three")})
	if w, err := f.client.Wait(t.Context(), other, 10*time.Millisecond); err != nil || w.Outcome != admin.TimedOut {
		t.Errorf("a commit of another branch: %v, %v", w.Outcome, err)
	}
}
