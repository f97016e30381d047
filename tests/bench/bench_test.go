// Package bench measures the broker against a bare net/http server that writes
// the same bytes. Both run as processes of their own and are asked in turn over
// one kept connection each, so that whatever else the machine does meets both.
//
//	make bench
//
// SSH is measured likewise, against a bare server on x/crypto/ssh, and against
// sshd with the reference broker where these are installed.
//
// The metric "ratio" is the bare server's time per request divided by the
// broker's: 1 would be as fast as net/http itself. It is that of all rounds
// together; "median" is the median of the ratios of one round to the next, which
// bears what else the machine does, but leaves out what does not happen in each
// round. "cpu" is the ratio of the processor time that the two servers took, the
// time of clients not included.
package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/x2broker/x2broker/broker/worker"
	"github.com/x2broker/x2broker/tests/brokertest"
)

// bareBody names the file whose bytes a child process serves, see TestMain.
const bareBody = "X2BROKER_BENCH_BARE"

func TestMain(m *testing.M) {
	if file := os.Getenv(bareBody); file != "" {
		if err := serveBare(file); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if dir := os.Getenv(bareSSH); dir != "" {
		if err := serveBareSSH(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) == 2 && os.Args[1] == asWorker {
		if err := worker.Serve(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if profiles := os.Getenv(compileMemory); profiles != "" {
		if err := printPeakMemory(profiles); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	brokertest.Main(m)
}

// serveBare answers every request with the file, on an address that it prints.
func serveBare(file string) error {
	body, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body)
	}))
}

// startBare gives its address and process.
func startBare(b *testing.B, body []byte) (string, int) {
	b.Helper()
	file := b.TempDir() + "/body"
	if err := os.WriteFile(file, body, 0o600); err != nil {
		b.Fatal(err)
	}
	address, cmd := startChild(b, bareBody+"="+file)
	return address, cmd.Process.Pid
}

// startChild runs this program as the server that the environment says, and gives
// the address that it prints.
func startChild(b *testing.B, environment string) (address string, cmd *exec.Cmd) {
	b.Helper()
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), environment)
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	address, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(address), cmd
}

// cpu is the processor time of a process so far, to 10 ms.
func cpu(b *testing.B, pid int) time.Duration {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])) // from the third on
	var ticks time.Duration
	for _, field := range fields[11:13] { // user, system
		n, err := strconv.Atoi(field)
		if err != nil {
			b.Fatal(err)
		}
		ticks += time.Duration(n)
	}
	return ticks * 10 * time.Millisecond // USER_HZ is 100 on Linux, whatever the kernel's own
}

// A broker is a process that logs to a file, as under a service manager: to
// read a pipe of its log here would be measured with it.
type broker struct {
	addr string
	cmd  *exec.Cmd
	log  string // the file's name
}

func startBroker(b *testing.B, settings string) *broker {
	b.Helper()
	s := launch(b, settings)
	s.waitServing(b)
	return s
}

func launch(b *testing.B, settings string) *broker {
	b.Helper()
	dir := b.TempDir()
	file := dir + "/broker.cue"
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		b.Fatal(err)
	}
	s := &broker{cmd: exec.Command(brokertest.Binary(b), "serve", "--config", file), log: dir + "/log"}
	log, err := os.Create(s.log)
	if err != nil {
		b.Fatal(err)
	}
	defer log.Close()
	s.cmd.Stderr = log
	if err := s.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(s.stop)
	return s
}

var listens = regexp.MustCompile(`listen="?\[([^ \]]+)`)

// waitServing waits until the broker has a site, and learns its address.
func (s *broker) waitServing(b *testing.B) {
	b.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		text, err := os.ReadFile(s.log)
		if err != nil {
			b.Fatal(err)
		}
		if m := listens.FindSubmatch(text); m != nil && bytes.Contains(text, []byte(`msg="revision serves"`)) {
			s.addr = string(m[1])
			return
		}
	}
	b.Fatal("the broker does not serve")
}

func (s *broker) stop() {
	_ = s.cmd.Process.Signal(os.Interrupt) // it may have ended
	_ = s.cmd.Wait()
}

// site has n profiles, of which 20 are for alice, and ten servers.
func site(n int) brokertest.Files {
	var servers strings.Builder
	servers.WriteString("package site\n\nsite: name: \"Bench\"\n")
	for i := range 10 {
		fmt.Fprintf(&servers, "servers: ts%02d: labels: pool: \"all\"\n", i)
	}
	files := brokertest.Files{"site.cue": servers.String()}
	for i := range n {
		group := "others"
		if i%(n/20) == 0 {
			group = "staff"
		}
		files[fmt.Sprintf("profiles/p%05d.cue", i)] = fmt.Sprintf("package site\n\nprofiles: \"p%05d\": {name: \"Desktop %d\", x2go: command: \"XFCE\", hosts: labels: pool: \"all\", access: groups: [%q]}\n", i, i, group)
	}
	return files
}

// A connection is one kept-alive HTTP connection with next to no client cost.
type connection struct {
	b      *testing.B
	conn   net.Conn
	r      *bufio.Reader
	host   string
	header string // more of the request's, with line ends
	out    bytes.Buffer
	body   []byte
}

