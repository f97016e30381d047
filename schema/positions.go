package schema

import "cuelang.org/go/cue"

// computedPositions adds where the fields of a profile's access come from that
// no file writes below its id: a comprehension, or a default of the folder. A
// list is where its first element is; its own position is the schema's.
func computedPositions(v cue.Value, a *Access) {
	given := [...]bool{
		a.Everyone, len(a.Users) > 0, len(a.Groups) > 0, len(a.From) > 0,
		len(a.Deny.Users) > 0, len(a.Deny.Groups) > 0, len(a.Deny.From) > 0,
	} // as accessFields
	for i, f := range accessFields {
		if _, written := a.Pos[f.name]; written || !given[i] {
			continue
		}
		value := look(v, pathAccess)
		if f.deny {
			value = look(value, pathDeny)
		}
		value = look(value, f.path)
		if pos := computedPosition(value); pos.IsValid() {
			a.Pos[f.name] = pos
		}
	}
}

// computedPosition is where the first part of a value is that a file has.
func computedPosition(value cue.Value) Position {
	if it, err := value.List(); err == nil && it.Next() {
		value = it.Value()
	}
	_, parts := value.Expr()
	for _, part := range append([]cue.Value{value}, parts...) {
		if pos := position(part.Pos()); pos.IsValid() {
			return pos
		}
	}
	return Position{}
}
