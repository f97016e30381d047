package site_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/x2broker/x2broker/tests/brokertest"
)

// operator runs a command at the broker of a state directory.
func operator(t *testing.T, state string, wantCode int, args ...string) string {
	t.Helper()
	out, code := brokertest.Run(t, append(args, "--state-dir", state)...)
	if code != wantCode {
		t.Errorf("x2broker %s: exit code %d, want %d\n%s", strings.Join(args, " "), code, wantCode, out)
	}
	return out
}

// contains checks what an operator reads.
func contains(t *testing.T, text string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("no %q in:\n%s", w, text)
		}
	}
}

func extra(name string) brokertest.Files {
	return brokertest.Files{"profiles/extra.cue": fmt.Sprintf(`package site

profiles: %s: {name: "Extra", hosts: ids: ["lab01"], access: everyone: true}
`, name)}
}

func TestStatusTellsWhyTheLastGoodCommitServesOn(t *testing.T) {
	repo := brokertest.NewRepo(t, campus)
	state := t.TempDir()
	contains(t, operator(t, state, 1, "status"), "x2broker: error: no broker runs with the state directory "+state)
	b := brokertest.Start(t, settings(t, repo.URL(), state))
	b.WaitReady()

	good := repo.Push(extra("extra"))
	contains(t, operator(t, state, 0, "status", "--wait", good[:9]), good[:9]+" serves")
	bad := repo.Push(brokertest.Files{"profiles/bad.cue": "package site\n\nprofiles: bad: {name: 7, hosts: ids: [\"lab09\"]}\n"})
	refused := operator(t, state, 3, "status", "--wait", bad)
	for _, text := range []string{refused, operator(t, state, 0, "status")} {
		contains(t, text, "Campus, from file://", "REFUSED: "+bad[:12]+" by gate Compiled", "profiles/bad.cue:3:", "Ada Admin: Change the site",
			"Serving   "+good[:12], "no network, no files, no programs", "http "+b.Addr)
	}
	contains(t, refused, "error: commit "+bad+" is refused")
	if _, text := b.Get("/readyz"); text != "ready: Serving "+good[:12]+", Compiled refused "+bad[:12]+"\n" {
		t.Errorf("/readyz: %q", text)
	}

	var report struct {
		State   string
		Refused struct{ Gate, Commit string }
	}
	if err := json.Unmarshal([]byte(operator(t, state, 0, "status", "--format", "json")), &report); err != nil {
		t.Fatal(err)
	}
	if report.Refused.Gate != "Compiled" || report.Refused.Commit != bad || !strings.HasPrefix(report.State, "Serving "+good[:12]) {
		t.Errorf("%+v", report)
	}
	contains(t, operator(t, state, 1, "status", "--wait", strings.Repeat("0", 40), "--timeout", "10ms"), "does not serve after 10ms: is it pushed")

	if err := os.Rename(repo.Bare, repo.Bare+".away"); err != nil {
		t.Fatal(err)
	}
	b.WaitLog("site cannot be read")
	contains(t, operator(t, state, 0, "status"), "source     failed ", "looks again in ", "repository not found")
}