func dial(b *testing.B, address string) *connection {
	b.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	return &connection{b: b, conn: conn, r: bufio.NewReaderSize(conn, 64<<10), host: address}
}

// post gives the body of the reply, valid until the next call.
func (c *connection) post(path, form string) []byte {
	c.out.Reset()
	fmt.Fprintf(&c.out, "POST %s HTTP/1.1\r\nHost: %s\r\n%sContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s", path, c.host, c.header, len(form), form)
	if _, err := c.conn.Write(c.out.Bytes()); err != nil {
		c.b.Fatal(err)
	}
	length := -1
	for first := true; ; first = false {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			c.b.Fatal(err)
		}
		if first && !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")) {
			c.b.Fatalf("the reply begins %q", line)
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				c.b.Fatal(err)
			}
		}
		if len(line) == 2 {
			break
		}
	}
	if cap(c.body) < length {
		c.body = make([]byte, length)
	}
	c.body = c.body[:length]
	if _, err := io.ReadFull(c.r, c.body); err != nil {
		c.b.Fatal(err)
	}
	return c.body
}

// ticket finds it in a reply of plain or json.
func ticket(b *testing.B, reply []byte) string {
	before, after := []byte("AUTHID:"), []byte("\n")
	if bytes.HasPrefix(reply, []byte("{")) {
		before, after = []byte(`"next-authid": "`), []byte(`"`)
	}
	if _, rest, ok := bytes.Cut(reply, before); ok {
		ticket, _, _ := bytes.Cut(rest, after)
		return string(ticket)
	}
	b.Fatalf("no ticket in %.100q", reply)
	return ""
}

func BenchmarkHTTP(b *testing.B) {
	for _, n := range []int{20, 1000, 10000} {
		repo := brokertest.NewRepo(b, site(n))
		broker := startBroker(b, fmt.Sprintf("site: url: %q\nstateDir: %q\nlisten: http: \"127.0.0.1:0\"\n", repo.URL(), b.TempDir())+
			brokertest.Users(b, map[string][]string{"alice": {"staff"}}))
		for _, what := range []struct{ name, path, task string }{
			{"list", "/plain/", "task=listsessions"},
			{"select", "/plain/", "task=selectsession&sid=p00000"},
			{"list-json", "/json/", "task=listprofiles"},
		} {
			b.Run(fmt.Sprintf("%s/profiles=%d", what.name, n), func(b *testing.B) {
				compare(b, broker, what.path, what.task)
			})
		}
	}
}

// A round is so many requests on each of so many connections; the servers have
// rounds in turn, so that neither waits for processors to wake up.
const (
	connections = 2
	requests    = 50
)

// compare measures the broker and the bare server. The client does the same with
// the replies of both.
func compare(b *testing.B, broker *broker, path, task string) {
	form := func(ticket string) string { return task + "&user=alice&password=alice-pw&authid=" + ticket }
	var real, bare [connections]*connection
	var tickets, same [connections]string
	var server string
	var process int
	for i := range connections {
		real[i] = dial(b, broker.addr)
		first := real[i].post(path, form(""))
		tickets[i] = ticket(b, first)
		if server == "" {
			server, process = startBare(b, bytes.Clone(first))
		}
		same[i] = tickets[i]
		bare[i] = dial(b, server)
	}
	round := func(one func(i int)) time.Duration {
		start := time.Now()
		var wg sync.WaitGroup
		for i := range connections {
			wg.Go(func() {
				for range requests {
					one(i)
				}
			})
		}
		wg.Wait()
		return time.Since(start)
	}
	var ours, theirs time.Duration
	var ratios []float64
	ourCPU, theirCPU := cpu(b, broker.cmd.Process.Pid), cpu(b, process)
	for b.Loop() {
		our := round(func(i int) { tickets[i] = ticket(b, real[i].post(path, form(tickets[i]))) })
		their := round(func(i int) { same[i] = ticket(b, bare[i].post(path, form(same[i]))) })
		ratios = append(ratios, float64(their)/float64(our))
		ours += our
		theirs += their
	}
	ourCPU, theirCPU = cpu(b, broker.cmd.Process.Pid)-ourCPU, cpu(b, process)-theirCPU
	slices.Sort(ratios)
	n := time.Duration(b.N * connections * requests)
	b.ReportMetric(0, "ns/op") // of both together: of no use
	b.ReportMetric(float64((ours/n).Nanoseconds())/1000, "broker-us")
	b.ReportMetric(float64((theirs/n).Nanoseconds())/1000, "bare-us")
	b.ReportMetric(float64(theirs)/float64(ours), "ratio")
	b.ReportMetric(ratios[len(ratios)/2], "median")
	b.ReportMetric(float64((ourCPU/n).Nanoseconds())/1000, "broker-cpu-us")
	b.ReportMetric(float64((theirCPU/n).Nanoseconds())/1000, "bare-cpu-us")
	if ourCPU > 0 {
		b.ReportMetric(float64(theirCPU)/float64(ourCPU), "cpu")
	}
}
