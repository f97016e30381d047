package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/x2broker/x2broker/broker/snapshot"
	"github.com/x2broker/x2broker/broker/source"
	"github.com/x2broker/x2broker/broker/worker"
	"github.com/x2broker/x2broker/policy"
	"github.com/x2broker/x2broker/schema"
)

// compileMemory makes a child process compile a site of that many profiles and
// print its peak memory, see TestMain.
const compileMemory = "X2BROKER_BENCH_COMPILE"

// fullSite has n profiles in 20 folders, one file each, with every field and
// session key of the schema set in the profile or by its folder, and the
// x2broker.cue that `x2broker init` writes.
func fullSite(n int) map[string][]byte {
	site := map[string][]byte{"site.cue": []byte(`package site

site: {name: "Bench", timezone: "Europe/Berlin"}
networks: campus: ["10.0.0.0/8", "2001:db8::/32"]
`)}
	site[schema.VendoredBinding] = schema.Vendored()[schema.VendoredBinding]
	var servers bytes.Buffer
	servers.WriteString("package site\n\n")
	for i := range 40 {
		fmt.Fprintf(&servers, "servers: ts%02d: {address: \"ts%02d.example.edu\", labels: pool: \"pool%d\", weight: %d}\n", i, i, i%4, 50+i)
	}
	site["servers.cue"] = servers.Bytes()
	for i := range min(20, n) {
		site[fmt.Sprintf("profiles/f%02d/defaults.cue", i)] = []byte(`package site

profiles: [string]: x2go: {fullscreen: *true | bool, pack: *"16m-jpeg" | string}
`)
	}
	for i := range n {
		site[profileFile(i)] = profile(i, "Desktop")
	}
	return site
}

func profileFile(i int) string { return fmt.Sprintf("profiles/f%02d/p%05d.cue", i%20, i) }

func profile(i int, name string) []byte {
	return fmt.Appendf(nil, `package site

profiles: "p%05d": {
	name: "%s %d"
	labels: {room: "%d", kind: "desktop"}
	x2go: {
		command: "XFCE", rootless: false, published: false, applications: ["TERMINAL", "OFFICE"]
		width: 1280, height: 1024, maxdim: false, multidisp: false, display: 1, xinerama: true
		dpi: 96, setdpi: false, kdrive: false, speed: 3, quality: 8, clipboard: "both"
		usekbd: true, type: "pc105/de", layout: "de", variant: "nodeadkeys"
		sound: true, soundsystem: "pulse", soundtunnel: true, startsoundsystem: true, sndport: 4713, defsndport: true
		print: false, useexports: true, export: "", fstunnel: true, useiconv: false, iconvfrom: "UTF-8", iconvto: "UTF-8"
		startembed: true, krblogin: false, krbdelegation: false
		usesshproxy: false, sshproxytype: "SSH", sshproxyhost: "gw.example.edu", sshproxyport: 22, sshproxyuser: "x"
		sshproxyautologin: false, sshproxykrblogin: false, sshproxysameuser: true, sshproxysamepass: true, sshproxysamekey: false
		sshproxykeyfile: "~/.ssh/id_rsa", usebrokerpassforproxy: false
		directrdp: false, rdpclient: "xfreerdp", rdpport: 3389, directrdpsettings: "", rdpserver: "win.example.edu", rdpoptions: ""
		xdmcpserver: "localhost", directxdmcp: false, xdmcpclient: "Xnest", directxdmcpsettings: ""
		shadowuser: "x", shadowdisplay: "50", shadowfullaccess: false
	}
	hosts: labels: pool: "pool%d"
	access: {
		everyone: false, users: ["alice", "bob"], groups: ["staff", "group%d"], from: ["campus", "192.0.2.0/24"]
		deny: {users: ["mallory"], groups: ["interns"], from: ["198.51.100.0/24"]}
	}
	autologin: false, usebrokerpass: true, icon: ""
}
`, i, name, i, i%400, i%4, i%200)
}

func mustTree(b *testing.B, files map[string][]byte) *source.Tree {
	b.Helper()
	tree, err := source.FromFiles(files)
	if err != nil {
		b.Fatal(err)
	}
	return tree
}

func mustCompile(b *testing.B, c snapshot.Compiler, tree *source.Tree) {
	b.Helper()
	if _, diags := c.Compile(context.Background(), tree); diags.HasErrors() {
		b.Fatal(diags[0])
	}
}

