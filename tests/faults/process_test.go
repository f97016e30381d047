package faults_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"github.com/x2broker/x2broker/broker/admin"
	"github.com/x2broker/x2broker/broker/snapshot"
	"github.com/x2broker/x2broker/broker/source/gittest"
	"github.com/x2broker/x2broker/tests/brokertest"
)

// A process is the real x2broker, which follows a repository.
type process struct {
	broker // its repository and the ways to commit; never started here
	*brokertest.Broker
	settings string
	dir      string // of its state
}

func newProcess(t *testing.T) *process {
	t.Helper()
	p := &process{broker: *newBroker(t)}
	p.dir = p.options.StateDir
	p.sign = by(&p.broker, alice)
	p.push("one")
	p.settings = fmt.Sprintf("site: {url: %q, poll: \"100ms\", auth: caFile: %q}\nstateDir: %q\n", p.source.URL, p.https.CAFile, p.dir) +
		"authenticators: [{type: \"none\", from: [\"127.0.0.0/8\"]}]\n" +
		fmt.Sprintf("verify: {mode: \"enforce\", signers: [{principal: \"alice@example.edu\", keys: [%q]}]}\n",
			strings.TrimSpace(string(ssh.MarshalAuthorizedKey(alice.PublicKey()))))
	return p
}

// run starts it.
func (p *process) run() {
	p.Helper()
	p.Broker = brokertest.Start(p.T, p.settings)
	p.url = p.URL()
}

// reached waits until the commit that was pushed last has come to a stage.
func (p *process) reached(stage string) {
	p.Helper()
	client := admin.NewClient(p.dir)
	for deadline := time.Now().Add(brokertest.Deadline); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		report, err := client.Status(p.Context())
		if err != nil {
			p.Fatal(err)
		}
		for _, s := range report.Stages {
			if s.Stage == stage && s.Commit == p.newest {
				return
			}
		}
	}
	p.Fatalf("commit %s does not come to %s:\n%s", p.newest, stage, p.Log())
}

// Whatever a broker was at when it was killed, the next one serves the last good
// commit at once, and goes on to the newest.
func TestKilledInEveryState(t *testing.T) {
	t.Parallel()
	const endlessTest = "package x2go.access_test\n\ntest_endless if " + endless + "\n"
	bomb := "package site\n\n_x: " + strings.TrimSuffix(strings.Repeat("({a: 1} | {b: 2} | {c: 3}) & ", 14), " & ") + "\n"
	for name, at := range map[string]func(*process){
		"receiving a pack": func(p *process) {
			p.fails(gittest.Hang)
			p.appears("git/site.git/objects/pack/tmp_pack_*")
		},
		"Fetched": func(p *process) { // and about to be verified and compiled
			p.push("bomb", "profiles/bomb.cue", bomb)
			p.reached(snapshot.Fetched)
		},
		"Verified": func(p *process) {
			p.push("bomb", "profiles/bomb.cue", bomb)
			p.reached(snapshot.Verified)
		},
		"Compiled": func(p *process) {
			p.push("slow", "policy/access_test.rego", endlessTest)
			p.reached(snapshot.Compiled)
		},
		"Tested, writing the site": func(p *process) {
			p.killedWriting("last-good.?.site")
		},
		"Tested, writing what served": func(p *process) {
			p.killedWriting("served.json")
		},
		"Serving, writing what it came to": func(p *process) {
			p.killedWriting("last-good.compiled")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProcess(t)
			p.run()
			p.WaitReady()
			p.lists("one")

			at(p)
			p.Kill()
			if out, code := brokertest.Run(t, "status", "--state-dir", p.dir); code != 1 || !strings.Contains(out, "no broker runs with the state directory") {
				t.Errorf("status of a killed broker: %d %s", code, out)
			}
			p.lives()
			broken, good := p.newest, p.before
			p.push("two")

			p.run()
			kept := p.WaitLog(`msg="revision serves".* revision=(\w+) .*from="([^"]*)"`)
			if kept[2] != "kept on disk" || kept[1] != good && kept[1] != broken {
				t.Errorf("%s serves first, %s", kept[1], kept[2])
			}
			if out, code := brokertest.Run(t, "status", "--wait", p.newest, "--state-dir", p.dir); code != 0 {
				t.Errorf("%d %s", code, out)
			}
			p.lists("two")
		})
	}
}

// large makes what the broker writes take a moment.
func large() (files []string) {
	for i := range 4 {
		files = append(files, fmt.Sprintf("profiles/p%d.cue", i), "package site\n\n// "+randomText(500_000)+"\n")
	}
	return files
}

