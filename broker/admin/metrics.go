package admin

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/x2broker/x2broker/broker/session"
	"github.com/x2broker/x2broker/broker/snapshot"
)

// Metrics counts what the broker does, in a registry of its own. No label ever
// names a user or an address.
type Metrics struct {
	registry *prometheus.Registry
	requests *prometheus.HistogramVec
	denied   *prometheus.CounterVec
	webhook  *prometheus.CounterVec
	bad      *prometheus.CounterVec
}

// NewMetrics returns the metrics of a broker. Set b.Keeper before the first
// scrape.
func NewMetrics(b *Broker) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "x2broker_request_duration_seconds",
			Help:    "Time to answer a request, by frontend (plain, json, uccs, ssh), task (login, verify, list, select, event) and outcome (granted, denied, throttled, refused, not_ready, error).",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10, 30},
		}, []string{"frontend", "task", "outcome"}),
		denied: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "x2broker_logins_denied_total",
			Help: "Requests whose credentials did not open the door, by reason.",
		}, []string{"reason"}),
		webhook: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "x2broker_webhook_requests_total",
			Help: "Calls of the webhook, by outcome (accepted, forbidden, limited, bad).",
		}, []string{"outcome"}),
		bad: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "x2broker_bad_requests_total",
			Help: "Requests that no client sends, by HTTP status: 413 is one that is too large.",
		}, []string{"status"}),
	}
	m.registry.MustRegister(m.requests, m.denied, m.webhook, m.bad, pipeline{b}, entry{b},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handler answers scrapes.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second})
}

// Request counts a request; give it to [session.Service.Observe].
func (m *Metrics) Request(d session.Done) {
	outcome := "granted"
	var (
		denied  *session.DeniedError
		refused *session.RefusedError
	)
	switch {
	case d.Err == nil:
	case errors.As(d.Err, &denied):
		outcome = "denied"
		if denied.RetryAfter > 0 {
			outcome = "throttled"
		}
		m.denied.WithLabelValues(string(denied.Reason)).Inc()
	case errors.As(d.Err, &refused):
		outcome = "refused"
	case errors.Is(d.Err, session.ErrNotReady):
		outcome = "not_ready"
	default:
		outcome = "error"
	}
	m.requests.WithLabelValues(d.Frontend, d.Task, outcome).Observe(d.Took.Seconds())
}

// BadRequest counts a request that a frontend refuses unread.
func (m *Metrics) BadRequest(status int) { m.bad.WithLabelValues(strconv.Itoa(status)).Inc() }

// pipeline collects the state of the broker when it is scraped.
type pipeline struct{ b *Broker }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("x2broker_"+name, help, labels, nil)
}

var (
	buildInfo      = desc("build_info", "1, with the version as a label.", "version")
	servingInfo    = desc("serving_info", "1, with the commit that serves as a label; absent before the first.", "commit")
	servingCommit  = desc("serving_commit_timestamp_seconds", "When the commit that serves was made.")
	stageTime      = desc("stage_timestamp_seconds", "When a commit last reached the stage (Fetched, Verified, Compiled, Tested, Serving). The age of what serves is time() minus that of Serving.", "stage")
	stageTook      = desc("stage_duration_seconds", "How long the last commit took in the stage.", "stage")
	refusedGauge   = desc("refused", "1 while the newest commit is refused by the gate.", "gate")
	sourceFailures = desc("source_failures", "Looks at the source that have failed in a row, 0 when it answers.")
	unkept         = desc("unkept", "1 while what serves could not be written to the state directory, so that a restart needs the source.")
	siteObjects    = desc("site_objects", "What the commit that serves has (profile, server, case, warning).", "kind")
	workerStarts   = desc("worker_starts_total", "Starts of the process that evaluates CUE; more than 1 after it ended or was killed.")
	holdGauge      = desc("hold", "1 while an operator's order of that kind (pin, freeze) is in force.", "kind")
	holdUntil      = desc("hold_until_timestamp_seconds", "When the order in force ends; absent without one.")
)

// Describe sends all descriptions.
func (pipeline) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		buildInfo, servingInfo, servingCommit, stageTime, stageTook, refusedGauge, sourceFailures, unkept, siteObjects,
		workerStarts, holdGauge, holdUntil, connectionsOpen, connectionsRefused, certificateUntil, certificateFailed,
		sshConnections, sshTurned, sshLogins, sshKeysFailed,
	} {
		ch <- d
	}
}

// Collect sends the present state.
func (p pipeline) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	is := func(yes bool) float64 {
		if yes {
			return 1
		}
		return 0
	}
	s := p.b.Keeper.Status()
	gauge(buildInfo, 1, p.b.Version)
	for _, stage := range s.Stages() {
		if !stage.Time.IsZero() {
			gauge(stageTime, seconds(stage.Time), stage.Name)
		}
		if stage.Took > 0 {
			gauge(stageTook, stage.Took.Seconds(), stage.Name)
		}
	}
	for _, gate := range []string{snapshot.Fetched, snapshot.Verified, snapshot.Compiled, snapshot.Tested} {
		gauge(refusedGauge, is(s.Refused != nil && s.Refused.Gate == gate), gate)
	}
	gauge(sourceFailures, float64(s.Failures))
	gauge(unkept, is(s.Unkept != ""))
	if snap := p.b.Keeper.Current(); snap != nil {
		gauge(servingInfo, 1, snap.Revision.ID)
		if !snap.Revision.Time.IsZero() {
			gauge(servingCommit, seconds(snap.Revision.Time))
		}
		gauge(siteObjects, float64(len(snap.Catalog.Profiles)), "profile")
		gauge(siteObjects, float64(len(snap.Catalog.Servers)), "server")
		gauge(siteObjects, float64(len(snap.Catalog.Cases)), "case")
		gauge(siteObjects, float64(len(snap.Warnings)), "warning")
	}
	p.b.Doors().collect(ch)
	_, starts := p.b.Worker()
	ch <- prometheus.MustNewConstMetric(workerStarts, prometheus.CounterValue, float64(starts))
	for _, kind := range []string{snapshot.Pin, snapshot.Freeze} {
		gauge(holdGauge, is(s.Hold != nil && s.Hold.Kind == kind), kind)
	}
	if s.Hold != nil && !s.Hold.Until.IsZero() {
		gauge(holdUntil, seconds(s.Hold.Until))
	}
}

func seconds(t time.Time) float64 { return float64(t.UnixNano()) / 1e9 }
