// Package site_test proves, with the real binary and real Git repositories,
// what an admin relies on.
package site_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/x2broker/x2broker/client"
	"github.com/x2broker/x2broker/tests/brokertest"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "-Y" { // git takes this program for ssh-keygen
		if err := sign(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	brokertest.Main(m)
}

var campus = brokertest.Files{
	"site.cue": `package site

site: {name: "Campus", timezone: "Europe/Berlin"}
networks: {office: ["127.0.0.2/32"], home: ["127.0.0.3/32"]}
servers: {
	ts01: {address: "ts01.example.org", labels: pool: "staff"}
	ts02: {address: "ts02.example.org", port: 2222, labels: pool: "staff", state: "drain"}
	lab01: {address: "192.0.2.7", labels: pool: "lab"}
}
`,
	"profiles/desktops.cue": `package site

profiles: {
	office: {name: "Office", hosts: labels: pool: "staff", access: {groups: ["staff"], from: ["office"]}}
	anywhere: {name: "Anywhere", hosts: labels: pool: "staff", access: groups: ["staff"]}
	lab: {name: "Lab", hosts: ids: ["lab01"], access: groups: ["students"]}
}
`,
}

func settings(t *testing.T, site, stateDir string) string {
	return fmt.Sprintf("site: {url: %q, poll: \"100ms\"}\nstateDir: %q\n", site, stateDir) +
		brokertest.Users(t, map[string][]string{"alice": {"staff"}, "sam": {"students"}})
}

func ids(t *testing.T, c *client.Client) []string {
	t.Helper()
	profiles, err := c.List(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, p := range profiles {
		out = append(out, p.ID)
	}
	return out
}

// eventually lists until the answer is as wanted: a commit is live within a
// poll interval, not at once.
func eventually(t *testing.T, c *client.Client, want ...string) {
	t.Helper()
	deadline := time.Now().Add(brokertest.Deadline)
	var got []string
	for time.Now().Before(deadline) {
		if got = ids(t, c); slices.Equal(got, want) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("the list stays %v, want %v", got, want)
}

func TestUserAndAddressDecideWhatIsSeen(t *testing.T) {
	repo := brokertest.NewRepo(t, campus)
	b := brokertest.Start(t, settings(t, repo.URL(), t.TempDir()))
	for _, test := range []struct {
		user, from string
		want       []string
	}{
		{"alice", "127.0.0.2", []string{"anywhere", "office"}},
		{"alice", "127.0.0.3", []string{"anywhere"}},
		{"sam", "127.0.0.2", []string{"lab"}},
	} {
		if diff := cmp.Diff(test.want, ids(t, b.Client(test.user, test.from))); diff != "" {
			t.Errorf("%s from %s (-want +got):\n%s", test.user, test.from, diff)
		}
	}
}

func TestSelectGoesWhereThePolicySays(t *testing.T) {
	repo := brokertest.NewRepo(t, campus)
	b := brokertest.Start(t, settings(t, repo.URL(), t.TempDir()))
	for range 20 { // ts02 is drained
		got, err := b.Client("alice", "127.0.0.2").Select(context.Background(), "office")
		if want := (client.Server{Address: "ts01.example.org", Port: 22}); err != nil || got != want {
			t.Fatalf("got %v, %v, want %v", got, err, want)
		}
	}
}

func TestHiddenProfilesCannotBeSelected(t *testing.T) {
	repo := brokertest.NewRepo(t, campus)
	b := brokertest.Start(t, settings(t, repo.URL(), t.TempDir()))
	var texts []string
	for _, sid := range []string{"office", "lab", "no-such-profile", ""} {
		_, err := b.Client("alice", "127.0.0.3").Select(context.Background(), sid)
		if !errors.Is(err, client.ErrDenied) {
			t.Errorf("%q: got %v, want a refusal", sid, err)
			continue
		}
		texts = append(texts, strings.TrimPrefix(err.Error(), fmt.Sprintf("select %q", sid)))
	}
	if len(slices.Compact(texts)) != 1 {
		t.Errorf("hidden and unknown profiles can be told apart: %q", texts)
	}
}

func TestSomebodyElsesAccountIsRefused(t *testing.T) {
	repo := brokertest.NewRepo(t, campus)
	b := brokertest.Start(t, settings(t, repo.URL(), t.TempDir()))
	c := b.Client("alice", "127.0.0.2")
	c.Account = "root"
	if _, err := c.Select(context.Background(), "office"); !errors.Is(err, client.ErrDenied) {
		t.Errorf("login=root: got %v", err)
	}
	c.Account = "alice"
	if _, err := c.Select(context.Background(), "office"); err != nil {
		t.Errorf("login=alice: %v", err)
	}
}

func TestACommitIsLiveWithoutRestart(t *testing.T) {
	repo := brokertest.NewRepo(t, campus)
	b := brokertest.Start(t, settings(t, repo.URL(), t.TempDir()))
	sam := b.Client("sam", "127.0.0.2")
	eventually(t, sam, "lab")

	repo.Push(brokertest.Files{"profiles/extra.cue": `package site

profiles: extra: {name: "Extra", hosts: ids: ["lab01"], access: everyone: true}
`})
	eventually(t, sam, "extra", "lab")

	repo.Push(brokertest.Files{"policy/access.rego": `package x2go.access

import data.x2go.lib

visible contains id if {
	lib.access.visible[id]
	id != "lab"
}
`})
	eventually(t, sam, "extra")
	if _, err := sam.Select(context.Background(), "lab"); !errors.Is(err, client.ErrDenied) {
		t.Errorf("a profile that the new policy hides can be selected: %v", err)
	}
}

func TestABrokenCommitChangesNothing(t *testing.T) {
	repo := brokertest.NewRepo(t, campus)
	b := brokertest.Start(t, settings(t, repo.URL(), t.TempDir()))
	sam := b.Client("sam", "127.0.0.2")
	eventually(t, sam, "lab")

	commit := repo.Push(brokertest.Files{
		"profiles/good.cue": "package site\n\nprofiles: good: {name: \"G\", hosts: ids: [\"lab01\"], access: everyone: true}\n",
		"profiles/bad.cue":  "package site\n\nprofiles: bad: {name: 7, hosts: ids: [\"lab09\"]}\n",
	})
	b.WaitLog(`profiles/bad.cue:3:.*` + `no server has the id`)
	b.WaitLog(commit)
	if diff := cmp.Diff([]string{"lab"}, ids(t, sam)); diff != "" {
		t.Errorf("part of a broken commit serves (-want +got):\n%s", diff)
	}

	repo.Push(brokertest.Files{"profiles/bad.cue": ""})
	eventually(t, sam, "good", "lab")
}

func TestTheLastGoodSiteSurvivesACrashAndALostRepository(t *testing.T) {
	repo := brokertest.NewRepo(t, campus)
	state := t.TempDir()
	b := brokertest.Start(t, settings(t, repo.URL(), state))
	eventually(t, b.Client("sam", "127.0.0.2"), "lab")
	b.Kill()
	if err := os.Rename(repo.Bare, repo.Bare+".away"); err != nil {
		t.Fatal(err)
	}

	b = brokertest.Start(t, settings(t, repo.URL(), state))
	b.WaitReady()
	if diff := cmp.Diff([]string{"lab"}, ids(t, b.Client("sam", "127.0.0.2"))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	info, err := os.Stat(state)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("state directory: mode %v, %v; want 0700", info.Mode(), err)
	}

	if err := os.Rename(repo.Bare+".away", repo.Bare); err != nil {
		t.Fatal(err)
	}
	repo.Push(brokertest.Files{"profiles/extra.cue": "package site\n\nprofiles: extra: {name: \"E\", hosts: ids: [\"lab01\"], access: everyone: true}\n"})
	eventually(t, b.Client("sam", "127.0.0.2"), "extra", "lab")
}

func TestRequestsWaitForTheFirstSite(t *testing.T) {
	dir := t.TempDir() + "/site"
	b := brokertest.Start(t, settings(t, dir, t.TempDir()))
	b.WaitLog("level=(WARN|ERROR)") // why there is no site yet
	if status, _ := b.Get("/readyz"); status != 503 {
		t.Errorf("/readyz: got %d, want 503", status)
	}
	if status, _ := b.Get("/healthz"); status != 200 {
		t.Errorf("/healthz: got %d, want 200", status)
	}
	listed := make(chan error, 1)
	go func() {
		_, err := b.Client("sam", "127.0.0.1").List(context.Background())
		listed <- err
	}()
	writeSite(t, dir, campus)
	if err := <-listed; err != nil {
		t.Errorf("the waiting request: %v", err)
	}
	if status, _ := b.Get("/readyz"); status != 200 {
		t.Errorf("/readyz: got %d, want 200", status)
	}
}

func writeSite(t *testing.T, dir string, files brokertest.Files) {
	t.Helper()
	// Complete at once: the broker must not see half a site.
	tmp := dir + ".new"
	for name, text := range files {
		path := tmp + "/" + name
		if err := os.MkdirAll(path[:strings.LastIndex(path, "/")], 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(tmp, dir); err != nil {
		t.Fatal(err)
	}
}

func TestTheCommandThatTheDemoPrintsWorks(t *testing.T) {
	b := brokertest.Serve(t, "--listen-http", "127.0.0.1:0")
	b.WaitReady()
	command := b.WaitLog(`(?m)^  echo (\S+) \| (\S+) (login .*)$`)
	cmd := exec.Command(command[2], strings.Fields(command[3])...)
	cmd.Stdin = strings.NewReader(command[1] + "\n")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"office-xfce      Office desktop  XFCE", "selected office-xfce: server ts01.example.edu port 22"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
}
