//go:build e2e

package migrate

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/x2broker/x2broker/tests/brokertest"
)

// pageProfiles are in the old broker while the page is followed.
const pageProfiles = `[DEFAULT]
user = BROKER_USER
host = ts01.example.org

[desktop]
name = Desktop
command = XFCE

[office]
name = Office
command = MATE
acl-groups-allow = staff

[wages]
name = Wages
command = /opt/wages/bin/wages
acl-clients-allow = 127.0.0.2
acl-users-allow = anna
`

// TestThePage follows docs/migrate.md: it runs the blocks of commands in their
// order, with other directories and ports, and does what stands between them.
func TestThePage(t *testing.T) {
	text, err := os.ReadFile("../../../docs/migrate.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^```sh\n(.*?)^```$").FindAllStringSubmatch(string(text), -1)
	if len(blocks) < 7 {
		t.Fatalf("%d blocks of commands", len(blocks))
	}
	dir := t.TempDir()
	conf := write(t, dir, "etc/x2go/x2gobroker.conf", strings.Replace(conf, "= testsuite", "= none", 1))
	profiles := write(t, dir, "etc/x2go/broker/x2gobroker-sessionprofiles.conf", pageProfiles)
	groups := map[string][]string{"anna": {"staff"}, "ben": {"students"}}
	older, _ := reference(t, conf, profiles, groups)
	p := &page{t: t, dir: dir, newer: freeAddr(t), here: strings.NewReplacer(
		"/etc/x2go/", dir+"/etc/x2go/", "http://127.0.0.1:8080/plain/inifile", older,
	)}
	passwords := map[string]string{"anna": "anna-pw", "ben": "ben-pw"} // any, for the old broker
	for name, password := range passwords {
		write(t, dir, name+".pw", password+"\n")
	}

	rehearsed := false
	for _, block := range blocks {
		switch {
		case strings.HasPrefix(block[1], "x2broker serve "):
			p.users(authenticators(t, passwords, groups))
			p.serve(block[1])
			continue
		case strings.Contains(block[1], "x2broker serve"):
			t.Fatalf("serve is not alone in its block:\n%s", block[1])
		}
		out := p.run(block[1])
		if strings.Contains(block[1], "x2broker rehearse") {
			rehearsed = true
			if !strings.HasSuffix(out, "\nno difference: 3 users\n") {
				t.Errorf("the rehearsal says:\n%s", out)
			}
		}
	}
	if !rehearsed {
		t.Error("nobody was rehearsed")
	}
}

// A page is followed in a directory.
type page struct {
	t     *testing.T
	dir   string
	here  *strings.Replacer
	newer string // where the new broker listens
}

// command is a shell that runs a block of the page.
func (p *page) command(block string) *exec.Cmd {
	block = strings.ReplaceAll(p.here.Replace(block), "127.0.0.1:8090", p.newer)
	cmd := exec.Command("bash", "-euc", block)
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(brokertest.Binary(p.t))+":"+os.Getenv("PATH"),
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
	return cmd
}

func (p *page) run(block string) string {
	p.t.Helper()
	out, err := p.command(block).CombinedOutput()
	if err != nil {
		p.t.Fatalf("%s%v\n%s", block, err, out)
	}
	return string(out)
}

// users writes the test users into the broker.cue of the import.
func (p *page) users(authenticators string) {
	p.t.Helper()
	file := filepath.Join(p.dir, "broker.cue")
	text, err := os.ReadFile(file)
	if err != nil {
		p.t.Fatal(err)
	}
	none := regexp.MustCompile(`(?s)authenticators: \[.*?\]\n`)
	if !none.Match(text) {
		p.t.Fatalf("broker.cue has no place for users:\n%s", text)
	}
	write(p.t, p.dir, "broker.cue", none.ReplaceAllLiteralString(string(text), authenticators))
}

// serve runs the block until the test ends, and waits until there is a site.
func (p *page) serve(block string) {
	p.t.Helper()
	cmd := p.command("exec " + block)
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	p.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := <-ended; err != nil {
			p.t.Errorf("x2broker serve: %v", err)
		}
		if p.t.Failed() {
			p.t.Logf("x2broker serve says:\n%s", log.String())
		}
	})
	deadline := time.Now().Add(brokertest.Deadline)
	for time.Now().Before(deadline) {
		resp, err := http.Get(fmt.Sprintf("http://%s/readyz", p.newer))
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	p.t.Fatal("the new broker has no site")
}
