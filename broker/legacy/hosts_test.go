package legacy

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What each entry means was seen at the old broker, with sshport=2200.
func TestHostsAreReadAsTheOldBrokerReadThem(t *testing.T) {
	for entry, want := range map[string]string{
		"n1":                        "n1: n1:2200",
		"n1.example.org":            "n1.example.org: n1.example.org:2200",
		"10.0.2.4":                  "10.0.2.4: 10.0.2.4:2200",
		"n1 (10.0.2.4)":             "n1: 10.0.2.4:2200",
		"n1 (10.0.2.4:2222)":        "n1: 10.0.2.4:2222",
		"n1.local (n1.example.org)": "n1.local: n1.example.org:2200",
		"n1 (n1.example.org:2222)":  "n1: n1.example.org:2222",
		"n1 (fd00:aa::1:2222)":      "n1: fd00:aa::1:2222",
		"fd00:aa::1":                "fd00:aa::1: fd00:aa::1:2200",
		"1n (10.0.2.4)":             "1n: 10.0.2.4:2200",
		"n1 (localhost:22001)":      "n1: localhost:22001",
		"n1 (tsserver)":             "n1: tsserver:2200",
		"n1 (tq1ab)":                "n1: tq1ab:2200",
		"n.x1yz (10.0.0.1)":         "n.x1yz: 10.0.0.1:2200",
		"n1 (10.1)":                 "n1: 10.1:2200",
		"n_1":                       "n_1: n_1:2200",

		// The address is lost.
		"n1 (fd00:aa::1)":        "n1: n1:2200, noted",
		"n1 ([fd00:aa::1])":      "n1: n1:2200, noted",
		"n1 ([fd00:aa::1]:2222)": "n1: n1:2200, noted",
		"n1 (-bad.example)":      "n1: n1:2200, noted",
		"-n1 (10.0.2.4)":         "-n1: -n1:2200, noted",
		"n_1 (10.0.2.4)":         "n_1: n_1:2200, noted",
		"n1 (256.1.1.1)":         "n1: n1:2200, noted",
		"n1 (n_1.example.org)":   "n1: n1:2200, noted",
		"n1.x (10.0.2.4)":        "n1.x: n1.x:2200, noted",
		"n1 (10.0.2.4:22x)":      "n1: n1:2200, noted",
		"ö1 (10.0.2.4)":          "ö1: ö1:2200, noted",
		"n1 (ts01)":              "n1: n1:2200, noted",
		"n1 (ts)":                "n1: n1:2200, noted",
		"n1 (tq-ab)":             "n1: n1:2200, noted",
		"n1 (ab.1yz)":            "n1: n1:2200, noted",
		"1.de (10.0.0.1)":        "1.de: 1.de:2200, noted",

		// 0.0.0.0, or status 500.
		"n1 (::1)":            "n1: n1:2200, lost",
		"n1 ()":               "n1: n1:2200, lost",
		"n1  (10.0.2.4)":      "n1: n1:2200, lost",
		"n1 (2222)":           "n1: n1:2200, lost",
		"n1 (*:2222)":         "n1: n1:2200, lost",
		"n1 (a b)":            "n1: n1:2200, lost",
		"a b (10.0.0.1)":      "a: a:2200, lost",
		"n1 (10.0.0.1:65536)": "n1: n1:2200, lost",

		// Sent with two ports, which is no address to any client.
		"10.0.2.4:2222":     "10.0.2.4: 10.0.2.4:2222, noted",
		"n1:2222":           "n1: n1:2222, noted",
		"[fd00:aa::1]:2222": "fd00:aa::1: fd00:aa::1:2222, noted",
	} {
		h, problem := parseHost(entry)
		if h.port == 0 {
			h.port = 2200
		}
		got := fmt.Sprintf("%s: %s:%d", h.name, h.address, h.port)
		switch {
		case problem != nil && problem.lost:
			got += ", lost"
		case problem != nil:
			got += ", noted"
		}
		if got != want {
			t.Errorf("%q: got %s, want %s", entry, got, want)
		}
	}
}

func TestServersOfOneNameAreToldApart(t *testing.T) {
	i := importTexts(t, "", `
[a]
host=ts01 (10.0.0.1), ts02, Büro 1 (10.0.0.9)
[b]
host=ts01 (10.0.0.1)
[c]
host=ts01 (10.0.0.2), ts02
sshport=2222
`)
	var got []string
	for _, s := range i.Servers {
		got = append(got, fmt.Sprintf("%s: %s at %s:%d", s.ID, s.Name, s.Address, s.Port))
	}
	want := []string{
		"ts01: ts01 at 10.0.0.1:22",
		"ts01-10.0.0.2-2222: ts01 at 10.0.0.2:2222",
		"ts02: ts02 at ts02:22",
		"ts02-2222: ts02 at ts02:2222",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	compile(t, i)
}
