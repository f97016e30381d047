package admin_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/x2broker/x2broker/broker/admin"
	"github.com/x2broker/x2broker/broker/snapshot"
	"github.com/x2broker/x2broker/broker/source"
)

var update = flag.Bool("update", false, "write the golden files anew")

const (
	goodCommit = "5f0c1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b"
	badCommit  = "9abc1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b"
)

var now = time.Date(2026, 3, 2, 14, 30, 0, 0, time.UTC)

func at(text string) time.Time {
	t, err := time.Parse("2006-01-02 15:04:05", text)
	if err != nil {
		panic(err)
	}
	return t
}

// quiet is a broker with which all is well.
func quiet() admin.Report {
	good := func(stage, when string) admin.Stage {
		return admin.Stage{Stage: stage, Commit: goodCommit, Author: "Ada Admin", Subject: "Open the lab", Time: at(when)}
	}
	r := admin.Report{
		Version: "v1.2.3", PID: 4711, UptimeS: 3*24*3600 + 4*3600, State: "Serving 5f0c1a2b3c4d",
		Site: "https://git.example.edu/x2go/site.git refs/heads/main", Name: "Example University",
		Stages: []admin.Stage{
			good("Fetched", "2026-03-02 14:00:01"),
			{Stage: "Verified", Reason: "not configured"},
			good("Compiled", "2026-03-02 14:00:02"), good("Tested", "2026-03-02 14:00:02"), good("Serving", "2026-03-02 14:00:03"),
		},
		Source: admin.Source{NextLook: at("2026-03-02 14:30:12")},
		Snapshot: &admin.Snapshot{Digest: strings.Repeat("0d", 32), Inputs: snapshot.Inputs{
			Revision: goodCommit, Library: strings.Repeat("1b", 32), Program: strings.Repeat("2a", 32),
			Timezone: "Europe/Berlin", Clock: strings.Repeat("3c", 32),
		}},
		Objects:   admin.Objects{Profiles: 120, Servers: 14, Cases: 1},
		Tickets:   admin.Tickets{Logins: 212, Users: 97, Keys: 2},
		Guessing:  admin.Guessing{Failed: 4, Refused: map[string]uint64{"pair": 0, "user": 0}},
		Worker:    "no network, no files, no programs",
		Listeners: []string{"http 127.0.0.1:8080", "https 0.0.0.0:443", "ssh 0.0.0.0:2222", "metrics 127.0.0.1:9090"},
		Doors: admin.Doors{
			Open: 12, Most: 8192, Refused: map[string]uint64{"slow": 0},
			Certificate: &admin.Certificate{Until: at("2026-05-01 00:00:00")},
			SSH: &admin.SSH{
				Open: 1, Logins: []admin.SSHLogins{{Method: "publickey", Outcome: "granted", Count: 5}, {Method: "password", Outcome: "granted", Count: 2}},
				HostKeys: []string{"ssh-ed25519 SHA256:" + strings.Repeat("a", 43), "ecdsa-sha2-nistp256 SHA256:" + strings.Repeat("b", 43)},
			},
		},
	}
	r.Stages[4].Reason = "fetched"
	return r
}

