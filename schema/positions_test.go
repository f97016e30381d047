package schema_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/x2broker/x2broker/schema"
)

// Whatever writes a field of access, its place is known: that is where somebody
// has to look who asks why a profile is hidden.
func TestPositionsOfAccess(t *testing.T) {
	tree := fstest.MapFS{"site.cue": {Data: []byte(`package site

site: name: "S"
servers: a: {}
_admins: ["admins"]
profiles: [string]: {
	hosts: ids: ["a"]
	access: deny: groups: *["interns"] | [...string]
}
profiles: written: {name: "W", access: {groups: ["staff"], deny: groups: ["guests"]}}
profiles: everyone: {name: "E", access: everyone: true}
for room in ["r1"] {
	profiles: "exam-\(room)": {
		name: "Exam"
		access: {
			everyone: true
			from: ["10.0.0.0/8"]
		}
	}
}
profiles: shared: {name: "S", access: groups: _admins}
`)}}
	cat, diags := schema.NewCompiler().Compile(t.Context(), tree)
	if cat == nil {
		t.Fatal(diags)
	}
	var got strings.Builder
	for _, id := range slices.Sorted(maps.Keys(cat.Profiles)) {
		pos := cat.Profiles[id].Access.Pos
		for _, field := range slices.Sorted(maps.Keys(pos)) {
			fmt.Fprintf(&got, "%s %s %d\n", id, field, pos[field].Line)
		}
	}
	want := `everyone deny.groups 8
everyone everyone 11
exam-r1 deny.groups 8
exam-r1 everyone 16
exam-r1 from 17
shared deny.groups 8
shared groups 21
written deny.groups 10
written groups 10
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPositionsOfLegacyACL(t *testing.T) {
	tree := fstest.MapFS{"site.cue": {Data: []byte(`package site

site: name: "S"
servers: a: {}
_admins: ["admins"]
profiles: [string]: hosts: ids: ["a"]
profiles: written: {
	name: "W"
	legacyACL: {
		users: allow: ["alice"]
		clients: {
			allow: ["ALL"]
			order: "allow-deny"
		}
	}
}
for room in ["r1"] {
	profiles: "\(room)": {
		name: "R"
		legacyACL: groups: {
			allow: _admins
			order: "allow-deny"
		}
	}
}
`)}}
	cat, diags := schema.NewCompiler().Compile(t.Context(), tree)
	if cat == nil {
		t.Fatal(diags)
	}
	var got strings.Builder
	for _, id := range slices.Sorted(maps.Keys(cat.Profiles)) {
		p := cat.Profiles[id]
		if len(p.Access.Pos) > 0 {
			t.Errorf("%s: access is at %v, but is not there", id, p.Access.Pos)
		}
		for _, field := range slices.Sorted(maps.Keys(p.LegacyACL.Pos)) {
			fmt.Fprintf(&got, "%s %s %d\n", id, field, p.LegacyACL.Pos[field].Line)
		}
	}
	want := `r1 groups.allow 5
r1 groups.order 22
written clients.allow 12
written clients.order 13
written users.allow 10
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
