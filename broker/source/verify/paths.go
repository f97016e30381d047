package verify

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// pathRule is a rule of Rules.Paths, ready to be asked.
type pathRule struct {
	paths   []*regexp.Regexp
	signers []string
	ask     string // who may do it, for people
}

// addPaths checks and compiles the path rules.
func (v *Verifier) addPaths(bad func(field, format string, args ...any)) {
	known := map[string]bool{"*": true}
	for _, s := range v.rules.Signers {
		for _, p := range s.Principals {
			known[p] = true
		}
		for _, g := range s.Groups {
			known["group:"+g] = true
		}
	}
	for _, f := range v.rules.Forges {
		known["forge:"+f.Name] = true
	}
	everywhere := len(v.rules.Paths) == 0
	for i, rule := range v.rules.Paths {
		r := pathRule{signers: rule.Signers, ask: v.people(rule.Signers)}
		for j, pattern := range rule.Paths {
			re, err := compilePattern(pattern)
			if err != nil {
				bad(fmt.Sprintf("rules.%d.paths.%d", i, j), "%q %v", pattern, err)
				continue
			}
			r.paths = append(r.paths, re)
			everywhere = everywhere || pattern == "**"
		}
		for j, s := range rule.Signers {
			if !known[s] {
				bad(fmt.Sprintf("rules.%d.signers.%d", i, j), "%q is no principal of a signer, and no \"group:\" or \"forge:\" and the name of one, nor \"*\" for every signer", s)
			}
		}
		v.paths = append(v.paths, r)
	}
	if !everywhere {
		bad("rules", "not every path has a rule: let the last be {paths: [\"**\"], signers: [...]}")
	}
}

// compilePattern makes a regular expression of a pattern.
func compilePattern(pattern string) (*regexp.Regexp, error) {
	switch {
	case pattern == "" || strings.HasPrefix(pattern, "/") || strings.HasSuffix(pattern, "/"):
		return nil, errors.New("is no path: write it from the root of the repository, without a slash at its ends; all below a directory is \"directory/**\"")
	case strings.ContainsAny(pattern, `[]{}\!`):
		return nil, errors.New("has a character that means something in other patterns: only * ? and ** are known here")
	}
	var re strings.Builder
	re.WriteString(`(?s)\A`)
	names := strings.Split(pattern, "/")
	for i, name := range names {
		last := i == len(names)-1
		switch {
		case name == "" || name == "." || name == "..":
			return nil, errors.New("is no path: a name between slashes is missing, or is one of . and .. which lead elsewhere")
		case name == "**" && last:
			re.WriteString(`.+`)
		case name == "**":
			re.WriteString(`(?:[^/]+/)*`)
		case strings.Contains(name, "**"):
			return nil, errors.New("has ** within a name: it stands for directories, as in \"profiles/**/lab.cue\"")
		default:
			for _, r := range name {
				switch r {
				case '*':
					re.WriteString(`[^/]*`)
				case '?':
					re.WriteString(`[^/]`)
				default:
					re.WriteString(regexp.QuoteMeta(string(r)))
				}
			}
			if !last {
				re.WriteByte('/')
			}
		}
	}
	re.WriteString(`\z`)
	return regexp.Compile(re.String())
}

// mayChange says whether the first rule that has the path lets the holder
// change it; if not, why not.
func (v *Verifier) mayChange(h *holder, path string) (ok bool, why string) {
	for i, rule := range v.paths {
		if !slices.ContainsFunc(rule.paths, func(re *regexp.Regexp) bool { return re.MatchString(path) }) {
			continue
		}
		if slices.ContainsFunc(rule.signers, h.is) {
			return true, ""
		}
		return false, fmt.Sprintf("who may not change %s (rule %d): %s", plain(path), i+1, rule.ask)
	}
	return len(v.paths) == 0, fmt.Sprintf("and no rule has the path %s", plain(path))
}

// is says whether the holder is meant by an entry of a rule's signers.
func (h *holder) is(who string) bool {
	if name, ok := strings.CutPrefix(who, "forge:"); ok || h.forge != nil {
		return ok && h.forge != nil && h.forge.Name == name
	}
	if group, ok := strings.CutPrefix(who, "group:"); ok {
		return slices.Contains(h.groups, group)
	}
	return who == "*" || slices.Contains(h.principals, who)
}

// people says whom to ask.
func (v *Verifier) people(signers []string) string {
	var names []string
	for _, s := range v.rules.Signers {
		h := holder{principals: s.Principals, groups: s.Groups}
		if slices.ContainsFunc(signers, h.is) && len(s.Principals) > 0 && !slices.Contains(names, s.Principals[0]) {
			names = append(names, s.Principals[0])
		}
	}
	switch {
	case len(names) == 0:
		return "nobody may"
	case len(names) == 1:
		return "ask " + names[0]
	case len(names) > shownNames:
		return fmt.Sprintf("ask one of %s and %d more", strings.Join(names[:shownNames], ", "), len(names)-shownNames)
	}
	return "ask one of " + strings.Join(names, ", ")
}
