// Package rehearse_test rehearses with the real binary between two real
// brokers, and holds what it prints to golden texts.
package rehearse_test

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"flag"
	"io"
	"log"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/x2broker/x2broker/client/rehearse"
	"github.com/x2broker/x2broker/tests/brokertest"
)

var update = flag.Bool("update", false, "rewrite the golden texts")

func TestMain(m *testing.M) { brokertest.Main(m) }

// groups are the users of both brokers; a password is the name with -pw.
var groups = map[string][]string{
	"alice": {"staff"}, "bob": {"staff"}, "carol": {"students"}, "dora": {"labs"}, "eve": {"staff"},
}

// start runs a broker on the files of an archive below the prefix.
func start(t *testing.T, archive *txtar.Archive, prefix string) *brokertest.Broker {
	t.Helper()
	files := brokertest.Files{}
	for _, f := range archive.Files {
		if name, ok := strings.CutPrefix(f.Name, prefix+"/"); ok {
			files[name] = string(f.Data)
		}
	}
	if len(files) == 0 {
		t.Fatalf("no files below %s/", prefix)
	}
	b := brokertest.Start(t, "site: url: \""+brokertest.NewRepo(t, files).URL()+"\"\nstateDir: \""+t.TempDir()+"\"\nlisten: {http: \"127.0.0.1:0\", ssh: \"127.0.0.1:0\"}\n"+brokertest.Users(t, groups))
	b.WaitReady()
	return b
}

// users writes the file of test users that an archive has, and their passwords.
func users(t *testing.T, archive *txtar.Archive) string {
	t.Helper()
	dir := t.TempDir()
	for name := range groups {
		if err := os.WriteFile(filepath.Join(dir, name+".pw"), []byte(name+"-pw\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "wrong.pw"), []byte("wrong\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "users")
	for _, f := range archive.Files {
		if f.Name == "users" {
			if err := os.WriteFile(path, f.Data, 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}
	}
	t.Fatal("no users")
	return ""
}

// TestTexts: each archive has two sites, old and new, users, and what is said of
// them. The first line is the exit code.
func TestTexts(t *testing.T) {
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(archives) < 3 {
		t.Fatal(archives, err)
	}
	for _, path := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			older, newer := start(t, archive, "old"), start(t, archive, "new")
			text, code := brokertest.Run(t, "rehearse", "--old", older.URL(), "--new", newer.URL(), "--users", users(t, archive))
			got := "exit code " + string(rune('0'+code)) + "\n\n" + ports(text)
			for i, f := range archive.Files {
				if f.Name != "says" {
					continue
				}
				if *update {
					archive.Files[i].Data = []byte(got)
					if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
						t.Fatal(err)
					}
				} else if diff := cmp.Diff(string(f.Data), got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				return
			}
			t.Error("the archive does not have what is said")
		})
	}
}

// ports hides the numbers of ports that the system chose.
func ports(s string) string {
	return regexp.MustCompile(`127\.0\.0\.[0-9]+:[0-9]+`).ReplaceAllString(s, "127.0.0.1:PORT")
}

func TestJSONSaysTheSame(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/differences.txtar")
	if err != nil {
		t.Fatal(err)
	}
	older, newer := start(t, archive, "old"), start(t, archive, "new")
	text, code := brokertest.Run(t, "rehearse", "--old", older.URL(), "--new", newer.URL(), "--users", users(t, archive), "--format", "json")
	var report rehearse.Report
	if err := json.Unmarshal([]byte(text), &report); err != nil || code != 1 {
		t.Fatalf("exit code %d, %v\n%s", code, err, text)
	}
	var b bytes.Buffer
	if err := report.Write(&b); err != nil {
		t.Fatal(err)
	}
	for _, f := range archive.Files {
		if f.Name == "says" {
			if diff := cmp.Diff(string(f.Data), "exit code 1\n\n"+ports(b.String())); diff != "" {
				t.Errorf("(-text +json):\n%s", diff)
			}
		}
	}
}

// twins are two brokers of the same site.
func twins(t *testing.T) (older, newer *brokertest.Broker) {
	t.Helper()
	archive, err := txtar.ParseFile("testdata/nobody.txtar")
	if err != nil {
		t.Fatal(err)
	}
	return start(t, archive, "old"), start(t, archive, "new")
}

