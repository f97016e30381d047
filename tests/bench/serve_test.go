package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/x2broker/x2broker/broker/admin"
	"github.com/x2broker/x2broker/broker/snapshot"
	"github.com/x2broker/x2broker/tests/brokertest"
)

// What asks during BenchmarkServe: so many visitors, each so often.
const (
	visitors = 4
	pace     = 4 * time.Millisecond
	calm     = 20 // commits that do not concern the broker, to compare with
)

// renamed is the profile that each commit of BenchmarkServe gives another name.
const renamed = 7

// servedSite is fullSite with 20 cases and a test, as text. Of its profiles carol
// may see one in 400.
func servedSite(n int) brokertest.Files {
	files := brokertest.Files{}
	for name, text := range fullSite(n) {
		files[name] = string(text)
	}
	var cases strings.Builder
	cases.WriteString("package site\n")
	for i := range 20 {
		fmt.Fprintf(&cases, "cases: \"group%d sees its desktop\": {user: {name: \"u\", groups: [\"group%d\"]}, address: \"10.1.2.3\", sees: [\"p%05d\"]}\n", i, i, i)
	}
	files["cases.cue"] = cases.String()
	files["policy/site_test.rego"] = `package x2go.site.bench_test

import data.x2go.access

test_a_network_alone_grants_nothing if {
	catalog := {"profiles": {"p": {"labels": {}, "access": {"everyone": false, "users": [], "groups": [], "from": ["campus"], "deny": {"users": [], "groups": [], "from": []}}}}, "params": {}}
	not access.visible.p with data.site as catalog
		with input as {"user": {"name": "u", "groups": []}, "client": {"address": "10.1.2.3", "networks": ["campus"]}}
}
`
	return files
}

// BenchmarkServe runs the real broker on a repository: how long it takes to
// serve from nothing, how long a commit of one profile takes through all gates,
// and what clients notice of it. No request may fail or get an older list than
// its visitor had. -benchtime 1000x swaps a thousand times.
func BenchmarkServe(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		b.Run(fmt.Sprintf("profiles=%d", n), func(b *testing.B) {
			stateDir := b.TempDir()
			repo := brokertest.NewRepo(b, servedSite(n))
			settings := fmt.Sprintf("site: {url: %q, poll: \"100ms\"}\nstateDir: %q\nlisten: {http: \"127.0.0.1:0\", trustedProxies: [\"127.0.0.1/32\"]}\n", repo.URL(), stateDir) +
				brokertest.Users(b, map[string][]string{"carol": {fmt.Sprint("group", renamed)}})

			brokertest.Binary(b) // built before it is timed
			start := time.Now()
			broker := launch(b, settings)
			peak := broker.peak()
			broker.waitServing(b)
			visit(b, broker)
			cold, most := time.Since(start), peak()
			commits(b, repo, broker, admin.NewClient(stateDir))
			b.ReportMetric(cold.Seconds(), "cold-s")
			b.ReportMetric(most, "cold-peak-MB")
		})
	}
}

