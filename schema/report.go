package schema

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"cuelang.org/go/cue/errors"
	"cuelang.org/go/cue/literal"
	"github.com/agnivade/levenshtein"
)

// report turns CUE's errors into diagnostics. in is nil for syntax errors.
func (s *site) report(err error, in *instance) {
	var ds Diagnostics
	for _, e := range errors.Errors(err) {
		if inner, ok := errors.Unwrap(e).(errors.Error); ok && strings.HasPrefix(e.Error(), "import failed") {
			e = inner
		}
		d, ok := s.explain(e, in)
		if !ok {
			continue
		}
		ds = append(ds, d)
		if in == nil {
			break // the parser stumbles on after the first
		}
	}
	s.fromCUE = append(s.fromCUE, mergeAlternatives(ds)...)
}

// explain says one error of CUE in the words of the site. It reports false for
// errors that only repeat others.
func (s *site) explain(e errors.Error, in *instance) (Diagnostic, bool) {
	p := trimPath(e.Path())
	format, args := e.Msg()
	message := format
	if len(args) > 0 {
		message = fmt.Sprintf(format, args...)
	}
	if strings.Contains(message, "errors in empty disjunction") && len(p) > 0 {
		return Diagnostic{}, false // the alternatives' own errors follow and say more
	}
	d := Diagnostic{Severity: Error, Path: joinPath(p), Message: s.reword(message, p)}
	places := userPositions(e)
	if in == nil && len(places) > 0 {
		d.Message = s.explainSyntax(d.Message, &places[0])
	}
	written, exact := s.index.find(p)
	switch {
	case exact && slices.Contains(places, written):
		d.Pos = written
	case len(places) > 0:
		d.Pos = places[0]
	case written.IsValid():
		d.Pos = written
	case in != nil:
		d.Pos = Position{File: in.dir}
	default:
		d.Pos = Position{File: "."}
	}
	for _, place := range places {
		if place != d.Pos && place.File != VendoredBinding && len(d.Related) < 3 {
			d.Related = append(d.Related, place)
		}
	}
	return d, true
}

// explainSyntax looks at the line of a syntax error, or at the one above, where
// it often begins, and moves the place there.
func (s *site) explainSyntax(message string, place *Position) string {
	f := s.all[place.File]
	if f == nil {
		return message
	}
	lines := strings.Split(string(f.data), "\n")
	for _, n := range []int{place.Line, place.Line - 1} {
		if n < 1 || n > len(lines) {
			continue
		}
		if better := syntaxRemedy(message, lines[n-1]); better != message {
			if n != place.Line {
				*place = Position{File: place.File, Line: n, Column: 1 + len(lines[n-1]) - len(strings.TrimLeft(lines[n-1], " \t"))}
			}
			return better
		}
	}
	return message
}

// mergeAlternatives makes one diagnostic of the errors that CUE gives for each
// alternative of a field that admits a few strings.
func mergeAlternatives(ds Diagnostics) Diagnostics {
	var out Diagnostics
	allowed := map[int][]string{} // by index in out
	for _, d := range ds {
		m := notOneOf.FindStringSubmatch(d.Message)
		if n := len(out) - 1; m != nil && n >= 0 && allowed[n] != nil && out[n].Path == d.Path {
			allowed[n] = append(allowed[n], m[1])
			out[n].Message = fmt.Sprintf("%s is none of %s", m[2], strings.Join(allowed[n], ", "))
			continue
		}
		if m != nil {
			allowed[len(out)] = []string{m[1]}
		}
		out = append(out, d)
	}
	return out
}

var (
	outOfBound = regexp.MustCompile(`^invalid value (.+) \(out of bound (.+)\)$`)
	mismatched = regexp.MustCompile(`^conflicting values (.+) and (.+) \(mismatched types (\S+) and (\S+)\)$`)
	conflict   = regexp.MustCompile(`^conflicting values (.+) and (.+)$`)
	notOneOf   = regexp.MustCompile(`^two different values: ("[^"]*") and (.+) \(a default,`)
	notFound   = regexp.MustCompile(`^reference "([^"]+)" not found$`)
)

