package admin_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/x2broker/x2broker/broker/admin"
)

const secret = "a secret of the forge"

func sign(key, body string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(body))
	return hex.EncodeToString(mac.Sum(nil))
}

func newHook(kind string, nudges *int, log *buffer, now func() time.Time) (*admin.Webhook, *admin.Metrics) {
	m := admin.NewMetrics(nil)
	logger := slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return admin.NewWebhook(kind, []byte(secret), func() { *nudges++ }, m, now, logger), m
}

func call(h http.Handler, body string, header ...string) int {
	r := httptest.NewRequest(http.MethodPost, "/hook", strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

func TestOnlyWhoKnowsTheSecretMakesTheBrokerLook(t *testing.T) {
	const body = `{"ref": "refs/heads/main"}`
	good, other := sign(secret, body), sign("another", body)
	for name, c := range map[string]struct {
		kind   string
		header []string
		want   int
	}{
		"github":                      {admin.GitHub, []string{"X-Hub-Signature-256", "sha256=" + good}, 202},
		"github, other secret":        {admin.GitHub, []string{"X-Hub-Signature-256", "sha256=" + other}, 403},
		"github, nothing":             {admin.GitHub, nil, 403},
		"github, no prefix":           {admin.GitHub, []string{"X-Hub-Signature-256", good}, 403},
		"github, old kind":            {admin.GitHub, []string{"X-Hub-Signature", "sha1=" + good[:40]}, 403},
		"github, short":               {admin.GitHub, []string{"X-Hub-Signature-256", "sha256=" + good[:62]}, 403},
		"github, signature of nobody": {admin.GitHub, []string{"X-Hub-Signature-256", "sha256=" + sign("", body)}, 403},
		"github, token of gitlab":     {admin.GitHub, []string{"X-Gitlab-Token", secret}, 403},
		"forgejo":                     {admin.Forgejo, []string{"X-Forgejo-Signature", good}, 202},
		"gitea":                       {admin.Forgejo, []string{"X-Gitea-Signature", good}, 202},
		"forgejo, other secret":       {admin.Forgejo, []string{"X-Forgejo-Signature", other}, 403},
		"forgejo, nothing":            {admin.Forgejo, nil, 403},
		"gitlab":                      {admin.GitLab, []string{"X-Gitlab-Token", secret}, 202},
		"gitlab, other token":         {admin.GitLab, []string{"X-Gitlab-Token", "another"}, 403},
		"gitlab, empty token":         {admin.GitLab, []string{"X-Gitlab-Token", ""}, 403},
		"gitlab, nothing":             {admin.GitLab, nil, 403},
	} {
		nudges, log := 0, &buffer{}
		h, _ := newHook(c.kind, &nudges, log, time.Now)
		want := 0
		if c.want == 202 {
			want = 1
		}
		if got := call(h, body, c.header...); got != c.want || nudges != want {
			t.Errorf("%s: %d with %d nudges, want %d", name, got, nudges, c.want)
		}
		if strings.Contains(log.String(), secret) || strings.Contains(log.String(), good) {
			t.Errorf("%s: a secret in the log: %s", name, log)
		}
	}
}

func TestAChangedBodyIsRefused(t *testing.T) {
	nudges := 0
	h, _ := newHook(admin.GitHub, &nudges, &buffer{}, time.Now)
	if got := call(h, "b", "X-Hub-Signature-256", "sha256="+sign(secret, "a")); got != 403 || nudges != 0 {
		t.Errorf("got %d, %d nudges", got, nudges)
	}
	long := strings.Repeat("x", 25<<20+1)
	if got := call(h, long, "X-Hub-Signature-256", "sha256="+sign(secret, long)); got != 403 || nudges != 0 {
		t.Errorf("a body without end: got %d, %d nudges", got, nudges)
	}
}

func TestAFloodIsCutOffAndEnds(t *testing.T) {
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	nudges := 0
	h, m := newHook(admin.GitLab, &nudges, &buffer{}, func() time.Time { return now })
	codes := map[int]int{}
	for range 1000 { // the same call again and again
		codes[call(h, "", "X-Gitlab-Token", secret)]++
	}
	if codes[202] != 20 || codes[429] != 980 || nudges != 20 {
		t.Errorf("answers %v, %d nudges", codes, nudges)
	}
	now = now.Add(time.Second)
	if got := call(h, "", "X-Gitlab-Token", secret); got != 202 {
		t.Errorf("a second later: %d", got)
	}
	_ = m
}
