//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"net"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/x2broker/x2broker/tests/brokertest"
	"github.com/x2broker/x2broker/tests/x2goclient"
)

// everything is a profile of which every key is set that a site may set, and one
// without a server.
const everything = `package site

servers: down: {address: "192.0.2.2", labels: pool: "down", state: "maintenance"}
profiles: nowhere: {name: "Nowhere", hosts: labels: pool: "down", access: groups: ["staff"]}
profiles: all: {
	name: "Everything", icon: ":/x.png", autologin: true, access: groups: ["staff"]
	x2go: {
		command: "xterm", kdrive: true, defsndport: false, useiconv: true, iconvfrom: "ISO8859-1", iconvto: "UTF-8"
		height: 700, width: 900, export: "/home/a:1;/data:0;", quality: 7, fullscreen: true, layout: "de", variant: "x"
		speed: 3, soundsystem: "esd", type: "pc105/de", sndport: 16001, xinerama: false, usekbd: false, fstunnel: false
		applications: [], multidisp: true, sshproxyport: 2022, rootless: false, soundtunnel: false, dpi: 100, setdpi: true
		pack: "nopack", directrdp: false, published: true, maxdim: true, display: 2, clipboard: "both"
		startsoundsystem: false, startembed: false, krblogin: false, krbdelegation: true, usesshproxy: false
		sshproxytype: "SSH", sshproxyhost: "proxy", sshproxyuser: "p", sshproxyautologin: true, sshproxykrblogin: true
		sshproxysameuser: true, sshproxysamepass: true, sshproxysamekey: true, sshproxykeyfile: "/k"
		usebrokerpassforproxy: true, usebrokeruserforproxy: true, rdpclient: "rdesktop", rdpport: 3389
		directrdpsettings: "x", rdpserver: "rdp", rdpoptions: "-x", xdmcpserver: "xd", directxdmcp: true
		xdmcpclient: "Xnest", directxdmcpsettings: "y", shadowuser: "root", shadowdisplay: "0", shadowfullaccess: true
	}
}
`

// withEverything pushes that profile.
func (f *farm) withEverything() {
	f.t.Helper()
	commit := f.repo.Push(brokertest.Files{"everything.cue": everything})
	f.broker.WaitLog(`msg="revision serves" .*revision=` + commit)
}