// reword says what CUE found in plain words; what it does not know stays as CUE
// says it.
func (s *site) reword(message string, p []string) string {
	last := ""
	if len(p) > 0 {
		last = p[len(p)-1]
	}
	switch {
	case message == "field not allowed":
		if len(p) >= 2 && p[len(p)-2] == "x2go" {
			if why, ok := brokerKeys[last]; ok {
				return fmt.Sprintf("%q cannot be set here: %s", last, why)
			}
		}
		if len(p) == 3 && p[0] == "profiles" && isSetting(last) {
			return fmt.Sprintf("%q is a key of X2Go Client: write it below x2go", last)
		}
		near := DidYouMean(last, fieldsNear(p))
		if near == "" && len(p) == 3 && p[0] == "profiles" {
			if near = DidYouMean(last, fieldsNear(append(slices.Clone(p[:2]), "x2go", ""))); near != "" {
				near = strings.TrimSuffix(near, "?") + " below x2go?"
			}
		}
		return fmt.Sprintf("unknown field %q%s", last, near)
	case message == "field is required but not present" && joinPath(p) == "site.name":
		return `the site has no name: write site: name: "..." in a file of the root directory`
	case message == "field is required but not present":
		return fmt.Sprintf("required field %q is missing", last)
	}
	if m := outOfBound.FindStringSubmatch(message); m != nil {
		if len(p) == 5 && p[2] == "hosts" && p[3] == "ids" {
			return fmt.Sprintf("no server has the id %s", m[1]) // a vendored binding says so
		}
		return fmt.Sprintf("%s is out of range: it must be %s", m[1], bound(m[2]))
	}
	if m := mismatched.FindStringSubmatch(message); m != nil {
		value, want := m[1], m[4]
		if isType(m[1]) {
			value, want = m[2], m[3]
		}
		return fmt.Sprintf("%s must be %s, not %s%s", quoteLabel(last), plainType(want), value, remedy(last, want, value))
	}
	if m := conflict.FindStringSubmatch(message); m != nil {
		return fmt.Sprintf("two different values: %s and %s (a default, which gives way, is written *value | type)", m[1], m[2])
	}
	if rest, ok := strings.CutPrefix(message, "incomplete value "); ok {
		return fmt.Sprintf("%s has no value yet: %s is a type or an open choice (two different defaults cancel out, and one that is not allowed counts as none)", quoteLabel(last), rest)
	}
	if m := notFound.FindStringSubmatch(message); m != nil {
		switch m[1] {
		case "yes", "on", "True", "TRUE":
			return fmt.Sprintf("%q means nothing here: write true", m[1])
		case "no", "off", "False", "FALSE":
			return fmt.Sprintf("%q means nothing here: write false", m[1])
		}
		return fmt.Sprintf("%q is not defined here: does it lack quotes, is it misspelt, or in a folder that this one does not see?", m[1])
	}
	return message
}

// remedy says how to write a value that has the wrong type.
func remedy(label, want, value string) string {
	switch {
	case label == "hosts" && strings.HasPrefix(value, "["):
		return ": write hosts: ids: " + value
	case label == "hosts" && strings.HasPrefix(value, `"`):
		return ": write hosts: ids: [" + value + "]"
	case label == "access":
		return ": write access: everyone: true, or access: groups: [...]"
	case want == "list" && strings.HasPrefix(value, `"`):
		return ": write [" + value + "]"
	case want == "string" && (value == "true" || value == "false" || isNumber(value)):
		return ": write " + strconv.Quote(value)
	case want == "bool" && (value == "0" || value == `"false"` || value == `"no"`):
		return ": write false"
	case want == "bool" && (value == "1" || value == `"true"` || value == `"yes"`):
		return ": write true"
	case want == "int" && isNumber(strings.Trim(value, `"`)):
		return ": write it without quotes"
	}
	return ""
}

