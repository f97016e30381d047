package policy

import (
	"math"
	"net/netip"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
)

// An atom is a condition on the input by which an index finds profiles: one part
// of the input is a text, or has it among its members, or is in a CIDR.
type atom struct {
	field fields // one of them
	text  string // for clientAddress a masked CIDR
}

// residue is what the index keeps of the conditions under which one profile is
// visible. It stands for more than they do, never for less.
type residue struct {
	// ways are the conjunctions one of which must hold: each is a choice of
	// conditions that it implies, and a condition is that one of some atoms
	// holds, by their places in atoms. A way without a condition always may.
	ways  [][][]uint16
	atoms []atom
	input fields // parts of it that decide
}

// residueOf reads what partial evaluation has left of the question whether one
// profile is visible: no query if it never is. Support are rules that it made on
// the way. Rules with else it leaves to be asked as they are: then all that the
// question may read counts.
func residueOf(queries []ast.Body, support []*ast.Module, all fields) residue {
	var r residue
	read := func(x any) {
		ast.WalkExprs(x, func(e *ast.Expr) bool {
			if !isConstant(e) {
				r.input |= fieldsIn(e)
			}
			return false
		})
		ast.WalkRules(x, func(rule *ast.Rule) bool {
			r.input |= fieldsIn(rule.Head)
			return false
		})
		if asksRules(x) {
			r.input |= all
		}
	}
	places := map[atom]uint16{}
	for _, body := range queries {
		read(body)
		if way, possible := r.way(body, places); possible && !slices.ContainsFunc(r.ways, func(w [][]uint16) bool { return sameWay(w, way) }) {
			r.ways = append(r.ways, way)
		}
	}
	for _, m := range support {
		read(m)
	}
	return r
}

// isConstant reports whether an expression is the same for every input: whether
// something is a member of nothing, as partial evaluation leaves it of an empty
// list of users.
func isConstant(e *ast.Expr) bool {
	if !e.IsCall() || len(e.With) > 0 || len(e.Operands()) != 2 || e.Operator().String() != ast.Member.Name {
		return false
	}
	ref, ok := e.Operand(0).Value.(ast.Ref)
	list, isArray := e.Operand(1).Value.(*ast.Array)
	return ok && isInput(ref) && ref.IsGround() && isArray && list.Len() == 0
}

// asksRules reports whether there is a reference to a rule that is not of partial
// evaluation's own making.
func asksRules(x any) (found bool) {
	ast.WalkRefs(x, func(ref ast.Ref) bool {
		found = found || ref.HasPrefix(ast.DefaultRootRef) && !isBelow(ref, 2, "data", "partial") && !isBelow(ref, 2, "data", "site")
		return false
	})
	return found
}

// equal reports whether an index makes the same of both.
func (r residue) equal(other residue) bool {
	return r.input == other.input && slices.Equal(r.atoms, other.atoms) && slices.EqualFunc(r.ways, other.ways, sameWay)
}

func sameWay(a, b [][]uint16) bool {
	return slices.EqualFunc(a, b, func(x, y []uint16) bool { return slices.Equal(x, y) })
}

// way gives the conditions that a conjunction implies; it is not possible if one
// of them has no atom that could hold. Places are those of the atoms seen so far.
func (r *residue) way(body ast.Body, places map[atom]uint16) (way [][]uint16, possible bool) {
	for _, e := range body {
		atoms, ok := atomsOf(e)
		if !ok {
			continue
		}
		if len(atoms) == 0 {
			return nil, false
		}
		condition := make([]uint16, len(atoms))
		for i, a := range atoms {
			n, known := places[a]
			switch {
			case known:
			case len(r.atoms) > math.MaxUint16:
				return nil, true // nobody writes so many
			default:
				n = uint16(len(r.atoms))
				r.atoms, places[a] = append(r.atoms, a), n
			}
			condition[i] = n
		}
		way = append(way, condition)
	}
	return way, true
}

// atomsOf gives atoms one of which holds wherever the expression does. It is not
// ok for expressions of other forms than these, as partial evaluation writes
// what people do:
//
//	internal.member_2("staff", input.user.groups)              // "staff" in input.user.groups
//	internal.member_2(input.user.name, ["alice", "bob"])       // input.user.name in ["alice", "bob"]
//	internal.member_2(input.user.groups[_], ["staff", "all"])  // some group in input.user.groups
//	input.user.name = "alice"
//	input.client.networks[_] = "campus"
//	net.cidr_contains("10.0.0.0/8", input.client.address)
func atomsOf(e *ast.Expr) (atoms []atom, ok bool) {
	if e.Negated || len(e.With) > 0 || !e.IsCall() {
		return nil, false
	}
	args := e.Operands()
	if len(args) != 2 { // a third one takes the result, which may be false
		return nil, false
	}
	switch e.Operator().String() {
	case ast.Member.Name:
		if f := partOf(args[1], userGroups|clientNetworks, 0); f != noFields {
			return textAtoms(f, args[0])
		}
		return textsAtoms(valueOf(args[0]), args[1])
	case ast.Equality.Name, ast.Equal.Name:
		for i := range args {
			if f := valueOf(args[i]); f != noFields {
				return textAtoms(f, args[1-i])
			}
		}
	case ast.NetCIDRContains.Name:
		if partOf(args[1], clientAddress, 0) != noFields {
			return cidrAtoms(args[0])
		}
	}
	return nil, false
}

// valueOf tells which part of the input a term is one text of: the user's name,
// or one of his groups.
func valueOf(t *ast.Term) fields {
	return partOf(t, userName|account|clientFrontend|task, 0) | partOf(t, userGroups|clientNetworks, 1)
}

// partOf tells which of the parts a reference leads to, followed by so many
// steps of whatever kind.
func partOf(t *ast.Term, parts fields, more int) fields {
	ref, ok := t.Value.(ast.Ref)
	if !ok || !isInput(ref) || len(ref) <= more {
		return noFields
	}
	path := ref[:len(ref)-more]
	f, ok := fieldPaths[inputPath(path, len(path))]
	if !ok || f&parts == 0 || f&(f-1) != 0 || !path.IsGround() {
		return noFields
	}
	return f
}

// textAtoms is for a text. Values of other types are never in the input.
func textAtoms(f fields, t *ast.Term) ([]atom, bool) {
	switch v := t.Value.(type) {
	case ast.String:
		return []atom{{f, string(v)}}, true
	case ast.Number, ast.Boolean, ast.Null:
		return nil, true
	}
	return nil, false
}

// textsAtoms is for the members of an array or set, all of them known.
func textsAtoms(f fields, t *ast.Term) ([]atom, bool) {
	if f == noFields || !t.IsGround() {
		return nil, false
	}
	var atoms []atom
	add := func(member *ast.Term) {
		if s, ok := member.Value.(ast.String); ok {
			atoms = append(atoms, atom{f, string(s)})
		}
	}
	switch v := t.Value.(type) {
	case *ast.Array:
		v.Foreach(add)
	case ast.Set:
		v.Foreach(add)
	default:
		return nil, false
	}
	return atoms, true
}

// cidrAtoms takes the forms that the broker and the function read alike.
func cidrAtoms(t *ast.Term) ([]atom, bool) {
	s, ok := t.Value.(ast.String)
	if !ok {
		return nil, false
	}
	p, err := netip.ParsePrefix(string(s))
	if err != nil || p.Addr().Is4In6() {
		return nil, false
	}
	return []atom{{clientAddress, p.Masked().String()}}, true
}
