package policy

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// A fields is a set of parts of the input. Two requests that agree in the parts
// that a rule reads get the same answer from it.
type fields uint16

const (
	userName fields = 1 << iota
	userGroups
	account
	clientAddress
	clientNetworks
	clientFrontend
	timeUnix
	timeDate
	timeWeekday
	timeHour
	timeMinute
	task

	noFields  fields = 0
	allFields        = task<<1 - 1
)

// fieldPaths tells which parts a path below input reads.
var fieldPaths = map[string]fields{
	"":                allFields,
	"user":            userName | userGroups,
	"user.name":       userName,
	"user.groups":     userGroups,
	"account":         account,
	"client":          clientAddress | clientNetworks | clientFrontend,
	"client.address":  clientAddress,
	"client.networks": clientNetworks,
	"client.frontend": clientFrontend,
	"time":            timeUnix | timeDate | timeWeekday | timeHour | timeMinute,
	"time.unix":       timeUnix,
	"time.date":       timeDate,
	"time.weekday":    timeWeekday,
	"time.hour":       timeHour,
	"time.minute":     timeMinute,
	"task":            task,
}

// fieldsOf gives the parts that a reference reads: those of its longest
// beginning that has no variables. One that is not known reads everything.
func fieldsOf(ref ast.Ref) fields {
	path := inputPath(ref, 2)
	f, ok := fieldPaths[path]
	if !ok {
		return allFields
	}
	return f
}

// inputPath gives the first steps of a reference below input as "user.name".
func inputPath(ref ast.Ref, steps int) string {
	var path strings.Builder
	for i, t := range ref[1:] {
		s, ok := t.Value.(ast.String)
		if !ok || i == steps {
			break
		}
		if i > 0 {
			path.WriteByte('.')
		}
		path.WriteString(string(s))
	}
	return path.String()
}

// isInput reports whether a reference begins at input.
func isInput(ref ast.Ref) bool {
	return len(ref) > 0 && ref[0].Value.Compare(ast.InputRootDocument.Value) == 0
}

// fieldsIn gives the parts that something of the compiler's or evaluator's reads.
func fieldsIn(x any) fields {
	var f fields
	ast.WalkTerms(x, func(t *ast.Term) bool {
		switch v := t.Value.(type) {
		case ast.Ref:
			if !isInput(v) {
				return false
			}
			f |= fieldsOf(v)
			for _, inner := range v[1:] {
				f |= fieldsIn(inner)
			}
			return true
		case ast.Var:
			if v.Compare(ast.InputRootDocument.Value) == 0 {
				f = allFields
			}
		}
		return false
	})
	return f
}

// fieldsOfRule gives the parts that a rule can read, itself or through others.
func fieldsOfRule(c *ast.Compiler, rule ast.Ref) fields {
	var f fields
	seen := map[*ast.Rule]bool{}
	var visit func(*ast.Rule)
	visit = func(r *ast.Rule) {
		if r == nil || seen[r] {
			return
		}
		seen[r] = true
		f |= fieldsIn(r.Head) | fieldsIn(r.Body)
		for dependency := range c.Graph.Dependencies(r) {
			if next, ok := dependency.(*ast.Rule); ok {
				visit(next)
			}
		}
		visit(r.Else)
	}
	for _, r := range c.GetRules(rule) {
		visit(r)
	}
	return f
}

// appendKey writes those parts of a request to key that f names, so that no two
// requests that differ in one of them have the same key. It allocates nothing
// when key has room and the user is in few groups.
func (e *Engine) appendKey(key []byte, f fields, r Request, address netip.Addr) []byte {
	text := func(s string) {
		key = binary.AppendUvarint(key, uint64(len(s)))
		key = append(key, s...)
	}
	number := func(n int64) { key = binary.AppendVarint(key, n) }

	if f&userName != 0 {
		text(r.User)
	}
	if f&userGroups != 0 {
		var room [64]string
		groups := append(room[:0], r.Groups...)
		slices.Sort(groups)
		groups = slices.Compact(groups)
		number(int64(len(groups)))
		for _, g := range groups {
			text(g)
		}
	}
	if f&account != 0 {
		text(r.Account)
	}
	if f&clientAddress != 0 {
		bytes := address.As16()
		key = append(append(key, byte(address.BitLen())), bytes[:]...)
	}
	if f&clientNetworks != 0 {
		for i := range e.places {
			if e.places[i].contains(address) {
				number(int64(i))
			}
		}
		number(-1)
	}
	if f&clientFrontend != 0 {
		text(r.Frontend)
	}
	if t := e.clock(r.Time); f&(timeUnix|timeDate|timeWeekday|timeHour|timeMinute) != 0 {
		if f&timeUnix != 0 {
			number(t.Unix())
		}
		if f&timeDate != 0 {
			number(int64(t.Year()))
			number(int64(t.YearDay()))
		}
		if f&timeWeekday != 0 {
			number(int64(t.Weekday()))
		}
		if f&timeHour != 0 {
			number(int64(t.Hour()))
		}
		if f&timeMinute != 0 {
			number(int64(t.Minute()))
		}
	}
	if f&task != 0 {
		text(r.Task)
	}
	return key
}