func TestPasswordsAreReadFromAPipeOncePerUser(t *testing.T) {
	older, newer := twins(t)
	file := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(file, []byte("alice\nalice from=127.0.0.2\nbob\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(brokertest.Binary(t), "rehearse", "--old", older.URL(), "--new", newer.URL(), "--users", file)
	cmd.Stdin = strings.NewReader("alice-pw\nbob-pw\n")
	out, err := cmd.CombinedOutput()
	if want := "alice, alice from 127.0.0.2, bob: the same, 1 profile\n"; err != nil || !strings.HasPrefix(string(out), want) {
		t.Errorf("%v\n%s", err, out)
	}
}

// The brokers see the address that the rehearsal connects from.
func TestAddressesAreReal(t *testing.T) {
	older, newer := twins(t)
	password := filepath.Join(t.TempDir(), "pw")
	if err := os.WriteFile(password, []byte("alice-pw\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, code := brokertest.Run(t, "rehearse", "--old", older.URL(), "--new", newer.URL(), "--user", "alice", "--password-file", password, "--from", "127.0.0.7"); code != 0 {
		t.Errorf("exit code %d\n%s", code, out)
	}
	for _, b := range []*brokertest.Broker{older, newer} {
		b.WaitLog(`msg=listed .*user=alice address=127\.0\.0\.7`)
	}
}

func TestCertificatesAreChecked(t *testing.T) {
	older, newer := twins(t)
	behind, err := url.Parse("http://" + older.Addr)
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewUnstartedServer(httputil.NewSingleHostReverseProxy(behind))
	front.Config.ErrorLog = log.New(io.Discard, "", 0) // it tells of refused handshakes
	front.StartTLS()
	defer front.Close()
	dir := t.TempDir()
	ca, password := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "pw")
	for path, data := range map[string][]byte{
		ca:       pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw}),
		password: []byte("alice-pw\n"),
	} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tests := map[string]struct {
		older, newer string
		flags        []string
		says         string
		code         int
	}{
		"unknown":             {front.URL, newer.URL(), nil, "old broker: list session profiles: .*certificate", 1},
		"known":               {front.URL, newer.URL(), []string{"--ca", ca}, "alice: the same, 1 profile", 0},
		"of the old, ignored": {front.URL, newer.URL(), []string{"--insecure-old"}, "alice: the same, 1 profile", 0},
		"of the new":          {newer.URL(), front.URL, []string{"--insecure-old"}, "new broker: list session profiles: .*certificate", 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			plain := func(s string) string { return strings.TrimSuffix(s, "/plain/") + "/plain/" }
			args := append([]string{"rehearse", "--old", plain(test.older), "--new", plain(test.newer), "--user", "alice", "--password-file", password}, test.flags...)
			out, code := brokertest.Run(t, args...)
			if code != test.code || !regexp.MustCompile(test.says).MatchString(out) {
				t.Errorf("exit code %d\n%s", code, out)
			}
		})
	}
}

// Over SSH the same differences show: between two brokers, and between the
// doors of one there is none.
func TestSSHSaysTheSame(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/differences.txtar")
	if err != nil {
		t.Fatal(err)
	}
	older, newer := start(t, archive, "old"), start(t, archive, "new")
	known, file := brokertest.KnownHosts(t, older.SSH, newer.SSH), users(t, archive)
	lines, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines = regexp.MustCompile(`(?m)^.*from=192\.0\.2\.1\n`).ReplaceAll(lines, nil) // which is said otherwise there
	if err := os.WriteFile(file, lines, 0o600); err != nil {
		t.Fatal(err)
	}
	url := func(b *brokertest.Broker) string { return "ssh://" + b.SSH + "/usr/bin/x2gobroker" }
	overHTTP, _ := brokertest.Run(t, "rehearse", "--old", older.URL(), "--new", newer.URL(), "--users", file)
	text, code := brokertest.Run(t, "rehearse", "--old", url(older), "--new", url(newer), "--users", file, "--known-hosts", known)
	if diff := cmp.Diff(overHTTP, text); diff != "" || code != 1 {
		t.Errorf("exit code %d (-over HTTP +over SSH):\n%s", code, diff)
	}
	text, code = brokertest.Run(t, "rehearse", "--old", newer.URL(), "--new", url(newer), "--users", file, "--known-hosts", known)
	if code != 0 {
		t.Errorf("between the doors of one: exit code %d\n%s", code, text)
	}
	newer.WaitLog(`msg=listed .*user=alice address=127\.0\.0\.1`)
}

// TestThePageShowsTheLog holds the lines in docs/migrate.md to what a broker
// logs: their messages and the names in them.
func TestThePageShowsTheLog(t *testing.T) {
	page, err := os.ReadFile("../../docs/migrate.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Log\n")
	b := brokertest.Start(t, "site: url: \""+brokertest.NewRepo(t, brokertest.Files{
		"site.cue":          "package site\n\nsite: name: \"S\"\nservers: ts01: {}\nprofiles: desktop: {name: \"D\", hosts: ids: [\"ts01\"], access: everyone: true}\n",
		"policy/login.rego": "package x2go.login\n\ndeny contains \"locked\" if input.user.name == \"eve\"\n",
	}).URL()+"\"\nstateDir: \""+t.TempDir()+"\"\n"+brokertest.Users(t, groups))
	b.WaitReady()
	anna := b.Client("alice", "127.0.0.1")
	if _, err := anna.List(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := anna.Select(t.Context(), "desktop"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Client("eve", "127.0.0.1").List(t.Context()); err == nil {
		t.Fatal("eve was let in")
	}
	for _, message := range []string{"listed", "selected", "refused"} {
		line := regexp.MustCompile(`(?m)level=INFO msg=` + message + ` .*$`)
		b.WaitLog(`msg=` + message + ` [^\n]*\n`)
		names := regexp.MustCompile(`(\w+)=`)
		if diff := cmp.Diff(names.FindAllString(line.FindString(b.Log()), -1), names.FindAllString(line.FindString(section), -1)); diff != "" {
			t.Errorf("%s (-log +page):\n%s", message, diff)
		}
	}
}
