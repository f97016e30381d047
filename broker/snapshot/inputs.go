package snapshot

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"sort"
	"time"

	"github.com/x2broker/x2broker/broker/source"
	"github.com/x2broker/x2broker/policy"
	"github.com/x2broker/x2broker/schema"
)

// Inputs are what a snapshot was made of: all that its answers depend on beside
// the requests. What is a digest here is a SHA-256 in hex.
type Inputs struct {
	Revision string `json:"revision"` // id of the commit, or of a directory's files
	Library  string `json:"library"`  // digest of the built-in Rego library
	Program  string `json:"program"`  // digest of the x2broker program
	Timezone string `json:"timezone"` // name of the site's time zone
	Clock    string `json:"clock"`    // digest of what the clocks do there, see [clockDigest]
}

func inputs(rev source.Revision, catalog *schema.Catalog) Inputs {
	program, _ := executable() // empty if this machine does not tell
	return Inputs{
		Revision: rev.ID, Library: policy.LibraryDigest(), Program: fmt.Sprintf("%x", program),
		Timezone: catalog.Site.Timezone, Clock: clockDigest(catalog.Site.Location),
	}
}

// Digest is one digest of all. Brokers of which it is the same give the same
// answers to the same requests.
func (i Inputs) Digest() string {
	text, err := json.Marshal(i)
	if err != nil {
		panic(err) // texts always have JSON
	}
	return fmt.Sprintf("%x", sha256.Sum256(text))
}

// clockDigest is a digest of what the clocks of a time zone do from 1970 to
// 2039, by when all rules that are known have come to bear. Go takes zones from
// the machine and, only if that has none, from its own copy; neither says of
// which edition it is. What a zone's clocks do is what counts, and is the same
// wherever it was read.
func clockDigest(zone *time.Location) string {
	type reading struct {
		name   string
		offset int
		summer bool
	}
	clock := func(second int64) reading {
		t := time.Unix(second, 0).In(zone)
		name, offset := t.Zone()
		return reading{name, offset, t.IsDST()}
	}
	const week = 7 * 24 * 60 * 60 // no zone turns its clocks twice in one
	h := sha256.New()
	var before reading
	// Not by time.ZoneBounds, which in Go 1.26 stands still at the end of 2040.
	for second := int64(0); second < 3653*week; second += week {
		now := clock(second)
		if now == before {
			continue
		}
		since := second - week + 1 + int64(sort.Search(week-1, func(i int) bool { return clock(second-week+1+int64(i)) != before }))
		fmt.Fprintf(h, "%d %v\n", since, now)
		before = now
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}