func BenchmarkCompile(b *testing.B) {
	defer debug.SetGCPercent(debug.SetGCPercent(200)) // as cmd/x2broker does
	for _, n := range []int{100, 1000, 10000} {
		site := fullSite(n)
		tree := mustTree(b, site)
		b.Run(fmt.Sprintf("cold/profiles=%d", n), func(b *testing.B) {
			for b.Loop() {
				mustCompile(b, schema.NewCompiler(), tree)
			}
			b.ReportMetric(float64(peakMemory(b, n)), "peak-MB")
		})
		b.Run(fmt.Sprintf("cold-in-worker/profiles=%d", n), func(b *testing.B) {
			for b.Loop() {
				c := newWorker()
				mustCompile(b, c, tree)
				c.Close()
			}
		})
		b.Run(fmt.Sprintf("one-leaf-in-worker/profiles=%d", n), func(b *testing.B) {
			c := newWorker()
			defer c.Close()
			changeLeaves(b, c, site, n)
		})
		compiler := schema.NewCompiler()
		mustCompile(b, compiler, tree)
		b.Run(fmt.Sprintf("restart/profiles=%d", n), func(b *testing.B) {
			kept, err := compiler.Cache()
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				again := schema.NewCompiler()
				if err := again.UseCache(kept); err != nil {
					b.Fatal(err)
				}
				mustCompile(b, again, tree)
			}
		})
		for _, change := range []struct {
			name string
			edit func(round int)
		}{
			{"nothing", func(int) {}},
			{"one-leaf", func(i int) { site[profileFile(n/2)] = profile(n/2, "Round "+strconv.Itoa(i)) }},
			{"one-folder", func(i int) {
				site["profiles/f00/defaults.cue"] = fmt.Appendf(nil, "package site\n\nprofiles: [string]: x2go: {fullscreen: *true | bool, pack: *\"16m-jpeg\" | string} // %d\n", i)
			}},
			{"one-root-file", func(i int) {
				site["site.cue"] = fmt.Appendf(nil, "package site\n\nsite: name: \"Round %d\"\nnetworks: campus: [\"10.0.0.0/8\"]\n", i)
			}},
		} {
			b.Run(fmt.Sprintf("%s/profiles=%d", change.name, n), func(b *testing.B) {
				round := 0
				var spent time.Duration
				for b.Loop() {
					round++
					change.edit(round)
					tree := mustTree(b, site)
					start := time.Now()
					mustCompile(b, compiler, tree)
					spent += time.Since(start)
				}
				b.ReportMetric(float64(spent.Microseconds())/1000/float64(b.N), "ms")
			})
		}
	}
}

// asWorker is the argument with which this program is the worker of a broker.
const asWorker = "bench-worker"

func newWorker() *worker.Compiler {
	return worker.New(worker.Options{Command: []string{"/proc/self/exe", asWorker}})
}

// changeLeaves measures commits of one profile; making the tree does not count.
func changeLeaves(b *testing.B, c snapshot.Compiler, site map[string][]byte, n int) {
	mustCompile(b, c, mustTree(b, site))
	var spent time.Duration
	for i := 0; b.Loop(); i++ {
		site[profileFile(n/2)] = profile(n/2, "Round "+strconv.Itoa(i))
		tree := mustTree(b, site)
		start := time.Now()
		mustCompile(b, c, tree)
		spent += time.Since(start)
	}
	b.ReportMetric(float64(spent.Microseconds())/1000/float64(b.N), "ms")
}

// BenchmarkPolicy measures what the policies add to a compilation: from nothing,
// and with one profile changed.
func BenchmarkPolicy(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		site := fullSite(n)
		schemas := schema.NewCompiler()
		catalog := func() *schema.Catalog {
			catalog, diags := schemas.Compile(b.Context(), mustTree(b, site))
			if diags.HasErrors() {
				b.Fatal(diags[0])
			}
			return catalog
		}
		first := catalog()
		b.Run(fmt.Sprintf("cold/profiles=%d", n), func(b *testing.B) {
			for b.Loop() {
				if _, diags := policy.Compile(b.Context(), first, nil); diags.HasErrors() {
					b.Fatal(diags[0])
				}
			}
		})
		b.Run(fmt.Sprintf("one-leaf/profiles=%d", n), func(b *testing.B) {
			policies := new(policy.Compiler)
			policies.Compile(b.Context(), first, nil)
			var spent time.Duration
			for round := 0; b.Loop(); round++ {
				site[profileFile(n/2)] = profile(n/2, "Round "+strconv.Itoa(round))
				next := catalog()
				start := time.Now()
				if _, diags := policies.Compile(b.Context(), next, nil); diags.HasErrors() {
					b.Fatal(diags[0])
				}
				spent += time.Since(start)
			}
			b.ReportMetric(float64(spent.Microseconds())/1000/float64(b.N), "ms")
		})
	}
}

// peakMemory compiles the site in a process of its own, in MB.
func peakMemory(b *testing.B, n int) int {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), compileMemory+"="+strconv.Itoa(n))
	out, err := cmd.Output()
	if err != nil {
		b.Fatal(err)
	}
	mb, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		b.Fatal(err)
	}
	return mb
}

func printPeakMemory(profiles string) error {
	debug.SetGCPercent(200)
	n, err := strconv.Atoi(profiles)
	if err != nil {
		return err
	}
	tree, err := source.FromFiles(fullSite(n))
	if err != nil {
		return err
	}
	if _, diags := schema.NewCompiler().Compile(context.Background(), tree); diags.HasErrors() {
		return fmt.Errorf("%s", diags[0])
	}
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return err
	}
	fmt.Println(usage.Maxrss >> 10)
	return nil
}
