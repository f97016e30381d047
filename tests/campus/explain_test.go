package campus_test

import (
	"bytes"
	"log/slog"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/x2broker/x2broker/broker/check"
	"github.com/x2broker/x2broker/broker/source"
)

// TestExplainPage compares docs/explain.md with what its commands print.
func TestExplainPage(t *testing.T) {
	const page = "../../docs/explain.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	shown := regexp.MustCompile("(?ms)^```sh\nx2broker explain (.*?)\n```\n\n```\n(.*?)^```$")
	examples := 0
	rewritten := shown.ReplaceAllFunc(text, func(example []byte) []byte {
		examples++
		m := shown.FindSubmatch(example)
		got := explained(t, strings.Fields(string(m[1])))
		if diff := cmp.Diff(string(m[2]), got); diff != "" && !*update {
			t.Errorf("%s prints something else (-page +explain):\n%s", m[1], diff)
		}
		return []byte("```sh\nx2broker explain " + string(m[1]) + "\n```\n\n```\n" + got + "```")
	})
	if examples < 2 {
		t.Errorf("%d examples", examples)
	}
	if *update {
		if err := os.WriteFile(page, rewritten, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// explained is what x2broker explain prints with these flags.
func explained(t *testing.T, flags []string) string {
	t.Helper()
	var q check.Question
	var site string
	for i := 0; i+1 < len(flags); i += 2 {
		var err error
		switch value := flags[i+1]; flags[i] {
		case "--site":
			site = "../../" + value
		case "--user":
			q.User = value
		case "--group":
			q.Groups = append(q.Groups, value)
		case "--address":
			q.Address, err = netip.ParseAddr(value)
		case "--time":
			q.Time, err = time.Parse(time.RFC3339, value)
		case "--profile":
			q.Profile = value
		default:
			t.Fatalf("flag %s", flags[i])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	src, err := source.Open(source.Config{URL: site, StoreDir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	x, err := check.Explain(t.Context(), src, q)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := x.Write(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}