func TestOperatorsGoBackAndForth(t *testing.T) {
	repo := brokertest.NewRepo(t, campus)
	state := t.TempDir()
	config := settings(t, repo.URL(), state)
	b := brokertest.Start(t, config)
	sam := b.Client("sam", "127.0.0.2")
	eventually(t, sam, "lab")
	one := repo.Push(extra("one"))
	eventually(t, sam, "lab", "one")
	repo.Push(extra("two"))
	eventually(t, sam, "lab", "two")

	contains(t, operator(t, state, 0, "rollback", "--reason", "two is wrong"), "serves "+one, "x2broker unpin")
	eventually(t, sam, "lab", "one")
	three := repo.Push(extra("three"))
	contains(t, operator(t, state, 1, "status", "--wait", three), "PINNED: "+one[:12], "two is wrong", "an operator holds another one")
	b.WaitLog(`level=WARN msg="operator holds the site".*two is wrong`)

	b.Kill()
	b = brokertest.Start(t, config)
	b.WaitReady()
	sam = b.Client("sam", "127.0.0.2")
	if diff := cmp.Diff([]string{"lab", "one"}, ids(t, sam)); diff != "" {
		t.Errorf("after a crash (-want +got):\n%s", diff)
	}

	operator(t, state, 1, "unfreeze")
	operator(t, state, 0, "unpin")
	eventually(t, sam, "lab", "three")
	operator(t, state, 0, "freeze", "--until", "1h", "--reason", "exams")
	four := repo.Push(extra("four"))
	operator(t, state, 1, "status", "--wait", four)
	if diff := cmp.Diff([]string{"lab", "three"}, ids(t, sam)); diff != "" {
		t.Errorf("frozen (-want +got):\n%s", diff)
	}
	operator(t, state, 0, "unfreeze")
	operator(t, state, 0, "status", "--wait", four)

	bad := repo.Push(brokertest.Files{"profiles/bad.cue": "package site\n\nprofiles: bad: {name: 7}\n"})
	operator(t, state, 3, "status", "--wait", bad)
	contains(t, operator(t, state, 3, "pin", bad), "profiles/bad.cue:3:", "is refused by gate Compiled")
	operator(t, state, 1, "pin", strings.Repeat("0", 40))
	operator(t, state, 2, "freeze", "--until", "soon")
	eventually(t, sam, "four", "lab")

	log, err := os.ReadFile(filepath.Join(state, "operator.log"))
	if err != nil {
		t.Fatal(err)
	}
	var actions []string
	for line := range strings.Lines(string(log)) {
		var l struct {
			Action string
			UID    int
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil || l.UID != os.Getuid() {
			t.Errorf("%s: %v", line, err)
		}
		actions = append(actions, l.Action)
	}
	if diff := cmp.Diff([]string{"rollback", "unpin", "freeze", "unfreeze"}, actions); diff != "" {
		t.Errorf("operator.log (-want +got):\n%s", diff)
	}
}

func TestDirectoriesCannotBePinned(t *testing.T) {
	site, state := t.TempDir()+"/site", t.TempDir()
	writeSite(t, site, campus)
	brokertest.Start(t, settings(t, site, state)).WaitReady()
	for _, command := range [][]string{{"pin", "0123456"}, {"rollback"}} {
		contains(t, operator(t, state, 1, command...), "only a site in a Git repository can be pinned or rolled back")
	}
	operator(t, state, 0, "freeze")
}

func TestAFullDiskRefusesOrdersAndServesOn(t *testing.T) {
	repo := brokertest.NewRepo(t, campus)
	state := t.TempDir()
	b := brokertest.Start(t, settings(t, repo.URL(), state))
	sam := b.Client("sam", "127.0.0.2")
	eventually(t, sam, "lab")
	for _, name := range []string{"operator.json.new", "last-good.2.site.new", "served.json.new"} { // no file can be written there
		if err := os.MkdirAll(filepath.Join(state, name, "x"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	contains(t, operator(t, state, 1, "freeze"), "cannot keep the order")
	next := repo.Push(extra("extra"))
	operator(t, state, 0, "status", "--wait", next)
	eventually(t, sam, "extra", "lab")
}

func TestAWebhookMakesTheBrokerLookNow(t *testing.T) {
	repo := brokertest.NewRepo(t, campus)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("a secret of the forge\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	config := strings.Replace(settings(t, repo.URL(), t.TempDir()), "100ms", "1h", 1) +
		fmt.Sprintf("webhook: {path: \"/hook\", kind: \"github\", secretFile: %q}\n", secret)
	b := brokertest.Start(t, config)
	sam := b.Client("sam", "127.0.0.2")
	eventually(t, sam, "lab")
	repo.Push(extra("extra"))
	call := func(key string) int {
		const body = `{"zen": "Keep it logically awesome."}`
		mac := hmac.New(sha256.New, []byte(key))
		mac.Write([]byte(body))
		req, err := http.NewRequest(http.MethodPost, "http://"+b.Addr+"/hook", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
		resp, err := brokertest.HTTPFrom("127.0.0.1").Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if got := call("not the secret"); got != http.StatusForbidden {
		t.Errorf("wrong secret: %d", got)
	}
	for range 3 { // a replay does no harm
		if got := call("a secret of the forge"); got != http.StatusAccepted {
			t.Errorf("good call: %d", got)
		}
	}
	eventually(t, sam, "extra", "lab")
	if strings.Contains(b.Log(), "a secret of the forge") {
		t.Error("the secret is in the log")
	}
	if err := os.Truncate(secret, 0); err != nil {
		t.Fatal(err)
	}
	contains(t, brokertest.Refuses(t, config, 2), "webhook.secretFile", "is empty")
}

func TestMetricsAreOnTheirOwnListenerOnly(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	repo := brokertest.NewRepo(t, campus)
	b := brokertest.Start(t, settings(t, repo.URL(), t.TempDir())+fmt.Sprintf("listen: {http: \"127.0.0.1:0\", metrics: %q}\n", address))
	eventually(t, b.Client("sam", "127.0.0.2"), "lab")
	if status, _ := b.Get("/metrics"); status != http.StatusNotFound {
		t.Errorf("/metrics where users come: %d", status)
	}
	b.Addr = address
	status, text := b.Get("/metrics")
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, text)
	}
	contains(t, text, `x2broker_request_duration_seconds_count{frontend="plain",outcome="granted",task="list"} `, "x2broker_worker_starts_total 1")
	if strings.Contains(text, `"sam"`) {
		t.Error("a user's name in the metrics")
	}
}

func TestSystemdMayOpenTheListener(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	dir := t.TempDir()
	writeSite(t, dir+"/site", campus)
	if err := os.WriteFile(dir+"/broker.cue", []byte(settings(t, dir+"/site", dir+"/state")), 0o600); err != nil {
		t.Fatal(err)
	}
	activate(t, dir+"/broker.cue", file)
	b := &brokertest.Broker{Addr: l.Addr().String()}
	if diff := cmp.Diff([]string{"lab"}, ids(t, b.Client("sam", "127.0.0.2"))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// activate starts a broker to which systemd hands a socket.
func activate(t *testing.T, config string, socket *os.File) {
	t.Helper()
	// The process id is known only to itself.
	cmd := exec.Command("sh", "-c", `LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" serve --config "$1"`, brokertest.Binary(t), config)
	cmd.ExtraFiles = []*os.File{socket}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})
}

// Whatever a broker was at when it was killed, the next one starts and serves.
func TestABrokerThatWasKilledAtAnyTimeServesAgain(t *testing.T) {
	repo := brokertest.NewRepo(t, campus)
	state := t.TempDir()
	config := settings(t, repo.URL(), state)
	stop := make(chan struct{})
	var pushing sync.WaitGroup
	pushing.Go(func() { // so that each kill hits fetching, compiling, testing or keeping
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				repo.Push(extra(fmt.Sprintf("extra%d", i)))
			}
		}
	})
	for i := range 8 {
		b := brokertest.Start(t, config)
		if i%2 == 1 {
			b.WaitReady()
			if _, code := brokertest.Run(t, []string{"freeze", "unfreeze"}[i/2%2], "--state-dir", state); code != 0 {
				t.Error("an order failed")
			}
		}
		time.Sleep(rand.N(400 * time.Millisecond)) // the moment of the kill is what varies
		b.Kill()
	}
	close(stop)
	pushing.Wait()
	_, _ = brokertest.Run(t, "status", "--state-dir", state) // of a dead broker's socket
	b := brokertest.Start(t, config)
	_, _ = brokertest.Run(t, "unfreeze", "--state-dir", state) // it may be frozen
	last := repo.Push(extra("last"))
	operator(t, state, 0, "status", "--wait", last, "--timeout", "20s")
	if _, err := b.Client("sam", "127.0.0.2").List(context.Background()); err != nil {
		t.Error(err)
	}
	eventually(t, b.Client("sam", "127.0.0.2"), "lab", "last")
}

func TestACommitThatLocksEverybodyOutNeedsAnOperator(t *testing.T) {
	repo := brokertest.NewRepo(t, campus)
	state := t.TempDir()
	students := map[string][]string{}
	for _, name := range []string{"ann", "ben", "cem", "dia", "eli"} {
		students[name] = []string{"students"}
	}
	b := brokertest.Start(t, fmt.Sprintf("site: {url: %q, poll: \"100ms\"}\nstateDir: %q\n", repo.URL(), state)+brokertest.Users(t, students))
	for name := range students {
		if diff := cmp.Diff([]string{"lab"}, ids(t, b.Client(name, "127.0.0.2"))); diff != "" {
			t.Fatalf("%s (-want +got):\n%s", name, diff)
		}
	}
	closed := repo.Push(brokertest.Files{"policy/login.rego": "package x2go.login\n\ndeny contains \"the lab is closed\"\n"})
	contains(t, operator(t, state, 3, "status", "--wait", closed), "by gate Tested", "of 5 users of the last 7 days 5 would see nothing any more",
		"ann, ben, cem, dia, eli", "x2broker pin "+closed)
	if diff := cmp.Diff([]string{"lab"}, ids(t, b.Client("ann", "127.0.0.2"))); diff != "" {
		t.Errorf("locked out (-want +got):\n%s", diff)
	}
	operator(t, state, 0, "pin", closed)
	if _, err := b.Client("ann", "127.0.0.2").List(context.Background()); err == nil {
		t.Error("the operator's word does not count")
	}
}

// systemd may start what comes after the broker as soon as its listeners are
// open: a site that is away must not hold up a boot.
func TestSystemdIsToldThatTheListenersAreOpen(t *testing.T) {
	dir, err := os.MkdirTemp("", "notify") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	heard, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: dir + "/s", Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer heard.Close()
	if err := heard.SetReadDeadline(time.Now().Add(brokertest.Deadline)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("NOTIFY_SOCKET", dir+"/s")
	hear := func(want string) {
		t.Helper()
		b := make([]byte, 1024)
		for {
			n, err := heard.Read(b)
			if err != nil {
				t.Fatalf("waiting for %q: %v", want, err)
			}
			if strings.HasPrefix(string(b[:n]), want) {
				return
			}
		}
	}
	site := t.TempDir() + "/site"
	b := brokertest.Start(t, settings(t, site, t.TempDir()))
	hear("READY=1\nSTATUS=Serving nothing")
	if status, text := b.Get("/readyz"); status != http.StatusServiceUnavailable {
		t.Errorf("/readyz: %d %s", status, text)
	}
	hear("STATUS=Serving nothing, Fetched fails")
	writeSite(t, site, campus)
	hear("STATUS=Serving files-")
	b.Stop()
	hear("STOPPING=1")
}

func TestAnOvertakenCommitCountsAsServing(t *testing.T) {
	repo := brokertest.NewRepo(t, campus)
	first, state := repo.Push(extra("one")), t.TempDir()
	last := repo.Push(extra("two"))
	brokertest.Start(t, settings(t, repo.URL(), state)).WaitReady()
	contains(t, operator(t, state, 0, "status", "--wait", first[:10]), first[:10]+" serves, as part of "+last)
}
