package legacy

import "cuelang.org/go/cue/ast"

// access is who may see a profile.
type access struct{ acl ACL }

// access reports on the lists of a profile, and converts them.
func (i *importer) access(p *Profile, options map[string]Origin) {
	acl, problems := ParseACL(p.Options)
	p.ACL, p.access = acl, access{acl}
	bad := map[string]bool{}
	for _, problem := range problems {
		bad[problem.Option] = true
		i.lossOnce(options[problem.Option], problem.Entry+": "+problem.Text, "")
	}
	for name, at := range options {
		switch {
		case bad[name]:
		case name == "acl-any-order":
			i.noteOnce(at, "had no effect in the old broker, nor has it here", "")
		default:
			i.carriedOnce(at, "access")
		}
	}
}

func (a access) put(n *node, comments []Comment) {
	if !a.acl.Users.any() && !a.acl.Groups.any() && !a.acl.Clients.any() {
		n.put("access.everyone", ast.NewBool(true), comments)
	}
}