// trouble is a broker with all that can be wrong.
func trouble() admin.Report {
	r := quiet()
	r.State = "Serving 5f0c1a2b3c4d, pinned until 2026-03-03 09:00 UTC, Compiled refused 9abc1a2b3c4d, Fetched fails (4 times)"
	r.Stages[0] = admin.Stage{Stage: "Fetched", Commit: badCommit, Author: "Bob", Subject: "Tidy\x1b[2J up", Time: at("2026-03-01 23:59:59")}
	r.Stages[2] = admin.Stage{Stage: "Compiled", Commit: badCommit, Author: "Bob", Subject: "Tidy\x1b[2J up", Time: at("2026-03-02 00:00:01"), Reason: "7 errors, the first: profiles/bad.cue:3:11: profiles.lab.hosts: no server has the id \"lab09\""}
	r.Refused = &admin.Refused{
		Commit: badCommit, Author: "Bob", Subject: "Tidy\x1b[2J up", Gate: "Compiled", Since: at("2026-03-02 00:00:01"), Total: 7,
		Diagnostics: []string{
			`profiles/bad.cue:3:11: profiles.lab.hosts: no server has the id "lab09"`,
			"profiles/bad.cue:4:1: two", "profiles/bad.cue:5:1: three", "profiles/bad.cue:6:1: four", "profiles/bad.cue:7:1: five", "six", "seven",
		},
	}
	r.Source = admin.Source{Failures: 4, Since: at("2026-03-02 14:20:00"), Reason: "fetch: dial tcp: connection refused", NextLook: at("2026-03-02 14:34:30")}
	r.Unused = []string{
		"/var/lib/x2broker/last-good.2.site is damaged: digest is wrong: truncated or damaged",
		"/var/lib/x2broker/last-good.3.site is not accepted by the rules of verify as they are now: commit " + badCommit + " is refused: it is\x1b[2J not signed",
	}
	r.Unkept = "write /var/lib/x2broker/last-good.2.site.new: no space left on device"
	r.Hold = &snapshot.Hold{
		Kind: snapshot.Pin, Revision: source.Revision{ID: goodCommit}, By: "ada", UID: 1000, Reason: "nobody sees the lab",
		Since: at("2026-03-02 08:00:00"), Until: at("2026-03-03 09:00:00"),
	}
	return r
}

// crowd is one that is asked by more than it can bear, with a certificate that
// ends soon.
func crowd() admin.Report {
	r := quiet()
	r.Tickets.Failing = true
	r.Guessing = admin.Guessing{Failed: 31, Blocked: 12, Checking: 8, Waiting: 40, Refused: map[string]uint64{"pair": 512, "address": 3, "user": 0}}
	r.Webhook = &admin.HookCalls{Accepted: 12, Forbidden: 3, Limited: 980}
	r.Doors = admin.Doors{
		Open: 8192, Most: 8192, Refused: map[string]uint64{"slow": 7, "connections": 1043, "tls": 0},
		Certificate: &admin.Certificate{Until: at("2026-03-07 00:00:00"), Failed: "certificate /etc/x2broker/cert.pem with key /etc/x2broker/key.pem: tls: private key does not match public key"},
		SSH: &admin.SSH{
			Open: 800, Waiting: 256, Turned: 5000, Logins: []admin.SSHLogins{{Method: "password", Outcome: "denied", Count: 70}, {Method: "password", Outcome: "throttled", Count: 60}},
			HostKeys: []string{"ssh-ed25519 SHA256:" + strings.Repeat("a", 43)}, Failed: "SSH host key /etc/x2broker/host_key: open /etc/x2broker/host_key: permission denied",
		},
	}
	return r
}

// nothing is a broker that has just started, with its repository away.
func nothing() admin.Report {
	return admin.Report{
		Version: "v1.2.3", PID: 4711, UptimeS: 3, State: "Serving nothing, Fetched fails (once)", Site: "file:///srv/site.git refs/heads/main",
		Stages: []admin.Stage{
			{Stage: "Fetched"}, {Stage: "Verified", Reason: "not configured"}, {Stage: "Compiled"}, {Stage: "Tested"}, {Stage: "Serving"},
		},
		Source:    admin.Source{Failures: 1, Since: at("2026-03-02 14:29:58"), Reason: "repository not found: /srv/site.git"},
		Listeners: []string{"http 127.0.0.1:8080"}, Doors: admin.Doors{Most: 8192},
	}
}

func TestStatusIsOneScreen(t *testing.T) {
	for name, r := range map[string]admin.Report{"quiet": quiet(), "trouble": trouble(), "crowd": crowd(), "nothing": nothing()} {
		var b strings.Builder
		if err := r.WriteText(&b, now); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("testdata", name+".txt")
		if *update {
			if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), b.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if n := strings.Count(b.String(), "\n"); n > 30 {
			t.Errorf("%s: %d lines", name, n)
		}
		if strings.Contains(b.String(), "\x1b") {
			t.Errorf("%s: a repository reaches the terminal", name)
		}
	}
}
