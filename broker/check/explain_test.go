package check_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"log/slog"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/x2broker/x2broker/broker/check"
	"github.com/x2broker/x2broker/broker/source"
	"github.com/x2broker/x2broker/policy"
)

var update = flag.Bool("update", false, "rewrite what is expected")

// TestExplainedAsJSON holds the shape that docs/explain.md promises to tools.
func TestExplainedAsJSON(t *testing.T) {
	const golden = "testdata/explain.json"
	src, err := source.Open(source.Config{URL: "testdata/explain", StoreDir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	q := check.Question{
		User: "alice", Groups: []string{"staff", "night"}, Account: "root",
		Address: netip.MustParseAddr("10.1.2.3"), Time: time.Date(2026, 3, 2, 18, 30, 0, 0, time.UTC),
	}
	var got bytes.Buffer
	out := json.NewEncoder(&got)
	out.SetIndent("", "  ")
	out.SetEscapeHTML(false)
	for _, profile := range []string{"", "office"} {
		q.Profile = profile
		if profile != "" {
			q.Groups = q.Groups[:1]
			q.Facts = map[string]policy.Facts{"ts01": {Sessions: 2}}
		}
		x, err := check.Explain(t.Context(), src, q)
		if err != nil {
			t.Fatal(err)
		}
		x.Site, x.Revision = "/srv/site", source.Revision{ID: "5f0c..."}
		if err := out.Encode(x); err != nil {
			t.Fatal(err)
		}
	}
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
