package policy

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/x2broker/x2broker/schema"
)

// position gives a place in a module. Columns count from 1.
func position(l *ast.Location) schema.Position {
	if l == nil {
		return schema.Position{}
	}
	return schema.Position{File: l.File, Line: l.Row, Column: l.Col}
}

// diagnose turns errors of the parser or compiler into diagnostics. File is for
// errors that name none; modules, if given, tell which rule an error is in.
func diagnose(err error, file string, modules map[string]*ast.Module) schema.Diagnostics {
	var list ast.Errors
	var single *ast.Error
	switch {
	case errors.As(err, &list):
	case errors.As(err, &single):
		list = ast.Errors{single}
	default:
		list = ast.Errors{ast.NewError(ast.ParseErr, nil, "%v", err)}
	}
	ds := make(schema.Diagnostics, 0, len(list))
	for _, e := range list {
		d := schema.Diagnostic{Severity: schema.Error, Pos: position(e.Location), Message: explain(e)}
		if d.Pos.File == "" {
			d.Pos.File = file
		}
		if m := modules[d.Pos.File]; m != nil {
			if r := ruleAt(m, e.Location); r != nil {
				d.Path = packageName(m) + "." + ruleName(r)
			}
		}
		ds = append(ds, d)
	}
	return ds
}

// explain says in one sentence what an error of the parser or compiler means to
// somebody who writes policies.
func explain(e *ast.Error) string { return readable(sentence(e)) }

// readable writes variables of the compiler's own as _.
func readable(message string) string {
	return regexp.MustCompile(`__local\d+__`).ReplaceAllString(message, "_")
}

func sentence(e *ast.Error) string {
	switch d := e.Details.(type) {
	case *ast.RefErrInvalidDetail:
		if d.Pos > 0 && d.Pos < len(d.Ref) && len(d.OneOf) > 0 {
			return fmt.Sprintf("%s does not exist; %s has %s", d.Ref[:d.Pos+1], d.Ref[:d.Pos], list(d.OneOf))
		}
		return fmt.Sprintf("%s does not exist", d.Ref)
	case *ast.RefErrUnsupportedDetail:
		if d.Pos >= 0 && d.Pos < len(d.Ref) && !strings.HasPrefix(e.Message, "function ") {
			return fmt.Sprintf("%s does not exist; %s has no fields", d.Ref, d.Ref[:d.Pos+1])
		}
	case *ast.ArgErrDetail:
		return e.Message + ": " + strings.Join(d.Lines(), ", ")
	case *ast.UnificationErrDetail:
		return "the two sides can never be equal: " + strings.Join(d.Lines(), ", ")
	}
	for _, w := range wordings() {
		if m := w.pattern.FindStringSubmatchIndex(e.Message); m != nil {
			return string(w.pattern.ExpandString(nil, w.text, e.Message, m))
		}
	}
	if name, ok := strings.CutPrefix(e.Message, "undefined function "); ok {
		return noFunction(name)
	}
	return oneLine(e.Message)
}

// noFunction tells a function that policies may not have from one that nobody has.
func noFunction(name string) string {
	for _, b := range ast.Builtins {
		switch {
		case b.Name != name:
		case unrepeatable(b):
			return fmt.Sprintf("%s is not available in policies, because decisions must be repeatable; %s", name, instead(name))
		case unbounded(b):
			return fmt.Sprintf("%s is not available in policies, because it can take all memory; multiply by a power of 2", name)
		}
	}
	if strings.HasPrefix(name, "x2go.") {
		return fmt.Sprintf("there is no function %s; if it is a rule, write data.%[1]s or import it", name)
	}
	return fmt.Sprintf("there is no function %s", name)
}

// A wording replaces a message of the compiler's that needs to know its inside.
type wording struct {
	pattern *regexp.Regexp
	text    string
}

func wordings() []wording {
	return []wording{
		{
			regexp.MustCompile(`^var (\S+) is unsafe.*`),
			"$1 has no value here; check its spelling, or bind it first with := or `some $1 in ...`",
		},
		{regexp.MustCompile(`^import (\S+) unused$`), "the import of $1 is not used; delete it"},
		{
			regexp.MustCompile(`^(?:assigned|declared) var (\S+) unused$`),
			"$1 is never used; delete it, or check the spelling where it should be",
		},
		{regexp.MustCompile(`^unused argument (\S+?)\..*`), "the argument $1 is never used; write _ in its place"},
		{regexp.MustCompile(`^rule (\S+) is recursive: (.*)$`), "the rule asks itself, which has no end: $2"},
		{
			regexp.MustCompile(`^conflicting rules data\.(\S+) found$`),
			"$1 is defined in two ways that exclude each other, such as a function and a value, or once with := and once with contains",
		},
		{regexp.MustCompile(`^yaml: (?:line \d+: )?(.*)$`), "the METADATA comment is not YAML: $1"},
		{regexp.MustCompile("^invalid import, `?(rego\\.v\\d+).*"), "$1 cannot be imported, policies are Rego version 1; delete the import"},
		{regexp.MustCompile(`^empty module$`), "the file has no package line and no rules; delete it, or begin it with package"},
		{regexp.MustCompile(`^package expected$`), "the file must begin with its package line"},
	}
}

// list gives the names of fields as a sentence has them.
func list(values []ast.Value) string {
	names := make([]string, len(values))
	for i, v := range values {
		names[i] = v.String()
		if s, ok := v.(ast.String); ok {
			names[i] = string(s)
		}
	}
	return strings.Join(names, ", ")
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// broken is the diagnostic for something that is no rule's fault but may be
// brought about by one.
func broken(cause any) schema.Diagnostic {
	return schema.Diagnostic{
		Severity: schema.Error,
		Message:  fmt.Sprintf("the policies cannot be compiled: %s; please report this", oneLine(fmt.Sprint(cause))),
	}
}

// unfinished is the diagnostic for a compilation that its context ended.
func unfinished(cause error) schema.Diagnostic {
	return schema.Diagnostic{
		Severity: schema.Error,
		Message:  fmt.Sprintf("the policies were not compiled in time: %v", cause),
	}
}
