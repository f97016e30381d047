package admin_test

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/x2broker/x2broker/broker/admin"
	"github.com/x2broker/x2broker/broker/session"
	"github.com/x2broker/x2broker/broker/source/gittest"
)

func get(t *testing.T, h http.Handler) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	return w.Code, w.Body.String()
}

func scraped(t *testing.T, m *admin.Metrics, want ...string) {
	t.Helper()
	status, text := get(t, m.Handler())
	if status != http.StatusOK {
		t.Fatalf("status %d: %s", status, text)
	}
	for _, line := range want {
		if !strings.Contains(text, "\n"+line) {
			t.Errorf("no line %s in:\n%s", line, text)
		}
	}
}

func TestMetricsSayTheStateOfThePipeline(t *testing.T) {
	f := newFixture(t)
	m := admin.NewMetrics(f.broker)
	good := f.keeper.Current().Revision.ID
	bad := f.repo.Commit(gittest.Commit{Files: broken})
	_ = f.keeper.Refresh(t.Context()) // it is refused
	if _, err := f.client.Freeze(t.Context(), "exams", time.Time{}); err != nil {
		t.Fatal(err)
	}
	scraped(t, m,
		`x2broker_build_info{version="v1.2.3"} 1`,
		`x2broker_serving_info{commit="`+good+`"} 1`,
		`x2broker_stage_timestamp_seconds{stage="Serving"} `,
		`x2broker_stage_duration_seconds{stage="Tested"} `,
		`x2broker_refused{gate="Compiled"} 1`, `x2broker_refused{gate="Tested"} 0`,
		`x2broker_source_failures 0`, `x2broker_unkept 0`, `x2broker_refused{gate="Fetched"} 0`,
		`x2broker_site_objects{kind="profile"} 1`,
		`x2broker_worker_starts_total 1`,
		`x2broker_hold{kind="freeze"} 1`, `x2broker_hold{kind="pin"} 0`,
		`x2broker_hold_until_timestamp_seconds `,
		`x2broker_connections 3`, `x2broker_connections_refused_total{reason="slow"} 2`,
		`x2broker_certificate_expiry_timestamp_seconds 2e+09`, `x2broker_certificate_failed 1`,
		`x2broker_ssh_connections{state="open"} 4`, `x2broker_ssh_connections{state="waiting"} 2`, `x2broker_ssh_connections_turned_total 9`,
		`x2broker_ssh_logins_total{method="password",outcome="denied"} 6`, `x2broker_ssh_host_keys_failed 1`,
		`go_goroutines `, `process_cpu_seconds_total `,
	)
	for name, h := range map[string]http.Handler{"ready": admin.Readyz(f.keeper), "ok": admin.Healthz(f.keeper)} {
		status, text := get(t, h)
		if want := name + ": Serving " + good[:12] + ", frozen until "; status != 200 || !strings.HasPrefix(text, want) ||
			!strings.HasSuffix(text, ", Compiled refused "+bad[:12]+"\n") {
			t.Errorf("%s: %d %q", name, status, text)
		}
	}
}

func TestRequestsAreCountedWithoutNames(t *testing.T) {
	f := newFixture(t)
	m := admin.NewMetrics(f.broker)
	for _, err := range []error{
		nil, nil,
		&session.DeniedError{Reason: "wrong password"},
		&session.DeniedError{Reason: "throttled", RetryAfter: time.Second},
		&session.RefusedError{Reason: "not now, alice"},
		session.ErrNotReady,
		errors.New("alice is broken"),
	} {
		m.Request(session.Done{
			Task: "list", Frontend: "json", Grant: session.Grant{User: "alice"}, Address: netip.MustParseAddr("192.0.2.1"), Err: err, Took: 3 * time.Millisecond,
		})
	}
	scraped(t, m,
		`x2broker_request_duration_seconds_count{frontend="json",outcome="granted",task="list"} 2`,
		`x2broker_request_duration_seconds_bucket{frontend="json",outcome="granted",task="list",le="0.0025"} 0`,
		`x2broker_request_duration_seconds_bucket{frontend="json",outcome="granted",task="list",le="0.005"} 2`,
		`x2broker_request_duration_seconds_count{frontend="json",outcome="denied",task="list"} 1`,
		`x2broker_request_duration_seconds_count{frontend="json",outcome="throttled",task="list"} 1`,
		`x2broker_request_duration_seconds_count{frontend="json",outcome="refused",task="list"} 1`,
		`x2broker_request_duration_seconds_count{frontend="json",outcome="not_ready",task="list"} 1`,
		`x2broker_request_duration_seconds_count{frontend="json",outcome="error",task="list"} 1`,
		`x2broker_logins_denied_total{reason="wrong password"} 1`,
		`x2broker_logins_denied_total{reason="throttled"} 1`,
	)
	if _, text := get(t, m.Handler()); strings.Contains(text, "alice") || strings.Contains(text, "192.0.2.1") {
		t.Errorf("names a user:\n%s", text)
	}
}

func TestMetricsSayHowLoginsAreDoing(t *testing.T) {
	scraped(t, admin.NewMetrics(newFixture(t).broker),
		`x2broker_ticket_logins 12`, `x2broker_ticket_failing 1`, `x2broker_tickets_total{event="turned"} 345`,
		`x2broker_throttle_pairs{state="blocked"} 3`, `x2broker_throttle_refused_total{limit="user"} 7`,
		`x2broker_password_checks{state="running"} 2`,
	)
}

func TestThePageNamesEveryMetric(t *testing.T) {
	f := newFixture(t)
	m := admin.NewMetrics(f.broker)
	m.Request(session.Done{Task: "list", Err: &session.DeniedError{Reason: "malformed"}})
	call(admin.NewWebhook(admin.GitHub, []byte(secret), func() {}, m, time.Now, slog.New(slog.DiscardHandler)), "")
	m.BadRequest(http.StatusRequestEntityTooLarge)
	if _, err := f.client.Freeze(t.Context(), "", time.Time{}); err != nil {
		t.Fatal(err)
	}
	_, text := get(t, m.Handler())
	page, err := os.ReadFile("../../docs/operate.md")
	if err != nil {
		t.Fatal(err)
	}
	var real, told []string
	for _, match := range regexp.MustCompile(`(?m)^# TYPE (x2broker_\w+)`).FindAllStringSubmatch(text, -1) {
		real = append(real, match[1])
	}
	for _, match := range regexp.MustCompile("(?m)^\\| `(x2broker_\\w+)`").FindAllStringSubmatch(string(page), -1) {
		told = append(told, match[1])
	}
	slices.Sort(real)
	slices.Sort(told)
	if diff := cmp.Diff(real, told); diff != "" {
		t.Errorf("the table of docs/operate.md (-real +told):\n%s", diff)
	}
}