// commits pushes one per iteration and reports what became of them.
func commits(b *testing.B, repo *brokertest.Repo, broker *broker, operator *admin.Client) {
	edit := func(round int) brokertest.Files {
		return brokertest.Files{profileFile(renamed): string(profile(renamed, fmt.Sprint("Round ", round)))}
	}
	load := newLoad(b, broker)
	for round := range calm { // git alone takes a processor
		repo.PushTo("draft", edit(round))
	}
	before := load.end()

	push := func(round int) admin.Report {
		commit := repo.Push(edit(round))
		if _, err := operator.Wait(b.Context(), commit, brokertest.Deadline); err != nil {
			b.Fatal(err)
		}
		report, err := operator.Status(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if i := slices.IndexFunc(report.Stages, func(s admin.Stage) bool { return s.Stage == snapshot.Serving && s.Commit == commit }); i < 0 {
			b.Fatalf("the commit does not serve: %+v", report)
		}
		return report
	}
	round := calm
	for range 3 { // what the first commits cost is not what each costs
		push(round)
		round++
	}
	memory := broker.memory()

	load = newLoad(b, broker)
	var compiled, tested, served time.Duration
	for b.Loop() {
		report := push(round)
		round++
		at := map[string]admin.Stage{}
		for _, s := range report.Stages {
			at[s.Stage] = s
		}
		compiled += time.Duration(at[snapshot.Compiled].TookS * float64(time.Second))
		tested += time.Duration(at[snapshot.Tested].TookS * float64(time.Second))
		served += at[snapshot.Serving].Time.Sub(at[snapshot.Fetched].Time)
	}
	during := load.end()
	n := float64(b.N)
	b.ReportMetric(0, "ns/op") // with git, and the wait for the next poll: of no use
	b.ReportMetric(compiled.Seconds()*1000/n, "compile-ms")
	b.ReportMetric(tested.Seconds()*1000/n, "test-ms")
	b.ReportMetric(served.Seconds()*1000/n, "fetched-to-serving-ms")
	b.ReportMetric(percentile(before, 99).Seconds()*1000, "calm-p99-ms")
	b.ReportMetric(percentile(during, 99).Seconds()*1000, "swapping-p99-ms")
	b.ReportMetric(percentile(during, 99).Seconds()/percentile(before, 99).Seconds(), "p99-ratio")
	b.ReportMetric(memory, "memory-before-MB")
	b.ReportMetric(broker.memory(), "memory-after-MB")
}

// percentile gives that of the times, which it sorts.
func percentile(took []time.Duration, p int) time.Duration {
	slices.Sort(took)
	return took[len(took)*p/100]
}

// A load is visitors that ask until it ends.
type load struct {
	stop context.CancelFunc
	all  sync.WaitGroup
	mu   sync.Mutex
	took []time.Duration // from when a request was due to its reply
}

func newLoad(b *testing.B, broker *broker) *load {
	ctx, cancel := context.WithCancel(b.Context())
	l := &load{stop: cancel}
	for range visitors {
		v := visit(b, broker)
		l.all.Go(func() {
			var took []time.Duration
			latest := v.list()
			for due := time.Now(); ctx.Err() == nil; due = due.Add(pace) {
				time.Sleep(time.Until(due))
				round := v.list()
				took = append(took, time.Since(due))
				if round < latest {
					b.Errorf("the list of round %d came after that of round %d", round, latest)
				}
				latest = round
			}
			l.mu.Lock()
			defer l.mu.Unlock()
			l.took = append(l.took, took...)
		})
	}
	return l
}

func (l *load) end() []time.Duration {
	l.stop()
	l.all.Wait()
	return l.took
}

// A visitor is carol on one connection, with the ticket that she was given last.
type visitor struct {
	*connection
	ticket string
}

func visit(b *testing.B, broker *broker) *visitor {
	v := &visitor{connection: dial(b, broker.addr)}
	v.header = "X-Forwarded-For: 10.1.2.3\r\n"
	v.list()
	return v
}

var nameOfRenamed = regexp.MustCompile(fmt.Sprintf(`(?m)^name=(?:Desktop|Round (\d+)) %d$`, renamed))

// list gives the round of the list that the broker answers with, -1 before the
// first.
func (v *visitor) list() int {
	reply := v.post("/plain/", "task=listsessions&user=carol&password=carol-pw&authid="+v.ticket)
	v.ticket = ticket(v.b, reply)
	m := nameOfRenamed.FindSubmatch(reply)
	if m == nil {
		v.b.Fatalf("carol's list is %.500q", reply)
	}
	round, err := strconv.Atoi(string(m[1]))
	if err != nil {
		return -1
	}
	return round
}

// memory gives what the broker and its worker have in memory, in MB. What they
// share, the program, counts once.
func (s *broker) memory() float64 {
	pid := strconv.Itoa(s.cmd.Process.Pid)
	processes := []string{pid}
	lists, _ := filepath.Glob("/proc/" + pid + "/task/*/children")
	for _, list := range lists {
		children, _ := os.ReadFile(list) // of a thread that may have ended
		processes = append(processes, strings.Fields(string(children))...)
	}
	all := 0
	for _, p := range processes {
		text, _ := os.ReadFile("/proc/" + p + "/smaps_rollup") // or a process
		_, rest, _ := bytes.Cut(text, []byte("\nPss:"))
		line, _, _ := strings.Cut(string(rest), "kB")
		kB, _ := strconv.Atoi(strings.TrimSpace(line))
		all += kB
	}
	return float64(all) / 1024
}

// peak looks at the memory until it is asked for the most that it saw.
func (s *broker) peak() (most func() float64) {
	stop, result := make(chan struct{}), make(chan float64)
	go func() {
		var most float64
		for {
			most = max(most, s.memory())
			select {
			case <-stop:
				result <- most
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return func() float64 {
		close(stop)
		return <-result
	}
}