// python is a program with a home and a display of its own.
func (f *farm) python(ctx context.Context, name string, args ...string) *exec.Cmd {
	f.t.Helper()
	display, stop, err := x2goclient.StartDisplay(ctx)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(stop)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = []string{"HOME=" + f.t.TempDir(), "PATH=/usr/bin:/bin", "LANG=C.UTF-8", "DISPLAY=" + display, "NO_PROXY=*"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return cmd
}

func (f *farm) jsonURL(path string) string { return "http://" + f.broker.Addr + "/json/" + path }

// pyhoca runs pyhoca-cli to its end and gives what it says.
func (f *farm) pyhoca(ctx context.Context, path, user, password string, args ...string) string {
	f.t.Helper()
	out, err := f.pyhocaCommand(ctx, path, user, password, args...).CombinedOutput()
	if err != nil || strings.Contains(string(out), "Traceback") {
		f.t.Fatalf("pyhoca-cli: %v\n%s", err, out)
	}
	return string(out)
}

func (f *farm) pyhocaCommand(ctx context.Context, path, user, password string, args ...string) *exec.Cmd {
	f.t.Helper()
	url := strings.Replace(f.jsonURL(path), "://", "://"+user+"@", 1)
	return f.python(ctx, "pyhoca-cli", append([]string{
		"--broker-url", url, "--broker-password", password, "-u", user, "--password", password, "--add-to-known-hosts", "--sound", "none",
	}, args...)...)
}

// profilesOf gives ids and names of `pyhoca-cli --list-profiles`.
func profilesOf(text string) map[string]string {
	got := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^Profile ID: (.*)\nProfile Name: (.*)$`).FindAllStringSubmatch(text, -1) {
		got[m[1]] = m[2]
	}
	return got
}

func TestPyhocaListsWhatThePolicyShows(t *testing.T) {
	f := newFarm(t)
	f.withEverything()
	ctx := deadline(t)
	for _, path := range []string{"", "inifile", "inifile/"} {
		got := profilesOf(f.pyhoca(ctx, path, "alice", "alice-pw", "--list-profiles"))
		want := map[string]string{"office": "Office", "odd": oddName, "all": "Everything", "nowhere": "Nowhere"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("alice (-want +got):\n%s", diff)
		}
	}
	if diff := cmp.Diff(map[string]string{"lab": "Lab"}, profilesOf(f.pyhoca(ctx, "", "sam", "sam-pw", "--list-profiles"))); diff != "" {
		t.Errorf("sam (-want +got):\n%s", diff)
	}
}

func TestPyhocaShowsNothingAfterAWrongPassword(t *testing.T) {
	f := newFarm(t)
	got := f.pyhoca(deadline(t), "", "alice", "wrong", "--list-profiles")
	if !strings.Contains(got, "Available X2Go session profiles") || len(profilesOf(got)) > 0 {
		t.Errorf("pyhoca-cli says\n%s", got)
	}
	f.broker.WaitLog(`msg="login denied" reason="wrong password"`)
}

// The server that the policy chose sees the user with his password, for any
// profile, by its name.
func TestPyhocaLogsInWhereThePolicySays(t *testing.T) {
	f := newFarm(t)
	f.withEverything()
	ctx := deadline(t)
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Office", "Everything", oddName} {
		login := ""
		server := &ssh.ServerConfig{PasswordCallback: func(c ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
			login = c.User() + ":" + string(password)
			return nil, nil
		}}
		server.AddHostKey(signer)
		var said bytes.Buffer
		cmd := f.pyhocaCommand(ctx, "", "alice", "alice-pw", "-P", name)
		cmd.Stdout, cmd.Stderr = &said, &said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		conn := f.accept(ctx)
		_, _, _, err := ssh.NewServerConn(conn, server)
		conn.Close()
		_ = cmd.Cancel() // it is in its session
		_ = cmd.Wait()
		if err != nil || login != "alice:alice-pw" {
			t.Errorf("%s: logs in as %q, %v\n%s", name, login, err, &said)
		}
	}
}

func TestPyhocaSaysThatThereIsNoServer(t *testing.T) {
	f := newFarm(t)
	f.withEverything()
	got := f.pyhoca(deadline(t), "", "alice", "alice-pw", "-P", "Nowhere")
	if !strings.Contains(got, "connecting to [no-server-available]:22") {
		t.Errorf("pyhoca-cli says\n%s", got)
	}
}

func TestPyhocaFindsItsOwnMachineBelowZeroconf(t *testing.T) {
	f := newFarm(t)
	f.broker = brokertest.Start(t, fmt.Sprintf("site: url: %q\nstateDir: %q\nfrontends: zeroconf: {enabled: true, command: \"XFCE\"}\n", f.repo.URL(), t.TempDir())+
		brokertest.Users(t, map[string][]string{"sam": {"students"}}))
	f.broker.WaitReady()
	got := f.pyhoca(deadline(t), "zeroconf", "sam", "sam-pw", "--list-profiles")
	if diff := cmp.Diff(map[string]string{"localhost": "LOCALHOST"}, profilesOf(got)); diff != "" || !strings.Contains(got, "'server': ['localhost']") {
		t.Errorf("(-want +got):\n%s%s", diff, got)
	}
}

// python-x2go sends the password once; from then on each reply's ticket stands
// for it.
func TestPythonX2goNeedsThePasswordOnce(t *testing.T) {
	f := newFarm(t)
	f.withEverything()
	ctx := deadline(t)
	cmd := f.python(ctx, "/usr/bin/python3", "testdata/chain.py", f.jsonURL(""), "alice", "alice-pw", "all")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	var got struct {
		Granted  bool
		Profiles map[string]map[string]any
		Server   struct{ Server, Port string }
		Sent     []struct {
			Fields map[string]string
			Key    []string
			Status int
		}
	}
	if err := json.Unmarshal(out[bytes.LastIndexByte(bytes.TrimSpace(out), '\n')+1:], &got); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !got.Granted || len(got.Sent) < 4 {
		t.Fatalf("got %+v", got)
	}
	seen := map[string]bool{}
	var tasks []string
	for i, s := range got.Sent {
		tasks = append(tasks, s.Fields["task"])
		_, password := s.Fields["password"]
		ticket := s.Fields["authid"]
		if s.Status != 200 || password != (i == 0) || (ticket == "") != (i == 0) || seen[ticket] {
			t.Errorf("request %d: status %d, %v", i, s.Status, s.Fields)
		}
		seen[ticket] = true
	}
	last := got.Sent[len(got.Sent)-1]
	if tasks[0] != "" || tasks[1] != "listprofiles" || last.Fields["task"] != "selectsession" || last.Fields["profile-id"] != "all" ||
		len(last.Key) != 2 || last.Key[1] != "ssh-rsa" {
		t.Errorf("tasks %q, the last %+v", tasks, last)
	}
	if host, port, _ := net.SplitHostPort(f.listener.Addr().String()); got.Server.Server != host || got.Server.Port != port {
		t.Errorf("server %+v", got.Server)
	}
	all := got.Profiles["all"]
	for key, want := range map[string]any{
		"name": "Everything", "width": 900.0, "fullscreen": true, "applications": []any{}, "setdpi": true, "user": "alice",
		"export": map[string]any{"/home/a": true, "/data": false}, "rdpserver": "rdp", "xinerama": false, "display": 2.0,
	} {
		if diff := cmp.Diff(want, all[key]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", key, diff)
		}
	}
	if name := got.Profiles["odd"]["name"]; name != oddName {
		t.Errorf("name %q", name)
	}
	if strings.Contains(f.broker.Log(), "alice-pw") {
		t.Errorf("the log has the password:\n%s", f.broker.Log())
	}
}
