package schema

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/cuecontext"
)

// CheckSetting reads a value for a key below x2go that comes from elsewhere than
// a CUE file, by the same rules: those of #X2Go, and those on text that reaches
// clients. Values are as JSON has them: bool, string, json.Number, []any. It
// gives the value as a [Setting] holds it: a string, int, bool or []string. The
// error names the key and says what would be right.
func CheckSetting(key string, value any) (any, error) {
	rule, ok := valueRules()[key]
	if !ok {
		if why := brokerKeys[key]; why != "" {
			return nil, fmt.Errorf("key %q cannot be set below x2go: %s", key, why)
		}
		return nil, fmt.Errorf("%q is no session key%s", key, DidYouMean(key, slices.Collect(maps.Keys(valueRules()))))
	}
	v, err := rule.read(value)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", key, err)
	}
	return v, nil
}

// WithSettings gives a copy of the profile with other values for some keys, each
// as [CheckSetting] gave it. A key that was not set gets its usual place. As
// everywhere, a desktop is written in capitals and never rootless; a profile that
// was never rootless because of its desktop stays so with another command.
func (p *Profile) WithSettings(changed map[string]any) *Profile {
	given := make(map[string]any, len(p.Settings)+len(changed))
	for _, s := range p.Settings {
		given[s.Key] = s.Value
	}
	maps.Copy(given, changed)
	out := *p
	out.Settings = settings(given)
	return &out
}

// A valueRule is what the schema says of the value of one key.
type valueRule struct {
	def      any // of the key's type
	min, max int
	choices  []string // nil for any
	pattern  *regexp.Regexp
	nonEmpty bool
}

// valueRules are those of all keys below x2go, read from the CUE schema once.
var valueRules = sync.OnceValue(func() map[string]valueRule {
	definition := cuecontext.New().CompileBytes(schemaSource, cue.Filename(schemaFile)).LookupPath(cue.ParsePath("#X2Go"))
	rules := make(map[string]valueRule, len(settingRules))
	for _, s := range settingRules {
		r := valueRule{def: s.def}
		v := definition.LookupPath(cue.MakePath(cue.Str(s.key).Optional()))
		if _, list := s.def.([]string); list {
			v = v.LookupPath(cue.MakePath(cue.AnyIndex))
		}
		r.add(s.key, v)
		rules[s.key] = r
	}
	return rules
})

// add reads one conjunct after the other. A form that it does not know is a
// mistake in this package, which its tests find.
func (r *valueRule) add(key string, v cue.Value) {
	op, args := v.Expr()
	last := func() cue.Value { return args[len(args)-1] }
	switch op {
	case cue.AndOp:
		for _, a := range args {
			r.add(key, a)
		}
		return
	case cue.OrOp:
		for _, a := range args {
			if s, err := a.String(); err == nil {
				r.choices = append(r.choices, s)
			}
		}
		return
	case cue.GreaterThanEqualOp, cue.LessThanEqualOp:
		if n, err := last().Int64(); err == nil {
			if op == cue.LessThanEqualOp {
				r.max = int(n)
			} else {
				r.min = int(n)
			}
			return
		}
	case cue.NotEqualOp:
		if s, err := last().String(); err == nil && s == "" {
			r.nonEmpty = true
			return
		}
	case cue.RegexMatchOp:
		if s, err := last().String(); err == nil {
			r.pattern = regexp.MustCompile(s)
			return
		}
	case cue.NoOp:
		if v.Exists() && !v.IsConcrete() {
			return // a type, which the default has as well
		}
	}
	panic(fmt.Sprintf("schema: key %s: form %v of the schema is not known: %v", key, op, v))
}

// read checks a value and gives it its type.
func (r valueRule) read(value any) (any, error) {
	wrong := func() error { return fmt.Errorf("must be %s, not %s", r.wanted(), written(value)) }
	switch r.def.(type) {
	case bool:
		if b, ok := value.(bool); ok {
			return b, nil
		}
	case int:
		number, ok := value.(json.Number)
		if n, err := strconv.Atoi(string(number)); ok && err == nil && r.min <= n && n <= r.max {
			return n, nil
		}
	case string:
		if s, ok := value.(string); ok && r.fits(s) {
			if why := badText(s); why != "" {
				return nil, fmt.Errorf("%s", why)
			}
			return s, nil
		}
	case []string:
		entries, ok := value.([]any)
		if !ok {
			return nil, wrong()
		}
		list := make([]string, len(entries))
		for i, e := range entries {
			s, ok := e.(string)
			if !ok || !r.fits(s) {
				return nil, wrong()
			}
			if why := badEntry(s); why != "" {
				return nil, fmt.Errorf("%s", why)
			}
			list[i] = s
		}
		return list, nil
	}
	return nil, wrong()
}

func (r valueRule) fits(s string) bool {
	return (!r.nonEmpty || s != "") && (r.choices == nil || slices.Contains(r.choices, s)) && (r.pattern == nil || r.pattern.MatchString(s))
}

// wanted says what a value must be.
func (r valueRule) wanted() string {
	switch r.def.(type) {
	case bool:
		return "true or false"
	case int:
		return fmt.Sprintf("a whole number from %d to %d", r.min, r.max)
	}
	one := "a text"
	switch {
	case len(r.choices) > 0:
		quoted := make([]string, len(r.choices))
		for i, c := range r.choices {
			quoted[i] = strconv.Quote(c)
		}
		one = "one of " + strings.Join(quoted, ", ")
	case r.pattern != nil:
		one = "a text like " + r.pattern.String()
	case r.nonEmpty:
		one = "a text that is not empty"
	}
	if _, list := r.def.([]string); list {
		return "a list, each entry " + one
	}
	return one
}

// written shows a value in an error, in short.
func written(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return "this"
	}
	if len(text) > 60 {
		return string(text[:60]) + "..."
	}
	return string(text)
}
