package admin

import (
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// SSH is how the built-in SSH server is doing.
type SSH struct {
	Open     int         `json:"open"`             // connections now, after their login
	Waiting  int         `json:"waiting"`          // before it
	Turned   uint64      `json:"turned"`           // of these ended for newer ones, since the start
	Logins   []SSHLogins `json:"logins"`           // steps of logins since the start
	HostKeys []string    `json:"hostKeys"`         // "ssh-ed25519 SHA256:..."
	Failed   string      `json:"failed,omitempty"` // why newer host keys in the files are not used
}

// SSHLogins counts steps of logins of one kind.
type SSHLogins struct {
	Method  string `json:"method"`  // password, keyboard-interactive, publickey
	Outcome string `json:"outcome"` // granted, denied, throttled
	Count   uint64 `json:"count"`
}

// text is how many of the connections are over SSH, and how logins are doing.
func (s *SSH) text() string {
	text := fmt.Sprintf(", %d over SSH", s.Open)
	if s.Waiting > 0 {
		text += fmt.Sprintf(" and %d not logged in", s.Waiting)
	}
	sums := map[string]uint64{}
	for _, l := range s.Logins {
		sums[l.Outcome] += l.Count
	}
	text += fmt.Sprintf(" (logins: %d granted, %d denied, %d throttled", sums["granted"], sums["denied"], sums["throttled"])
	if s.Turned > 0 {
		text += fmt.Sprintf("; %d connections ended for newer ones", s.Turned)
	}
	return text + ")"
}

// listens names the listeners, and the host keys of SSH: people compare the one
// that their client chooses to show when they connect for the first time.
func (r *Report) listens() string {
	all := slices.Clone(r.Listeners)
	for i, name := range all {
		if s := r.Doors.SSH; s != nil && len(s.HostKeys) > 0 && strings.HasPrefix(name, "ssh ") {
			all[i] += " (" + clean(strings.Join(s.HostKeys, ", ")) + ")"
		}
	}
	return strings.Join(all, ", ")
}

var (
	sshConnections = desc("ssh_connections", "Open SSH connections, by state: open (after their login), waiting (before it).", "state")
	sshTurned      = desc("ssh_connections_turned_total", "SSH connections that ended before their login because newer ones needed the room.")
	sshLogins      = desc("ssh_logins_total", "Steps of SSH logins, by method (password, keyboard-interactive, publickey) and outcome (granted, denied, throttled); a client may offer several keys.", "method", "outcome")
	sshKeysFailed  = desc("ssh_host_keys_failed", "1 while the newer SSH host keys in the files cannot be used; absent without SSH.")
)

func (s *SSH) collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(sshConnections, float64(s.Open), "open")
	gauge(sshConnections, float64(s.Waiting), "waiting")
	ch <- prometheus.MustNewConstMetric(sshTurned, prometheus.CounterValue, float64(s.Turned))
	for _, l := range s.Logins {
		ch <- prometheus.MustNewConstMetric(sshLogins, prometheus.CounterValue, float64(l.Count), l.Method, l.Outcome)
	}
	failed := 0.0
	if s.Failed != "" {
		failed = 1
	}
	gauge(sshKeysFailed, failed)
}