// appears waits for a file in the state directory.
func (p *process) appears(pattern string) {
	p.Helper()
	for deadline := time.Now().Add(brokertest.Deadline); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if found, _ := filepath.Glob(filepath.Join(p.dir, pattern)); len(found) > 0 {
			return
		}
	}
	p.Fatalf("no %s in %s\n%s", pattern, p.dir, p.Log())
}

// killedWriting kills the broker while it writes that file anew, or, where the
// kill comes too late each time, right after it. In the name a question mark
// stands for any character.
func (p *process) killedWriting(name string) {
	p.Helper()
	for tries := 5; ; tries-- {
		p.appears("last-good.compiled") // the last of what the commit before is written to
		p.killedAt(name+".new", func() { p.push("large", large()...) })
		if half, _ := filepath.Glob(filepath.Join(p.dir, name+".new")); len(half) > 0 || tries == 0 {
			return
		}
		p.run()
	}
}

// killedAt kills the broker as soon as it makes that file in its state
// directory, after do.
func (p *process) killedAt(name string, do func()) {
	p.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		p.Fatal(err)
	}
	defer unix.Close(fd)
	if _, err := unix.InotifyAddWatch(fd, p.dir, unix.IN_CREATE); err != nil {
		p.Fatal(err)
	}
	do()
	wanted := regexp.MustCompile(strings.ReplaceAll(regexp.QuoteMeta(name), `\?`, "."))
	buf := make([]byte, 64<<10)
	for made := ""; !wanted.MatchString(made); {
		ready, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(brokertest.Deadline/time.Millisecond))
		if err == unix.EINTR {
			continue
		}
		if err != nil || ready == 0 {
			p.Fatalf("%s is not made: %v\n%s", name, err, p.Log())
		}
		n, err := unix.Read(fd, buf)
		if err != nil {
			p.Fatal(err)
		}
		made += string(buf[:n]) // names are in it as they are
	}
	p.Kill()
}

// Two brokers that follow one repository do not know of each other.
func TestTwoBrokersOnOneRepository(t *testing.T) {
	t.Parallel()
	a, b := newProcess(t), newProcess(t)
	b.settings = strings.NewReplacer(b.source.URL, a.source.URL, b.https.CAFile, a.https.CAFile).Replace(b.settings)
	a.run()
	b.run()
	both := func(commit string) {
		t.Helper()
		for _, p := range []*process{a, b} {
			if out, code := brokertest.Run(t, "status", "--wait", commit, "--state-dir", p.dir); code != 0 {
				t.Errorf("%d %s", code, out)
			}
		}
	}
	both(a.newest)
	if out, code := brokertest.Run(t, "freeze", "--state-dir", a.dir, "--reason", "exams"); code != 0 {
		t.Fatal(out)
	}
	a.push("two")
	if out, code := brokertest.Run(t, "status", "--wait", a.newest, "--state-dir", b.dir); code != 0 {
		t.Errorf("%d %s", code, out)
	}
	a.lists("one")
	b.lists("two")
	if out, _ := brokertest.Run(t, "status", "--state-dir", a.dir); !strings.Contains(out, "FROZEN: ") || !strings.Contains(out, "exams") {
		t.Errorf("status of the one that is held: %s", out)
	}
	a.Kill()
	b.lists("two")
	if out, code := brokertest.Run(t, "unfreeze", "--state-dir", b.dir); code != 1 {
		t.Errorf("%d %s", code, out)
	}
	a.run()
	if out, code := brokertest.Run(t, "unfreeze", "--state-dir", a.dir); code != 0 {
		t.Fatal(out)
	}
	both(a.newest)
	a.lists("two")
}

// A second broker with the same state directory ends at once and says whose it
// is; the first does not notice. After a kill -9 nothing is in the way.
func TestTwoBrokersOnOneStateDirectory(t *testing.T) {
	t.Parallel()
	p := newProcess(t)
	p.run()
	p.WaitReady()
	report, err := admin.NewClient(p.dir).Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out := brokertest.Refuses(t, p.settings, 1)
	if want := "cannot use the state directory " + p.dir + ": another x2broker uses it, process " + strconv.Itoa(report.PID); !strings.Contains(out, want) {
		t.Errorf("got %s\nwant %s", out, want)
	}
	p.lists("one")
	if out, code := brokertest.Run(t, "status", "--state-dir", p.dir); code != 0 || !strings.Contains(out, fmt.Sprintf("process %d", report.PID)) {
		t.Errorf("status of the first: %d %s", code, out)
	}
	p.push("two")
	if out, code := brokertest.Run(t, "status", "--wait", p.newest, "--state-dir", p.dir); code != 0 {
		t.Errorf("%d %s", code, out)
	}
	p.Kill()
	if _, err := os.Stat(filepath.Join(p.dir, "lock")); err != nil {
		t.Fatal(err) // or this shows nothing
	}
	p.run()
	p.WaitReady()
	p.lists("two")
}
