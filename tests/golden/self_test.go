package golden_test

import "testing"

// The comparison itself must be able to fail.
func TestPlaceholdersStandForIds(t *testing.T) {
	for name, test := range map[string]struct {
		known     ids
		want, got string
		matches   bool
	}{
		"equal":                  {ids{}, "a", "a", true},
		"different":              {ids{}, "a", "b", false},
		"more behind it":         {ids{}, "a", "ab", false},
		"a dot is a dot":         {ids{}, "a.b", "axb", false},
		"an id":                  {ids{}, "AUTHID:{{UUID:1}}\n", "AUTHID:xy-1_Z\n", true},
		"no id":                  {ids{}, "AUTHID:{{UUID:1}}\n", "AUTHID:\n", false},
		"a known id again":       {ids{"{{UUID:1}}": "x"}, "{{UUID:1}}", "x", true},
		"another for a known id": {ids{"{{UUID:1}}": "x"}, "{{UUID:1}}", "y", false},
		"a known id for another": {ids{"{{UUID:1}}": "x"}, "{{UUID:2}}", "x", false},
		"a known id for any":     {ids{"{{UUID:1}}": "x"}, "{{UUID:any}}", "x", false},
		"two that should be two": {ids{}, "{{UUID:1}} {{UUID:2}}", "x x", false},
		"any":                    {ids{}, "{{UUID:any}}", "x", true},
		"a time":                 {ids{}, "{{TIMESTAMP}}", "2026-01-05 12:00:00.000001", true},
		"no time":                {ids{}, "{{TIMESTAMP}}", "now", false},
	} {
		if test.known.match(test.want, test.got) != test.matches {
			t.Errorf("%s: %q and %q: got %v, want %v", name, test.want, test.got, !test.matches, test.matches)
		}
	}
	known := ids{}
	if known.match("{{UUID:1}}", "x"); known["{{UUID:1}}"] != "x" {
		t.Error("the id is forgotten")
	}
	if _, err := known.fill("authid={{UUID:2}}"); err == nil {
		t.Error("an id that no answer gave was filled in")
	}
}

// Deviations take lists apart and put them together: what they do not change must
// stay as it was recorded.
func TestListsAreWrittenAsTheyWereRead(t *testing.T) {
	lists := 0
	for _, c := range transcripts(t) {
		for i, s := range c.Steps {
			if s.Request == nil || s.Request.Command != nil {
				continue
			}
			for _, a := range s.answers() {
				before := a.Body
				a.each(func(p *listed) { lists++ })
				if a.Body != before {
					t.Errorf("%s/%d: %q became %q", c.Name, i, before, a.Body)
				}
			}
		}
	}
	if lists < 100 {
		t.Errorf("only %d profiles were found", lists)
	}
}
