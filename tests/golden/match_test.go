package golden_test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// placeholder stands in recorded bytes for what is different each time. Those of
// random ids are numbered, and used in later requests.
var placeholder = regexp.MustCompile(`\{\{[^{}]*\}\}`)

// random is the form of what a placeholder stands for.
func random(mark string) string {
	switch {
	case strings.HasPrefix(mark, "{{UUID"):
		return `[A-Za-z0-9_-]+`
	case mark == "{{RSA_PRIVATE_KEY_PEM}}":
		return `-----BEGIN RSA PRIVATE KEY-----\n[A-Za-z0-9+/=\n]+\n-----END RSA PRIVATE KEY-----`
	case mark == "{{PUBKEY_BASE64}}":
		return `[A-Za-z0-9+/=]+`
	case mark == usage:
		return `Usage: [^\x00]+`
	case mark == "{{TIMESTAMP}}":
		return `[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}`
	}
	panic("no form is known for " + mark)
}

// ids are the random ids of a case, by placeholder.
type ids map[string]string

// fill puts the ids that the broker gave into recorded text.
func (known ids) fill(text string) (string, error) {
	var err error
	out := placeholder.ReplaceAllStringFunc(text, func(mark string) string {
		id, ok := known[mark]
		if !ok {
			err = fmt.Errorf("no answer gave %s", mark)
		}
		return id
	})
	return out, err
}

// match reports whether got is what want says, and remembers the ids. An id must
// be the same wherever its number is, and another than all other ids.
func (known ids) match(want, got string) bool {
	var pattern strings.Builder
	var marks []string
	rest := want
	pattern.WriteString("^")
	for _, at := range placeholder.FindAllStringIndex(want, -1) {
		done := len(want) - len(rest)
		mark := want[at[0]:at[1]]
		pattern.WriteString(regexp.QuoteMeta(want[done:at[0]]))
		if id, ok := known[mark]; ok {
			pattern.WriteString(regexp.QuoteMeta(id))
		} else {
			pattern.WriteString("(" + random(mark) + ")")
			marks = append(marks, mark)
		}
		rest = want[at[1]:]
	}
	pattern.WriteString(regexp.QuoteMeta(rest) + "$")
	found := regexp.MustCompile(pattern.String()).FindStringSubmatch(got)
	if found == nil {
		return false
	}
	taken := slices.Collect(maps.Values(known))
	for i, mark := range marks {
		id := found[i+1]
		if !strings.HasPrefix(mark, "{{UUID:") {
			continue
		}
		if slices.Contains(taken, id) {
			return false
		}
		taken = append(taken, id)
		if mark != "{{UUID:any}}" {
			known[mark] = id
		}
	}
	return true
}