func isSetting(key string) bool {
	return slices.ContainsFunc(settingRules, func(r settingRule) bool { return r.key == key })
}

// syntaxRemedy looks at the line of a syntax error for what people write who
// know other languages better.
func syntaxRemedy(message, line string) string {
	switch {
	case unquoted.MatchString(line):
		id := unquoted.FindStringSubmatch(line)[2]
		return fmt.Sprintf("a name with - or . must be quoted: %q", id)
	case noColon.MatchString(line):
		return fmt.Sprintf("a colon is missing: write `%s: {`", strings.TrimRight(strings.TrimSpace(line), " {"))
	case equals.MatchString(line):
		return "a field is written with a colon: name: value"
	}
	return message
}

var (
	unquoted = regexp.MustCompile(`(^|[\s{,:])([A-Za-z0-9_]+[-.][A-Za-z0-9._-]*)\s*:`)
	noColon  = regexp.MustCompile(`^[^"/]*[\w"]\s+\{\s*$`)
	equals   = regexp.MustCompile(`^\s*[\w"-]+\s*=\s*[^=]`)
)

// userPositions are the places in the site's own files that an error names;
// what the admin wrote himself comes first.
func userPositions(e errors.Error) []Position {
	var out []Position
	for _, p := range errors.Positions(e) {
		if pos := position(p); pos.IsValid() && !slices.Contains(out, pos) {
			out = append(out, pos)
		}
	}
	slices.SortStableFunc(out, func(a, b Position) int {
		return cmp.Compare(strings.Count(a.File, VendoredBinding), strings.Count(b.File, VendoredBinding))
	})
	return out
}

// trimPath drops what is no label of the site: definition names, and the quotes
// that CUE leaves around labels.
func trimPath(p []string) []string {
	out := make([]string, 0, len(p))
	for _, l := range p {
		if strings.HasPrefix(l, "#") && len(out) == 0 {
			continue
		}
		if strings.HasPrefix(l, `"`) {
			if u, err := literal.Unquote(l); err == nil {
				l = u
			}
		}
		out = append(out, l)
	}
	return out
}

func bound(b string) string {
	switch {
	case strings.HasPrefix(b, ">="):
		return "at least " + strings.TrimPrefix(b, ">=")
	case strings.HasPrefix(b, "<="):
		return "at most " + strings.TrimPrefix(b, "<=")
	case b == `!=""`:
		return "not empty"
	}
	return b
}

func isType(s string) bool {
	switch s {
	case "string", "int", "bool", "number", "float", "bytes", "null":
		return true
	}
	return strings.HasPrefix(s, "[...") || strings.HasPrefix(s, "{") || strings.HasPrefix(s, ">=") || strings.HasPrefix(s, "int &")
}

func plainType(t string) string {
	switch t {
	case "struct":
		return "a struct"
	case "string":
		return "a string"
	case "int":
		return "a whole number"
	case "bool":
		return "true or false"
	case "list":
		return "a list"
	}
	return t
}

func quoteLabel(l string) string {
	if l == "" {
		return "this"
	}
	return strconv.Quote(l)
}

// DidYouMean gives `, did you mean "office"?` for the candidate that is nearest
// to a misspelt word, of several the first by the alphabet, and nothing if none
// is near.
func DidYouMean(word string, candidates []string) string {
	best, bestDistance := "", 1+len(word)/4
	for _, c := range candidates {
		if d := levenshtein.ComputeDistance(strings.ToLower(word), strings.ToLower(c)); d <= bestDistance && (best == "" || d < bestDistance || c < best) {
			best, bestDistance = c, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(", did you mean %q?", best)
}

func itoa(i int) string { return strconv.Itoa(i) }

func isNumber(s string) bool {
	_, err := strconv.Atoi(s)
	return err == nil
}
