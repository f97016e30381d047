package admin

import "github.com/prometheus/client_golang/prometheus"

// entry collects how logins are doing when it is scraped. What somebody did is
// in no label.
type entry struct{ b *Broker }

var (
	ticketLogins    = desc("ticket_logins", "Password logins with tickets that are alive.")
	ticketKeys      = desc("ticket_keys", "Keys whose tickets are accepted.")
	ticketMarks     = desc("ticket_marks_bytes", "Size of the file that says which tickets were used.")
	ticketFailing   = desc("ticket_failing", "1 while tickets cannot be recorded, so that none are issued.")
	ticketsTotal    = desc("tickets_total", "Tickets since the start (issued, turned), logins whose tickets ended because a used one came again (revoked), and records that could not be written (failed).", "event")
	throttlePairs   = desc("throttle_pairs", "Pairs of name and address that failed in the last hour (failed), are refused now (blocked), or have succeeded in 30 days (known).", "state")
	throttleRefused = desc("throttle_refused_total", "Passwords that were not looked at, by the limit that was against it (pair, user, address, overall, busy).", "limit")
	passwordChecks  = desc("password_checks", "Passwords that are being looked at (running) or wait for others (waiting).", "state")
)

// Describe sends all descriptions.
func (entry) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		ticketLogins, ticketKeys, ticketMarks, ticketFailing, ticketsTotal, throttlePairs, throttleRefused, passwordChecks,
	} {
		ch <- d
	}
}

// Collect sends the present state.
func (e entry) Collect(ch chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, kind, v, labels...)
	}
	s := e.b.Entry()
	t := s.Tickets
	send(ticketLogins, prometheus.GaugeValue, float64(t.Chains))
	send(ticketKeys, prometheus.GaugeValue, float64(t.Keys))
	send(ticketMarks, prometheus.GaugeValue, float64(t.Marks))
	failing := 0.
	if t.Failing {
		failing = 1
	}
	send(ticketFailing, prometheus.GaugeValue, failing)
	for event, n := range map[string]uint64{"issued": t.Issued, "turned": t.Turned, "revoked": t.Revoked, "failed": t.Failed} {
		send(ticketsTotal, prometheus.CounterValue, float64(n), event)
	}
	th := s.Throttle
	for state, n := range map[string]int{"failed": th.Pairs, "blocked": th.Blocked, "known": th.Known} {
		send(throttlePairs, prometheus.GaugeValue, float64(n), state)
	}
	for limit, n := range th.Refused {
		send(throttleRefused, prometheus.CounterValue, float64(n), limit)
	}
	send(passwordChecks, prometheus.GaugeValue, float64(th.InFlight), "running")
	send(passwordChecks, prometheus.GaugeValue, float64(th.Waiting), "waiting")
}
