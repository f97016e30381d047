package policy

import (
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// exclusion reads why a server is left out: one reason, as
// `excluded[id] := reason` gives it, or a set, as `excluded[id] contains reason`
// does, in order and joined. A value that is no reason excludes, too, and is
// never empty.
func exclusion(v ast.Value) string {
	if s, ok := v.(ast.String); ok && s != "" {
		return string(s)
	}
	if reasons, err := names(v); err == nil {
		if s := strings.Join(reasons, "; "); s != "" {
			return s
		}
	}
	return "excluded by the policy: " + shorten(v.String())
}
