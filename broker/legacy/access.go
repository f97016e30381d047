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
		i.lossOnce(options[problem.Option], oneLine(problem.Entry)+": "+problem.Text, "")
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
		return
	}
	acl := a.acl
	if len(acl.allow.unread)+len(acl.deny.unread) > 0 {
		acl = nobody
	}
	acl.Clients.Allow, acl.Clients.Deny = acl.allow.texts(), acl.deny.texts()
	for _, r := range []struct {
		name string
		rule Rule
	}{{"users", acl.Users}, {"groups", acl.Groups}, {"clients", acl.Clients}} {
		if len(r.rule.Allow) > 0 {
			n.put("legacyACL."+r.name+".allow", expr(r.rule.Allow), nil)
		}
		if len(r.rule.Deny) > 0 {
			n.put("legacyACL."+r.name+".deny", expr(r.rule.Deny), nil)
		}
		if r.rule.AllowFirst && r.rule.any() {
			n.put("legacyACL."+r.name+".order", ast.NewString("allow-deny"), nil)
		}
	}
}

func (n networks) texts() []string {
	var out []string
	for _, p := range n.prefixes {
		out = append(out, p.String())
	}
	return out
}
