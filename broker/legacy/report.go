package legacy

import (
	"cmp"
	"slices"
)

// An Origin is where something stands in the old files.
type Origin struct {
	File    string `json:"file"`
	Line    int    `json:"line"` // 0: nowhere, it is what the old broker does by itself
	Section string `json:"section,omitempty"`
	Option  string `json:"option,omitempty"`
	Value   string `json:"value,omitempty"`
}

// An Entry says what became of an option or a section.
type Entry struct {
	Origin
	Text   string `json:"text"`             // what it means; where it is now if it is carried over
	Remedy string `json:"remedy,omitempty"` // what to do
}

// A Report says what became of all options. One that means several things is
// there several times, and each is there at least once.
type Report struct {
	Carried []Entry `json:"carried"` // in the site or in broker.cue, with the same meaning
	Notes   []Entry `json:"notes"`   // nothing that users see depends on it, or it is better now
	Losses  []Entry `json:"losses"`  // the old broker did something that the site does not
}

func (r *Report) carried(at Origin, where string) {
	r.Carried = append(r.Carried, Entry{Origin: at, Text: where})
}

func (r *Report) note(at Origin, text, remedy string) {
	r.Notes = append(r.Notes, Entry{at, text, remedy})
}

func (r *Report) loss(at Origin, text, remedy string) {
	r.Losses = append(r.Losses, Entry{at, text, remedy})
}

// sort brings the entries into the order of the files: x2gobroker.conf first.
// What is said twice of one option is said once.
func (r *Report) sort(files ...string) {
	for _, entries := range []*[]Entry{&r.Carried, &r.Notes, &r.Losses} {
		slices.SortStableFunc(*entries, func(a, b Entry) int {
			return cmp.Or(
				slices.Index(files, a.File)-slices.Index(files, b.File),
				a.Line-b.Line,
			)
		})
		*entries = slices.Compact(*entries)
		if *entries == nil {
			*entries = []Entry{}
		}
	}
}
